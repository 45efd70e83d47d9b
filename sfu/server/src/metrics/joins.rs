//! How long joins take, step by step.

use std::time::Duration;

use plenum_room::JoinStep;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Upper bounds, seconds: from an answer in one room to a client on a bad network that just makes it.
const BOUNDS: [f64; 12] = [
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0,
];

/// See [`JoinStep`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StepLabel {
    step: &'static str,
}

fn histogram() -> Histogram {
    Histogram::new(BOUNDS)
}

/// Durations of joins by step, each from the client's request on.
#[derive(Debug)]
pub struct Joins(Family<StepLabel, Histogram, fn() -> Histogram>);

impl Default for Joins {
    fn default() -> Self {
        Self(Family::new_with_constructor(histogram))
    }
}

impl Joins {
    /// The room's first answer is ready to be sent.
    pub fn answered(&self, after: Duration) {
        self.observe("answered", after);
    }

    /// A later step is done.
    pub fn step(&self, step: JoinStep, after: Duration) {
        let name = match step {
            JoinStep::Connected => "connected",
            JoinStep::FirstMedia => "first_media",
        };
        self.observe(name, after);
    }

    fn observe(&self, step: &'static str, after: Duration) {
        self.0
            .get_or_create(&StepLabel { step })
            .observe(after.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "join_duration",
            "How long joins took until their first answer, their connected media path, and the first packet of others' media",
            Unit::Seconds,
            self.0.clone(),
        );
    }
}

//! Which workers a job may go to, and how a choice among them is made.

use fastrand::Rng;
use livekit_protocol as proto;
use serde::{Deserialize, Serialize};

/// A worker above this load gets no jobs as long as others are below it; the same as the SDKs' own threshold.
pub(super) const TARGET_LOAD: f32 = 0.7;
/// Weight of a worker above the target that still says it takes jobs: it gets one only if there is no other.
const LAST_RESORT: f32 = 0.001;

/// What a worker serves and a job asks for: they must be equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selector {
    /// Empty: dispatched without being asked for.
    pub agent_name: String,
    /// Which version of the agent; empty is the usual one.
    pub deployment: String,
    /// `livekit.JobType`
    pub job_type: i32,
}

impl Selector {
    /// What a job asks for.
    #[must_use]
    pub fn of_job(job: &proto::Job) -> Self {
        Self {
            agent_name: job.agent_name.clone(),
            deployment: job.deployment.clone(),
            job_type: job.r#type,
        }
    }
}

/// How much a worker that takes jobs wants one, from its load.
pub(super) fn weight(load: f32) -> f32 {
    if load.is_finite() {
        (TARGET_LOAD - load.max(0.0)).max(LAST_RESORT)
    } else {
        LAST_RESORT
    }
}

/// One of these, by chance, in proportion to the weights.
pub(super) fn choose<T>(rng: &mut Rng, choices: Vec<(T, f32)>) -> Option<T> {
    let total: f32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.f32() * total;
    let mut chosen = None;
    for (choice, weight) in choices {
        chosen = Some(choice);
        left -= weight;
        if left <= 0.0 {
            break;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_get_more_and_the_overloaded_only_what_nobody_else_takes() {
        let mut rng = Rng::with_seed(1);
        let mut counts = [0; 3];
        for _ in 0..1000 {
            let choices = [0.1, 0.5, 0.95].map(weight).into_iter().enumerate();
            let choice = choose(&mut rng, choices.collect()).unwrap();
            counts[choice] += 1;
        }
        assert!(counts[0] > 2 * counts[1], "{counts:?}");
        assert!(counts[2] < 10, "{counts:?}");
        assert_eq!(
            choose(&mut rng, vec![("alone", weight(0.95))]),
            Some("alone")
        );
        assert_eq!(choose::<()>(&mut rng, Vec::new()), None);
    }

    #[test]
    fn a_load_that_is_no_number_counts_as_full() {
        for load in [f32::NAN, f32::INFINITY] {
            assert!(weight(load) < weight(0.69));
        }
        assert!(weight(-1.0) <= TARGET_LOAD);
    }
}

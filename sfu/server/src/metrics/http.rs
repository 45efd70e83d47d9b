//! What is counted of requests to the public port.

use std::time::Duration;

use actix_web::http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// Bounds in seconds: an answer takes a millisecond, a join that waits for its room's claim up to seconds.
const DURATIONS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// What was asked for. Routes are patterns and methods a short list, so that no client can make labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabel {
    route: String,
    method: &'static str,
}

/// What was asked for and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AnswerLabel {
    route: String,
    method: &'static str,
    status: &'static str,
}

/// Requests to the public port.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Family<AnswerLabel, Counter>,
    errors: Family<AnswerLabel, Counter>,
    duration: Family<RouteLabel, Histogram, fn() -> Histogram>,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            errors: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
        }
    }
}

impl HttpMetrics {
    /// A request was answered; a WebSocket's answer is its handshake.
    pub fn answered(
        &self,
        route: String,
        method: &'static str,
        status: StatusCode,
        took: Duration,
    ) {
        let label = AnswerLabel {
            route: route.clone(),
            method,
            status: class(status),
        };
        if status.is_client_error() || status.is_server_error() {
            self.errors.get_or_create(&label).inc();
        }
        self.requests.get_or_create(&label).inc();
        self.duration
            .get_or_create(&RouteLabel { route, method })
            .observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests to the public port by route, method and class of status",
            self.requests.clone(),
        );
        registry.register(
            "http_errors",
            "Requests to the public port that were answered with a status of 400 or more",
            self.errors.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time from a request's head to its answer; a WebSocket's answer is its handshake",
            self.duration.clone(),
        );
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

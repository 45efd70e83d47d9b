//! What the operator measures, for Prometheus.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// A pass over a small pool takes milliseconds; one that waits for a member takes a second.
const PASS_SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    what: &'static str,
    result: &'static str,
}

/// Handles of all metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Family<OutcomeLabels, Counter>,
    pass_seconds: Histogram,
    actions: Family<OutcomeLabels, Counter>,
    member_calls: Family<OutcomeLabels, Counter>,
    watch_errors: Counter,
    events: Family<OutcomeLabels, Counter>,
    queue_depth: Gauge,
    leading: Gauge,
    term: Gauge<i64>,
    rooms: Gauge<u64, AtomicU64>,
    nodes: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("plenum_operator");
        let passes = Family::default();
        registry.register("passes", "Passes over a pool, by result", passes.clone());
        let pass_seconds = Histogram::new(PASS_SECONDS);
        registry.register("pass_seconds", "Time of a pass", pass_seconds.clone());
        let actions = Family::default();
        registry.register(
            "actions",
            "Actions of plans, by kind and result",
            actions.clone(),
        );
        let member_calls = Family::default();
        registry.register(
            "member_calls",
            "Calls of members' internal API, by call and result",
            member_calls.clone(),
        );
        let watch_errors = Counter::default();
        registry.register("watch_errors", "Watches that broke", watch_errors.clone());
        let events = Family::default();
        registry.register("events", "Kubernetes events, by result", events.clone());
        let queue_depth = Gauge::default();
        registry.register(
            "queue_depth",
            "Pools that wait for a pass",
            queue_depth.clone(),
        );
        let leading = Gauge::default();
        registry.register("leading", "1 while this operator leads", leading.clone());
        let term = Gauge::default();
        registry.register(
            "lease_term",
            "Term of the Lease that this operator last held",
            term.clone(),
        );
        let rooms = Gauge::default();
        registry.register("rooms", "Room resources in the cache", rooms.clone());
        let nodes = Gauge::default();
        registry.register(
            "medianodes",
            "MediaNode resources in the cache",
            nodes.clone(),
        );
        Self {
            registry: Arc::new(registry),
            passes,
            pass_seconds,
            actions,
            member_calls,
            watch_errors,
            events,
            queue_depth,
            leading,
            term,
            rooms,
            nodes,
        }
    }
}

impl Metrics {
    /// A pass over a pool has ended.
    pub fn pass(&self, ok: bool, seconds: f64) {
        self.passes.get_or_create(&outcome("pool", ok)).inc();
        self.pass_seconds.observe(seconds);
    }

    /// An action was tried.
    pub fn action(&self, name: &'static str, ok: bool) {
        self.actions.get_or_create(&outcome(name, ok)).inc();
    }

    /// A member was called.
    pub fn member_call(&self, call: &'static str, ok: bool) {
        self.member_calls.get_or_create(&outcome(call, ok)).inc();
    }

    /// A watch broke; it starts again by itself.
    pub fn watch_error(&self) {
        self.watch_errors.inc();
    }

    /// An event was written, or dropped.
    pub fn event(&self, ok: bool) {
        self.events.get_or_create(&outcome("event", ok)).inc();
    }

    /// Pools that wait for a pass.
    pub fn queue_depth(&self, pools: usize) {
        self.queue_depth
            .set(i64::try_from(pools).unwrap_or(i64::MAX));
    }

    /// This operator leads, in which term; or does not.
    pub fn leading(&self, term: Option<u64>) {
        self.leading.set(i64::from(term.is_some()));
        if let Some(term) = term {
            self.term.set(i64::try_from(term).unwrap_or(i64::MAX));
        }
    }

    /// Sizes of the caches.
    pub fn sizes(&self, rooms: usize, nodes: usize) {
        self.rooms.set(u64::try_from(rooms).unwrap_or(u64::MAX));
        self.nodes.set(u64::try_from(nodes).unwrap_or(u64::MAX));
    }

    /// All of it in OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

fn outcome(what: &'static str, ok: bool) -> OutcomeLabels {
    OutcomeLabels {
        what,
        result: if ok { "ok" } else { "error" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_counted_by_result() {
        let metrics = Metrics::default();
        metrics.action("CreatePod", true);
        metrics.action("CreatePod", false);
        let text = metrics.text();
        assert!(
            text.contains("plenum_operator_actions_total{what=\"CreatePod\",result=\"ok\"} 1"),
            "{text}"
        );
        assert!(text.contains("result=\"error\"} 1"), "{text}");
    }
}

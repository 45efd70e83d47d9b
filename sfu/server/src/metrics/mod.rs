//! What is counted, and how `/metrics` writes it (OpenMetrics text, prefix `plenum_`).
//!
//! Media is counted by the Shards in plain integers; `/metrics` reads the copy that they publish once a second.

mod collect;
mod http;
mod joins;
mod media;
mod process;

pub(crate) use collect::CONTENT_TYPE;
pub use collect::Exposition;
pub use http::HttpMetrics;
pub use joins::Joins;

use std::sync::atomic::AtomicU64;

use livekit_protocol::DisconnectReason;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{agents::WorkerEnd, signal::socket::SocketEnd};

/// Why something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    reason: &'static str,
}

/// How something went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    result: &'static str,
}

/// A server API method and how calls of it went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabel {
    method: &'static str,
    code: &'static str,
}

/// A status that a join was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    status: u16,
}

/// Counters of the control plane.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Rooms opened.
    pub rooms_opened: Counter,
    /// Rooms whose task panicked.
    pub rooms_panicked: Counter,
    /// Events of Shards that a room was too far behind for.
    pub room_events_lost: Counter,
    /// Participants whose media path worked for the first time.
    pub participants_active: Counter,
    participants_left: Family<ReasonLabel, Counter>,
    /// Clients that were cut since they read too slowly.
    pub slow_clients: Counter,
    /// Requests to the public port.
    pub http: HttpMetrics,
    /// Version of the settings that are in force: 1 at the start, one more with each change.
    pub config_version: Gauge,
    config_reloads: Family<ResultLabel, Counter>,
    /// WebSockets that end here.
    pub sockets: Gauge,
    sockets_opened: Counter,
    sockets_ended: Family<ReasonLabel, Counter>,
    sockets_failed: Family<ReasonLabel, Counter>,
    /// Hops of other edges that end here.
    pub hops_served: Gauge,
    hops_lost: Family<ReasonLabel, Counter>,
    /// Rooms that came here from other members.
    pub rooms_taken: Counter,
    /// Rooms that this member handed over.
    pub rooms_moved: Counter,
    /// Times that this member let go of its rooms.
    pub fenced: Counter,
    /// How long the Directory took for its last answer to a probe, in seconds.
    pub directory_latency: Gauge<f64, AtomicU64>,
    /// Sockets of workers, registered or not yet.
    worker_sockets: Gauge,
    workers_ended: Family<ReasonLabel, Counter>,
    /// Workers whose sockets end here.
    pub agent_workers: Gauge,
    /// Jobs that they run.
    pub agent_jobs_running: Gauge,
    agent_jobs: Family<ReasonLabel, Counter>,
    snapshot_faults: Family<ReasonLabel, Counter>,
    joins: Family<StatusLabel, Counter>,
    /// How long joins take.
    pub join_durations: Joins,
    calls: Family<CallLabel, Counter>,
}

impl Metrics {
    /// A participant left.
    pub fn left(&self, reason: DisconnectReason) {
        let reason = reason.as_str_name();
        self.participants_left
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// A WebSocket was opened.
    pub fn socket_opened(&self) {
        self.sockets.inc();
        self.sockets_opened.inc();
    }

    /// A WebSocket ended.
    pub fn socket_ended(&self, end: SocketEnd) {
        self.sockets.dec();
        let label = ReasonLabel {
            reason: end.label(),
        };
        if end.is_error() {
            self.sockets_failed.get_or_create(&label).inc();
        }
        self.sockets_ended.get_or_create(&label).inc();
    }

    /// Sockets of clients and of workers that end here.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.sockets.get() + self.worker_sockets.get()
    }

    /// A worker's socket was opened.
    pub(crate) fn worker_opened(&self) {
        self.worker_sockets.inc();
    }

    /// A worker's socket ended.
    pub(crate) fn worker_ended(&self, end: WorkerEnd) {
        self.worker_sockets.dec();
        let reason = end.label();
        self.workers_ended
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// The configuration was read again: `applied`, `unchanged` or `refused`.
    pub fn reloaded(&self, result: &'static str) {
        self.config_reloads
            .get_or_create(&ResultLabel { result })
            .inc();
    }

    /// A hop broke; `fate` is what became of the home.
    pub fn hop_lost(&self, fate: &'static str) {
        self.hops_lost
            .get_or_create(&ReasonLabel { reason: fate })
            .inc();
    }

    /// Something happened to a job of a worker here.
    pub fn agent_job(&self, what: &'static str) {
        self.agent_jobs
            .get_or_create(&ReasonLabel { reason: what })
            .inc();
    }

    /// What of a room must not be lost was not stored, or not all of it: `unavailable` is tried again, `refused` is for the
    /// room's home, `too_large` and `left_out` name a limit.
    pub(crate) fn snapshot_fault(&self, reason: &'static str) {
        self.snapshot_faults
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// A join was answered; 101 is the good one.
    pub fn join_answered(&self, status: u16) {
        self.joins.get_or_create(&StatusLabel { status }).inc();
    }

    /// A server API call was answered; `code` is `ok` or Twirp's error code.
    pub fn call_answered(&self, method: &'static str, code: &'static str) {
        self.calls.get_or_create(&CallLabel { method, code }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        let counters = [
            ("rooms_opened", "Rooms opened", &self.rooms_opened),
            (
                "rooms_panicked",
                "Rooms whose task panicked; any is a bug",
                &self.rooms_panicked,
            ),
            (
                "room_events_lost",
                "Events of shards that a room was too far behind for",
                &self.room_events_lost,
            ),
            (
                "participants_active",
                "Participants whose media path worked for the first time",
                &self.participants_active,
            ),
            (
                "slow_clients",
                "Clients cut since they read too slowly",
                &self.slow_clients,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        for (name, help, counter) in [
            (
                "rooms_taken",
                "Rooms that came here from other members",
                &self.rooms_taken,
            ),
            (
                "rooms_moved",
                "Rooms handed over to other members",
                &self.rooms_moved,
            ),
            (
                "fenced",
                "Times that this member let go of all its rooms",
                &self.fenced,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "hops_served",
            "Sockets of other members whose rooms are here",
            self.hops_served.clone(),
        );
        registry.register(
            "hops_lost",
            "Hops that broke, by what became of the home",
            self.hops_lost.clone(),
        );
        registry.register_with_unit(
            "directory_latency",
            "Latency of the directory's last answer to a probe",
            Unit::Seconds,
            self.directory_latency.clone(),
        );
        self.http.register(registry);
        registry.register(
            "config_version",
            "Version of the settings in force: 1 at the start, one more with each change",
            self.config_version.clone(),
        );
        registry.register(
            "config_reloads",
            "Times that the configuration was read again, by result",
            self.config_reloads.clone(),
        );
        registry.register(
            "websocket_connections",
            "WebSockets that end here",
            self.sockets.clone(),
        );
        registry.register(
            "websocket_connections_opened",
            "WebSockets that were opened here",
            self.sockets_opened.clone(),
        );
        registry.register(
            "participants_left",
            "Participants that left, by reason",
            self.participants_left.clone(),
        );
        registry.register(
            "websocket_disconnections",
            "WebSockets that ended, by who or what ended them",
            self.sockets_ended.clone(),
        );
        registry.register(
            "websocket_errors",
            "WebSockets that ended since the client was slow, silent or sent nonsense",
            self.sockets_failed.clone(),
        );
        registry.register(
            "agent_sockets",
            "Sockets of workers of agents that end here, registered or not yet",
            self.worker_sockets.clone(),
        );
        registry.register(
            "agent_disconnections",
            "Sockets of workers that ended, by who or what ended them",
            self.workers_ended.clone(),
        );
        registry.register(
            "agent_workers",
            "Workers of agents whose sockets end here",
            self.agent_workers.clone(),
        );
        registry.register(
            "agent_jobs_running",
            "Jobs that these workers run",
            self.agent_jobs_running.clone(),
        );
        registry.register(
            "agent_jobs",
            "What happened to jobs of agents",
            self.agent_jobs.clone(),
        );
        registry.register(
            "room_snapshot_faults",
            "Times that what a room must not lose was not stored, or not all of it, by reason",
            self.snapshot_faults.clone(),
        );
        registry.register("joins", "Joins by HTTP status", self.joins.clone());
        self.join_durations.register(registry);
        registry.register(
            "api_calls",
            "Server API calls by method and result",
            self.calls.clone(),
        );
    }
}

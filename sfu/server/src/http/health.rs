//! `/health`, `/health/live`, `/health/ready`, `/health/info`, `/metrics`.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use plenum_cluster::{
    member_api::MemberState,
    membership::{DirectoryHealth, MemberView, MembersView},
};
use plenum_engine::{ShardHealth, ShardStatus};
use serde::Serialize;

use super::{Service, front};
use crate::metrics;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    status: &'static str,
    state: MemberState,
    dependencies: Vec<Dependency>,
    shards: Vec<ShardReport>,
    members: Vec<PeerReport>,
    /// Client sockets here whose rooms live elsewhere.
    proxied_sockets: usize,
    /// Why this member can't register, if it can't.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_refused: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    name: &'static str,
    /// `memory`, `up`, `recovering` or `down`.
    state: &'static str,
    /// Of its last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PeerReport {
    node: String,
    state: MemberState,
    /// `alive`, `suspect` or what else the judge says.
    health: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardReport {
    shard: u16,
    port: u16,
    state: &'static str,
    /// How often it panicked and was made anew.
    restarts: u64,
    /// Time since the last pass of its loop.
    latency_ms: u64,
    transports: usize,
    tracks: usize,
    subscriptions: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    name: &'static str,
    version: &'static str,
    node_id: &'a str,
    incarnation: u64,
    protocol: u32,
    compatible_with: &'static str,
    dev: bool,
}

/// Media flows if at least one Shard runs. One that was given up makes the whole member one to be replaced: its rooms have
/// nowhere to go here.
pub(super) fn shards_run(service: &Service) -> bool {
    let shards = service.engine.status();
    let is = |health| move |shard: &ShardStatus| shard.health == health;
    shards.iter().any(is(ShardHealth::Running)) && !shards.iter().any(is(ShardHealth::Failed))
}

/// All there is to know, for people: 503 if a client should go elsewhere.
pub(super) async fn all(service: Data<Service>) -> HttpResponse {
    let shards = service.engine.status();
    let good = front::is_ready(&service);
    let whole = shards
        .iter()
        .all(|shard| shard.health == ShardHealth::Running);
    let view = service.cluster.membership().view();
    let report = Report {
        status: match (good, whole) {
            (true, true) => "ok",
            (true, false) => "degraded",
            (false, _) => "unavailable",
        },
        state: service.member.state(),
        dependencies: vec![directory(&service, &view)],
        members: view.members.values().map(peer_report).collect(),
        proxied_sockets: service.cluster.proxied_sockets(),
        registration_refused: view.registration_refused.clone(),
        shards: shards.iter().map(shard_report).collect(),
    };
    HttpResponse::build(status(good)).json(report)
}

fn directory(service: &Service, view: &MembersView) -> Dependency {
    let alone = service.config.load().cluster.redis_url.0.is_empty();
    Dependency {
        name: "directory",
        state: match view.directory {
            _ if alone => "memory",
            DirectoryHealth::Up => "up",
            DirectoryHealth::Recovering => "recovering",
            DirectoryHealth::Down => "down",
        },
        latency_ms: (!alone).then(|| service.metrics.directory_latency.get() * 1_000.0),
    }
}

fn peer_report(member: &MemberView) -> PeerReport {
    PeerReport {
        node: member.record.holder.node.to_string(),
        state: member.record.state,
        health: format!("{:?}", member.health).to_lowercase(),
    }
}

fn shard_report(shard: &ShardStatus) -> ShardReport {
    ShardReport {
        shard: shard.shard.0,
        port: shard.port,
        state: match shard.health {
            ShardHealth::Running => "running",
            ShardHealth::Stuck => "stuck",
            ShardHealth::Failed => "failed",
        },
        restarts: shard.restarts,
        latency_ms: u64::try_from(shard.since_last_pass.as_millis()).unwrap_or(u64::MAX),
        transports: shard.stats.transports,
        tracks: shard.stats.tracks,
        subscriptions: shard.stats.subscriptions,
    }
}

const fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// Restart the process if this fails: it does not answer, or a Shard panicked so often that it stays down.
pub(super) async fn live(service: Data<Service>) -> HttpResponse {
    let failed = service
        .engine
        .status()
        .iter()
        .any(|shard| shard.health == ShardHealth::Failed);
    HttpResponse::build(status(!failed)).body(if failed { "a shard has failed" } else { "live" })
}

/// Send clients here.
pub(super) async fn ready(service: Data<Service>) -> HttpResponse {
    let good = front::is_ready(&service);
    HttpResponse::build(status(good)).body(if good { "ready" } else { "not ready" })
}

/// What runs here.
pub(super) async fn info(service: Data<Service>) -> HttpResponse {
    let holder = service.member.holder();
    HttpResponse::Ok().json(Info {
        name: "plenum-sfu",
        version: env!("CARGO_PKG_VERSION"),
        node_id: holder.node.as_str(),
        incarnation: holder.incarnation.get(),
        protocol: plenum_cluster::member_api::INTERNAL_PROTOCOL,
        compatible_with: crate::COMPATIBLE_VERSION,
        dev: service.dev,
    })
}

/// Prometheus reads this.
pub(super) async fn metrics(service: Data<Service>) -> HttpResponse {
    match service.exposition.text() {
        Ok(text) => HttpResponse::Ok()
            .content_type(metrics::CONTENT_TYPE)
            .body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

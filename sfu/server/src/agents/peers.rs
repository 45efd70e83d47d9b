//! Agents across members: a room's home and its agents' workers may be on different ones.
//!
//! Members ask each other once a second which workers they have (`GET /internal/v1/agents`), offer each other's workers jobs
//! (`POST .../offers`), end them (`POST .../terminations`), and tell the homes what becomes of them (`POST .../updates`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    web::{self, Data, Json},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use livekit_protocol as proto;
use plenum_cluster::{Incarnation, detector::Health};
use prost::Message as _;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    driver::{Agents, OFFER_WAIT},
    ids::JobId,
    pool::{Home, JobUpdate, PoolInput, Taken},
    selector::Selector,
};
use crate::cluster::Cluster;

/// How often members ask each other for their workers.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How long they may take for a short answer.
const ANSWER: Duration = Duration::from_secs(2);
/// An update is sent this often before it is given up: the home is gone then.
const UPDATE_TRIES: u32 = 5;
/// Between two tries.
const UPDATE_PAUSE: Duration = Duration::from_secs(1);

/// What the other members' workers serve, and how much they want jobs.
#[derive(Debug, Default)]
pub(super) struct PeerPools(Mutex<HashMap<Incarnation, Vec<(Selector, f32)>>>);

impl PeerPools {
    /// The members with workers for this.
    pub(super) fn that_serve(&self, wanted: &Selector) -> Vec<(Home, f32)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .flat_map(|(member, workers)| workers.iter().map(|worker| (*member, worker)))
            .filter(|(_, (selector, _))| selector == wanted)
            .map(|(member, (_, weight))| (Home::There(member), *weight))
            .collect()
    }

    /// Whether there is a member for something now that had none before.
    fn replace(&self, pools: HashMap<Incarnation, Vec<(Selector, f32)>>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before: Vec<_> = known.values().flatten().map(|(s, _)| s.clone()).collect();
        let gained = pools
            .values()
            .flatten()
            .any(|(selector, _)| !before.contains(selector));
        *known = pools;
        gained
    }
}

/// A job for a member's workers.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    /// The job's protobuf in base64.
    job: String,
    /// The member that asks.
    home: Incarnation,
}

/// What happened to a job of a room on another member.
#[derive(Debug, Serialize, Deserialize)]
struct Update {
    room: String,
    job: JobId,
    update: JobUpdate,
}

impl Agents {
    /// Keeps asking the other members for their workers.
    pub(super) async fn follow_peers(self: Arc<Self>) {
        let mut ticks = interval(ASK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(cluster) = self.cluster() else {
                return;
            };
            let alive: Vec<_> = cluster
                .membership
                .view()
                .peers()
                .filter(|peer| peer.health == Health::Alive)
                .map(|peer| peer.record.clone())
                .collect();
            let asked = alive.iter().map(|record| {
                let cluster = cluster.clone();
                async move {
                    let address = &record.internal_address;
                    let reply = cluster
                        .peers
                        .send(Method::GET, address, "agents", &(), ANSWER)
                        .await
                        .ok()?;
                    let pool = serde_json::from_slice(&reply.body).ok()?;
                    Some((record.holder.incarnation, pool))
                }
            });
            let pools = join_all(asked).await.into_iter().flatten().collect();
            if self.peers.replace(pools) {
                self.act(|state, at| state.dispatches().capacity(at));
            }
        }
    }

    async fn post<B: Serialize + Sync>(
        &self,
        member: Incarnation,
        path: &str,
        body: &B,
        bound: Duration,
    ) -> Option<crate::cluster::PeerReply> {
        let cluster = self.cluster()?;
        let view = cluster.membership.view();
        let address = &view.by_incarnation(member)?.record.internal_address;
        let path = format!("agents/{path}");
        cluster
            .peers
            .send(Method::POST, address, &path, body, bound)
            .await
            .ok()
            .filter(|reply| reply.status == 200)
    }

    /// Offers a job to the workers of another member.
    pub(super) async fn offer_there(&self, member: Incarnation, job: &proto::Job) -> Option<Taken> {
        let home = self.cluster()?.membership.me().incarnation;
        let offer = Offer {
            job: STANDARD.encode(job.encode_to_vec()),
            home,
        };
        let reply = self.post(member, "offers", &offer, OFFER_WAIT).await?;
        serde_json::from_slice(&reply.body).ok()?
    }

    /// Tells a job's home.
    pub(super) fn tell(
        self: &Arc<Self>,
        home: Incarnation,
        room: String,
        job: JobId,
        update: JobUpdate,
    ) {
        let agents = self.clone();
        self.config.runtime.spawn(async move {
            let update = Update { room, job, update };
            for _ in 0..UPDATE_TRIES {
                if agents
                    .post(home, "updates", &update, ANSWER)
                    .await
                    .is_some()
                {
                    return;
                }
                sleep(UPDATE_PAUSE).await;
            }
        });
    }

    /// Ends a job that a worker of another member runs.
    pub(super) fn terminate_there(self: &Arc<Self>, member: Incarnation, job: JobId) {
        let agents = self.clone();
        self.config.runtime.spawn(async move {
            for _ in 0..UPDATE_TRIES {
                if agents
                    .post(member, "terminations", &job, ANSWER)
                    .await
                    .is_some()
                {
                    return;
                }
                sleep(UPDATE_PAUSE).await;
            }
        });
    }
}

/// The routes of the internal port.
pub(crate) fn routes(scope: &mut web::ServiceConfig) {
    scope
        .route("/agents", web::get().to(capacity))
        .route("/agents/offers", web::post().to(offer))
        .route("/agents/updates", web::post().to(update))
        .route("/agents/terminations", web::post().to(terminate));
}

async fn capacity(cluster: Data<Cluster>) -> HttpResponse {
    let agents = &cluster.rooms.config().agents;
    HttpResponse::Ok().json(agents.act(|state, _| state.capacity()))
}

async fn offer(cluster: Data<Cluster>, body: Json<Offer>) -> HttpResponse {
    let job = STANDARD
        .decode(&body.job)
        .ok()
        .and_then(|bytes| proto::Job::decode(bytes.as_slice()).ok());
    let Some(job) = job else {
        return HttpResponse::BadRequest().body("job: not a livekit.Job in base64");
    };
    let agents = cluster.rooms.config().agents.clone();
    let home = Home::There(body.home);
    let cluster = cluster.into_inner();
    let taken = cluster
        .on_rooms_runtime(async move { agents.offer(job, home).await })
        .await;
    HttpResponse::Ok().json(taken.flatten())
}

async fn update(cluster: Data<Cluster>, body: Json<Update>) -> HttpResponse {
    let Update { room, job, update } = body.into_inner();
    let room = room.into();
    cluster
        .rooms
        .config()
        .agents
        .act(|state, at| state.dispatches().updated(at, &room, &job, &update));
    HttpResponse::Ok().finish()
}

async fn terminate(cluster: Data<Cluster>, body: Json<JobId>) -> HttpResponse {
    let job = body.into_inner();
    cluster
        .rooms
        .config()
        .agents
        .act(|state, at| state.pool(at, PoolInput::Terminate(job)));
    HttpResponse::Ok().finish()
}

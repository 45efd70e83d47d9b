//! Agents across members: a room's home and its agents' workers may be on different ones.
//!
//! Members ask each other once a second which workers they have (`GET /internal/v1/agents`), offer each other's workers jobs
//! (`POST .../offers`), end them (`POST .../terminations`), and tell the homes what becomes of them (`POST .../updates`).
//! What happens when a room or a worker goes elsewhere (`POST .../homes`, `.../claims`) is in [`moves`](super::moves).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    web::{self, Data, Json},
};
use futures_util::future::join_all;
use livekit_protocol as proto;
use plenum_cluster::{Incarnation, detector::Health};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    driver::{Agents, OFFER_WAIT},
    ids::JobId,
    moves::{Claim, NewHome},
    pool::{Home, JobUpdate, PoolInput, Taken},
    selector::Selector,
    wire::{decode, encode},
};
use crate::cluster::Cluster;

/// How often members ask each other for their workers.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// How long they may take for a short answer.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
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
    /// The member whose worker runs it.
    from: Incarnation,
}

/// A job is to end.
#[derive(Debug, Serialize, Deserialize)]
struct Termination {
    job: JobId,
    home: Incarnation,
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
            self.members_live();
        }
    }

    /// This member, in this life.
    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        Some(self.cluster()?.membership.me().incarnation)
    }

    /// The other members that answer.
    pub(super) fn living_peers(&self) -> Vec<Incarnation> {
        let Some(cluster) = self.cluster() else {
            return Vec::new();
        };
        let view = cluster.membership.view();
        let alive = view.peers().filter(|peer| peer.health == Health::Alive);
        alive.map(|peer| peer.record.holder.incarnation).collect()
    }

    /// The other members that are not known to be gone.
    pub(super) fn known_members(&self) -> BTreeSet<Incarnation> {
        let Some(cluster) = self.cluster() else {
            return BTreeSet::new();
        };
        let view = cluster.membership.view();
        view.peers()
            .map(|peer| peer.record.holder.incarnation)
            .collect()
    }

    pub(super) async fn post<B: Serialize + Sync>(
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
        let offer = Offer {
            job: encode(job),
            home: self.incarnation()?,
        };
        let reply = self.post(member, "offers", &offer, OFFER_WAIT).await?;
        serde_json::from_slice(&reply.body).ok()?
    }

    /// Tells a job's home; if its room is not there any more, whoever serves it now.
    pub(super) fn tell(self: &Arc<Self>, home: Home, room: String, job: JobId, update: JobUpdate) {
        let agents = self.clone();
        self.config.runtime.spawn(async move {
            let Some(from) = agents.incarnation() else {
                return;
            };
            let update = Update {
                room,
                job,
                update,
                from,
            };
            for _ in 0..UPDATE_TRIES {
                if agents.told(home, &update).await {
                    return;
                }
                sleep(UPDATE_PAUSE).await;
            }
        });
    }

    async fn told(self: &Arc<Self>, home: Home, update: &Update) -> bool {
        if let Home::There(home) = home
            && self.post(home, "updates", update, ANSWER).await.is_some()
        {
            return true;
        }
        let room = update.room.as_str().into();
        let is_here = self.act(|state, at| {
            let dispatches = state.dispatches();
            dispatches.updated(at, &room, &update.job, Home::Here, &update.update)
        });
        if is_here {
            return true;
        }
        let asked = self
            .living_peers()
            .into_iter()
            .filter(|peer| home != Home::There(*peer))
            .map(|peer| self.post(peer, "updates", update, ANSWER));
        join_all(asked).await.iter().any(Option::is_some)
    }

    /// Ends a job that a worker of another member runs.
    pub(super) fn terminate_there(self: &Arc<Self>, member: Incarnation, job: JobId) {
        let agents = self.clone();
        self.config.runtime.spawn(async move {
            let Some(home) = agents.incarnation() else {
                return;
            };
            let termination = Termination { job, home };
            for _ in 0..UPDATE_TRIES {
                if agents
                    .post(member, "terminations", &termination, ANSWER)
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
        .route("/agents/terminations", web::post().to(terminate))
        .route("/agents/homes", web::post().to(new_home))
        .route("/agents/claims", web::post().to(claim));
}

async fn capacity(cluster: Data<Cluster>) -> HttpResponse {
    let agents = &cluster.rooms.config().agents;
    HttpResponse::Ok().json(agents.act(|state, _| state.capacity()))
}

async fn offer(cluster: Data<Cluster>, body: Json<Offer>) -> HttpResponse {
    let Some(job) = decode(&body.job) else {
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
    let Update {
        room,
        job,
        update,
        from,
    } = body.into_inner();
    let (room, from) = (room.into(), Home::There(from));
    let is_here = cluster.rooms.config().agents.act(|state, at| {
        let dispatches = state.dispatches();
        dispatches.updated(at, &room, &job, from, &update)
    });
    if is_here {
        HttpResponse::Ok().finish()
    } else {
        HttpResponse::NotFound().body("the room is not here")
    }
}

async fn terminate(cluster: Data<Cluster>, body: Json<Termination>) -> HttpResponse {
    let Termination { job, home } = body.into_inner();
    let terminate = PoolInput::Terminate(job, Home::There(home));
    cluster
        .rooms
        .config()
        .agents
        .act(|state, at| state.pool(at, terminate));
    HttpResponse::Ok().finish()
}

async fn new_home(cluster: Data<Cluster>, body: Json<NewHome>) -> HttpResponse {
    HttpResponse::Ok().json(cluster.rooms.config().agents.asked(&body))
}

async fn claim(cluster: Data<Cluster>, body: Json<Claim>) -> HttpResponse {
    HttpResponse::Ok().json(cluster.rooms.config().agents.claimed(&body))
}

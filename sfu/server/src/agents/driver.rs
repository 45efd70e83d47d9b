//! Carries out what the pool and the dispatches want.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use fastrand::Rng;
use livekit_protocol::{self as proto, server_message};
use plenum_engine::Clock;
use plenum_room::{ApiRequest, ApiResponse, ServerIdentity};
use plenum_types::RoomName;
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    dispatch::{DispatchOutput, Dispatches, Moment},
    ids::{DispatchId, JobId, WorkerId},
    peers::PeerPools,
    pool::{Home, JobUpdate, Pool, PoolInput, PoolOutput, Taken},
    selector::Selector,
};
use crate::{auth::Keys, cluster::Cluster, metrics::Metrics};

/// Messages that a worker may leave unread; it gets a few for each job. Beyond, it is cut, and comes back.
pub(super) const UNREAD: usize = 256;
/// How often timers are looked at: offers and returns are counted in seconds.
const TICK: Duration = Duration::from_millis(250);
/// An offer goes to three workers of a member, with 10 s each. A member that takes longer is not waited for.
pub(super) const OFFER_WAIT: Duration = Duration::from_secs(35);
/// Members that a job is offered to in one go; later it is offered again.
const MAX_MEMBERS: usize = 4;

/// What agents need of the rest of the process.
pub struct AgentsConfig {
    /// The runtime of the rooms.
    pub runtime: Handle,
    /// The clock.
    pub clock: Clock,
    /// Keys that sign the agents' tokens.
    pub keys: Keys,
    /// What workers read about the server.
    pub server: ServerIdentity,
    /// Where to count.
    pub metrics: Arc<Metrics>,
}

/// What goes to a worker's socket.
#[derive(Debug)]
pub(super) enum ToWorker {
    /// A message.
    Message(Box<proto::ServerMessage>),
    /// The end, with a reason.
    Close(&'static str),
}

pub(super) struct Socket {
    to_worker: mpsc::Sender<ToWorker>,
    /// API key of its token: that of its agents' tokens, too.
    pub(super) key: String,
}

pub(super) struct State {
    pool: Pool,
    dispatches: Dispatches,
    pub(super) sockets: HashMap<WorkerId, Socket>,
    /// What of a room is kept has changed: its task waits for that.
    pub(super) rooms: HashMap<RoomName, Arc<Notify>>,
    offers: HashMap<JobId, oneshot::Sender<Option<Taken>>>,
    rng: Rng,
}

/// The agents of this member's workers and rooms. See the module.
pub struct Agents {
    pub(super) config: AgentsConfig,
    state: Mutex<State>,
    pub(super) peers: PeerPools,
    cluster: OnceLock<Weak<Cluster>>,
}

impl Agents {
    /// Without workers.
    #[must_use]
    pub fn new(config: AgentsConfig) -> Arc<Self> {
        let mut rng = Rng::new();
        let state = State {
            pool: Pool::new(rng.fork()),
            dispatches: Dispatches::new(rng.fork()),
            sockets: HashMap::new(),
            rooms: HashMap::new(),
            offers: HashMap::new(),
            rng,
        };
        Arc::new(Self {
            config,
            state: Mutex::new(state),
            peers: PeerPools::default(),
            cluster: OnceLock::new(),
        })
    }

    /// Joins the pool, and runs from here on.
    pub(crate) fn start(self: &Arc<Self>, cluster: &Arc<Cluster>) {
        let _ = self.cluster.set(Arc::downgrade(cluster));
        let agents = self.clone();
        self.config.runtime.spawn(async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                agents.act(|state, at| {
                    state.pool(at, PoolInput::Timer);
                    state.dispatches().timer(at);
                });
            }
        });
        if !cluster.alone {
            self.config.runtime.spawn(self.clone().follow_peers());
        }
    }

    /// `None` while the process starts or ends.
    pub(super) fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.get()?.upgrade()
    }

    fn moment(&self) -> Moment {
        let now = self.config.clock.now();
        let wall_ns = self.config.clock.wall().unix_nanos(now);
        Moment {
            now,
            wall_ns: i64::try_from(wall_ns).unwrap_or(i64::MAX),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and carries out what follows. Nothing waits in here.
    pub(super) fn act<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Changing<'_>, Moment) -> T,
    ) -> T {
        let at = self.moment();
        let mut state = self.state();
        let result = change(&mut Changing(&mut state), at);
        loop {
            let of_pool: Vec<_> = state.pool.drain().collect();
            let of_dispatches: Vec<_> = state.dispatches.drain().collect();
            if of_pool.is_empty() && of_dispatches.is_empty() {
                break;
            }
            for output in of_pool {
                self.for_pool(&mut state, at, output);
            }
            for output in of_dispatches {
                self.for_dispatches(&mut state, at, output);
            }
        }
        let metrics = &self.config.metrics;
        metrics.agent_workers.set(state.pool.workers() as i64);
        metrics.agent_jobs_running.set(state.pool.running() as i64);
        result
    }

    fn for_pool(self: &Arc<Self>, state: &mut State, at: Moment, output: PoolOutput) {
        match output {
            PoolOutput::Send(worker, mut message) => {
                if let server_message::Message::Register(response) = &mut message {
                    response.server_info = Some(self.server_info());
                    tracing::info!(%worker, "worker registered");
                }
                self.send(state, at, &worker, message);
            }
            PoolOutput::Assign {
                worker,
                job,
                answer,
                permissions,
            } => self.assign(state, at, &worker, *job, *answer, &permissions),
            PoolOutput::Close(worker, reason) => self.close(state, at, worker, reason),
            PoolOutput::Offered(job, taken) => {
                let outcome = match &taken {
                    Some(Taken::By(..)) => "assigned",
                    Some(Taken::NotNeeded(_)) => "not_needed",
                    None => "not_taken",
                };
                self.config.metrics.agent_job(outcome);
                if let Some(answer) = state.offers.remove(&job) {
                    let _ = answer.send(taken);
                }
            }
            PoolOutput::Update {
                home,
                room,
                job,
                update,
            } => {
                self.config.metrics.agent_job(match &update {
                    JobUpdate::Status(status, _) => match proto::JobStatus::try_from(*status) {
                        Ok(proto::JobStatus::JsSuccess) => "succeeded",
                        Ok(proto::JobStatus::JsFailed) => "failed",
                        _ => "running",
                    },
                    JobUpdate::Adopted(_) => "adopted",
                    JobUpdate::Lost => "lost",
                });
                tracing::debug!(%room, %job, ?update, "job updated");
                let known = home == Home::Here
                    && state
                        .dispatches
                        .updated(at, &room.as_str().into(), &job, home, &update);
                if !known {
                    self.tell(home, room, job, update);
                }
            }
            PoolOutput::Find(worker, selector, jobs) => {
                self.config
                    .runtime
                    .spawn(self.clone().find(worker, selector, jobs));
            }
            PoolOutput::Capacity => state.dispatches.capacity(at),
        }
    }

    fn for_dispatches(self: &Arc<Self>, state: &mut State, at: Moment, output: DispatchOutput) {
        match output {
            DispatchOutput::Place(job) => {
                let members = self.members_for(state, &job);
                if members.is_empty() {
                    let (room, id) = names_of(&job);
                    return state.dispatches.placed(at, &room, &id, None);
                }
                self.config.runtime.spawn(self.clone().place(*job, members));
            }
            DispatchOutput::Terminate(job, Home::Here) => {
                let terminate = PoolInput::Terminate(job, Home::Here);
                state.pool.handle(at.now, at.wall_ns, terminate);
            }
            DispatchOutput::Terminate(job, Home::There(member)) => {
                self.terminate_there(member, job);
            }
            DispatchOutput::RemoveAgent { room, identity } => {
                let agents = self.clone();
                self.config.runtime.spawn(async move {
                    if let Some(cluster) = agents.cluster() {
                        let remove = ApiRequest::RemoveParticipant {
                            identity: identity.into(),
                            revoke_tokens_before: None,
                        };
                        let _ = cluster.rooms.call(&room, remove).await;
                    }
                });
            }
            DispatchOutput::ListParticipants(room, dispatch) => {
                self.config
                    .runtime
                    .spawn(self.clone().list_participants(room, dispatch));
            }
            DispatchOutput::Ask(room) => {
                self.config.runtime.spawn(self.clone().ask(room));
            }
            DispatchOutput::Changed(room) => {
                if let Some(changed) = state.rooms.get(&room) {
                    changed.notify_one();
                }
            }
        }
    }

    async fn list_participants(self: Arc<Self>, room: RoomName, dispatch: DispatchId) {
        let Some(cluster) = self.cluster() else {
            return;
        };
        let answer = cluster
            .rooms
            .call(&room, ApiRequest::ListParticipants)
            .await;
        if let Some(Ok(ApiResponse::Participants(participants))) = answer {
            self.act(|state, _| {
                state
                    .dispatches()
                    .participants(&room, &dispatch, &participants);
            });
        }
    }

    /// Members with workers for a job, in the order in which it is offered to them.
    fn members_for(&self, state: &mut State, job: &proto::Job) -> Vec<Home> {
        let wanted = Selector::of_job(job);
        let mut choices = self.peers.that_serve(&wanted);
        let here = state.pool.capacity();
        choices.extend(
            here.into_iter()
                .filter(|(selector, _)| *selector == wanted)
                .map(|(_, weight)| (Home::Here, weight)),
        );
        let mut members = Vec::new();
        while members.len() < MAX_MEMBERS
            && let Some(chosen) = super::selector::choose(&mut state.rng, choices.clone())
        {
            choices.retain(|(member, _)| *member != chosen);
            members.push(chosen);
        }
        members
    }

    /// Offers a job to one member after the other.
    async fn place(self: Arc<Self>, job: proto::Job, members: Vec<Home>) {
        let (room, id) = names_of(&job);
        let mut placed = None;
        for member in members {
            // Its room may have gone elsewhere meanwhile.
            if !self.act(|state, _| state.dispatches().serves(&room)) {
                break;
            }
            let taken = match member {
                Home::Here => self.offer(job.clone(), Home::Here).await,
                Home::There(member) => self.offer_there(member, &job).await,
            };
            if let Some(taken) = taken {
                placed = Some((member, taken));
                break;
            }
        }
        self.act(|state, at| state.dispatches().placed(at, &room, &id, placed));
    }

    /// Offers a job to the workers of this member.
    pub(super) async fn offer(self: &Arc<Self>, job: proto::Job, home: Home) -> Option<Taken> {
        let id = JobId::from(job.id.as_str());
        let (answer, answered) = oneshot::channel();
        self.act(|state, at| {
            state.0.offers.insert(id.clone(), answer);
            state.pool(at, PoolInput::Offer(Box::new(job), home));
        });
        let taken = timeout(OFFER_WAIT, answered).await;
        if taken.is_err() {
            self.act(|state, _| state.0.offers.remove(&id));
        }
        taken.ok()?.ok()?
    }

    pub(super) fn send(
        &self,
        state: &mut State,
        at: Moment,
        worker: &WorkerId,
        message: server_message::Message,
    ) {
        let Some(socket) = state.sockets.get(worker) else {
            return;
        };
        let message = ToWorker::Message(Box::new(proto::ServerMessage {
            message: Some(message),
        }));
        if socket.to_worker.try_send(message).is_err() {
            // It reads nothing. Without its sender the socket closes.
            tracing::warn!(%worker, "a worker left {UNREAD} messages unread and is cut");
            state.sockets.remove(worker);
            let lost = PoolInput::Lost(worker.clone());
            state.pool.handle(at.now, at.wall_ns, lost);
        }
    }

    pub(super) fn close(
        &self,
        state: &mut State,
        at: Moment,
        worker: WorkerId,
        reason: &'static str,
    ) {
        tracing::info!(%worker, reason, "worker refused");
        if let Some(socket) = state.sockets.remove(&worker) {
            let _ = socket.to_worker.try_send(ToWorker::Close(reason));
        }
        let lost = PoolInput::Lost(worker);
        state.pool.handle(at.now, at.wall_ns, lost);
    }

    /// A worker's socket has said what it serves. The receiver brings what it shall be told.
    pub(super) fn worker_came(
        self: &Arc<Self>,
        key: String,
        request: proto::RegisterWorkerRequest,
    ) -> (WorkerId, mpsc::Receiver<ToWorker>) {
        let (to_worker, from_server) = mpsc::channel(UNREAD);
        let worker = self.act(|state, at| {
            let worker = WorkerId::random(&mut state.0.rng);
            let socket = Socket { to_worker, key };
            state.0.sockets.insert(worker.clone(), socket);
            state.pool(at, PoolInput::Register(worker.clone(), request));
            worker
        });
        (worker, from_server)
    }

    /// A worker's socket is gone.
    pub(super) fn worker_gone(self: &Arc<Self>, worker: WorkerId) {
        self.act(|state, at| {
            state.0.sockets.remove(&worker);
            state.pool(at, PoolInput::Lost(worker));
        });
    }
}

/// The state while it is being changed.
pub(super) struct Changing<'a>(pub(super) &'a mut State);

impl Changing<'_> {
    pub(super) fn pool(&mut self, at: Moment, input: PoolInput) {
        self.0.pool.handle(at.now, at.wall_ns, input);
    }

    pub(super) fn capacity(&self) -> Vec<(Selector, f32)> {
        self.0.pool.capacity()
    }

    /// The jobs of a room that run here, which is `home`'s now.
    pub(super) fn jobs_of(&mut self, room: &str, home: Home) -> Vec<proto::Job> {
        self.0.pool.jobs_of(room, home)
    }

    pub(super) fn release(
        &mut self,
        jobs: &[JobId],
        selector: &Selector,
    ) -> Vec<(proto::Job, Home)> {
        self.0.pool.release(jobs, selector)
    }

    pub(super) const fn dispatches(&mut self) -> &mut Dispatches {
        &mut self.0.dispatches
    }
}

fn names_of(job: &proto::Job) -> (RoomName, JobId) {
    let room = job.room.as_ref().map_or("", |room| room.name.as_str());
    (room.into(), job.id.as_str().into())
}

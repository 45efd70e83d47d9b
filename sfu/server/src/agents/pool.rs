//! The workers whose sockets end on this member, and the jobs that they are offered and run. Pure.
//!
//! A job comes from the room's home, which may be another member. It is offered to one worker after the other until one takes
//! it; then the home hears what becomes of it. A worker that is lost may come back within [`RETURN`] and name the jobs that
//! it still runs; what it does not name is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fastrand::Rng;
use livekit_protocol::{self as proto, server_message, worker_message};
use plenum_cluster::Incarnation;
use plenum_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ids::{JobId, WorkerId},
    selector::{Selector, choose, weight},
};

/// A worker that has not answered an offer by then is passed over (protocol.md 11).
const OFFER_ANSWER: Duration = Duration::from_secs(10);
/// Workers that a job is offered to before the home hears that nobody takes it.
const MAX_OFFERS: usize = 3;
/// How long a lost worker's jobs wait for it. Workers connect again at once; one that was killed does not, and its agent is
/// missed in the room.
const RETURN: Duration = Duration::from_secs(5);
/// Workers of one member: each is a process of its own somewhere, with tens of rooms.
const MAX_WORKERS: usize = 2_000;
/// Jobs of one member: more than its rooms have participants.
const MAX_JOBS: usize = 20_000;
/// Longest agent name, deployment, version, identity and name of a participant, as for participants.
const MAX_NAME_BYTES: usize = 256;
/// Metadata and attributes that a worker gives its participant: they go into a token, which travels in a URL.
const MAX_TEXT_BYTES: usize = 32 * 1024;

/// The member that a job's room lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Home {
    /// This one.
    Here,
    /// Another one, in this life.
    There(Incarnation),
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobUpdate {
    /// Its worker says so (`livekit.JobStatus`).
    Status(i32, String),
    /// Its worker was lost and came back as this one.
    Adopted(WorkerId),
    /// Its worker is gone for good.
    Lost,
}

/// Who took a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taken {
    /// This worker, whose participant will have this identity.
    By(WorkerId, String),
    /// A worker says that it needs not be done.
    NotNeeded(WorkerId),
}

/// What happens to the pool.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "few exist, and each for a moment"
)]
pub enum PoolInput {
    /// A worker has told what it serves.
    Register(WorkerId, proto::RegisterWorkerRequest),
    /// Any later message of it.
    Message(WorkerId, worker_message::Message),
    /// Its socket is gone.
    Lost(WorkerId),
    /// Find a worker for a job.
    Offer(Box<proto::Job>, Home),
    /// A job is to end.
    Terminate(JobId),
    /// Time has passed: to be given now and then.
    Timer,
}

/// What the pool wants done.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "few exist, and each for a moment"
)]
pub enum PoolOutput {
    /// Send a message.
    Send(WorkerId, server_message::Message),
    /// Sign a token for the agent and send the assignment.
    Assign {
        /// To whom.
        worker: WorkerId,
        /// With the state that it has now.
        job: Box<proto::Job>,
        /// Who the agent will be.
        answer: Box<proto::AvailabilityResponse>,
        /// What it may do.
        permissions: Box<proto::ParticipantPermission>,
    },
    /// Close a worker's socket.
    Close(WorkerId, &'static str),
    /// How an offer went; `None`: nobody takes the job now.
    Offered(JobId, Option<Taken>),
    /// For the job's home.
    Update {
        /// Where it is.
        home: Home,
        /// The job's room.
        room: String,
        /// Which job.
        job: JobId,
        /// What happened.
        update: JobUpdate,
    },
    /// There is a worker for jobs that found none before.
    Capacity,
}

#[derive(Debug)]
struct Worker {
    selector: Selector,
    permissions: proto::ParticipantPermission,
    takes_jobs: bool,
    load: f32,
}

#[derive(Debug)]
enum Stage {
    Offered {
        to: WorkerId,
        until: Timestamp,
        tried: BTreeSet<WorkerId>,
    },
    Running(WorkerId),
    Orphan {
        until: Timestamp,
    },
}

#[derive(Debug)]
struct PoolJob {
    job: proto::Job,
    home: Home,
    stage: Stage,
}

/// See the module.
#[derive(Debug)]
pub struct Pool {
    workers: BTreeMap<WorkerId, Worker>,
    jobs: BTreeMap<JobId, PoolJob>,
    /// A worker has come or is free again. Said once a tick, since all that waits is tried then.
    has_gained: bool,
    rng: Rng,
    outputs: Vec<PoolOutput>,
}

impl Pool {
    /// Without workers.
    #[must_use]
    pub const fn new(rng: Rng) -> Self {
        Self {
            workers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            has_gained: false,
            rng,
            outputs: Vec::new(),
        }
    }

    /// How many workers are registered.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Jobs that workers run.
    #[must_use]
    pub fn running(&self) -> usize {
        let running = |job: &&PoolJob| matches!(job.stage, Stage::Running(_));
        self.jobs.values().filter(running).count()
    }

    /// What jobs would find workers here, and how much these want them.
    #[must_use]
    pub fn capacity(&self) -> Vec<(Selector, f32)> {
        let mut sums: BTreeMap<&Selector, f32> = BTreeMap::new();
        for worker in self.workers.values().filter(|worker| worker.takes_jobs) {
            *sums.entry(&worker.selector).or_default() += weight(worker.load);
        }
        sums.into_iter()
            .map(|(selector, sum)| (selector.clone(), sum))
            .collect()
    }

    /// What is to be done, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, PoolOutput> {
        self.outputs.drain(..)
    }

    /// Takes one input; `wall_ns` is `now` as Unix nanoseconds, which the protocol counts in. Drain the outputs afterwards.
    pub fn handle(&mut self, now: Timestamp, wall_ns: i64, input: PoolInput) {
        match input {
            PoolInput::Register(worker, request) => self.register(worker, request),
            PoolInput::Message(worker, message) => self.message(now, wall_ns, worker, message),
            PoolInput::Lost(worker) => self.lost(now, wall_ns, &worker),
            PoolInput::Offer(job, home) => self.offer(now, wall_ns, *job, home),
            PoolInput::Terminate(job) => self.terminate(&job),
            PoolInput::Timer => self.timer(now, wall_ns),
        }
    }

    fn register(&mut self, id: WorkerId, request: proto::RegisterWorkerRequest) {
        let too_long = [&request.agent_name, &request.deployment, &request.version]
            .into_iter()
            .any(|text| text.len() > MAX_NAME_BYTES);
        let refusal = if self.workers.contains_key(&id) {
            Some("registered twice")
        } else if self.workers.len() >= MAX_WORKERS {
            Some("this server has 2000 workers already, which is its limit")
        } else if proto::JobType::try_from(request.r#type).is_err() {
            Some("unknown job type")
        } else if too_long {
            Some("agent_name, deployment and version may have 256 bytes each")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.outputs.push(PoolOutput::Close(id, refusal));
            return;
        }
        let permissions =
            request
                .allowed_permissions
                .unwrap_or_else(|| proto::ParticipantPermission {
                    can_subscribe: true,
                    can_publish: true,
                    can_publish_data: true,
                    can_update_metadata: true,
                    ..Default::default()
                });
        let worker = Worker {
            selector: Selector {
                agent_name: request.agent_name,
                deployment: request.deployment,
                job_type: request.r#type,
            },
            permissions,
            takes_jobs: true,
            load: 0.0,
        };
        let answer = proto::RegisterWorkerResponse {
            worker_id: id.to_string(),
            ..Default::default()
        };
        self.workers.insert(id.clone(), worker);
        self.outputs.push(PoolOutput::Send(
            id,
            server_message::Message::Register(answer),
        ));
        self.has_gained = true;
    }

    fn message(
        &mut self,
        now: Timestamp,
        wall_ns: i64,
        worker: WorkerId,
        message: worker_message::Message,
    ) {
        use worker_message::Message;
        if let Message::Ping(ping) = message {
            let pong = proto::WorkerPong {
                last_timestamp: ping.timestamp,
                timestamp: wall_ns / 1_000_000,
            };
            let pong = server_message::Message::Pong(pong);
            return self.outputs.push(PoolOutput::Send(worker, pong));
        }
        if !self.workers.contains_key(&worker) {
            return;
        }
        match message {
            Message::Availability(answer) => self.answered(now, wall_ns, &worker, answer),
            Message::UpdateWorker(update) => self.update_worker(&worker, update),
            Message::UpdateJob(update) => self.update_job(&worker, update),
            Message::MigrateJob(request) => self.adopt(&worker, &request.job_ids),
            Message::Register(_) => self
                .outputs
                .push(PoolOutput::Close(worker, "registered twice")),
            // A job for a room that the worker names itself would let it into every room.
            Message::SimulateJob(_) | Message::Ping(_) => {}
        }
    }

    fn update_worker(&mut self, id: &WorkerId, update: proto::UpdateWorkerStatus) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        worker.load = update.load;
        let took_jobs = worker.takes_jobs;
        if let Some(status) = update.status {
            worker.takes_jobs = status == proto::WorkerStatus::WsAvailable as i32;
        }
        worker.takes_jobs &= !update.draining;
        self.has_gained |= worker.takes_jobs && !took_jobs;
    }

    fn offer(&mut self, now: Timestamp, wall_ns: i64, job: proto::Job, home: Home) {
        let id = JobId::from(job.id.as_str());
        if self.jobs.contains_key(&id) {
            return;
        }
        if self.jobs.len() >= MAX_JOBS {
            return self.outputs.push(PoolOutput::Offered(id, None));
        }
        self.offer_next(now, wall_ns, id, job, home, BTreeSet::new());
    }

    fn offer_next(
        &mut self,
        now: Timestamp,
        wall_ns: i64,
        id: JobId,
        mut job: proto::Job,
        home: Home,
        mut tried: BTreeSet<WorkerId>,
    ) {
        let wanted = Selector::of_job(&job);
        let choices: Vec<_> = self
            .workers
            .iter()
            .filter(|(id, worker)| {
                worker.takes_jobs && worker.selector == wanted && !tried.contains(*id)
            })
            .map(|(id, worker)| (id.clone(), weight(worker.load)))
            .collect();
        let chosen = if tried.len() < MAX_OFFERS {
            choose(&mut self.rng, choices)
        } else {
            None
        };
        let Some(worker) = chosen else {
            return self.outputs.push(PoolOutput::Offered(id, None));
        };
        tried.insert(worker.clone());
        job.state = Some(proto::JobState {
            status: proto::JobStatus::JsRunning as i32,
            started_at: wall_ns,
            updated_at: wall_ns,
            worker_id: worker.to_string(),
            ..Default::default()
        });
        let request = proto::AvailabilityRequest {
            job: Some(job.clone()),
            resuming: false,
        };
        let stage = Stage::Offered {
            to: worker.clone(),
            until: now + OFFER_ANSWER,
            tried,
        };
        self.jobs.insert(id, PoolJob { job, home, stage });
        let request = server_message::Message::Availability(request);
        self.outputs.push(PoolOutput::Send(worker, request));
    }

    /// The worker's turn is over: the next one's.
    fn pass_on(&mut self, now: Timestamp, wall_ns: i64, id: &JobId) {
        if let Some(PoolJob {
            job,
            home,
            stage: Stage::Offered { tried, .. },
        }) = self.jobs.remove(id)
        {
            self.offer_next(now, wall_ns, id.clone(), job, home, tried);
        }
    }

    fn answered(
        &mut self,
        now: Timestamp,
        wall_ns: i64,
        worker: &WorkerId,
        mut answer: proto::AvailabilityResponse,
    ) {
        let id = JobId::from(answer.job_id.as_str());
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        if !matches!(&entry.stage, Stage::Offered { to, .. } if to == worker) {
            return;
        }
        if answer.terminate {
            self.jobs.remove(&id);
            let taken = Some(Taken::NotNeeded(worker.clone()));
            return self.outputs.push(PoolOutput::Offered(id, taken));
        }
        let Some(permissions) = self.workers.get(worker).map(|w| w.permissions.clone()) else {
            return;
        };
        if !answer.available || !is_bounded(&answer) {
            return self.pass_on(now, wall_ns, &id);
        }
        if answer.participant_identity.is_empty() {
            answer.participant_identity = format!("agent-{id}");
        }
        if let Some(state) = &mut entry.job.state {
            state
                .participant_identity
                .clone_from(&answer.participant_identity);
        }
        let taken = Taken::By(worker.clone(), answer.participant_identity.clone());
        self.outputs.push(PoolOutput::Assign {
            worker: worker.clone(),
            job: Box::new(entry.job.clone()),
            answer: Box::new(answer),
            permissions: Box::new(permissions),
        });
        entry.stage = Stage::Running(worker.clone());
        self.outputs.push(PoolOutput::Offered(id, Some(taken)));
    }

    fn update_job(&mut self, worker: &WorkerId, update: proto::UpdateJobStatus) {
        let id = JobId::from(update.job_id.as_str());
        let Some(entry) = self.jobs.get(&id) else {
            return;
        };
        if !matches!(&entry.stage, Stage::Running(by) if by == worker) {
            return;
        }
        let mut error = update.error;
        error.truncate(error.floor_char_boundary(MAX_NAME_BYTES));
        self.tell_home(&id, JobUpdate::Status(update.status, error));
        if is_over(update.status) {
            self.jobs.remove(&id);
        }
    }

    /// A worker that came back still runs these.
    fn adopt(&mut self, worker: &WorkerId, ids: &[String]) {
        let Some(selector) = self.workers.get(worker).map(|w| w.selector.clone()) else {
            return;
        };
        for id in ids {
            let id = JobId::from(id.as_str());
            if let Some(entry) = self.jobs.get_mut(&id)
                && matches!(entry.stage, Stage::Orphan { .. })
                && Selector::of_job(&entry.job) == selector
            {
                entry.stage = Stage::Running(worker.clone());
                self.tell_home(&id, JobUpdate::Adopted(worker.clone()));
            }
        }
    }

    fn lost(&mut self, now: Timestamp, wall_ns: i64, worker: &WorkerId) {
        if self.workers.remove(worker).is_none() {
            return;
        }
        let mut offered = Vec::new();
        for (id, entry) in &mut self.jobs {
            match &entry.stage {
                Stage::Offered { to, .. } if to == worker => offered.push(id.clone()),
                Stage::Running(by) if by == worker => {
                    entry.stage = Stage::Orphan {
                        until: now + RETURN,
                    };
                }
                _ => {}
            }
        }
        for id in offered {
            self.pass_on(now, wall_ns, &id);
        }
    }

    fn terminate(&mut self, id: &JobId) {
        match self.jobs.remove(id).map(|entry| entry.stage) {
            Some(Stage::Running(worker)) => {
                let termination = proto::JobTermination {
                    job_id: id.to_string(),
                };
                let termination = server_message::Message::Termination(termination);
                self.outputs.push(PoolOutput::Send(worker, termination));
            }
            Some(Stage::Offered { .. }) => {
                self.outputs.push(PoolOutput::Offered(id.clone(), None));
            }
            Some(Stage::Orphan { .. }) | None => {}
        }
    }

    fn timer(&mut self, now: Timestamp, wall_ns: i64) {
        if std::mem::take(&mut self.has_gained) {
            self.outputs.push(PoolOutput::Capacity);
        }
        let due: Vec<_> = self
            .jobs
            .iter()
            .filter_map(|(id, entry)| match &entry.stage {
                Stage::Offered { until, .. } if *until <= now => Some((id.clone(), false)),
                Stage::Orphan { until } if *until <= now => Some((id.clone(), true)),
                _ => None,
            })
            .collect();
        for (id, orphan) in due {
            if orphan {
                self.tell_home(&id, JobUpdate::Lost);
                self.jobs.remove(&id);
            } else {
                self.pass_on(now, wall_ns, &id);
            }
        }
    }

    fn tell_home(&mut self, id: &JobId, update: JobUpdate) {
        let Some(entry) = self.jobs.get(id) else {
            return;
        };
        let room = entry.job.room.as_ref().map(|room| room.name.clone());
        self.outputs.push(PoolOutput::Update {
            home: entry.home,
            room: room.unwrap_or_default(),
            job: id.clone(),
            update,
        });
    }
}

/// The job is done, one way or the other.
pub(super) fn is_over(status: i32) -> bool {
    use proto::JobStatus::{JsFailed, JsSuccess};
    [JsSuccess as i32, JsFailed as i32].contains(&status)
}

fn is_bounded(answer: &proto::AvailabilityResponse) -> bool {
    let attributes: usize = answer
        .participant_attributes
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    answer.participant_identity.len() <= MAX_NAME_BYTES
        && answer.participant_name.len() <= MAX_NAME_BYTES
        && answer.participant_metadata.len() + attributes <= MAX_TEXT_BYTES
}

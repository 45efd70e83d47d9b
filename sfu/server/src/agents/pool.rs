//! The workers whose sockets end on this member, and the jobs that they are offered and run. Pure.
//!
//! A job comes from the room's home, which may be another member. It is offered to one worker after the other until one takes
//! it; then the home hears what becomes of it. A worker that is lost may come back within [`RETURN`] and name the jobs that
//! it still runs, to this member or to another one; what it does not name is lost.

mod claims;
mod simulated;
mod workers;

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
use claims::Claims;
use workers::Worker;

/// A worker that has not answered an offer by then is passed over (protocol.md 11).
const OFFER_ANSWER: Duration = Duration::from_secs(10);
/// Workers that a job is offered to before the home hears that nobody takes it.
const MAX_OFFERS: usize = 3;
/// How long a lost worker's jobs wait for it. Workers connect again at once; one that was killed does not, and its agent is
/// missed in the room.
const RETURN: Duration = Duration::from_secs(5);
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
    /// A job is to end: its home says so.
    Terminate(JobId, Home),
    /// The answer to [`PoolOutput::Find`]: jobs that the worker may go on with, and their homes.
    Found(WorkerId, Vec<(proto::Job, Home)>),
    /// This member is ending.
    GoAway,
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
    /// A worker says that it runs jobs that nobody here knows: ask the other members and the homes.
    Find(WorkerId, Selector, Vec<JobId>),
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
    /// `None`: a worker has asked for it itself, and nobody else knows it.
    home: Option<Home>,
    stage: Stage,
}

/// See the module.
#[derive(Debug)]
pub struct Pool {
    workers: BTreeMap<WorkerId, Worker>,
    jobs: BTreeMap<JobId, PoolJob>,
    claims: Claims,
    /// This member is ending: its workers are to go.
    is_ending: bool,
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
            claims: Claims::new(),
            is_ending: false,
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
        if self.is_ending {
            return Vec::new();
        }
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
            PoolInput::Terminate(job, home) => self.terminate(&job, home),
            PoolInput::Found(worker, jobs) => self.found(now, &worker, jobs),
            PoolInput::GoAway => self.go_away(),
            PoolInput::Timer => self.timer(now, wall_ns),
        }
    }

    fn message(
        &mut self,
        now: Timestamp,
        wall_ns: i64,
        worker: WorkerId,
        message: worker_message::Message,
    ) {
        use worker_message::Message;
        if !self.workers.contains_key(&worker) {
            return;
        }
        match message {
            Message::Availability(answer) => self.answered(now, wall_ns, &worker, answer),
            Message::UpdateWorker(update) => self.update_worker(&worker, update),
            Message::UpdateJob(update) => self.update_job(&worker, update),
            Message::MigrateJob(request) => self.claim(now, &worker, &request.job_ids),
            Message::SimulateJob(request) => self.simulate(now, wall_ns, worker, request),
            Message::Register(_) => self
                .outputs
                .push(PoolOutput::Close(worker, "registered twice")),
            // The socket has answered it.
            Message::Ping(_) => {}
        }
    }

    fn offer(&mut self, now: Timestamp, wall_ns: i64, job: proto::Job, home: Home) {
        let id = JobId::from(job.id.as_str());
        if self.jobs.contains_key(&id) {
            return;
        }
        if self.jobs.len() >= MAX_JOBS {
            return self.outputs.push(PoolOutput::Offered(id, None));
        }
        self.offer_next(now, wall_ns, id, job, Some(home), BTreeSet::new());
    }

    fn offer_next(
        &mut self,
        now: Timestamp,
        wall_ns: i64,
        id: JobId,
        job: proto::Job,
        home: Option<Home>,
        tried: BTreeSet<WorkerId>,
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
        // What a worker asked for itself is for nobody else.
        let chosen = if tried.len() < MAX_OFFERS && !self.is_ending && home.is_some() {
            choose(&mut self.rng, choices)
        } else {
            None
        };
        match chosen {
            Some(worker) => self.offer_to(now, wall_ns, worker, job, home, tried),
            None => self.outputs.push(PoolOutput::Offered(id, None)),
        }
    }

    fn offer_to(
        &mut self,
        now: Timestamp,
        wall_ns: i64,
        worker: WorkerId,
        mut job: proto::Job,
        home: Option<Home>,
        mut tried: BTreeSet<WorkerId>,
    ) {
        let id = JobId::from(job.id.as_str());
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

    fn terminate(&mut self, id: &JobId, home: Home) {
        // A home that the job's room has left has no say any more.
        if self
            .jobs
            .get(id)
            .is_none_or(|entry| entry.home != Some(home))
        {
            return;
        }
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
        self.pursue_claims(now);
    }

    fn tell_home(&mut self, id: &JobId, update: JobUpdate) {
        let Some(entry) = self.jobs.get(id) else {
            return;
        };
        let Some(home) = entry.home else {
            return;
        };
        let room = entry.job.room.as_ref().map(|room| room.name.clone());
        self.outputs.push(PoolOutput::Update {
            home,
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

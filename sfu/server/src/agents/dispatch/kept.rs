//! What outlives a member of a room's agents, and how they are found again where the room opens next.
//!
//! What was asked for lies in the room's snapshot, with the jobs. Jobs that run are known best by the members whose workers
//! run them: the room's new home asks all of them, a few times, and takes over what they name. A job that nobody names is
//! lost after a while and starts again, unless its agent is back in the room.

use std::time::Duration;

use fastrand::Rng;
use livekit_protocol as proto;
use plenum_room::{DispatchSnapshot, JobSnapshot};
use plenum_types::Timestamp;

use super::{
    DispatchOutput, MAX_DISPATCHES, MAX_ENDED, MAX_JOBS, Moment,
    jobs::{Dispatch, LiveJob, Stage},
    room::RoomAgents,
};
use crate::agents::{
    ids::{DispatchId, JobId},
    pool::Home,
    selector::Selector,
    wire::{decode, encode, trimmed},
};

/// Jobs of a dispatch that are over and kept all the same.
const KEPT_ENDED: usize = 8;
/// A worker of a member that is gone may take this long to come back elsewhere: workers try again every few seconds.
const WORKER_RETURN: Duration = Duration::from_secs(10);
/// An agent may take this long to come back into its room: as long as anyone (`departure_timeout`).
const AGENT_RETURN: Duration = Duration::from_secs(20);
/// How often the other members are asked as long as jobs are missing.
const ASK_AGAIN: Duration = Duration::from_secs(2);

type Outputs = Vec<DispatchOutput>;

impl Dispatch {
    pub(super) fn kept(&self) -> DispatchSnapshot {
        let ended = self.ended();
        DispatchSnapshot {
            asked: encode(&self.described("", Vec::new())),
            nameless: self.nameless,
            jobs: self
                .jobs
                .values()
                // For a participant that comes back a job is found as if it came for the first time.
                .filter(|live| live.runs() || live.identity().is_none())
                .map(|live| JobSnapshot {
                    job: encode(&trimmed(&live.job)),
                    restarts: live.restarts,
                })
                .collect(),
            ended: ended
                .iter()
                .skip(ended.len().saturating_sub(KEPT_ENDED))
                .map(|job| encode(&trimmed(job)))
                .collect(),
        }
    }

    /// `None` if it can't be read.
    fn restored(kept: &DispatchSnapshot, room: &proto::Room, stage: &Stage) -> Option<Self> {
        let mut dispatch = Self::of_asked(decode(&kept.asked)?, kept.nameless);
        for job in kept.ended.iter().take(MAX_ENDED) {
            if let Some(job) = decode::<proto::Job>(job) {
                let job = dispatch.completed(room, job);
                dispatch.keep_ended(job);
            }
        }
        for JobSnapshot { job, restarts } in kept.jobs.iter().take(MAX_JOBS) {
            if let Some(job) = decode::<proto::Job>(job) {
                let job = dispatch.completed(room, job);
                let id = JobId::from(job.id.as_str());
                let mut live = LiveJob::new(job, stage.clone(), *restarts);
                live.awaits_participant = live.identity().is_some();
                live.has_to_follow = matches!(stage, Stage::Missing(_));
                dispatch.jobs.insert(id, live);
            }
        }
        Some(dispatch)
    }

    /// A job with what its room and its dispatch say.
    fn completed(&self, room: &proto::Room, trimmed: proto::Job) -> proto::Job {
        let id = JobId::from(trimmed.id.as_str());
        let kind = trimmed.r#type();
        proto::Job {
            state: trimmed.state,
            ..self.job(&id, kind, room, trimmed.participant.as_ref())
        }
    }
}

impl RoomAgents {
    pub(super) fn kept(&self) -> Vec<DispatchSnapshot> {
        self.dispatches.values().map(Dispatch::kept).collect()
    }

    /// The dispatches of a new room: all of their jobs are to be placed.
    pub(super) fn open(&mut self, at: Moment, kept: &[DispatchSnapshot], outputs: &mut Outputs) {
        self.restore(kept, &Stage::Waiting(at.now));
        self.try_waiting(at, true, outputs);
    }

    /// The dispatches of a room that comes from elsewhere: first it is to be known what runs.
    pub(super) fn take_over(
        &mut self,
        at: Moment,
        kept: &[DispatchSnapshot],
        outputs: &mut Outputs,
    ) {
        self.restore(kept, &Stage::Missing(at.now + WORKER_RETURN));
        self.ask(at, outputs);
    }

    fn restore(&mut self, kept: &[DispatchSnapshot], stage: &Stage) {
        for kept in kept.iter().take(MAX_DISPATCHES + 1) {
            match Dispatch::restored(kept, &self.info, stage) {
                Some(dispatch) => self.add(dispatch),
                None => {
                    tracing::warn!(room = %self.info.name, "a dispatch of the room's snapshot can't be read");
                }
            }
        }
    }

    fn ask(&mut self, at: Moment, outputs: &mut Outputs) {
        self.ask_at = at.now + ASK_AGAIN;
        outputs.push(DispatchOutput::Ask(self.info.name.as_str().into()));
    }

    /// What the members say that their workers run of this room.
    pub(super) fn reported(
        &mut self,
        at: Moment,
        running: Vec<(Home, proto::Job)>,
        rng: &mut Rng,
        outputs: &mut Outputs,
    ) {
        for (member, job) in running {
            let id = JobId::from(job.id.as_str());
            if let Some(live) = self.job_mut(&id) {
                live.job.state = job.state;
                live.found(at.now, member);
            } else if !self.take_in(at.now, member, job) {
                // It was called off while its room was nowhere.
                outputs.push(DispatchOutput::Terminate(id, member));
            }
            self.is_changed = true;
        }
        // What waited where the room was before waits here, under other names: that member may still be looking for workers.
        for dispatch in self.dispatches.values_mut() {
            let waiting: Vec<_> = dispatch
                .jobs
                .extract_if(.., |_, live| {
                    matches!(live.stage, Stage::Missing(_)) && live.agent().is_none()
                })
                .collect();
            for (_, mut live) in waiting {
                let id = JobId::random(rng);
                live.job.id = id.to_string();
                live.stage = Stage::Waiting(at.now);
                dispatch.jobs.insert(id, live);
            }
        }
        self.try_waiting(at, false, outputs);
    }

    /// A job that runs and is younger than the snapshot. `false` if its dispatch is gone.
    fn take_in(&mut self, now: Timestamp, member: Home, job: proto::Job) -> bool {
        let has_room = self.jobs().count() < MAX_JOBS;
        let room = self.info.clone();
        let Some(dispatch) = self.dispatches.get_mut(job.dispatch_id.as_str()) else {
            return false;
        };
        if !has_room {
            return false;
        }
        let identity = job.participant.as_ref().map(|info| info.identity.clone());
        // What it took the place of.
        dispatch.jobs.retain(|_, live| {
            !matches!(live.stage, Stage::Missing(_))
                || live.job.r#type != job.r#type
                || live.identity() != identity.as_deref()
        });
        let id = JobId::from(job.id.as_str());
        let mut live = LiveJob::new(dispatch.completed(&room, job), Stage::Missing(now), 0);
        live.awaits_participant = identity.is_some();
        live.has_to_follow = true;
        live.found(now, member);
        dispatch.jobs.insert(id, live);
        true
    }

    /// Members whose workers run jobs of this room may be gone.
    pub(super) fn members_live(&mut self, at: Moment, is_alive: impl Fn(Home) -> bool) {
        let mut is_missing = false;
        for live in self.jobs_mut() {
            if let Stage::Running {
                at: Some(member), ..
            } = live.stage
                && !is_alive(member)
            {
                live.stage = Stage::Missing(at.now + WORKER_RETURN);
                is_missing = true;
            }
        }
        if is_missing {
            self.ask_at = at.now;
        }
    }

    /// A worker that came back to another member says that it runs this job. It may have it if nobody else does.
    pub(super) fn give(
        &self,
        id: &JobId,
        selector: &Selector,
        is_alive: impl Fn(Home) -> bool,
    ) -> Option<&proto::Job> {
        let live = self.jobs().find(|live| live.job.id == id.as_str())?;
        let is_free = match live.stage {
            Stage::Missing(_) => live.agent().is_some(),
            Stage::Running { at, .. } => at.is_none_or(|member| !is_alive(member)),
            Stage::Placing | Stage::Waiting(_) => false,
        };
        (is_free && Selector::of_job(&live.job) == *selector).then_some(&live.job)
    }

    /// Asks again, and gives up what was not found in time.
    pub(super) fn look_for_missing(&mut self, at: Moment, rng: &mut Rng, outputs: &mut Outputs) {
        let missing: Vec<_> = self
            .jobs()
            .filter_map(|live| match live.stage {
                Stage::Missing(until) => Some((JobId::from(live.job.id.as_str()), until)),
                _ => None,
            })
            .collect();
        if missing.is_empty() {
            return;
        }
        for (id, until) in missing {
            if until > at.now {
                continue;
            }
            let Some(live) = self.job_mut(&id) else {
                continue;
            };
            if live.agent().is_none() {
                live.stage = Stage::Waiting(at.now);
            } else if live.is_present {
                // Its agent is at work, whoever watches it.
                live.stage = Stage::Running {
                    at: None,
                    over_at: None,
                };
            } else {
                self.lost(at, &id, rng, outputs);
            }
        }
        if self.ask_at <= at.now {
            self.ask(at, outputs);
        }
    }
}

impl LiveJob {
    /// A worker of this member runs it.
    pub(super) fn found(&mut self, now: Timestamp, member: Home) {
        let over_at = match self.stage {
            Stage::Running { over_at, .. } => over_at,
            _ if self.is_present => None,
            _ => Some(now + AGENT_RETURN),
        };
        self.stage = Stage::Running {
            at: Some(member),
            over_at,
        };
    }
}

/// What a room opens with: the dispatches that its configuration names, or one for agents without a name.
pub(super) fn first(
    at: Moment,
    agents: &[proto::RoomAgentDispatch],
    rng: &mut Rng,
) -> Vec<DispatchSnapshot> {
    let nameless = [proto::RoomAgentDispatch::default()];
    let (wanted, is_nameless) = match agents {
        [] => (nameless.as_slice(), true),
        agents => (agents, false),
    };
    wanted
        .iter()
        .take(MAX_DISPATCHES)
        .map(|wanted| {
            let mut dispatch = Dispatch::new(at, DispatchId::random(rng), wanted, is_nameless);
            let id = JobId::random(rng);
            let kind = proto::JobType::JtRoom;
            let job = dispatch.job(&id, kind, &proto::Room::default(), None);
            let live = LiveJob::new(job, Stage::Waiting(at.now), 0);
            dispatch.jobs.insert(id, live);
            dispatch.kept()
        })
        .collect()
}

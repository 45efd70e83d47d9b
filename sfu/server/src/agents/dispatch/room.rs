//! The dispatches of one room.

use std::collections::BTreeMap;

use fastrand::Rng;
use livekit_protocol as proto;
use plenum_types::Timestamp;

use super::{
    DispatchOutput, LAST_REPORT, MAX_JOBS, MAX_RESTARTS, Moment, OFFER_AGAIN, RESTART_PAUSE,
    jobs::{Dispatch, LiveJob, Stage},
};
use crate::agents::{
    ids::{DispatchId, JobId},
    pool::{Home, JobUpdate, Taken, is_over},
};

/// See the module.
#[derive(Debug)]
pub(super) struct RoomAgents {
    /// As it was when it opened.
    pub(super) info: proto::Room,
    pub(super) dispatches: BTreeMap<DispatchId, Dispatch>,
    /// What is kept in the room's snapshot has changed.
    pub(super) is_changed: bool,
    /// When the other members are asked again what they run, if something is missing.
    pub(super) ask_at: Timestamp,
}

type Outputs = Vec<DispatchOutput>;

impl RoomAgents {
    pub(super) const fn new(info: proto::Room) -> Self {
        Self {
            info,
            dispatches: BTreeMap::new(),
            is_changed: false,
            ask_at: Timestamp::from_nanos(0),
        }
    }

    pub(super) fn add(&mut self, dispatch: Dispatch) {
        self.dispatches.insert(dispatch.id.clone(), dispatch);
    }

    /// Those that somebody asked for.
    pub(super) fn count(&self) -> usize {
        self.dispatches.values().filter(|d| !d.nameless).count()
    }

    /// Texts of all dispatches.
    pub(super) fn text_bytes(&self) -> usize {
        self.dispatches.values().map(Dispatch::text_bytes).sum()
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &LiveJob> {
        self.dispatches.values().flat_map(|d| d.jobs.values())
    }

    pub(super) fn jobs_mut(&mut self) -> impl Iterator<Item = &mut LiveJob> {
        self.dispatches
            .values_mut()
            .flat_map(|d| d.jobs.values_mut())
    }

    /// The dispatch of a job.
    fn of(&mut self, job: &JobId) -> Option<&mut Dispatch> {
        self.dispatches
            .values_mut()
            .find(|dispatch| dispatch.jobs.contains_key(job))
    }

    pub(super) fn job_mut(&mut self, id: &JobId) -> Option<&mut LiveJob> {
        self.of(id)?.jobs.get_mut(id)
    }

    /// A job of every dispatch.
    pub(super) fn want(
        &mut self,
        kind: proto::JobType,
        participant: Option<&proto::ParticipantInfo>,
        rng: &mut Rng,
        outputs: &mut Outputs,
    ) {
        let ids: Vec<_> = self.dispatches.keys().cloned().collect();
        for id in ids {
            self.want_of(&id, kind, participant, rng, outputs);
        }
    }

    /// A job of one dispatch, unless it has that one already.
    pub(super) fn want_of(
        &mut self,
        dispatch: &DispatchId,
        kind: proto::JobType,
        participant: Option<&proto::ParticipantInfo>,
        rng: &mut Rng,
        outputs: &mut Outputs,
    ) {
        if self.jobs().count() >= MAX_JOBS {
            tracing::warn!(room = %self.info.name, "agents for more participants are not asked for: {MAX_JOBS} jobs is the limit");
            return;
        }
        let Some(dispatch) = self.dispatches.get_mut(dispatch) else {
            return;
        };
        let identity = participant.map(|info| info.identity.as_str());
        if let Some(live) = dispatch.job_for(kind, identity) {
            if std::mem::take(&mut live.awaits_participant) {
                live.job.participant = participant.cloned();
            }
            return;
        }
        let id = JobId::random(rng);
        let job = dispatch.job(&id, kind, &self.info, participant);
        outputs.push(DispatchOutput::Place(Box::new(job.clone())));
        dispatch
            .jobs
            .insert(id, LiveJob::new(job, Stage::Placing, 0));
    }

    pub(super) fn placed(
        &mut self,
        at: Moment,
        id: &JobId,
        taken: Option<(Home, Taken)>,
        outputs: &mut Outputs,
    ) {
        let Some(dispatch) = self.of(id) else {
            // It was deleted meanwhile.
            if let Some((home, Taken::By(..))) = taken {
                outputs.push(DispatchOutput::Terminate(id.clone(), home));
            }
            return;
        };
        let nameless = dispatch.nameless;
        let Some(live) = dispatch.jobs.get_mut(id) else {
            return;
        };
        match taken {
            Some((home, Taken::By(worker, identity))) => {
                live.stage = Stage::Running {
                    at: Some(home),
                    over_at: None,
                };
                live.job.state = Some(proto::JobState {
                    status: proto::JobStatus::JsRunning as i32,
                    started_at: at.wall_ns,
                    updated_at: at.wall_ns,
                    participant_identity: identity,
                    worker_id: worker.to_string(),
                    ..Default::default()
                });
                self.is_changed = true;
            }
            Some((_, Taken::NotNeeded(worker))) => {
                let mut state = live.job.state.take().unwrap_or_default();
                state.worker_id = worker.to_string();
                live.job.state = Some(state);
                self.end(at, id, proto::JobStatus::JsSuccess, "");
            }
            None if nameless && live.restarts == 0 => {
                dispatch.jobs.remove(id);
            }
            None => live.stage = Stage::Waiting(at.now + OFFER_AGAIN),
        }
    }

    /// News of a job, from the member whose worker runs it.
    pub(super) fn updated(
        &mut self,
        at: Moment,
        id: &JobId,
        from: Home,
        update: &JobUpdate,
        rng: &mut Rng,
        outputs: &mut Outputs,
    ) {
        let Some(live) = self.job_mut(id) else {
            return;
        };
        let is_adopted = matches!(update, JobUpdate::Adopted(_));
        // Its worker has gone on elsewhere since that was sent.
        let is_late =
            matches!(live.stage, Stage::Running { at: Some(member), .. } if member != from);
        if is_late && !is_adopted {
            return;
        }
        if let Some(state) = &mut live.job.state {
            state.updated_at = at.wall_ns;
        }
        match update {
            JobUpdate::Adopted(worker) => {
                if let Some(state) = &mut live.job.state {
                    state.worker_id = worker.to_string();
                }
                live.found(at.now, from);
                self.is_changed = true;
            }
            JobUpdate::Status(status, _) if !is_over(*status) => {}
            JobUpdate::Status(status, error) => {
                let failed = *status == proto::JobStatus::JsFailed as i32;
                let status = if failed {
                    proto::JobStatus::JsFailed
                } else {
                    proto::JobStatus::JsSuccess
                };
                let over = self.end(at, id, status, error);
                if failed && let Some((dispatch, over)) = over {
                    self.restart(at, &dispatch, &over, rng, false);
                }
            }
            JobUpdate::Lost => self.lost(at, id, rng, outputs),
        }
    }

    /// Its worker is gone: so is its agent, and the job starts again elsewhere.
    pub(super) fn lost(&mut self, at: Moment, id: &JobId, rng: &mut Rng, outputs: &mut Outputs) {
        let agent = self
            .job_mut(id)
            .and_then(|live| live.agent())
            .map(str::to_owned);
        if let Some(identity) = agent {
            outputs.push(DispatchOutput::RemoveAgent {
                room: self.info.name.as_str().into(),
                identity,
            });
        }
        let failed = proto::JobStatus::JsFailed;
        if let Some((dispatch, over)) = self.end(at, id, failed, "its worker is gone") {
            self.restart(at, &dispatch, &over, rng, true);
            self.try_waiting(at, false, outputs);
        }
    }

    /// The job is over.
    fn end(
        &mut self,
        at: Moment,
        id: &JobId,
        status: proto::JobStatus,
        error: &str,
    ) -> Option<(DispatchId, LiveJob)> {
        let dispatch = self.of(id)?;
        let mut live = dispatch.jobs.remove(id)?;
        let mut state = live.job.state.take().unwrap_or_default();
        state.status = status as i32;
        error.clone_into(&mut state.error);
        state.updated_at = at.wall_ns;
        state.ended_at = at.wall_ns;
        live.job.state = Some(state);
        dispatch.keep_ended(live.job.clone());
        let dispatch = dispatch.id.clone();
        self.is_changed = true;
        Some((dispatch, live))
    }

    /// The same job again, under another id, if its dispatch wants that.
    fn restart(
        &mut self,
        at: Moment,
        dispatch: &DispatchId,
        over: &LiveJob,
        rng: &mut Rng,
        at_once: bool,
    ) {
        let Some(dispatch) = self.dispatches.get_mut(dispatch) else {
            return;
        };
        // For somebody who comes back later it starts then.
        if !dispatch.restarts_failed() || over.restarts >= MAX_RESTARTS || over.awaits_participant {
            return;
        }
        let pause = if at_once {
            std::time::Duration::ZERO
        } else {
            RESTART_PAUSE * 2_u32.pow(over.restarts)
        };
        let id = JobId::random(rng);
        let mut job = over.job.clone();
        job.id = id.to_string();
        job.state = Some(proto::JobState::default());
        let live = LiveJob::new(job, Stage::Waiting(at.now + pause), over.restarts + 1);
        dispatch.jobs.insert(id, live);
    }

    /// Offers the jobs that wait: those whose time has come, or `all`.
    pub(super) fn try_waiting(&mut self, at: Moment, all: bool, outputs: &mut Outputs) {
        for live in self.jobs_mut() {
            if let Stage::Waiting(until) = live.stage
                && (all || until <= at.now)
            {
                live.stage = Stage::Placing;
                outputs.push(DispatchOutput::Place(Box::new(live.job.clone())));
            }
        }
    }

    /// Jobs whose agents have left long ago, without a word of their workers.
    pub(super) fn end_reportless(&mut self, at: Moment, rng: &mut Rng, outputs: &mut Outputs) {
        let due: Vec<_> = self
            .jobs()
            .filter_map(|live| match live.stage {
                Stage::Running {
                    at: member,
                    over_at: Some(over_at),
                } if over_at <= at.now => Some((
                    JobId::from(live.job.id.as_str()),
                    member,
                    live.has_to_follow,
                )),
                _ => None,
            })
            .collect();
        for (id, member, has_to_follow) in due {
            if let Some(member) = member {
                outputs.push(DispatchOutput::Terminate(id.clone(), member));
            }
            let failed = proto::JobStatus::JsFailed;
            if !has_to_follow {
                self.end(at, &id, failed, "the agent left the room");
            } else if let Some((dispatch, over)) =
                self.end(at, &id, failed, "the agent did not follow its room")
            {
                self.restart(at, &dispatch, &over, rng, true);
                self.try_waiting(at, false, outputs);
            }
        }
    }

    /// An agent that starts over leaves and comes.
    pub(super) fn agent_came(&mut self, identity: &str) {
        for live in self.jobs_mut() {
            if live.agent() == Some(identity) {
                (live.is_present, live.has_to_follow) = (true, false);
                if let Stage::Running { over_at, .. } = &mut live.stage {
                    *over_at = None;
                }
            }
        }
    }

    pub(super) fn participant_left(&mut self, at: Moment, identity: &str) {
        for live in self.jobs_mut() {
            if live.agent() == Some(identity) {
                live.is_present = false;
                if let Stage::Running { over_at, .. } = &mut live.stage {
                    *over_at = Some(at.now + LAST_REPORT);
                }
            }
        }
        // An agent for somebody who is gone is of no use; one that is there already decides itself.
        for dispatch in self.dispatches.values_mut() {
            dispatch
                .jobs
                .retain(|_, live| live.identity() != Some(identity) || live.runs());
        }
    }

    pub(super) fn delete(
        &mut self,
        at: Moment,
        id: &str,
        outputs: &mut Outputs,
    ) -> Option<proto::AgentDispatch> {
        let dispatch = self.dispatches.remove(id)?;
        self.terminate(&dispatch, outputs);
        let mut listed = dispatch.listed(&self.info.name);
        if let Some(state) = &mut listed.state {
            state.deleted_at = at.wall_ns;
        }
        Some(listed)
    }

    pub(super) fn list(&self, id: &str) -> Vec<proto::AgentDispatch> {
        self.dispatches
            .values()
            .filter(|dispatch| dispatch.is_listed())
            .filter(|dispatch| id.is_empty() || dispatch.id.as_str() == id)
            .map(|dispatch| dispatch.listed(&self.info.name))
            .collect()
    }

    pub(super) fn terminate_all(&self, outputs: &mut Outputs) {
        for dispatch in self.dispatches.values() {
            self.terminate(dispatch, outputs);
        }
    }

    fn terminate(&self, dispatch: &Dispatch, outputs: &mut Outputs) {
        for (id, live) in &dispatch.jobs {
            match (&live.stage, live.agent()) {
                (
                    Stage::Running {
                        at: Some(member), ..
                    },
                    _,
                ) => outputs.push(DispatchOutput::Terminate(id.clone(), *member)),
                // Nobody is known who could tell it.
                (Stage::Running { at: None, .. } | Stage::Missing(_), Some(agent)) => {
                    outputs.push(DispatchOutput::RemoveAgent {
                        identity: agent.to_owned(),
                        room: self.info.name.as_str().into(),
                    });
                }
                _ => {}
            }
        }
    }
}

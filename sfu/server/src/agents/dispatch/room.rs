//! The dispatches of one room.

use std::collections::BTreeMap;

use fastrand::Rng;
use livekit_protocol as proto;

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
    info: proto::Room,
    dispatches: BTreeMap<DispatchId, Dispatch>,
}

type Outputs = Vec<DispatchOutput>;

impl RoomAgents {
    pub(super) const fn new(info: proto::Room) -> Self {
        Self {
            info,
            dispatches: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, dispatch: Dispatch) {
        self.dispatches.insert(dispatch.id.clone(), dispatch);
    }

    /// Those that somebody asked for.
    pub(super) fn count(&self) -> usize {
        self.dispatches.values().filter(|d| !d.nameless).count()
    }

    fn jobs(&self) -> impl Iterator<Item = &LiveJob> {
        self.dispatches.values().flat_map(|d| d.jobs.values())
    }

    fn jobs_mut(&mut self) -> impl Iterator<Item = &mut LiveJob> {
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

    pub(super) fn want_room_jobs(&mut self, rng: &mut Rng, outputs: &mut Outputs) {
        self.want(proto::JobType::JtRoom, None, rng, outputs);
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
        if dispatch.has(kind, participant.map(|info| info.identity.as_str())) {
            return;
        }
        let id = JobId::random(rng);
        let job = dispatch.job(&id, kind, &self.info, participant);
        outputs.push(DispatchOutput::Place(Box::new(job.clone())));
        let live = LiveJob {
            job,
            stage: Stage::Placing,
            restarts: 0,
        };
        dispatch.jobs.insert(id, live);
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
                live.stage = Stage::Running { home, left: None };
                live.job.state = Some(proto::JobState {
                    status: proto::JobStatus::JsRunning as i32,
                    started_at: at.wall_ns,
                    updated_at: at.wall_ns,
                    participant_identity: identity,
                    worker_id: worker.to_string(),
                    ..Default::default()
                });
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

    pub(super) fn updated(
        &mut self,
        at: Moment,
        id: &JobId,
        update: &JobUpdate,
        rng: &mut Rng,
        outputs: &mut Outputs,
    ) {
        let Some(live) = self.of(id).and_then(|dispatch| dispatch.jobs.get_mut(id)) else {
            return;
        };
        let agent = live.agent().map(str::to_owned);
        if let Some(state) = &mut live.job.state {
            state.updated_at = at.wall_ns;
        }
        match update {
            JobUpdate::Adopted(worker) => {
                if let Some(state) = &mut live.job.state {
                    state.worker_id = worker.to_string();
                }
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
            JobUpdate::Lost => {
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
        Some((dispatch.id.clone(), live))
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
        if !dispatch.restarts_failed() || over.restarts >= MAX_RESTARTS {
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
        let live = LiveJob {
            job,
            stage: Stage::Waiting(at.now + pause),
            restarts: over.restarts + 1,
        };
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
    pub(super) fn end_reportless(&mut self, at: Moment, outputs: &mut Outputs) {
        let due: Vec<_> = self
            .dispatches
            .values()
            .flat_map(|dispatch| &dispatch.jobs)
            .filter_map(|(id, live)| match &live.stage {
                Stage::Running {
                    home,
                    left: Some(left),
                } if *left + LAST_REPORT <= at.now => Some((id.clone(), *home)),
                _ => None,
            })
            .collect();
        for (id, home) in due {
            outputs.push(DispatchOutput::Terminate(id.clone(), home));
            let failed = proto::JobStatus::JsFailed;
            self.end(at, &id, failed, "the agent left the room");
        }
    }

    /// An agent that starts over leaves and comes.
    pub(super) fn agent_came(&mut self, identity: &str) {
        for live in self.jobs_mut() {
            if live.agent() == Some(identity)
                && let Stage::Running { left, .. } = &mut live.stage
            {
                *left = None;
            }
        }
    }

    pub(super) fn participant_left(&mut self, at: Moment, identity: &str) {
        for live in self.jobs_mut() {
            if live.agent() == Some(identity)
                && let Stage::Running { left, .. } = &mut live.stage
            {
                *left = Some(at.now);
            }
        }
        // An agent for somebody who is gone is of no use; one that is there already decides itself.
        for dispatch in self.dispatches.values_mut() {
            dispatch.jobs.retain(|_, live| {
                live.identity() != Some(identity) || matches!(live.stage, Stage::Running { .. })
            });
        }
    }

    pub(super) fn delete(
        &mut self,
        at: Moment,
        id: &str,
        outputs: &mut Outputs,
    ) -> Option<proto::AgentDispatch> {
        let dispatch = self.dispatches.remove(id)?;
        terminate(&dispatch, outputs);
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
            terminate(dispatch, outputs);
        }
    }
}

fn terminate(dispatch: &Dispatch, outputs: &mut Outputs) {
    for (id, live) in &dispatch.jobs {
        if let Stage::Running { home, .. } = live.stage {
            outputs.push(DispatchOutput::Terminate(id.clone(), home));
        }
    }
}

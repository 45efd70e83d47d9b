//! One dispatch and its jobs.

use std::collections::{BTreeMap, VecDeque};

use livekit_protocol as proto;
use plenum_types::Timestamp;

use super::{MAX_ENDED, Moment};
use crate::agents::{
    ids::{DispatchId, JobId},
    pool::Home,
};

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// A worker is being looked for.
    Placing,
    /// None was found; it is tried again then.
    Waiting(Timestamp),
    /// A worker runs it. `left`: its agent has left the room.
    Running { home: Home, left: Option<Timestamp> },
}

/// A job that is not over.
#[derive(Debug)]
pub(super) struct LiveJob {
    pub(super) job: proto::Job,
    pub(super) stage: Stage,
    pub(super) restarts: u32,
}

impl LiveJob {
    pub(super) fn identity(&self) -> Option<&str> {
        self.job
            .participant
            .as_ref()
            .map(|participant| participant.identity.as_str())
    }

    /// Who the agent is in the room.
    pub(super) fn agent(&self) -> Option<&str> {
        self.job
            .state
            .as_ref()
            .map(|state| state.participant_identity.as_str())
            .filter(|identity| !identity.is_empty())
    }
}

/// What brings agents into a room.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) id: DispatchId,
    wanted: proto::RoomAgentDispatch,
    /// Nobody asked for it.
    pub(super) nameless: bool,
    created_at: i64,
    pub(super) jobs: BTreeMap<JobId, LiveJob>,
    ended: VecDeque<proto::Job>,
}

impl Dispatch {
    pub(super) fn new(
        at: Moment,
        id: DispatchId,
        wanted: &proto::RoomAgentDispatch,
        nameless: bool,
    ) -> Self {
        Self {
            id,
            wanted: wanted.clone(),
            nameless,
            created_at: at.wall_ns,
            jobs: BTreeMap::new(),
            ended: VecDeque::new(),
        }
    }

    /// A job of it, not yet offered to anyone.
    pub(super) fn job(
        &self,
        id: &JobId,
        kind: proto::JobType,
        room: &proto::Room,
        participant: Option<&proto::ParticipantInfo>,
    ) -> proto::Job {
        proto::Job {
            id: id.to_string(),
            dispatch_id: self.id.to_string(),
            r#type: kind as i32,
            room: Some(room.clone()),
            participant: participant.cloned(),
            metadata: self.wanted.metadata.clone(),
            agent_name: self.wanted.agent_name.clone(),
            deployment: self.wanted.deployment.clone(),
            attributes: self.wanted.attributes.clone(),
            state: Some(proto::JobState::default()),
            ..Default::default()
        }
    }

    pub(super) fn restarts_failed(&self) -> bool {
        self.wanted.restart_policy == proto::JobRestartPolicy::JrpOnFailure as i32
    }

    /// Such a job runs, waits or is over: it is done once.
    pub(super) fn has(&self, kind: proto::JobType, identity: Option<&str>) -> bool {
        self.jobs
            .values()
            .any(|job| job.job.r#type == kind as i32 && job.identity() == identity)
    }

    /// Keeps a job that is over for those who ask.
    pub(super) fn keep_ended(&mut self, job: proto::Job) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(job);
    }

    pub(super) fn is_listed(&self) -> bool {
        let has_run = |job: &LiveJob| matches!(job.stage, Stage::Running { .. });
        !self.nameless || !self.ended.is_empty() || self.jobs.values().any(has_run)
    }

    /// As the server API shows it. Jobs that wait for a worker of a kind that may never come are not shown.
    pub(super) fn listed(&self, room: &str) -> proto::AgentDispatch {
        let live = self
            .jobs
            .values()
            .filter(|job| matches!(job.stage, Stage::Running { .. }))
            .map(|job| &job.job);
        proto::AgentDispatch {
            id: self.id.to_string(),
            agent_name: self.wanted.agent_name.clone(),
            room: room.to_owned(),
            metadata: self.wanted.metadata.clone(),
            state: Some(proto::AgentDispatchState {
                jobs: self.ended.iter().chain(live).cloned().collect(),
                created_at: self.created_at,
                deleted_at: 0,
            }),
            restart_policy: self.wanted.restart_policy,
            deployment: self.wanted.deployment.clone(),
            attributes: self.wanted.attributes.clone(),
        }
    }
}

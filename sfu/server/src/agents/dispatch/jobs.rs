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
    /// A worker runs it: one of that member, if it is known which. From `over_at` on its agent, which is not in the room,
    /// is not waited for any longer.
    Running {
        at: Option<Home>,
        over_at: Option<Timestamp>,
    },
    /// It was there before the room came here, or its worker's member is gone. Until then somebody may say that he runs it.
    Missing(Timestamp),
}

/// A job that is not over.
#[derive(Debug)]
pub(super) struct LiveJob {
    pub(super) job: proto::Job,
    pub(super) stage: Stage,
    pub(super) restarts: u32,
    /// Its agent is in the room, as far as this home knows.
    pub(super) is_present: bool,
    /// Its agent was in the room elsewhere, and has not followed it yet.
    pub(super) has_to_follow: bool,
    /// Whom it is for is not back yet after the room came here.
    pub(super) awaits_participant: bool,
}

impl LiveJob {
    pub(super) const fn new(job: proto::Job, stage: Stage, restarts: u32) -> Self {
        Self {
            job,
            stage,
            restarts,
            is_present: false,
            has_to_follow: false,
            awaits_participant: false,
        }
    }

    /// A worker runs it, or did so when it was last heard of.
    pub(super) fn runs(&self) -> bool {
        match self.stage {
            Stage::Running { .. } => true,
            Stage::Missing(_) => self.agent().is_some(),
            Stage::Placing | Stage::Waiting(_) => false,
        }
    }

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

    /// From what was kept of it.
    pub(super) fn of_asked(asked: proto::AgentDispatch, nameless: bool) -> Self {
        Self {
            id: asked.id.as_str().into(),
            created_at: asked.state.map_or(0, |state| state.created_at),
            wanted: proto::RoomAgentDispatch {
                agent_name: asked.agent_name,
                metadata: asked.metadata,
                restart_policy: asked.restart_policy,
                deployment: asked.deployment,
                attributes: asked.attributes,
            },
            nameless,
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

    /// Such a job, if it runs or waits: it is done once.
    pub(super) fn job_for(
        &mut self,
        kind: proto::JobType,
        identity: Option<&str>,
    ) -> Option<&mut LiveJob> {
        self.jobs
            .values_mut()
            .find(|job| job.job.r#type == kind as i32 && job.identity() == identity)
    }

    /// Texts that go out with each of its jobs.
    pub(super) fn text_bytes(&self) -> usize {
        text_bytes(&self.wanted)
    }

    /// Jobs that are over, the oldest first.
    pub(super) const fn ended(&self) -> &VecDeque<proto::Job> {
        &self.ended
    }

    /// Keeps a job that is over for those who ask.
    pub(super) fn keep_ended(&mut self, job: proto::Job) {
        if self.ended.len() >= MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(job);
    }

    pub(super) fn is_listed(&self) -> bool {
        !self.nameless || !self.ended.is_empty() || self.jobs.values().any(LiveJob::runs)
    }

    /// As the server API shows it. Jobs that wait for a worker of a kind that may never come are not shown.
    pub(super) fn listed(&self, room: &str) -> proto::AgentDispatch {
        let live = self.jobs.values().filter(|job| job.runs());
        let jobs = self.ended.iter().chain(live.map(|job| &job.job));
        self.described(room, jobs.cloned().collect())
    }

    /// With these jobs.
    pub(super) fn described(&self, room: &str, jobs: Vec<proto::Job>) -> proto::AgentDispatch {
        proto::AgentDispatch {
            id: self.id.to_string(),
            agent_name: self.wanted.agent_name.clone(),
            room: room.to_owned(),
            metadata: self.wanted.metadata.clone(),
            state: Some(proto::AgentDispatchState {
                jobs,
                created_at: self.created_at,
                deleted_at: 0,
            }),
            restart_policy: self.wanted.restart_policy,
            deployment: self.wanted.deployment.clone(),
            attributes: self.wanted.attributes.clone(),
        }
    }
}

/// Metadata and attributes of a dispatch.
pub(super) fn text_bytes(wanted: &proto::RoomAgentDispatch) -> usize {
    let attributes = wanted.attributes.iter();
    wanted.metadata.len()
        + attributes
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>()
}

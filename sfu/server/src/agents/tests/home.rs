//! One home with a room, for the tests beside it.

use fastrand::Rng;
use livekit_protocol as proto;

use super::{at, room};
use crate::agents::{
    dispatch::{DispatchOutput, Dispatches},
    ids::JobId,
    pool::{Home, JobUpdate, Taken},
};

/// One home with its rooms.
pub(super) struct Rooms {
    pub(super) dispatches: Dispatches,
    pub(super) millis: u64,
}

impl Rooms {
    pub(super) fn with_room(agents: &[proto::RoomAgentDispatch]) -> (Self, Vec<proto::Job>) {
        let mut rooms = Self {
            dispatches: Dispatches::new(Rng::with_seed(7)),
            millis: 0,
        };
        rooms.dispatches.room_opened(at(0), room("lobby"), agents);
        let jobs = rooms.jobs();
        (rooms, jobs)
    }

    pub(super) fn outputs(&mut self) -> Vec<DispatchOutput> {
        self.dispatches.drain().collect()
    }

    pub(super) fn jobs(&mut self) -> Vec<proto::Job> {
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                DispatchOutput::Place(job) => Some(*job),
                _ => None,
            })
            .collect()
    }

    pub(super) fn runs(&mut self, job: &proto::Job, worker: &str) {
        let taken = Taken::By(worker.into(), format!("agent-{}", job.id));
        self.placed(job, Some((Home::Here, taken)));
    }

    pub(super) fn placed(&mut self, job: &proto::Job, taken: Option<(Home, Taken)>) {
        let id = JobId::from(job.id.as_str());
        let at = at(self.millis);
        self.dispatches.placed(at, &"lobby".into(), &id, taken);
    }

    pub(super) fn update(&mut self, job: &proto::Job, update: &JobUpdate) -> Vec<DispatchOutput> {
        let id = JobId::from(job.id.as_str());
        let at = at(self.millis);
        self.dispatches.updated(at, &"lobby".into(), &id, update);
        self.outputs()
    }

    pub(super) fn fails(&mut self, job: &proto::Job) {
        let failed = JobUpdate::Status(proto::JobStatus::JsFailed as i32, "crash".to_owned());
        assert!(self.update(job, &failed).is_empty());
    }

    pub(super) fn after(&mut self, millis: u64) -> Vec<proto::Job> {
        self.millis += millis;
        let at = at(self.millis);
        self.dispatches.timer(at);
        self.jobs()
    }

    pub(super) fn listed(&self) -> Vec<proto::AgentDispatch> {
        self.dispatches.list(&"lobby".into(), "").unwrap()
    }
}

pub(super) fn named(name: &str) -> proto::RoomAgentDispatch {
    proto::RoomAgentDispatch {
        agent_name: name.to_owned(),
        ..Default::default()
    }
}

pub(super) fn person(identity: &str) -> proto::ParticipantInfo {
    proto::ParticipantInfo {
        identity: identity.to_owned(),
        state: proto::participant_info::State::Active as i32,
        ..Default::default()
    }
}

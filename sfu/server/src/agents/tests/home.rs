//! One home with a room, for the tests beside it.

use fastrand::Rng;
use livekit_protocol as proto;
use plenum_room::DispatchSnapshot;

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
        let first = rooms.dispatches.first(at(0), agents);
        rooms.dispatches.room_opened(at(0), room("lobby"), &first);
        let jobs = rooms.jobs();
        (rooms, jobs)
    }

    /// The room on another member, with what is kept of it.
    pub(super) fn moved(&mut self) -> Self {
        let kept = self.dispatches.kept(&"lobby".into());
        self.dispatches.room_ended(&"lobby".into(), false);
        assert!(self.outputs().is_empty(), "nothing ends here");
        let mut there = Self {
            dispatches: Dispatches::new(Rng::with_seed(8)),
            millis: self.millis,
        };
        there.restored(&kept);
        there
    }

    pub(super) fn restored(&mut self, kept: &[DispatchSnapshot]) {
        // As it comes out of the Directory.
        let kept = serde_json::to_vec(kept).unwrap();
        let kept: Vec<_> = serde_json::from_slice(&kept).unwrap();
        let at = at(self.millis);
        self.dispatches.room_restored(at, room("lobby"), &kept);
        let asked = self.outputs();
        assert!(matches!(asked.as_slice(), [DispatchOutput::Ask(_)]));
    }

    /// What the members say that they run.
    pub(super) fn reported(&mut self, running: Vec<(Home, proto::Job)>) -> Vec<DispatchOutput> {
        let at = at(self.millis);
        self.dispatches.reported(at, &"lobby".into(), running);
        self.outputs()
    }

    /// Ids of the jobs that are listed as running.
    pub(super) fn running(&self) -> Vec<String> {
        let listed = self.listed();
        let jobs = listed
            .iter()
            .flat_map(|dispatch| &dispatch.state.as_ref().unwrap().jobs);
        jobs.filter(|job| job.state.as_ref().unwrap().status() == proto::JobStatus::JsRunning)
            .map(|job| job.id.clone())
            .collect()
    }

    /// Without what is to be stored.
    pub(super) fn outputs(&mut self) -> Vec<DispatchOutput> {
        self.dispatches
            .drain()
            .filter(|output| !matches!(output, DispatchOutput::Changed(_)))
            .collect()
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
        self.update_from(Home::Here, job, update)
    }

    pub(super) fn update_from(
        &mut self,
        member: Home,
        job: &proto::Job,
        update: &JobUpdate,
    ) -> Vec<DispatchOutput> {
        let id = JobId::from(job.id.as_str());
        let (at, lobby) = (at(self.millis), "lobby".into());
        assert!(self.dispatches.updated(at, &lobby, &id, member, update));
        self.outputs()
    }

    pub(super) fn fails(&mut self, job: &proto::Job) {
        let failed = JobUpdate::Status(proto::JobStatus::JsFailed as i32, "crash".to_owned());
        assert!(self.update(job, &failed).is_empty());
    }

    pub(super) fn comes(&mut self, participant: &proto::ParticipantInfo) {
        let lobby = "lobby".into();
        self.dispatches.participant_came(&lobby, participant);
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

pub(super) fn agent(identity: &str) -> proto::ParticipantInfo {
    proto::ParticipantInfo {
        kind: proto::participant_info::Kind::Agent as i32,
        ..person(identity)
    }
}

pub(super) fn person(identity: &str) -> proto::ParticipantInfo {
    proto::ParticipantInfo {
        identity: identity.to_owned(),
        state: proto::participant_info::State::Active as i32,
        ..Default::default()
    }
}

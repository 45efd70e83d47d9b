//! What agents the rooms of this member want, and the jobs that follow from it. Pure.
//!
//! A room opens with the dispatches that its configuration names, or with one for agents without a name. Each dispatch wants
//! a job of type ROOM, and one of type PARTICIPANT and PUBLISHER for each participant that comes or publishes; which of these
//! are done depends on what workers there are. Without a worker a job of a nameless dispatch is dropped, as in the reference:
//! such agents join what opens after them. A job that was asked for by name waits for one.

mod jobs;
mod room;

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use livekit_protocol as proto;
use plenum_types::{RoomName, Timestamp};

use super::{
    ids::{DispatchId, JobId},
    pool::{Home, JobUpdate, Taken},
};
use jobs::Dispatch;
use room::RoomAgents;

/// Dispatches of one room: agents are programs that take part in a call.
pub const MAX_DISPATCHES: usize = 32;
/// Jobs of one room that wait or run: as many as a large room has publishers.
const MAX_JOBS: usize = 512;
/// Jobs of a dispatch that are over and still listed.
const MAX_ENDED: usize = 32;
/// Longest agent name and deployment.
const MAX_NAME_BYTES: usize = 256;
/// Metadata and attributes of one dispatch. They go out with each of its jobs.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// A job that no worker took is offered again after this long, or when a worker comes.
const OFFER_AGAIN: Duration = Duration::from_secs(5);
/// A job that failed starts again this many times.
const MAX_RESTARTS: u32 = 3;
/// Before the first restart; twice as long before each next one.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// An agent that has left the room may take this long to report how its job ended.
const LAST_REPORT: Duration = Duration::from_secs(10);

/// What a room wants done.
#[derive(Debug)]
pub enum DispatchOutput {
    /// Find a worker, and say how it went by [`Dispatches::placed`].
    Place(Box<proto::Job>),
    /// End a job that a worker runs.
    Terminate(JobId, Home),
    /// An agent whose worker is gone leaves its room.
    RemoveAgent {
        /// Which room.
        room: RoomName,
        /// Who.
        identity: String,
    },
    /// Say who is in the room by [`Dispatches::participants`].
    ListParticipants(RoomName, DispatchId),
}

/// A request about dispatches that can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The room is not here.
    #[error("requested room does not exist")]
    NoRoom,
    /// No such dispatch.
    #[error("agent dispatch {0:?} does not exist in this room")]
    NotFound(String),
    /// The room has as many as it may.
    #[error(
        "the room has {MAX_DISPATCHES} agent dispatches already, which is the limit; delete one first"
    )]
    TooMany,
    /// A text is too long.
    #[error("{0} of an agent dispatch has {1} bytes; at most {2} are allowed")]
    TooLong(&'static str, usize, usize),
}

/// See the module.
#[derive(Debug)]
pub struct Dispatches {
    rooms: BTreeMap<RoomName, RoomAgents>,
    rng: Rng,
    outputs: Vec<DispatchOutput>,
}

/// A moment: for timers, and as Unix nanoseconds for the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic.
    pub now: Timestamp,
    /// Unix nanoseconds.
    pub wall_ns: i64,
}

impl Dispatches {
    /// Without rooms.
    #[must_use]
    pub const fn new(rng: Rng) -> Self {
        Self {
            rooms: BTreeMap::new(),
            rng,
            outputs: Vec::new(),
        }
    }

    /// What is to be done, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, DispatchOutput> {
        self.outputs.drain(..)
    }

    /// A room has opened for the first time. What its configuration wants was checked by [`check`].
    pub fn room_opened(
        &mut self,
        at: Moment,
        room: proto::Room,
        agents: &[proto::RoomAgentDispatch],
    ) {
        let name = RoomName::from(room.name.as_str());
        let mut entry = RoomAgents::new(room);
        if agents.is_empty() {
            let id = DispatchId::random(&mut self.rng);
            let nameless = Dispatch::new(at, id, &proto::RoomAgentDispatch::default(), true);
            entry.add(nameless);
        }
        for agent in agents.iter().take(MAX_DISPATCHES) {
            let id = DispatchId::random(&mut self.rng);
            entry.add(Dispatch::new(at, id, agent, false));
        }
        entry.want_room_jobs(&mut self.rng, &mut self.outputs);
        self.rooms.insert(name, entry);
    }

    /// A room has come here from another member: its agents come back by themselves, its dispatches stayed there.
    pub fn room_restored(&mut self, room: proto::Room) {
        let name = RoomName::from(room.name.as_str());
        self.rooms.insert(name, RoomAgents::new(room));
    }

    /// A room has ended; `for_good` unless it lives on elsewhere.
    pub fn room_ended(&mut self, room: &RoomName, for_good: bool) {
        if let Some(entry) = self.rooms.remove(room)
            && for_good
        {
            entry.terminate_all(&mut self.outputs);
        }
    }

    /// A participant's media path works.
    pub fn participant_came(&mut self, room: &RoomName, participant: &proto::ParticipantInfo) {
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.agent_came(&participant.identity);
        }
        let kind = proto::JobType::JtParticipant;
        self.for_participant(room, kind, participant);
    }

    /// A participant publishes its first track.
    pub fn participant_publishes(&mut self, room: &RoomName, participant: &proto::ParticipantInfo) {
        let kind = proto::JobType::JtPublisher;
        self.for_participant(room, kind, participant);
    }

    fn for_participant(
        &mut self,
        room: &RoomName,
        kind: proto::JobType,
        participant: &proto::ParticipantInfo,
    ) {
        if !is_served(participant) {
            return;
        }
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.want(kind, Some(participant), &mut self.rng, &mut self.outputs);
        }
    }

    /// A participant, perhaps an agent, is gone.
    pub fn participant_left(&mut self, at: Moment, room: &RoomName, identity: &str) {
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.participant_left(at, identity);
        }
    }

    /// The answer to [`DispatchOutput::ListParticipants`].
    pub fn participants(
        &mut self,
        room: &RoomName,
        dispatch: &DispatchId,
        participants: &[proto::ParticipantInfo],
    ) {
        let Some(entry) = self.rooms.get_mut(room) else {
            return;
        };
        let active = proto::participant_info::State::Active as i32;
        for info in participants
            .iter()
            .filter(|info| is_served(info) && info.state == active)
        {
            let mut kinds = vec![proto::JobType::JtParticipant];
            if !info.tracks.is_empty() {
                kinds.push(proto::JobType::JtPublisher);
            }
            for kind in kinds {
                entry.want_of(dispatch, kind, Some(info), &mut self.rng, &mut self.outputs);
            }
        }
    }

    /// How [`DispatchOutput::Place`] went.
    pub fn placed(
        &mut self,
        at: Moment,
        room: &RoomName,
        job: &JobId,
        taken: Option<(Home, Taken)>,
    ) {
        match self.rooms.get_mut(room) {
            Some(entry) => entry.placed(at, job, taken, &mut self.outputs),
            // The room has ended meanwhile: so does the job.
            None => {
                if let Some((home, Taken::By(..))) = taken {
                    self.outputs
                        .push(DispatchOutput::Terminate(job.clone(), home));
                }
            }
        }
    }

    /// Something has happened to a job.
    pub fn updated(&mut self, at: Moment, room: &RoomName, job: &JobId, update: &JobUpdate) {
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.updated(at, job, update, &mut self.rng, &mut self.outputs);
        }
    }

    /// There are workers that there were not before: what waits is tried.
    pub fn capacity(&mut self, at: Moment) {
        for entry in self.rooms.values_mut() {
            entry.try_waiting(at, true, &mut self.outputs);
        }
    }

    /// Tries what has waited long enough, and ends what should have ended. To be called now and then.
    pub fn timer(&mut self, at: Moment) {
        for entry in self.rooms.values_mut() {
            entry.try_waiting(at, false, &mut self.outputs);
            entry.end_reportless(at, &mut self.outputs);
        }
    }

    /// `CreateDispatch`
    ///
    /// # Errors
    /// The room is not here, or a limit is reached.
    pub fn create(
        &mut self,
        at: Moment,
        room: &RoomName,
        wanted: &proto::RoomAgentDispatch,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        check_one(wanted)?;
        let entry = self.rooms.get_mut(room).ok_or(DispatchError::NoRoom)?;
        if entry.count() >= MAX_DISPATCHES {
            return Err(DispatchError::TooMany);
        }
        let id = DispatchId::random(&mut self.rng);
        let dispatch = Dispatch::new(at, id.clone(), wanted, false);
        let listed = dispatch.listed(room.as_str());
        entry.add(dispatch);
        entry.want_of(
            &id,
            proto::JobType::JtRoom,
            None,
            &mut self.rng,
            &mut self.outputs,
        );
        self.outputs
            .push(DispatchOutput::ListParticipants(room.clone(), id));
        Ok(listed)
    }

    /// `DeleteDispatch`: its jobs end.
    ///
    /// # Errors
    /// There is no such dispatch.
    pub fn delete(
        &mut self,
        at: Moment,
        room: &RoomName,
        dispatch: &str,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        let entry = self.rooms.get_mut(room).ok_or(DispatchError::NoRoom)?;
        entry
            .delete(at, dispatch, &mut self.outputs)
            .ok_or_else(|| DispatchError::NotFound(dispatch.to_owned()))
    }

    /// `ListDispatch`: one, or all if `dispatch` is empty. A nameless one is listed once it has brought an agent.
    ///
    /// # Errors
    /// The room is not here.
    pub fn list(
        &self,
        room: &RoomName,
        dispatch: &str,
    ) -> Result<Vec<proto::AgentDispatch>, DispatchError> {
        let entry = self.rooms.get(room).ok_or(DispatchError::NoRoom)?;
        Ok(entry.list(dispatch))
    }
}

/// Agents serve people and devices, not each other and not recorders.
fn is_served(participant: &proto::ParticipantInfo) -> bool {
    use proto::participant_info::Kind::{Agent, Egress};
    ![Agent as i32, Egress as i32].contains(&participant.kind)
        && !participant
            .permission
            .as_ref()
            .is_some_and(|permission| permission.hidden)
}

/// Whether a room may open with these dispatches.
///
/// # Errors
/// Names the limit.
pub fn check(wanted: &[proto::RoomAgentDispatch]) -> Result<(), DispatchError> {
    if wanted.len() > MAX_DISPATCHES {
        return Err(DispatchError::TooMany);
    }
    wanted.iter().try_for_each(check_one)
}

fn check_one(wanted: &proto::RoomAgentDispatch) -> Result<(), DispatchError> {
    let texts = wanted.metadata.len()
        + wanted
            .attributes
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>();
    for (what, bytes, limit) in [
        ("agent_name", wanted.agent_name.len(), MAX_NAME_BYTES),
        ("deployment", wanted.deployment.len(), MAX_NAME_BYTES),
        ("metadata with attributes", texts, MAX_TEXT_BYTES),
    ] {
        if bytes > limit {
            return Err(DispatchError::TooLong(what, bytes, limit));
        }
    }
    Ok(())
}

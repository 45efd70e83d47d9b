//! What agents the rooms of this member want, and the jobs that follow from it. Pure.
//!
//! A room opens with the dispatches that its configuration names, or with one for agents without a name. Each dispatch wants
//! a job of type ROOM, and one of type PARTICIPANT and PUBLISHER for each participant that comes or publishes; which of these
//! are done depends on what workers there are. Without a worker a job of a nameless dispatch is dropped, as in the reference:
//! such agents join what opens after them. A job that was asked for by name waits for one.
//!
//! Dispatches travel with their room, in its snapshot.

mod jobs;
mod kept;
mod room;

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use livekit_protocol as proto;
use plenum_room::DispatchSnapshot;
use plenum_types::{RoomName, Timestamp};

use super::{
    ids::{DispatchId, JobId},
    pool::{Home, JobUpdate, Taken},
    selector::Selector,
};
use jobs::{Dispatch, text_bytes};
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
/// Those of all dispatches of a room together: as text they take 128 of the 512 KiB that its snapshot has for all but metadata.
const MAX_ROOM_TEXT_BYTES: usize = 96 * 1024;
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
    /// Say which jobs of the room the workers of all members run, by [`Dispatches::reported`].
    Ask(RoomName),
    /// What [`Dispatches::kept`] says of the room is another now.
    Changed(RoomName),
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
    /// Texts of all are too long.
    #[error(
        "metadata and attributes of the room's agent dispatches have {0} bytes together; at most {MAX_ROOM_TEXT_BYTES} are allowed"
    )]
    TooLongTogether(usize),
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

    /// What a new room opens with. What its configuration wants was checked by [`check`].
    pub fn first(
        &mut self,
        at: Moment,
        agents: &[proto::RoomAgentDispatch],
    ) -> Vec<DispatchSnapshot> {
        kept::first(at, agents, &mut self.rng)
    }

    /// A room has opened for the first time, with what [`first`](Self::first) said.
    pub fn room_opened(&mut self, at: Moment, room: proto::Room, first: &[DispatchSnapshot]) {
        let name = RoomName::from(room.name.as_str());
        let mut entry = RoomAgents::new(room);
        entry.open(at, first, &mut self.outputs);
        self.rooms.insert(name, entry);
    }

    /// A room has come here from another member, with what was kept of its agents.
    pub fn room_restored(&mut self, at: Moment, room: proto::Room, kept: &[DispatchSnapshot]) {
        let name = RoomName::from(room.name.as_str());
        let mut entry = RoomAgents::new(room);
        entry.take_over(at, kept, &mut self.outputs);
        self.rooms.insert(name, entry);
    }

    /// What outlives this member.
    #[must_use]
    pub fn kept(&self, room: &RoomName) -> Vec<DispatchSnapshot> {
        self.rooms
            .get(room)
            .map(RoomAgents::kept)
            .unwrap_or_default()
    }

    /// Whether a room is here.
    #[must_use]
    pub fn serves(&self, room: &RoomName) -> bool {
        self.rooms.contains_key(room)
    }

    /// The answer to [`DispatchOutput::Ask`]: jobs of the room by member.
    pub fn reported(&mut self, at: Moment, room: &RoomName, running: Vec<(Home, proto::Job)>) {
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.reported(at, running, &mut self.rng, &mut self.outputs);
        }
        self.tell_changed(room);
    }

    /// Which members are there, told now and then.
    pub fn members_live(&mut self, at: Moment, is_alive: impl Fn(Home) -> bool) {
        for entry in self.rooms.values_mut() {
            entry.members_live(at, &is_alive);
        }
    }

    /// A worker that came back to another member says that it runs these jobs: those of rooms here that it may go on with.
    /// That member then says so by [`JobUpdate::Adopted`].
    #[must_use]
    pub fn give(
        &self,
        jobs: &[JobId],
        selector: &Selector,
        is_alive: impl Fn(Home) -> bool,
    ) -> Vec<proto::Job> {
        jobs.iter()
            .filter_map(|id| {
                self.rooms
                    .values()
                    .find_map(|entry| entry.give(id, selector, &is_alive))
            })
            .cloned()
            .collect()
    }

    fn tell_changed(&mut self, room: &RoomName) {
        if let Some(entry) = self.rooms.get_mut(room)
            && std::mem::take(&mut entry.is_changed)
        {
            self.outputs.push(DispatchOutput::Changed(room.clone()));
        }
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
            // The room has ended meanwhile: so does the job. If the room went elsewhere, it belongs to that home already.
            None => {
                if let Some((home, Taken::By(..))) = taken {
                    self.outputs
                        .push(DispatchOutput::Terminate(job.clone(), home));
                }
            }
        }
        self.tell_changed(room);
    }

    /// Something has happened to a job that a worker of `from` runs. `false` if its room is not here.
    pub fn updated(
        &mut self,
        at: Moment,
        room: &RoomName,
        job: &JobId,
        from: Home,
        update: &JobUpdate,
    ) -> bool {
        let Some(entry) = self.rooms.get_mut(room) else {
            return false;
        };
        entry.updated(at, job, from, update, &mut self.rng, &mut self.outputs);
        self.tell_changed(room);
        true
    }

    /// There are workers that there were not before: what waits is tried.
    pub fn capacity(&mut self, at: Moment) {
        for entry in self.rooms.values_mut() {
            entry.try_waiting(at, true, &mut self.outputs);
        }
    }

    /// Tries what has waited long enough, and ends what should have ended. To be called now and then.
    pub fn timer(&mut self, at: Moment) {
        for (name, entry) in &mut self.rooms {
            let (rng, outputs) = (&mut self.rng, &mut self.outputs);
            entry.try_waiting(at, false, outputs);
            entry.end_reportless(at, rng, outputs);
            entry.look_for_missing(at, rng, outputs);
            if std::mem::take(&mut entry.is_changed) {
                outputs.push(DispatchOutput::Changed(name.clone()));
            }
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
        check_together(entry.text_bytes() + text_bytes(wanted))?;
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
    wanted.iter().try_for_each(check_one)?;
    check_together(wanted.iter().map(text_bytes).sum())
}

fn check_together(bytes: usize) -> Result<(), DispatchError> {
    if bytes > MAX_ROOM_TEXT_BYTES {
        return Err(DispatchError::TooLongTogether(bytes));
    }
    Ok(())
}

fn check_one(wanted: &proto::RoomAgentDispatch) -> Result<(), DispatchError> {
    for (what, bytes, limit) in [
        ("agent_name", wanted.agent_name.len(), MAX_NAME_BYTES),
        ("deployment", wanted.deployment.len(), MAX_NAME_BYTES),
        (
            "metadata with attributes",
            text_bytes(wanted),
            MAX_TEXT_BYTES,
        ),
    ] {
        if bytes > limit {
            return Err(DispatchError::TooLong(what, bytes, limit));
        }
    }
    Ok(())
}

//! What rooms, and the server API for them, tell the agents of their member.

use std::sync::Arc;

use livekit_protocol as proto;
use plenum_room::DispatchSnapshot;
use plenum_types::RoomName;
use tokio::sync::Notify;

use super::{dispatch::DispatchError, driver::Agents, pool::PoolInput};

/// The dispatches that a room opens with.
#[derive(Debug, Clone)]
pub(crate) enum OpenedWith {
    /// Those of a new room.
    First(Vec<DispatchSnapshot>),
    /// Those that it had elsewhere.
    Kept(Vec<DispatchSnapshot>),
}

impl Agents {
    /// What a new room opens with, if it wants these agents.
    pub(crate) fn first(
        self: &Arc<Self>,
        agents: &[proto::RoomAgentDispatch],
    ) -> Vec<DispatchSnapshot> {
        self.act(|state, at| state.dispatches().first(at, agents))
    }

    /// What outlives this member of a room's agents.
    pub(crate) fn kept(self: &Arc<Self>, room: &RoomName) -> Vec<DispatchSnapshot> {
        self.act(|state, _| state.dispatches().kept(room))
    }

    /// A room has opened here. `changed` is told when what is kept is another than before.
    pub(crate) fn room_opened(
        self: &Arc<Self>,
        room: proto::Room,
        opened: &OpenedWith,
        changed: Arc<Notify>,
    ) {
        self.act(|state, at| {
            let name = RoomName::from(room.name.as_str());
            state.0.rooms.insert(name, changed);
            match opened {
                OpenedWith::First(first) => state.dispatches().room_opened(at, room, first),
                OpenedWith::Kept(kept) => state.dispatches().room_restored(at, room, kept),
            }
        });
    }

    /// A room has ended here; `for_good` unless it lives on elsewhere.
    pub(crate) fn room_ended(self: &Arc<Self>, room: &RoomName, for_good: bool) {
        self.act(|state, _| {
            state.0.rooms.remove(room);
            state.dispatches().room_ended(room, for_good);
        });
    }

    /// A participant's media path works.
    pub(crate) fn participant_came(
        self: &Arc<Self>,
        room: &RoomName,
        info: &proto::ParticipantInfo,
    ) {
        self.act(|state, _| state.dispatches().participant_came(room, info));
    }

    /// A participant publishes its first track.
    pub(crate) fn participant_publishes(
        self: &Arc<Self>,
        room: &RoomName,
        info: &proto::ParticipantInfo,
    ) {
        self.act(|state, _| state.dispatches().participant_publishes(room, info));
    }

    /// A participant is gone.
    pub(crate) fn participant_left(self: &Arc<Self>, room: &RoomName, identity: &str) {
        self.act(|state, at| state.dispatches().participant_left(at, room, identity));
    }

    /// `CreateDispatch`
    ///
    /// # Errors
    /// See [`DispatchError`].
    pub(crate) fn create(
        self: &Arc<Self>,
        room: &RoomName,
        wanted: &proto::RoomAgentDispatch,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        self.act(|state, at| state.dispatches().create(at, room, wanted))
    }

    /// `DeleteDispatch`
    ///
    /// # Errors
    /// See [`DispatchError`].
    pub(crate) fn delete(
        self: &Arc<Self>,
        room: &RoomName,
        dispatch: &str,
    ) -> Result<proto::AgentDispatch, DispatchError> {
        self.act(|state, at| state.dispatches().delete(at, room, dispatch))
    }

    /// `ListDispatch`
    ///
    /// # Errors
    /// See [`DispatchError`].
    pub(crate) fn list(
        self: &Arc<Self>,
        room: &RoomName,
        dispatch: &str,
    ) -> Result<Vec<proto::AgentDispatch>, DispatchError> {
        self.act(|state, _| state.dispatches().list(room, dispatch))
    }

    /// This member is ending: its workers are told to find another one.
    pub(crate) fn go_away(self: &Arc<Self>) {
        self.act(|state, at| state.pool(at, PoolInput::GoAway));
    }
}

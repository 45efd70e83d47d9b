//! How participants and the room end.

use std::time::Duration;

use livekit_protocol::{
    self as proto, DisconnectReason, leave_request::Action, signal_response::Message,
};
use plenum_types::{ParticipantId, ShardCommand, ShardId};

use crate::{
    ConnectionId, EndReason, Room, RoomOutput, SignalMessage,
    participant::{Participant, Phase},
    timers::TimerKind,
};

/// How long a lost session is kept for its successor: clients rejoin in 0.1 to 0.5 s, and the reference cleans up after 5 s.
const LOST_KEPT: Duration = Duration::from_secs(5);
/// How long an active session waits for its signal connection. The most patient client tries for 60 s.
const AWAY_KEPT: Duration = Duration::from_secs(75);

/// What a participant gets as it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// A Leave, then the connection is closed.
    Leave(Action),
    /// The connection is closed.
    Close,
    /// Nothing: the connection is gone.
    Nothing,
}

pub(crate) fn leave_message(reason: DisconnectReason, action: Action) -> Message {
    Message::Leave(proto::LeaveRequest {
        // What clients before protocol 13 read.
        can_reconnect: action != Action::Disconnect,
        reason: reason as i32,
        action: action as i32,
        regions: None,
    })
}

impl Room {
    /// The client says goodbye.
    pub(crate) fn client_leave(&mut self, id: ParticipantId, leave: &proto::LeaveRequest) {
        // Others read the reason: those that say what the server did are not a client's to give.
        let reason = match DisconnectReason::try_from(leave.reason) {
            Ok(
                reason @ (DisconnectReason::UserUnavailable
                | DisconnectReason::UserRejected
                | DisconnectReason::SipTrunkFailure
                | DisconnectReason::MediaFailure
                | DisconnectReason::AgentError),
            ) => reason,
            _ => DisconnectReason::ClientInitiated,
        };
        self.remove(id, reason, Farewell::Close, true);
    }

    /// The socket is gone. A session whose media works stays for a resume.
    pub(crate) fn connection_closed(&mut self, connection: ConnectionId) {
        let Some(id) = self.by_connection.remove(&connection) else {
            return;
        };
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let reason = match participant.phase {
            Phase::Active(_) => {
                participant.phase = Phase::Away;
                participant.away_since = now;
                self.timers.clear(TimerKind::Negotiate(id));
                self.timers.clear(TimerKind::Answer(id));
                self.timers.set(TimerKind::Away(id), now + AWAY_KEPT);
                return;
            }
            // It closed both, so it left, even if its goodbye was lost on the way.
            Phase::Closing(_) => DisconnectReason::ClientInitiated,
            Phase::Joined(_) | Phase::Away | Phase::Lost(_) => DisconnectReason::SignalClose,
        };
        self.remove(id, reason, Farewell::Nothing, true);
    }

    pub(crate) fn away_for_too_long(&mut self, id: ParticipantId) {
        self.remove(id, DisconnectReason::SignalClose, Farewell::Nothing, true);
    }

    pub(crate) fn join_failed(&mut self, id: ParticipantId) {
        self.remove(
            id,
            DisconnectReason::JoinFailure,
            Farewell::Leave(Action::Disconnect),
            true,
        );
    }

    /// The client has closed its media path by itself.
    pub(crate) fn media_closed(&mut self, id: ParticipantId) {
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        match participant.phase {
            Phase::Joined(connection) | Phase::Active(connection) => {
                participant.phase = Phase::Closing(connection);
                self.timers.set(TimerKind::Lost(id), now + LOST_KEPT);
            }
            Phase::Away => {
                self.remove(
                    id,
                    DisconnectReason::ClientInitiated,
                    Farewell::Nothing,
                    true,
                );
            }
            Phase::Closing(_) | Phase::Lost(_) => {}
        }
    }

    /// A session can't go on, its client can: it starts over and takes its own place.
    pub(crate) fn lose(&mut self, id: ParticipantId, reason: DisconnectReason) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant.is_lost() {
            return;
        }
        let connection = participant.connection();
        participant.phase = Phase::Lost(reason);
        self.timers.clear_participant(id);
        self.timers.set(TimerKind::Lost(id), self.now + LOST_KEPT);
        if let Some(connection) = connection {
            self.by_connection.remove(&connection);
            self.farewell(connection, reason, Farewell::Leave(Action::Reconnect));
        }
    }

    pub(crate) fn lost_for_too_long(&mut self, id: ParticipantId) {
        let reason = match self.participants.get(&id).map(|p| p.phase) {
            Some(Phase::Lost(reason)) => reason,
            _ => DisconnectReason::ConnectionTimeout,
        };
        self.remove(id, reason, Farewell::Leave(Action::Reconnect), true);
    }

    pub(crate) fn shard_lost(&mut self, shard: ShardId) {
        let there: Vec<_> = self
            .participants
            .values()
            .filter(|p| p.shard == shard)
            .map(|p| p.id)
            .collect();
        for id in there {
            self.lose(id, DisconnectReason::StateMismatch);
        }
        self.shards.remove(&shard);
    }

    /// Ends a session with all it had. Unless `announce`, others learn of it by its successor.
    pub(crate) fn remove(
        &mut self,
        id: ParticipantId,
        reason: DisconnectReason,
        farewell: Farewell,
        announce: bool,
    ) {
        self.note_unconnected_end(id);
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let last_info = self.participant_info(participant);
        let tracks: Vec<_> = participant.tracks.values().copied().collect();
        let subscriptions: Vec<_> = participant.subscriptions.values().copied().collect();
        for track in tracks {
            self.drop_track(track);
        }
        for subscription in subscriptions {
            self.drop_subscription(subscription);
        }
        self.leave_data_tracks(id);
        self.abandon_rpcs(id);
        let Some(participant) = self.participants.remove(&id) else {
            return;
        };
        self.give_up_all_places(&participant);
        self.timers.clear_participant(id);
        self.speaking.remove(&id);
        if self.by_identity.get(participant.identity()) == Some(&id) {
            self.by_identity.remove(participant.identity());
        }
        if let Some(connection) = participant.connection() {
            self.by_connection.remove(&connection);
            self.farewell(connection, reason, farewell);
        }
        for transport in participant.peer.transports() {
            self.by_transport.remove(&transport);
            self.command(
                participant.shard,
                ShardCommand::CloseTransport { transport },
            );
        }
        self.after_leaving(&participant, last_info, reason, announce);
    }

    /// What follows when a participant, which is no longer among them, has left the room for whatever reason.
    pub(crate) fn after_leaving(
        &mut self,
        participant: &Participant,
        last_info: proto::ParticipantInfo,
        reason: DisconnectReason,
        announce: bool,
    ) {
        if announce && !participant.hidden() {
            self.participant_gone(participant.id, last_info, reason);
        } else {
            self.forget_gathered(participant.id);
        }
        if participant.grants.permissions.recorder {
            self.send_room_update();
        }
        self.room_counts_changed();
        self.data_dirty = true;
        self.snapshot_dirty |= participant.overrides != Default::default();
        self.push_left(participant, reason);
        self.note_emptiness();
    }

    fn farewell(&mut self, connection: ConnectionId, reason: DisconnectReason, farewell: Farewell) {
        match farewell {
            Farewell::Leave(action) => self.push(RoomOutput::Send {
                connection,
                message: SignalMessage::new(leave_message(reason, action)),
            }),
            Farewell::Close => {}
            Farewell::Nothing => return,
        }
        self.push(RoomOutput::Close {
            connection,
            reason: reason.as_str_name(),
        });
    }

    fn push_left(&mut self, participant: &Participant, reason: DisconnectReason) {
        self.push(RoomOutput::ParticipantLeft {
            sid: participant.sid.clone(),
            identity: participant.identity().clone(),
            reason,
            was_active: participant.was_active,
        });
    }

    /// Starts the clock of an empty room. Agents and recorders keep no room open.
    fn note_emptiness(&mut self) {
        if self.participants.values().any(|p| !p.is_dependent())
            || self.empty_since_unix_ms.is_some()
        {
            return;
        }
        self.empty_since_unix_ms = Some(self.unix_ms());
        self.timers.set(
            TimerKind::Empty,
            self.now + self.config.settings.departure_timeout,
        );
        self.snapshot_dirty = true;
    }

    /// Somebody is there who keeps the room open.
    pub(crate) fn note_presence(&mut self, id: ParticipantId) {
        let keeps_open = self
            .participants
            .get(&id)
            .is_some_and(|p| !p.is_dependent());
        if keeps_open && self.empty_since_unix_ms.take().is_some() {
            self.timers.clear(TimerKind::Empty);
            self.snapshot_dirty = true;
        }
        self.was_joined |= keeps_open;
    }

    /// Ends the room. Publishers go first, so that those who watch them come back to find them.
    pub(crate) fn end(&mut self, reason: EndReason) {
        let (word, action) = match reason {
            EndReason::Deleted => (DisconnectReason::RoomDeleted, Action::Disconnect),
            EndReason::Closed => (DisconnectReason::RoomClosed, Action::Disconnect),
            EndReason::Moved => (DisconnectReason::Migration, Action::Reconnect),
            EndReason::Fenced => (DisconnectReason::StateMismatch, Action::Reconnect),
            EndReason::Shutdown => (DisconnectReason::ServerShutdown, Action::Reconnect),
        };
        self.ended = true;
        self.timers.clear_all();
        let mut leaving: Vec<_> = std::mem::take(&mut self.participants)
            .into_values()
            .collect();
        leaving.sort_by_key(|participant| participant.tracks.is_empty());
        for participant in &leaving {
            if let Some(connection) = participant.connection() {
                self.farewell(connection, word, Farewell::Leave(action));
            }
            self.push_left(participant, word);
        }
        for shard in std::mem::take(&mut self.shards) {
            self.push(RoomOutput::Shard {
                shard,
                command: ShardCommand::CloseRoom,
            });
        }
        self.by_identity.clear();
        self.by_connection.clear();
        self.by_transport.clear();
        self.tracks.clear();
        self.track_by_sid.clear();
        self.subscriptions.clear();
        self.data_tracks.clear();
        self.rpcs.clear();
        self.push(RoomOutput::Ended(reason));
    }
}

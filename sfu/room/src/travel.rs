//! MoveParticipant: a participant goes to another room.
//!
//! If that room is on the same Shard and the client knows `room_moved`, it goes with its connection, its peer connections and
//! its tracks: nothing is negotiated anew but what it receives. Everybody else gets a token for the other room and is told to
//! start over, which takes a client some tenths of a second and works across Shards and members.

use livekit_protocol::{self as proto, client_info::Sdk, signal_response::Message};
use plenum_types::{
    ParticipantId, RoomHandle, RoomName, RoomToShard, ShardCommand, ShardId, TrackId,
};

use crate::{
    ApiCallId, ApiError, ApiErrorCode, ApiResponse, ConnectionId, Room, RoomOutput,
    leave::Farewell,
    participant::{Interest, Participant, Peer, Phase, ResumeFault},
    publish::Track,
    snapshot::ParticipantOverrides,
};

/// Clients before it don't know `room_moved`.
const ROOM_MOVED_PROTOCOL: i32 = 16;

/// A participant on its way to another room.
#[derive(Debug)]
pub struct Traveller {
    from: RoomHandle,
    connection: ConnectionId,
    participant: Participant,
    tracks: Vec<(TrackId, Track)>,
    data_tracks: Vec<proto::DataTrackInfo>,
}

impl Traveller {
    /// Its signal connection, which goes with it.
    #[must_use]
    pub const fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// What closes its media, should it never arrive: commands of the room that it left.
    #[must_use]
    pub fn abandon(&self) -> (ShardId, Vec<RoomToShard>) {
        let commands = self
            .participant
            .peer
            .transports()
            .map(|transport| RoomToShard {
                room: self.from,
                command: ShardCommand::CloseTransport { transport },
            })
            .collect();
        (self.participant.shard, commands)
    }
}

/// Whether a client goes on after `room_moved`: those built on the JavaScript and the Rust engine do.
fn knows_room_moved(client: &proto::ClientInfo) -> bool {
    let engine = matches!(
        Sdk::try_from(client.sdk),
        Ok(Sdk::Js
            | Sdk::ReactNative
            | Sdk::Rust
            | Sdk::Python
            | Sdk::Node
            | Sdk::Cpp
            | Sdk::Unity)
    );
    engine && client.protocol >= ROOM_MOVED_PROTOCOL
}

impl Room {
    /// Sends a participant to another room. `together` says that the other room is open on the same Shard.
    pub(crate) fn move_participant(
        &mut self,
        call: ApiCallId,
        identity: &str,
        destination: RoomName,
        together: bool,
    ) {
        let result = self
            .start_travel(call, identity, destination, together)
            .map(|()| ApiResponse::Done);
        self.push(RoomOutput::Api { call, result });
    }

    fn start_travel(
        &mut self,
        call: ApiCallId,
        identity: &str,
        destination: RoomName,
        together: bool,
    ) -> Result<(), ApiError> {
        let id = self.find(identity)?;
        let Some(participant) = self.participants.get(&id) else {
            return Err(ApiError::invalid("no such participant".to_owned()));
        };
        let Some(connection) = participant.connection() else {
            return Err(ApiError {
                code: ApiErrorCode::FailedPrecondition,
                message: format!(
                    "participant {identity} has lost its signal connection and can't be told; try again when it is back"
                ),
            });
        };
        if together
            && matches!(participant.phase, Phase::Active(_))
            && knows_room_moved(&participant.client)
        {
            if let Some(traveller) = self.depart(id, connection) {
                self.push(RoomOutput::Departed {
                    call,
                    traveller: Box::new(traveller),
                });
            }
            return Ok(());
        }
        self.push(RoomOutput::TokenFor {
            connection,
            grants: Box::new(participant.grants.clone()),
            room: destination,
        });
        self.remove(
            id,
            proto::DisconnectReason::Migration,
            Farewell::Leave(proto::leave_request::Action::Reconnect),
            true,
        );
        Ok(())
    }

    /// Takes a participant out with all that it has. Others see it leave.
    fn depart(&mut self, id: ParticipantId, connection: ConnectionId) -> Option<Traveller> {
        let participant = self.participants.get(&id)?;
        let last_info = self.participant_info(participant);
        let own: Vec<_> = participant.tracks.values().copied().collect();
        let subscriptions: Vec<_> = participant.subscriptions.values().copied().collect();
        for subscription in subscriptions {
            self.drop_subscription(subscription);
        }
        // Which section each of its tracks is in.
        let sections = self.participants.get(&id)?.tracks.clone();
        let tracks = own
            .into_iter()
            .filter_map(|track| Some((track, self.take_track(track)?)))
            .collect();
        let data_tracks = self.leave_data_tracks(id);
        self.abandon_rpcs(id);
        let mut participant = self.participants.remove(&id)?;
        participant.tracks = sections;
        self.give_up_all_places(&participant);
        self.timers.clear_participant(id);
        self.speaking.remove(&id);
        if self.by_identity.get(participant.identity()) == Some(&id) {
            self.by_identity.remove(participant.identity());
        }
        self.by_connection.remove(&connection);
        for transport in participant.peer.transports() {
            self.by_transport.remove(&transport);
        }
        let reason = proto::DisconnectReason::Migration;
        self.after_leaving(&participant, last_info, reason, true);
        Some(Traveller {
            from: self.config.handle,
            connection,
            participant,
            tracks,
            data_tracks,
        })
    }

    /// Takes a participant in that was in another room on the same Shard.
    pub(crate) fn arrive(&mut self, traveller: Traveller) {
        let Traveller {
            from,
            connection,
            mut participant,
            tracks,
            data_tracks,
        } = traveller;
        if let Some(&older) = self.by_identity.get(participant.identity()) {
            self.remove(
                older,
                proto::DisconnectReason::DuplicateIdentity,
                Farewell::Leave(proto::leave_request::Action::Disconnect),
                false,
            );
        }
        let (id, shard) = (participant.id, participant.shard);
        // What it said about others concerned those of the other room.
        participant.interest = Interest::default();
        participant.denied.clear();
        participant.refused.clear();
        participant.short.clear();
        participant.track_settings.clear();
        participant.untold_quality.clear();
        participant.data.forget_others();
        participant.resume_fault = ResumeFault::None;
        participant.last_negotiation = None;
        participant.joined_at_unix_ms = self.unix_ms();
        participant.version += 1;
        self.restored.remove(participant.identity());
        self.by_identity.insert(participant.identity().clone(), id);
        self.by_connection.insert(connection, id);
        for transport in participant.peer.transports() {
            self.by_transport.insert(transport, id);
            self.command(shard, ShardCommand::AdoptTransport { from, transport });
        }
        let waits_for_answer = matches!(
            &participant.peer,
            Peer::Dual { subscriber: Some(leg), .. } if leg.negotiation.open_offer().is_some()
        );
        self.snapshot_dirty |= participant.overrides != ParticipantOverrides::default();
        self.data_dirty = true;
        self.participants.insert(id, participant);
        let own: Vec<_> = tracks.iter().map(|(track, _)| *track).collect();
        for (track, published) in tracks {
            self.bring_track(track, published);
        }
        self.bring_data_tracks(id, data_tracks);
        self.note_presence(id);
        self.start_quality();
        if waits_for_answer {
            self.expect_answer(id);
        }
        self.welcome_moved(id, connection);
        self.participant_changed(id);
        self.room_counts_changed();
        for track in own {
            self.reconcile_track(track);
        }
        self.reconcile_data_of_publisher(id);
        self.reconcile_subscriber(id);
        self.reconcile_data_of_subscriber(id);
        self.match_by_cid(id);
        // Sections that nothing is in any more must be said to be so.
        self.schedule_negotiation(id);
    }

    /// The client's first message from its new room.
    fn welcome_moved(&mut self, id: ParticipantId, connection: ConnectionId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let moved = proto::RoomMovedResponse {
            room: Some(self.info()),
            token: String::new(),
            participant: Some(self.participant_info(participant)),
            other_participants: self.others(id),
        };
        let (sid, identity) = (participant.sid.clone(), participant.identity().clone());
        let grants = Box::new(participant.grants.clone());
        self.push(RoomOutput::Arrived {
            connection,
            grants,
            moved: Box::new(moved),
        });
        self.renew_token_later(id);
        self.push(RoomOutput::ParticipantActive { sid, identity });
    }
}

/// `room_moved` with its token, which only the server can sign.
#[must_use]
pub fn room_moved(mut moved: proto::RoomMovedResponse, token: String) -> Message {
    moved.token = token;
    Message::RoomMoved(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_would_not_notice_are_told_to_start_over() {
        let client = |sdk: Sdk, protocol| proto::ClientInfo {
            sdk: sdk as i32,
            protocol,
            ..Default::default()
        };
        assert!(knows_room_moved(&client(Sdk::Js, 17)));
        assert!(knows_room_moved(&client(Sdk::Python, 18)));
        assert!(!knows_room_moved(&client(Sdk::Js, 15)));
        assert!(!knows_room_moved(&client(Sdk::Android, 13)));
        assert!(!knows_room_moved(&client(Sdk::Swift, 16)));
    }
}

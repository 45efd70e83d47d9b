//! A client that lost its signal connection goes on with its session. Media is not touched.

use std::collections::BTreeMap;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_types::{ParticipantId, ShardCommand};

use crate::{
    ConnectionId, Join, Room, RoomOutput, SessionMode,
    participant::{Participant, Peer, Phase, ResumeFault},
    timers::TimerKind,
    updates::updates,
};

impl Room {
    pub(crate) fn resume(&mut self, join: Join) {
        let Some(id) = self.resumable(&join) else {
            self.turn_away(join.connection);
            return;
        };
        let fault = self.attach(id, join.connection);
        self.resumes_for(id, join.resume.as_ref().map_or(0, |resume| resume.reason));
        if fault == ResumeFault::BeforeMessages {
            return self.close_connection(id);
        }
        self.send_reconnect(id);
        if fault == ResumeFault::AfterMessages {
            return self.close_connection(id);
        }
        self.forget_lost_negotiation(id);
        self.repeat_data_handles(id);
        self.after_join(id, join);
        self.repeat_demand(id);
        self.schedule_negotiation(id);
    }

    /// The session that a client may go on with: its own, in the same mode, with media that has worked and still may.
    fn resumable(&self, join: &Join) -> Option<ParticipantId> {
        let resume = join.resume.as_ref()?;
        let id = *self.by_identity.get(&join.grants.identity)?;
        let participant = self.participants.get(&id)?;
        let same_mode = match participant.peer {
            Peer::Single(_) => join.mode == SessionMode::Single,
            Peer::Dual { .. } => join.mode == SessionMode::Dual,
        };
        (participant.sid == resume.sid
            && same_mode
            && matches!(participant.phase, Phase::Active(_) | Phase::Away))
        .then_some(id)
    }

    /// Puts the session on its new connection; an old one that still stands is closed.
    fn attach(&mut self, id: ParticipantId, connection: ConnectionId) -> ResumeFault {
        let now = self.now;
        let mut publishers = self.publishers_for(id);
        publishers.insert(id);
        let Some(participant) = self.participants.get_mut(&id) else {
            return ResumeFault::None;
        };
        tracing::info!(
            participant = %participant.identity(),
            participant_sid = %participant.sid,
            "participant resumed"
        );
        let old = participant.connection();
        if old.is_some() {
            participant.away_since = now;
        }
        participant.phase = Phase::Active(connection);
        participant.untold_quality = publishers;
        let fault = std::mem::take(&mut participant.resume_fault);
        if let Some(old) = old {
            self.by_connection.remove(&old);
            self.push(RoomOutput::Close {
                connection: old,
                reason: "resumed on another connection",
            });
        }
        self.by_connection.insert(connection, id);
        self.timers.clear(TimerKind::Away(id));
        self.timers.clear(TimerKind::Answer(id));
        self.timers.clear(TimerKind::Lost(id));
        fault
    }

    fn send_reconnect(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let response = proto::ReconnectResponse {
            ice_servers: self.config.ice_servers.clone(),
            client_configuration: Some(proto::ClientConfiguration::default()),
            server_info: Some(self.server_info()),
            last_message_seq: participant.last_data_sequence,
        };
        let mut infos = self.departed_since(participant.away_since);
        infos.push(self.participant_info(participant));
        infos.extend(self.others(id));
        let room = self.info();
        self.send(id, Message::Reconnect(response));
        for message in updates(infos) {
            self.send(id, message);
        }
        self.send(
            id,
            Message::RoomUpdate(proto::RoomUpdate { room: Some(room) }),
        );
        self.refresh_token(id);
    }

    fn close_connection(&mut self, id: ParticipantId) {
        if let Some(connection) = self.participants.get(&id).and_then(Participant::connection) {
            self.push(RoomOutput::Close {
                connection,
                reason: "simulated",
            });
            self.connection_closed(connection);
        }
    }

    /// What was asked of the client, or its answer, may have gone with the old connection. A dual-mode client expects an
    /// offer that restarts ICE; a single-mode client makes one by itself.
    fn forget_lost_negotiation(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        match &mut participant.peer {
            Peer::Single(leg) => leg.negotiation.forget_requirement(),
            Peer::Dual {
                subscriber: Some(leg),
                ..
            } => {
                leg.negotiation.give_up_open_offer();
                leg.negotiation.restart_ice();
            }
            Peer::Dual { .. } => {}
        }
    }

    /// What a resuming client believes.
    pub(crate) fn sync_state(&mut self, id: ParticipantId, state: &proto::SyncState) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let is_known = |published: &proto::TrackPublishedResponse| {
            let sid = published.track.as_ref().map_or("", |t| t.sid.as_str());
            participant.pending.iter().any(|p| p.info.sid == sid)
                || participant
                    .tracks
                    .values()
                    .filter_map(|track| self.tracks.get(track))
                    .any(|track| track.sid.as_str() == sid)
        };
        let is_known_data = |published: &proto::PublishDataTrackResponse| {
            published.info.as_ref().is_some_and(|info| {
                let mut mine = participant.data.published.values();
                mine.any(|sid| sid.as_str() == info.sid)
            })
        };
        if !state.publish_tracks.iter().all(is_known)
            || !state.publish_data_tracks.iter().all(is_known_data)
        {
            self.lose(id, proto::DisconnectReason::StateMismatch);
            return;
        }
        if let Some(subscription) = &state.subscription {
            self.update_subscription(id, subscription);
        }
        if let Some(subscription) = &state.data_subscription {
            self.update_data_subscription(id, subscription);
        }
        for sid in &state.track_sids_disabled {
            self.disable_track(id, &sid.as_str().into());
        }
        // The Shard looks each entry up on its media thread: whoever isn't there has nothing to replay.
        let mut claimed: BTreeMap<&str, u32> = BTreeMap::new();
        for received in &state.datachannel_receive_states {
            claimed
                .entry(received.publisher_sid.as_str())
                .or_insert(received.last_seq);
        }
        let have: Vec<_> = self
            .participants
            .values()
            .filter(|other| other.id != id)
            .filter_map(|other| {
                let last = claimed.get(other.sid.as_str())?;
                Some((other.sid.clone(), *last))
            })
            .collect();
        if let Some(shard) = self.participants.get(&id).map(|p| p.shard)
            && !have.is_empty()
        {
            self.command(
                shard,
                ShardCommand::ReplayData {
                    participant: id,
                    have,
                },
            );
        }
    }
}

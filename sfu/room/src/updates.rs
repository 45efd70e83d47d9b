//! What clients are told about participants.
//!
//! An update carries a participant whole. Publishers' changes go out at once, since tracks depend on them; changes of those
//! who only listen are gathered in large rooms, where a thousand joins would else be a million messages.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_types::{ParticipantId, Timestamp};
use prost::Message as _;

use crate::{Room, SignalMessage, participant::Participant};

/// Rooms up to this size tell everything at once: 32 x 32 messages at most.
const SMALL_ROOM: usize = 32;
/// How long changes of listeners are gathered in larger rooms; the reference's interval.
const GATHER: Duration = Duration::from_secs(3);
/// Bytes of one update, well below what any client or proxy refuses.
const CHUNK_BYTES: usize = 64 * 1024;
/// How many departures are kept for those who resume; a resume that missed more sees the rest by their absence.
const MAX_DEPARTED: usize = 1000;

impl Room {
    /// As the protocol describes it.
    pub(crate) fn participant_info(&self, participant: &Participant) -> proto::ParticipantInfo {
        let tracks = participant
            .tracks
            .values()
            .filter_map(|track| self.tracks.get(track))
            .map(|track| track.info.clone())
            .collect();
        proto::ParticipantInfo {
            sid: participant.sid.to_string(),
            identity: participant.identity().to_string(),
            state: participant.state() as i32,
            tracks,
            metadata: participant.grants.metadata.clone(),
            joined_at: participant.joined_at_unix_ms / 1000,
            joined_at_ms: participant.joined_at_unix_ms,
            name: participant.grants.name.clone(),
            version: participant.version,
            permission: Some(participant.grants.permissions.to_proto()),
            region: self.config.server.region.clone(),
            is_publisher: !participant.tracks.is_empty(),
            kind: participant.grants.kind.to_proto() as i32,
            attributes: participant
                .grants
                .attributes
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            disconnect_reason: proto::DisconnectReason::UnknownReason as i32,
            kind_details: participant.grants.kind_details.clone(),
            data_tracks: Vec::new(),
            client_protocol: participant.client.client_protocol,
            capabilities: participant.client.capabilities.clone(),
        }
    }

    /// All that `viewer` may see, itself left out.
    pub(crate) fn others(&self, viewer: ParticipantId) -> Vec<proto::ParticipantInfo> {
        self.participants
            .values()
            .filter(|other| other.id != viewer && !other.hidden())
            .map(|other| self.participant_info(other))
            .collect()
    }

    /// Something in a participant's info changed: it and all who may see it are told.
    pub(crate) fn participant_changed(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        participant.version += 1;
        let hidden = participant.hidden();
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let info = self.participant_info(participant);
        let publishes = info.is_publisher;
        if hidden || (!publishes && self.participants.len() > SMALL_ROOM) {
            self.send(id, update(vec![info.clone()]));
            if !hidden {
                self.gather(id, info);
            }
            return;
        }
        // An older state that still waits must not follow this one.
        self.gathered.remove(&id);
        let message = SignalMessage::new(update(vec![info]));
        self.send_to_all_but(None, &message);
    }

    /// A participant is gone; `info` is its last state. It is no longer among the participants.
    pub(crate) fn participant_gone(
        &mut self,
        id: ParticipantId,
        mut info: proto::ParticipantInfo,
        reason: proto::DisconnectReason,
    ) {
        let publishes = info.is_publisher;
        info.version += 1;
        info.state = proto::participant_info::State::Disconnected as i32;
        info.disconnect_reason = reason as i32;
        info.tracks.clear();
        self.departed.push_back((self.now, info.clone()));
        if self.departed.len() > MAX_DEPARTED {
            self.departed.pop_front();
        }
        if !publishes && self.participants.len() > SMALL_ROOM {
            self.gather(id, info);
            return;
        }
        self.gathered.remove(&id);
        let message = SignalMessage::new(update(vec![info]));
        self.send_to_all_but(None, &message);
    }

    /// Tells everyone but the participant itself that it is gone; it goes on without being seen.
    pub(crate) fn participant_vanished(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let mut info = self.participant_info(participant);
        info.state = proto::participant_info::State::Disconnected as i32;
        info.tracks.clear();
        self.gathered.remove(&id);
        let message = SignalMessage::new(update(vec![info]));
        self.send_to_all_but(Some(id), &message);
    }

    fn gather(&mut self, id: ParticipantId, info: proto::ParticipantInfo) {
        use crate::timers::TimerKind;
        self.gathered.insert(id, info);
        self.timers
            .set_if_unset(TimerKind::Updates, self.now + GATHER);
    }

    /// In the order of joining: who left under an identity comes before who joined under it.
    pub(crate) fn send_gathered(&mut self) {
        let infos = std::mem::take(&mut self.gathered).into_values().collect();
        for message in updates(infos) {
            self.send_to_all_but(None, &SignalMessage::new(message));
        }
    }

    pub(crate) fn send_to_all_but(
        &mut self,
        but: Option<ParticipantId>,
        message: &Arc<SignalMessage>,
    ) {
        let receivers: Vec<_> = self
            .participants
            .keys()
            .copied()
            .filter(|id| Some(*id) != but)
            .collect();
        for id in receivers {
            self.send_shared(id, message);
        }
    }

    /// Who left since `since` and has not come back under the same identity.
    pub(crate) fn departed_since(&self, since: Timestamp) -> Vec<proto::ParticipantInfo> {
        self.departed
            .iter()
            .filter(|(at, info)| {
                *at >= since && !self.by_identity.contains_key(info.identity.as_str())
            })
            .map(|(_, info)| info.clone())
            .collect()
    }
}

fn update(participants: Vec<proto::ParticipantInfo>) -> Message {
    Message::Update(proto::ParticipantUpdate { participants })
}

/// Updates of bounded size.
pub(crate) fn updates(infos: Vec<proto::ParticipantInfo>) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut chunk = Vec::new();
    let mut bytes = 0;
    for info in infos {
        let size = info.encoded_len();
        if !chunk.is_empty() && bytes + size > CHUNK_BYTES {
            messages.push(update(std::mem::take(&mut chunk)));
            bytes = 0;
        }
        bytes += size;
        chunk.push(info);
    }
    if !chunk.is_empty() {
        messages.push(update(chunk));
    }
    messages
}

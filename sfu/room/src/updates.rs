//! What clients are told about participants.
//!
//! An update carries a participant whole. Publishers' changes go out at once, since tracks depend on them; changes of those
//! who only listen are gathered in large rooms, where a thousand joins would else be a million messages.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_types::{ParticipantId, Timestamp};
use prost::Message as _;

use crate::{Room, SignalMessage, pace::Rate, participant::Participant, timers::TimerKind};

/// Rooms up to this size tell everything at once: 32 x 32 messages at most.
const SMALL_ROOM: usize = 32;
/// How long changes of listeners are gathered in larger rooms; the reference's interval.
const GATHER: Duration = Duration::from_secs(3);
/// What one participant's changes may cost each of the others: a large one now and then, or a hundred small ones at once.
/// Ten times the pace of one who types. What is beyond waits, and only the last state is told.
pub(crate) const PARTICIPANT_RATE: Rate = Rate {
    burst_bytes: 256 * 1024,
    bytes_per_second: 64 * 1024,
};
/// What all large changes together may cost each participant: with the largest change on top (512 KiB of metadata) less
/// than what may wait for a client before its connection is cut, and 2 Mbit/s.
pub(crate) const ROOM_RATE: Rate = Rate {
    burst_bytes: 256 * 1024,
    bytes_per_second: 256 * 1024,
};
/// An update of this size and below is small: a few tracks and a name. Only its participant's rate holds it.
const SMALL_UPDATE_BYTES: usize = 4 * 1024;
/// How long changes of a participant are gathered that changes faster than its rate. Clients look for the participant and
/// track of a new section for 3 s, and wait 5 s for a change that they made themselves.
const GATHER_FAST: Duration = Duration::from_secs(1);
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
        let data_tracks: Vec<_> = participant
            .data
            .published
            .values()
            .filter_map(|sid| self.data_tracks.get(sid))
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
            is_publisher: !participant.tracks.is_empty() || !data_tracks.is_empty(),
            kind: participant.grants.kind.to_proto() as i32,
            attributes: participant
                .grants
                .attributes
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            disconnect_reason: proto::DisconnectReason::UnknownReason as i32,
            kind_details: participant.grants.kind_details.clone(),
            data_tracks,
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
        let is_listener = !info.is_publisher && self.participants.len() > SMALL_ROOM;
        if hidden || is_listener || !self.may_tell(id, info.encoded_len()) {
            // It may wait for this itself.
            self.send(id, update(vec![info.clone()]));
            if !hidden {
                self.gather(id, info, if is_listener { GATHER } else { GATHER_FAST });
            }
            return;
        }
        // An older state that still waits must not follow this one.
        self.forget_gathered(id);
        let message = SignalMessage::new(update(vec![info]));
        self.send_to_all_but(None, &message);
    }

    /// Whether a change of so many bytes may go to everyone now.
    fn may_tell(&mut self, id: ParticipantId, bytes: usize) -> bool {
        let now = self.now;
        self.participants
            .get_mut(&id)
            .is_some_and(|participant| participant.pace.take(now, bytes))
            && (bytes <= SMALL_UPDATE_BYTES || self.pace.take(now, bytes))
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
        info.data_tracks.clear();
        if info.encoded_len() > SMALL_UPDATE_BYTES {
            // Whoever hears that it is gone knows them.
            info.metadata.clear();
            info.attributes.clear();
        }
        self.departed.push_back((self.now, info.clone()));
        if self.departed.len() > MAX_DEPARTED {
            self.departed.pop_front();
        }
        if !publishes && self.participants.len() > SMALL_ROOM {
            self.gather(id, info, GATHER);
            return;
        }
        self.forget_gathered(id);
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
        info.data_tracks.clear();
        self.forget_gathered(id);
        let message = SignalMessage::new(update(vec![info]));
        self.send_to_all_but(Some(id), &message);
    }

    fn gather(&mut self, id: ParticipantId, info: proto::ParticipantInfo, wait: Duration) {
        match self.gathered.iter_mut().find(|(other, _)| *other == id) {
            Some((_, waiting)) => *waiting = info,
            None => self.gathered.push_back((id, info)),
        }
        self.timers
            .set_if_unset(TimerKind::Updates, self.now + wait);
    }

    pub(crate) fn forget_gathered(&mut self, id: ParticipantId) {
        self.gathered.retain(|(other, _)| *other != id);
    }

    /// In the order of their first change: who left under an identity comes before who joined under it.
    pub(crate) fn send_gathered(&mut self) {
        let now = self.now;
        let mut infos = Vec::new();
        while let Some((id, info)) = self.gathered.pop_front() {
            let bytes = info.encoded_len();
            if !self.pace.take(now, bytes) {
                self.gathered.push_front((id, info));
                self.timers.set(TimerKind::Updates, now + self.pace.wait());
                break;
            }
            if let Some(participant) = self.participants.get_mut(&id) {
                participant.pace.take(now, bytes);
            }
            infos.push(info);
        }
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

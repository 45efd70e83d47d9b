//! Data messages. Shards route them; the room says who may send and who is there, and sends those of the server API.

use std::collections::VecDeque;

use livekit_protocol as proto;
use plenum_types::{DataAudience, DataChannel, DataParticipant, DataPolicy, ShardCommand};
use prost::Message as _;

use crate::{ApiError, ApiErrorCode, ParticipantKind, Room, participant::Participant};

/// The protocol that we say we speak. From 18 on clients expect data channels with fixed numbers instead of announced ones.
pub const SERVER_PROTOCOL: i32 = 17;
/// How many calls are remembered to recognise one that is tried again.
const NONCES: usize = 256;
/// Bytes of a nonce that count.
const NONCE_BYTES: usize = 16;

/// Nonces of the latest SendData calls.
#[derive(Debug, Default)]
pub(crate) struct Nonces(VecDeque<[u8; NONCE_BYTES]>);

impl Nonces {
    /// Whether this one is new; nonces of another length are always new.
    fn is_new(&mut self, nonce: &[u8]) -> bool {
        let Ok(nonce) = <[u8; NONCE_BYTES]>::try_from(nonce) else {
            return true;
        };
        if self.0.contains(&nonce) {
            return false;
        }
        if self.0.len() >= NONCES {
            self.0.pop_front();
        }
        self.0.push_back(nonce);
        true
    }
}

impl Room {
    /// Pushes the policy to all Shards, if it has changed.
    pub(crate) fn push_data_policy(&mut self) {
        if !std::mem::take(&mut self.data_dirty) {
            return;
        }
        self.data_version += 1;
        let policy = DataPolicy {
            version: self.data_version,
            participants: self
                .participants
                .values()
                .filter(|p| !p.is_lost())
                .map(data_participant)
                .collect(),
        };
        let shards: Vec<_> = self.shards.iter().copied().collect();
        for shard in shards {
            self.command(shard, ShardCommand::SetDataPolicy(policy.clone()));
        }
    }

    /// A message of no participant (server API).
    ///
    /// # Errors
    /// It is too large.
    pub(crate) fn send_data(&mut self, request: proto::SendDataRequest) -> Result<(), ApiError> {
        let limit = self.config.limits.data_bytes;
        if request.data.len() > limit {
            return Err(ApiError {
                code: ApiErrorCode::InvalidArgument,
                message: format!(
                    "data has {} bytes; a message takes at most {limit}",
                    request.data.len()
                ),
            });
        }
        if !self.nonces.is_new(&request.nonce) {
            return Ok(());
        }
        // The audience speaks in ids of participants that the Shard must know.
        self.push_data_policy();
        let channel = match proto::data_packet::Kind::try_from(request.kind) {
            Ok(proto::data_packet::Kind::Lossy) => DataChannel::Lossy,
            Ok(proto::data_packet::Kind::Reliable) | Err(_) => DataChannel::Reliable,
        };
        let audience = self.audience(&request);
        let packet = server_packet(request).encode_to_vec();
        let shards: Vec<_> = self.shards.iter().copied().collect();
        for shard in shards {
            self.command(
                shard,
                ShardCommand::SendData {
                    audience: audience.clone(),
                    channel,
                    packet: packet.clone(),
                },
            );
        }
        Ok(())
    }

    #[allow(deprecated)] // destination_sids: old server SDKs write it
    fn audience(&self, request: &proto::SendDataRequest) -> DataAudience {
        if request.destination_identities.is_empty() && request.destination_sids.is_empty() {
            return DataAudience::Everyone;
        }
        let named = self
            .participants
            .values()
            .filter(|p| {
                request
                    .destination_identities
                    .iter()
                    .any(|identity| identity == p.identity().as_str())
                    || request
                        .destination_sids
                        .iter()
                        .any(|sid| sid == p.sid.as_str())
            })
            .map(|p| p.id)
            .collect();
        DataAudience::Only(named)
    }
}

fn data_participant(participant: &Participant) -> DataParticipant {
    let permissions = &participant.grants.permissions;
    DataParticipant {
        participant: participant.id,
        identity: participant.identity().clone(),
        sid: participant.sid.clone(),
        downlink: participant.peer.data_downlink(),
        hidden: permissions.hidden,
        can_publish_data: permissions.can_publish_data,
        can_subscribe_metrics: permissions.can_subscribe_metrics,
        agent: permissions.agent
            || matches!(
                participant.grants.kind,
                ParticipantKind::Agent | ParticipantKind::Sip
            ),
    }
}

#[allow(deprecated)] // fields that old clients read
fn server_packet(request: proto::SendDataRequest) -> proto::DataPacket {
    proto::DataPacket {
        kind: request.kind,
        participant_identity: String::new(),
        destination_identities: request.destination_identities.clone(),
        sequence: 0,
        participant_sid: String::new(),
        value: Some(proto::data_packet::Value::User(proto::UserPacket {
            participant_sid: String::new(),
            participant_identity: String::new(),
            payload: request.data,
            destination_sids: request.destination_sids,
            destination_identities: request.destination_identities,
            topic: request.topic,
            id: None,
            start_time: None,
            end_time: None,
            nonce: request.nonce,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_nonces_are_remembered_and_the_oldest_forgotten() {
        let mut nonces = Nonces::default();
        let nonce = |number: u128| number.to_be_bytes();
        for number in 0..=NONCES as u128 {
            assert!(nonces.is_new(&nonce(number)));
        }
        assert_eq!(nonces.0.len(), NONCES);
        assert!(!nonces.is_new(&nonce(1)));
        assert!(nonces.is_new(&nonce(0)));
        // What is no nonce is never remembered.
        assert!(nonces.is_new(b"short") && nonces.is_new(b"short"));
    }
}

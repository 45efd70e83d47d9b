//! Messages of the protocol where only text goes: in JSON between members, and in snapshots of rooms.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use livekit_protocol as proto;
use prost::Message;

/// A message as text.
pub(super) fn encode(message: &impl Message) -> String {
    STANDARD.encode(message.encode_to_vec())
}

/// The message of a text; `None` if it is none.
pub(super) fn decode<M: Message + Default>(text: &str) -> Option<M> {
    let bytes = STANDARD.decode(text).ok()?;
    M::decode(bytes.as_slice()).ok()
}

/// A job without what its room and its dispatch say anyway.
pub(super) fn trimmed(job: &proto::Job) -> proto::Job {
    let participant = job.participant.as_ref();
    proto::Job {
        id: job.id.clone(),
        dispatch_id: job.dispatch_id.clone(),
        r#type: job.r#type,
        participant: participant.map(|participant| proto::ParticipantInfo {
            identity: participant.identity.clone(),
            ..Default::default()
        }),
        state: job.state.clone(),
        ..Default::default()
    }
}

/// A job as the member of its worker needs it while it runs.
pub(super) fn running(job: &proto::Job) -> proto::Job {
    let room = job.room.as_ref();
    proto::Job {
        room: room.map(|room| proto::Room {
            name: room.name.clone(),
            ..Default::default()
        }),
        agent_name: job.agent_name.clone(),
        deployment: job.deployment.clone(),
        ..trimmed(job)
    }
}

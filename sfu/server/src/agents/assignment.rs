//! What an agent gets: a job, and a token for its room.

use livekit_protocol::{self as proto, server_message};

use super::{
    dispatch::Moment,
    driver::{Agents, State},
    ids::WorkerId,
};
use crate::auth::{Claims, ParticipantKind, TrackSourceName, VideoGrant};

/// An agent's token is used at once; as long as the reference's.
const TOKEN_TTL_SECONDS: u64 = 3600;
/// The attribute by which clients know an agent.
const NAME_ATTRIBUTE: &str = "lk.agent_name";
/// What this server speaks with workers.
const AGENT_PROTOCOL: i32 = 1;

impl Agents {
    pub(super) fn assign(
        &self,
        state: &mut State,
        at: Moment,
        worker: &WorkerId,
        job: proto::Job,
        answer: proto::AvailabilityResponse,
        permissions: &proto::ParticipantPermission,
    ) {
        let Some(socket) = state.sockets.get(worker) else {
            return;
        };
        let mut attributes = answer.participant_attributes;
        attributes.insert(NAME_ATTRIBUTE.to_owned(), job.agent_name.clone());
        let room = job.room.as_ref().map(|room| room.name.as_str());
        let now = u64::try_from(at.wall_ns / 1_000_000_000).unwrap_or(0);
        let claims = Claims {
            iss: socket.key.clone(),
            sub: answer.participant_identity,
            name: answer.participant_name,
            nbf: Some(now),
            exp: now.saturating_add(TOKEN_TTL_SECONDS),
            kind: ParticipantKind::Agent,
            metadata: answer.participant_metadata,
            attributes: attributes.into_iter().collect(),
            video: grant(room.unwrap_or_default(), permissions),
            ..Claims::default()
        };
        match self.config.keys.sign(&claims) {
            Ok(token) => {
                tracing::info!(room, job = job.id, %worker, agent = claims.sub, "job assigned");
                let assignment = proto::JobAssignment {
                    job: Some(job),
                    url: None,
                    token,
                };
                let assignment = server_message::Message::Assignment(assignment);
                self.send(state, at, worker, assignment);
            }
            // The key of its token is gone: the worker comes back with another one.
            Err(error) => {
                tracing::warn!(%worker, %error, "no token for an agent");
                self.close(state, at, worker.clone(), "its API key is unknown here");
            }
        }
    }

    pub(super) fn server_info(&self) -> proto::ServerInfo {
        let server = &self.config.server;
        proto::ServerInfo {
            edition: proto::server_info::Edition::Standard as i32,
            version: server.version.clone(),
            protocol: plenum_room::SERVER_PROTOCOL,
            region: server.region.clone(),
            node_id: server.node_id.clone(),
            debug_info: String::new(),
            agent_protocol: AGENT_PROTOCOL,
        }
    }
}

/// What an agent's token allows: no more than its worker registered with.
fn grant(room: &str, permissions: &proto::ParticipantPermission) -> VideoGrant {
    VideoGrant {
        room_join: true,
        room: room.to_owned(),
        agent: true,
        can_publish: Some(permissions.can_publish),
        can_subscribe: Some(permissions.can_subscribe),
        can_publish_data: Some(permissions.can_publish_data),
        can_publish_sources: permissions
            .can_publish_sources()
            .map(|source| match source {
                proto::TrackSource::Camera => TrackSourceName::Camera,
                proto::TrackSource::Microphone => TrackSourceName::Microphone,
                proto::TrackSource::ScreenShare => TrackSourceName::ScreenShare,
                proto::TrackSource::ScreenShareAudio => TrackSourceName::ScreenShareAudio,
                proto::TrackSource::Unknown => TrackSourceName::Unknown,
            })
            .collect(),
        can_update_own_metadata: Some(permissions.can_update_metadata),
        hidden: permissions.hidden,
        can_subscribe_metrics: Some(permissions.can_subscribe_metrics),
        can_manage_agent_session: Some(permissions.can_manage_agent_session),
        ..VideoGrant::default()
    }
}

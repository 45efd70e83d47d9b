//! What a client brings and what its token grants, in the room's words, and the way back into a token.

use livekit_protocol as proto;
use plenum_room::{
    ConnectionId, ConnectionSettings, Grants, Join, ParticipantKind, Permissions, Resume,
    SessionMode,
};
use plenum_types::{Candidate, RoomName, ShardId};

use crate::{
    auth::{self, Claims, TrackSourceName},
    signal::{JoinContext, SignalVersion},
};

/// What the room hears of a client.
pub(super) fn join_of(
    context: &JoinContext,
    connection: ConnectionId,
    shard: ShardId,
    candidates: Vec<Candidate>,
) -> Join {
    let request = context.request.clone();
    let settings = request.connection_settings.unwrap_or_default();
    Join {
        connection,
        grants: grants_of(&context.claims),
        token_not_before: context
            .claims
            .nbf
            .map_or(0, |second| i64::try_from(second).unwrap_or(i64::MAX)),
        client: request.client_info.unwrap_or_default(),
        settings: ConnectionSettings {
            auto_subscribe: settings.auto_subscribe,
            adaptive_stream: settings.adaptive_stream,
            allow_pause: settings
                .subscriber_allow_pause
                .unwrap_or(ConnectionSettings::default().allow_pause),
            auto_subscribe_data_track: settings.auto_subscribe_data_track.unwrap_or(false),
        },
        mode: match context.version {
            SignalVersion::V0 => SessionMode::Dual,
            SignalVersion::V1 => SessionMode::Single,
        },
        metadata: request.metadata,
        attributes: request.participant_attributes,
        add_track_requests: request.add_track_requests,
        publisher_offer: request.publisher_offer,
        sync_state: request.sync_state.map(Box::new),
        resume: request.reconnect.then(|| Resume {
            sid: request.participant_sid.into(),
            reason: request.reconnect_reason,
        }),
        shard,
        candidates,
    }
}

/// What a token grants, in the room's words.
fn grants_of(claims: &Claims) -> Grants {
    let video = &claims.video;
    Grants {
        identity: claims.sub.as_str().into(),
        name: claims.name.clone(),
        metadata: claims.metadata.clone(),
        attributes: claims.attributes.clone(),
        kind: match claims.kind {
            auth::ParticipantKind::Standard => ParticipantKind::Standard,
            auth::ParticipantKind::Ingress => ParticipantKind::Ingress,
            auth::ParticipantKind::Egress => ParticipantKind::Egress,
            auth::ParticipantKind::Sip => ParticipantKind::Sip,
            auth::ParticipantKind::Agent => ParticipantKind::Agent,
            auth::ParticipantKind::Connector => ParticipantKind::Connector,
            auth::ParticipantKind::Bridge => ParticipantKind::Bridge,
        },
        kind_details: claims
            .kind_details
            .iter()
            .filter_map(|name| {
                proto::participant_info::KindDetail::from_str_name(&name.to_ascii_uppercase())
            })
            .map(|detail| detail as i32)
            .collect(),
        permissions: Permissions {
            can_subscribe: video.can_subscribe.unwrap_or(true),
            can_publish: video.can_publish.unwrap_or(true),
            can_publish_data: video.can_publish_data.unwrap_or(true),
            can_publish_sources: video
                .can_publish_sources
                .iter()
                .map(|source| match source {
                    TrackSourceName::Camera => proto::TrackSource::Camera,
                    TrackSourceName::Microphone => proto::TrackSource::Microphone,
                    TrackSourceName::ScreenShare => proto::TrackSource::ScreenShare,
                    TrackSourceName::ScreenShareAudio => proto::TrackSource::ScreenShareAudio,
                    TrackSourceName::Unknown => proto::TrackSource::Unknown,
                })
                .collect(),
            hidden: video.hidden,
            recorder: video.recorder,
            can_update_metadata: video.can_update_own_metadata.unwrap_or(false),
            agent: video.agent || claims.kind == auth::ParticipantKind::Agent,
            can_subscribe_metrics: video.can_subscribe_metrics.unwrap_or(false),
            can_manage_agent_session: video.can_manage_agent_session.unwrap_or(false),
        },
    }
}

/// A token that says what a participant is granted now, on top of the one that it came with. It counts from the same moment on,
/// so that whoever revokes the one revokes the other.
pub(super) fn claims_of(base: &Claims, grants: &Grants, room: &RoomName) -> Claims {
    let permissions = &grants.permissions;
    let mut claims = base.clone();
    claims.sub = grants.identity.as_str().to_owned();
    claims.name.clone_from(&grants.name);
    claims.metadata.clone_from(&grants.metadata);
    claims.attributes.clone_from(&grants.attributes);
    let video = &mut claims.video;
    video.room_join = true;
    video.room = room.as_str().to_owned();
    video.can_subscribe = Some(permissions.can_subscribe);
    video.can_publish = Some(permissions.can_publish);
    video.can_publish_data = Some(permissions.can_publish_data);
    video.can_publish_sources = permissions
        .can_publish_sources
        .iter()
        .map(|source| match source {
            proto::TrackSource::Camera => TrackSourceName::Camera,
            proto::TrackSource::Microphone => TrackSourceName::Microphone,
            proto::TrackSource::ScreenShare => TrackSourceName::ScreenShare,
            proto::TrackSource::ScreenShareAudio => TrackSourceName::ScreenShareAudio,
            proto::TrackSource::Unknown => TrackSourceName::Unknown,
        })
        .collect();
    video.hidden = permissions.hidden;
    video.recorder = permissions.recorder;
    video.agent = permissions.agent;
    video.can_update_own_metadata = Some(permissions.can_update_metadata);
    video.can_subscribe_metrics = Some(permissions.can_subscribe_metrics);
    video.can_manage_agent_session = Some(permissions.can_manage_agent_session);
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::VideoGrant;

    /// covers: grant.canPublish, grant.canSubscribe, grant.canPublishData
    #[test]
    fn absent_grants_mean_yes_and_a_refreshed_token_keeps_what_was_taken_away() {
        let claims = Claims {
            sub: "ada".to_owned(),
            nbf: Some(9),
            video: VideoGrant::join("lobby"),
            ..Claims::default()
        };
        let mut grants = grants_of(&claims);
        assert!(grants.permissions.can_publish && !grants.permissions.can_update_metadata);
        grants.permissions.can_publish = false;
        grants.name = "Ada".to_owned();
        let refreshed = claims_of(&claims, &grants, &"lobby".into());
        assert_eq!(grants_of(&refreshed), grants);
        // Whoever revokes the first one revokes this one too.
        assert_eq!(refreshed.nbf, claims.nbf);
    }

    /// covers: grant.roomRecord, grant.ingressAdmin, grant.canManageAgentSession
    #[test]
    fn what_is_for_other_services_stays_in_a_refreshed_token() {
        let json = serde_json::json!({
            "sub": "ada",
            "video": {
                "roomJoin": true, "room": "lobby", "roomRecord": true, "ingressAdmin": true, "canManageAgentSession": true,
            },
            "agent": {"admin": true}, "sip": {"call": true}, "inference": {"perform": true},
        });
        let claims: Claims = serde_json::from_value(json).unwrap();
        let refreshed = claims_of(&claims, &grants_of(&claims), &"lobby".into());
        let said = serde_json::to_value(&refreshed).unwrap();
        for grant in ["roomRecord", "ingressAdmin", "canManageAgentSession"] {
            assert_eq!(said["video"][grant], true, "{grant}");
        }
        assert!(!grants_of(&claims).permissions.recorder);
    }

    #[test]
    fn an_unknown_source_allows_nothing_more() {
        let mut claims = Claims::default();
        claims.video.can_publish_sources = vec![TrackSourceName::Unknown];
        let permissions = grants_of(&claims).permissions;
        assert!(!permissions.may_publish(proto::TrackSource::Camera));
    }
}

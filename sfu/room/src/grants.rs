//! What a participant's token says and allows.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use plenum_types::ParticipantIdentity;
use serde::{Deserialize, Serialize};

/// What a checked token says about a participant. The server made sure that it names this room and may join it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// Who it is.
    pub identity: ParticipantIdentity,
    /// Name to show.
    pub name: String,
    /// Free text of the application.
    pub metadata: String,
    /// Free texts of the application by key.
    pub attributes: BTreeMap<String, String>,
    /// What sort of participant.
    pub kind: ParticipantKind,
    /// More about the sort (`livekit.ParticipantInfo.KindDetail`).
    pub kind_details: Vec<i32>,
    /// What it may do.
    pub permissions: Permissions,
}

/// What sort of participant (`livekit.ParticipantInfo.Kind`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParticipantKind {
    /// A person or application.
    #[default]
    Standard,
    /// Brings media in from outside.
    Ingress,
    /// Records or streams out.
    Egress,
    /// A telephone.
    Sip,
    /// A program that takes part.
    Agent,
    /// Joins another messaging network.
    Connector,
    /// Joins a device's stream.
    Bridge,
}

impl ParticipantKind {
    /// Its value in the protocol.
    #[must_use]
    pub const fn to_proto(self) -> proto::participant_info::Kind {
        use proto::participant_info::Kind;
        match self {
            Self::Standard => Kind::Standard,
            Self::Ingress => Kind::Ingress,
            Self::Egress => Kind::Egress,
            Self::Sip => Kind::Sip,
            Self::Agent => Kind::Agent,
            Self::Connector => Kind::Connector,
            Self::Bridge => Kind::Bridge,
        }
    }
}

/// What a participant may do (`livekit.ParticipantPermission`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// May receive tracks.
    #[serde(skip_serializing_if = "is_true")]
    pub can_subscribe: bool,
    /// May publish tracks.
    #[serde(skip_serializing_if = "is_true")]
    pub can_publish: bool,
    /// May send data messages.
    #[serde(skip_serializing_if = "is_true")]
    pub can_publish_data: bool,
    /// If not empty, only these sources may be published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_publish_sources: Vec<proto::TrackSource>,
    /// Others never hear of it.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Records the room: others see that a recording runs.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
    /// May change its own name, metadata and attributes.
    #[serde(skip_serializing_if = "is_false")]
    pub can_update_metadata: bool,
    /// Is an agent.
    #[serde(skip_serializing_if = "is_false")]
    pub agent: bool,
    /// Receives metrics packets of others.
    #[serde(skip_serializing_if = "is_false")]
    pub can_subscribe_metrics: bool,
    /// May steer agent sessions.
    #[serde(skip_serializing_if = "is_false")]
    pub can_manage_agent_session: bool,
}

// A snapshot holds what differs from the default, so that it holds that of many.
#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_true(flag: &bool) -> bool {
    *flag
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Default for Permissions {
    /// What a token allows that says nothing but `roomJoin`.
    fn default() -> Self {
        Self {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            can_publish_sources: Vec::new(),
            hidden: false,
            recorder: false,
            can_update_metadata: false,
            agent: false,
            can_subscribe_metrics: false,
            can_manage_agent_session: false,
        }
    }
}

impl Permissions {
    /// May publish a track of this source.
    #[must_use]
    pub fn may_publish(&self, source: proto::TrackSource) -> bool {
        self.can_publish
            && (self.can_publish_sources.is_empty() || self.can_publish_sources.contains(&source))
    }

    /// As the protocol writes it.
    #[must_use]
    #[allow(deprecated)] // recorder and agent are deprecated in the protocol, and old clients read them
    pub fn to_proto(&self) -> proto::ParticipantPermission {
        proto::ParticipantPermission {
            can_subscribe: self.can_subscribe,
            can_publish: self.can_publish,
            can_publish_data: self.can_publish_data,
            can_publish_sources: self
                .can_publish_sources
                .iter()
                .map(|source| *source as i32)
                .collect(),
            hidden: self.hidden,
            recorder: self.recorder,
            can_update_metadata: self.can_update_metadata,
            agent: self.agent,
            can_subscribe_metrics: self.can_subscribe_metrics,
            can_manage_agent_session: self.can_manage_agent_session,
        }
    }

    /// From the protocol; unknown sources are left out.
    #[must_use]
    #[allow(deprecated)] // see `to_proto`
    pub fn from_proto(permission: &proto::ParticipantPermission) -> Self {
        Self {
            can_subscribe: permission.can_subscribe,
            can_publish: permission.can_publish,
            can_publish_data: permission.can_publish_data,
            can_publish_sources: permission
                .can_publish_sources
                .iter()
                .filter_map(|source| proto::TrackSource::try_from(*source).ok())
                .collect(),
            hidden: permission.hidden,
            recorder: permission.recorder,
            can_update_metadata: permission.can_update_metadata,
            agent: permission.agent,
            can_subscribe_metrics: permission.can_subscribe_metrics,
            can_manage_agent_session: permission.can_manage_agent_session,
        }
    }
}

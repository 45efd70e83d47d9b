//! What a token says: who, and what for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Claims of an access token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claims {
    /// API key whose secret signed it.
    pub iss: String,
    /// Identity of the participant; may be empty in tokens for the server API.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// Not valid from this Unix second on.
    pub exp: u64,
    /// Not valid before this Unix second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Display name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What sort of participant.
    #[serde(skip_serializing_if = "ParticipantKind::is_standard")]
    pub kind: ParticipantKind,
    /// Details of the kind, as the protocol names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kind_details: Vec<String>,
    /// Rights in rooms.
    pub video: VideoGrant,
    /// `RoomConfiguration` in protobuf-JSON, applied when the room is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_config: Option<serde_json::Value>,
    /// Name of a configured preset for the room.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room_preset: String,
    /// Base64 SHA-256 of a webhook's body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Metadata of the participant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// Attributes of the participant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// `video` of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrant {
    /// May create and delete rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// May list rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// May record.
    #[serde(skip_serializing_if = "is_false")]
    pub room_record: bool,
    /// May use the server API on `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// May join `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// The room.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// Absent means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Absent means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// Absent means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Empty means all sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub can_publish_sources: Vec<TrackSourceName>,
    /// Absent means no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// May manage ingress.
    #[serde(skip_serializing_if = "is_false")]
    pub ingress_admin: bool,
    /// Others do not see the participant.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// The participant records.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
    /// May register as an agent.
    #[serde(skip_serializing_if = "is_false")]
    pub agent: bool,
    /// Receives metrics of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe_metrics: Option<bool>,
    /// May manage agent sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_manage_agent_session: Option<bool>,
    /// Where participants may be moved or forwarded to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_room: String,
}

impl VideoGrant {
    /// The right to join one room.
    #[must_use]
    pub fn join(room: &str) -> Self {
        Self {
            room_join: true,
            room: room.to_owned(),
            ..Self::default()
        }
    }
}

/// A source of tracks as tokens spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSourceName {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A screen or window.
    ScreenShare,
    /// Sound of a screen or window.
    ScreenShareAudio,
    /// Any other text: allows nothing.
    #[serde(other)]
    Unknown,
}

/// What sort of participant a token is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParticipantKind {
    /// A person, or a program that behaves like one.
    #[default]
    #[serde(alias = "")]
    Standard,
    /// Brings an outside stream in.
    Ingress,
    /// Records or streams out.
    Egress,
    /// A telephone call.
    Sip,
    /// A program that takes part.
    Agent,
    /// A connector to another service.
    Connector,
    /// A bridge to another service.
    Bridge,
}

impl ParticipantKind {
    fn is_standard(&self) -> bool {
        *self == Self::Standard
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

//! A room as it is shown to people who look for a fault: what its Shards see, with the names that people know.
//!
//! All of it is plain data: the same comes from a room of another member.

use plenum_types::{DecisionKind, LayerTarget, LayerView, Rate};
use serde::{Deserialize, Serialize};

use super::Stall;

/// A room at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomView {
    /// Its name.
    pub name: String,
    /// Its `RM_` sid.
    pub sid: String,
    /// When it was looked at, Unix milliseconds.
    pub at_ms: i64,
    /// Since when it exists, Unix milliseconds.
    pub created_at_ms: i64,
    /// Sessions, hidden ones too.
    pub participants: Vec<ParticipantView>,
    /// There is more than is shown.
    pub truncated: bool,
    /// Shards that did not answer in time: what is on them is missing.
    pub silent_shards: Vec<u16>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantView {
    /// Its `PA_` sid.
    pub sid: String,
    /// Who.
    pub identity: String,
    /// Name to show.
    pub name: String,
    /// `joined`, `active`, `closing`, `away` or `lost`.
    pub state: String,
    /// Others never hear of it.
    pub hidden: bool,
    /// Its client, for example `JS 2.23.0, Chrome`.
    pub client: String,
    /// Unix milliseconds.
    pub joined_at_ms: i64,
    /// Where its media is.
    pub shard: u16,
    /// May publish, may subscribe, may send data.
    pub may: Permitted,
    /// As it was told last: `poor`, `good`, `excellent`; nothing before.
    pub quality: Option<String>,
    /// Its associations.
    pub transports: Vec<TransportReport>,
    /// What it publishes.
    pub tracks: Vec<TrackReport>,
    /// What it gets, and what it wants and does not get.
    pub subscriptions: Vec<SubscriptionReport>,
}

/// What a participant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permitted {
    /// Publish tracks.
    pub publish: bool,
    /// Receive tracks.
    pub subscribe: bool,
    /// Send data messages.
    pub publish_data: bool,
}

/// A Transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportReport {
    /// `both`, `publisher` or `subscriber`.
    pub role: String,
    /// Media flows.
    pub connected: bool,
    /// `udp` or `tcp`; nothing before a path was validated.
    pub path: Option<String>,
    /// The client's address.
    pub remote: Option<String>,
    /// Negotiated protection of media.
    pub srtp: Option<String>,
    /// Negotiated version of DTLS.
    pub dtls: Option<String>,
    /// Round trip, milliseconds.
    pub rtt_ms: Option<f64>,
    /// Share of the client's packets that never arrived, 0 to 1.
    pub uplink_loss: f32,
    /// Share of our packets that the client missed, 0 to 1.
    pub downlink_loss: f32,
    /// Packets that wait to be sent.
    pub waiting: u32,
    /// Packets that were dropped before they were sent.
    pub dropped: u64,
    /// The last decisions, oldest first.
    pub decisions: Vec<DecisionReport>,
}

/// A decision about media.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionReport {
    /// Unix milliseconds.
    pub at_ms: i64,
    /// The track that it is about; nothing if it is about the Transport, or the track is gone.
    pub track: Option<String>,
    /// The track is one that the participant gets, not one that it publishes.
    pub subscribed: bool,
    /// What.
    pub what: DecisionKind,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackReport {
    /// Its `TR_` sid.
    pub sid: String,
    /// As the publisher calls it.
    pub name: String,
    /// `audio` or `video`.
    pub kind: String,
    /// `camera`, `microphone`, `screen_share`, `screen_share_audio` or `unknown`.
    pub source: String,
    /// For example `video/VP8`.
    pub mime: String,
    /// By the publisher or the server API.
    pub muted: bool,
    /// Pixels; 0 for sound.
    pub width: u32,
    /// Pixels; 0 for sound.
    pub height: u32,
    /// Who gets it.
    pub subscribers: usize,
    /// What its publisher was told that subscribers want.
    pub demand: Vec<DemandReport>,
    /// Of the first codec, the lowest first; then those of the second.
    pub layers: Vec<LayerReport>,
    /// Why nothing comes from the publisher.
    pub why: Option<Stall>,
}

/// What is wanted of a codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DemandReport {
    /// Media type.
    pub mime: String,
    /// `low`, `medium`, `high`; nothing: it rests.
    pub quality: Option<String>,
}

/// A layer of a track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport {
    /// As the Shard sees it.
    #[serde(flatten)]
    pub seen: LayerView,
    /// As announced, pixels.
    pub width: u32,
    /// As announced, pixels.
    pub height: u32,
}

/// A track that a participant gets, or wants and does not get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionReport {
    /// The track.
    pub track: String,
    /// Identity of who publishes it.
    pub publisher: String,
    /// As in [`TrackReport`].
    pub source: String,
    /// As in [`TrackReport`].
    pub kind: String,
    /// What the room asked for; nothing if there is no subscription.
    pub target: Option<LayerTarget>,
    /// The layer that should be sent, by what is live.
    pub chosen: Option<u8>,
    /// The layer that is sent.
    pub current: Option<u8>,
    /// What is sent.
    pub rate: Rate,
    /// Packets sent.
    pub sent: u64,
    /// Share that the client missed, by its last two reports.
    pub loss: f32,
    /// Packets that were dropped before they were sent.
    pub dropped: u64,
    /// Why nothing flows.
    pub why: Option<Stall>,
}

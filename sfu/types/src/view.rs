//! What a Shard shows of a room's media to people who look for a fault. Plain data with the room's ids, bounded, so that it
//! may cross pods.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Codec, DtlsVersion, FailureCause, LayerTarget, LinkQuality, ParticipantId, Path, Rid,
    SrtpProfile, Ssrc, SubscriptionId, TrackId, TransportId,
};

/// A room's media on one Shard at one moment. Lists are cut at bounds of the Shard; then `truncated` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardView {
    /// Of the command that asked for it.
    pub query: u64,
    /// Associations with clients.
    pub transports: Vec<TransportView>,
    /// Published tracks.
    pub tracks: Vec<TrackView>,
    /// Tracks forwarded to participants.
    pub subscriptions: Vec<SubscriptionView>,
    /// There is more than is shown.
    pub truncated: bool,
}

/// One Transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransportView {
    /// Which one.
    pub transport: TransportId,
    /// Whose.
    pub participant: ParticipantId,
    /// Media flows: ICE has a path and DTLS is done.
    pub connected: bool,
    /// Where packets to the client go now.
    pub path: Option<Path>,
    /// Negotiated protection of media.
    pub srtp: Option<SrtpProfile>,
    /// Negotiated handshake.
    pub dtls: Option<DtlsVersion>,
    /// As it was measured last.
    pub link: LinkQuality,
    /// Packets that wait to be sent.
    pub waiting: u32,
    /// Packets that were dropped before they were sent.
    pub dropped: u64,
    /// The last decisions, oldest first.
    pub decisions: Vec<Decision>,
}

/// One published track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrackView {
    /// Which one.
    pub track: TrackId,
    /// Where its packets come from.
    pub transport: TransportId,
    /// The Shard doesn't forward it.
    pub muted: bool,
    /// What is sent, lowest first.
    pub layers: Vec<LayerView>,
}

/// One layer of a track. People read it as it is written here, with its codec's media type and milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerView {
    /// 0 is the smallest.
    pub spatial: u8,
    /// What it carries, as negotiated first.
    #[serde(rename = "mime", with = "mime")]
    pub codec: Option<Codec>,
    /// Present for simulcast by rid.
    pub rid: Option<Rid>,
    /// Once known.
    pub ssrc: Option<Ssrc>,
    /// Packets came lately.
    pub live: bool,
    /// Over the last second or so.
    pub rate: Rate,
    /// Frames a second up to each temporal layer, the lowest first; empty until they are measured, and where packets don't
    /// name their temporal layer.
    pub frame_rates: Vec<f32>,
    /// Packets since its source began, without those that were lost.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Since its last packet; `None` before the first.
    #[serde(rename = "sincePacketMs", with = "millis")]
    pub since_packet: Option<Duration>,
    /// Since its last key frame; `None` before the first, and for sound.
    #[serde(rename = "sinceKeyFrameMs", with = "millis")]
    pub since_key_frame: Option<Duration>,
    /// The publisher was asked for a key frame and has not sent it yet.
    pub awaits_key_frame: bool,
}

/// One Subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// Which one.
    pub subscription: SubscriptionId,
    /// What is forwarded.
    pub track: TrackId,
    /// To where.
    pub transport: TransportId,
    /// Its Transport is connected.
    pub open: bool,
    /// What the room asked for.
    pub target: LayerTarget,
    /// The spatial layer that should be sent, by what is live.
    pub chosen: Option<u8>,
    /// The spatial layer that is sent.
    pub current: Option<u8>,
    /// Over the last second or so.
    pub rate: Rate,
    /// Packets sent.
    pub sent: u64,
    /// Share of our packets that the client missed between its last two reports, 0 to 1.
    pub loss: f32,
    /// Packets that were dropped before they were sent.
    pub dropped: u64,
    /// Some of them a moment ago: more is to be sent than the way to the client takes.
    pub dropping: bool,
    /// Not even its smallest layer fits into what may be sent to the client.
    pub starved: bool,
}

/// How much flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Bits a second.
    pub bits: u64,
    /// Packets a second.
    pub packets: u32,
}

/// One decision about media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Unix nanoseconds.
    pub at: u64,
    /// About what.
    pub about: Subject,
    /// What.
    pub what: DecisionKind,
}

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The Transport itself.
    Transport,
    /// A track that it publishes.
    Track(TrackId),
    /// A track that it gets.
    Subscription(SubscriptionId),
}

/// What was decided, or noticed and acted upon. Layers are spatial ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// The Transport is connected.
    Connected,
    /// No valid check for some seconds.
    Disconnected,
    /// The Transport is over.
    Failed(FailureCause),
    /// Packets go another way from now on.
    PathChanged,
    /// The room wants these layers.
    Targeted {
        /// Highest wanted spatial layer; 255 is all.
        spatial: u8,
        /// Highest wanted temporal layer; 255 is all.
        temporal: u8,
        /// Frames a second that suffice; 0 is all.
        fps: u16,
    },
    /// Nothing is to be sent: the room says so, or the track is muted.
    Paused,
    /// Something is to be sent again.
    Resumed,
    /// What may be sent to the client takes this layer at most; 255 is all, `None` is nothing.
    Affords(Option<u8>),
    /// This layer should be sent, by what is live.
    Chose(u8),
    /// This layer is sent from a key frame on.
    Began(u8),
    /// Another layer is sent from a key frame on.
    Switched {
        /// Before.
        from: u8,
        /// Now.
        to: u8,
    },
    /// The publisher was asked for a key frame.
    AskedKeyFrame {
        /// Of which layer.
        layer: u8,
        /// Why.
        why: KeyFrameReason,
    },
    /// A key frame that was asked for came.
    GotKeyFrame(u8),
    /// Packets of a layer come.
    LayerLive(u8),
    /// No packets of a layer come any more.
    LayerSilent(u8),
    /// Packets of a layer come from another source.
    SourceReplaced(u8),
    /// Packets were dropped; said at most once a second.
    Dropped {
        /// Where.
        queue: Queue,
        /// Why.
        why: DropReason,
    },
}

/// Why a key frame was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFrameReason {
    /// A subscription begins or changes its layer.
    Layer,
    /// A subscriber asks.
    Subscriber,
    /// Too much is missing to be mended packet by packet.
    Loss,
    /// Packets to a subscriber were dropped.
    Dropped,
    /// The last request has had no answer.
    Repeated,
}

/// A queue of packets to one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// Sound.
    Audio,
    /// Answers to requests for lost packets.
    Retransmission,
    /// Pictures.
    Video,
}

/// Why a packet was dropped before it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The queue is full.
    Full,
    /// It has waited for too long.
    Late,
    /// There is no way to the client.
    NoPath,
    /// It can't be made any more: the history has let it go, or its subscription has ended.
    Gone,
}

impl Queue {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Audio, Self::Retransmission, Self::Video];

    /// Name in metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Retransmission => "retransmission",
            Self::Video => "video",
        }
    }
}

impl DropReason {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Full, Self::Late, Self::NoPath, Self::Gone];

    /// Name in metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Late => "late",
            Self::NoPath => "no_path",
            Self::Gone => "gone",
        }
    }
}

/// A codec by its media type.
mod mime {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use crate::Codec;

    pub(super) fn serialize<S: Serializer>(
        codec: &Option<Codec>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        codec.map(Codec::mime).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Codec>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let codec = Codec::named(&text);
        codec.map_or_else(
            || Err(D::Error::custom("an unknown codec")),
            |codec| Ok(Some(codec)),
        )
    }
}

/// A time in milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

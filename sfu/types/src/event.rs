//! What a Shard tells a room. State is coalesced per id on the way; only edges keep their order.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{
    DataChannel, DtlsVersion, ParticipantId, RoomHandle, RpcAnswer, RpcId, ShardId, ShardView,
    SrtpProfile, SubscriptionId, TrackId, TransportId,
};

/// An event with the room it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardToRoom {
    /// Whose ids the event names.
    pub room: RoomHandle,
    /// Who says so.
    pub shard: ShardId,
    /// What happened.
    pub event: ShardEvent,
}

/// Something a room must know about its media.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ShardEvent {
    /// A Transport changed its state.
    TransportState {
        /// Which one.
        transport: TransportId,
        /// What it is now.
        state: TransportState,
    },
    /// The client's channel is open in both directions.
    DataChannelOpen {
        /// On which Transport.
        transport: TransportId,
        /// Which channel.
        channel: DataChannel,
    },
    /// First packet of a layer, or its first after a silence.
    LayerLive {
        /// Which track.
        track: TrackId,
        /// Which layer; 0 is the smallest.
        spatial: u8,
    },
    /// A layer fell silent.
    LayerSilent {
        /// Which track.
        track: TrackId,
        /// Which layer; 0 is the smallest.
        spatial: u8,
    },
    /// First packet was forwarded to a subscriber.
    SubscriptionStarted {
        /// Which one.
        subscription: SubscriptionId,
    },
    /// A video pauses, since not even its smallest layer fits into what may be sent to the client, or goes on (coalesced).
    StreamPaused {
        /// Which one.
        subscription: SubscriptionId,
        /// Or goes on.
        paused: bool,
    },
    /// Speakers whose level or activity changed since the last event.
    Speakers(Vec<SpeakerLevel>),
    /// Last in-order sequence of reliable data that a participant has sent (coalesced).
    DataProgress {
        /// Who sent.
        participant: ParticipantId,
        /// Sequence of `livekit.DataPacket`, from 1.
        last_sequence: u32,
    },
    /// How well packets travel, every few seconds (coalesced).
    LinkQuality {
        /// On which Transport.
        transport: TransportId,
        /// Measured since the last event.
        quality: LinkQuality,
    },
    /// A participant has got a call of the server.
    RpcAcknowledged {
        /// Which call.
        rpc: RpcId,
    },
    /// A participant has answered a call of the server.
    RpcAnswered {
        /// Which call.
        rpc: RpcId,
        /// How.
        answer: RpcAnswer,
    },
    /// What there is of the room, as it was asked for (coalesced: of several that wait, the newest).
    View(Box<ShardView>),
    /// The client does not take its reliable data: the participant must reconnect. Said once per Transport.
    DataOverflow {
        /// Whose channels are full.
        transport: TransportId,
    },
}

/// State of a Transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransportState {
    /// ICE has a path and DTLS is done: media flows. Also said when a silent path works again.
    Connected {
        /// Negotiated protection of media.
        srtp: SrtpProfile,
        /// Negotiated handshake.
        dtls: DtlsVersion,
    },
    /// No valid check for some seconds; the client may restart ICE.
    Disconnected,
    /// Over: no valid check for 15 s, or for as long nothing but checks, or DTLS failed, or the client closed it.
    Failed(FailureCause),
}

/// Why a Transport ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureCause {
    /// No valid connectivity check in time.
    IceTimeout,
    /// Checks arrive, but nothing else does, and nothing is answered: a firewall lets no more than STUN pass.
    MediaTimeout,
    /// The handshake did not finish, or the record layer broke.
    Dtls,
    /// The certificate is not the one whose fingerprint was signaled.
    Fingerprint,
    /// The client sent close_notify.
    Closed,
}

/// Loudness of a track.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpeakerLevel {
    /// Whose sound.
    pub track: TrackId,
    /// 0 (silent) to 1 (loudest), smoothed, in steps of 1/8.
    pub level: f32,
    /// Speaking now.
    pub active: bool,
}

/// How well packets travel on a Transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkQuality {
    /// Round trip, from reports.
    pub rtt: Option<Duration>,
    /// Share of the client's packets that never arrived, 0 to 1.
    pub uplink_loss: f32,
    /// Share of our packets that the client missed, 0 to 1.
    pub downlink_loss: f32,
    /// The client publishes something that is not muted.
    pub uplink_expected: bool,
}

//! What a room tells a Shard.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{
    Codec, DataAudience, DataChannel, DataPolicy, DataTrackSubscriber, DtlsRole, ExtensionIds,
    Fingerprint, IceCredentials, MediaKind, Mid, ParticipantId, ParticipantSid, PayloadType, Rid,
    RoomHandle, RpcId, Ssrc, SubscriptionId, TrackId, TransportId,
};

/// A command with the room that gave it. All ids in the command are the room's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomToShard {
    /// Who says so; events go back there.
    pub room: RoomHandle,
    /// What to do.
    pub command: ShardCommand,
}

/// A change to what a Shard holds. Commands are queued in order and never acknowledged; one about an unknown id is ignored
/// and counted, since its Transport may have failed meanwhile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ShardCommand {
    /// Makes a Transport that answers STUN for its local credentials.
    OpenTransport(TransportParams),
    /// The other side's parameters are known: DTLS may start once a path is validated. Sent once per Transport.
    ConnectTransport {
        /// Which one.
        transport: TransportId,
        /// The other side.
        remote: RemoteParams,
    },
    /// New ICE credentials (RFC 8445 section 9). Old and new are valid until a check with the new ones nominates a path.
    RestartIce {
        /// Which one.
        transport: TransportId,
        /// Ours.
        local: IceCredentials,
        /// The client's.
        remote: IceCredentials,
    },
    /// Ends a Transport with its tracks and subscriptions; the client gets a DTLS close_notify.
    CloseTransport {
        /// Which one.
        transport: TransportId,
    },
    /// A client will send a track on this Transport.
    AddTrack {
        /// Its id from now on.
        track: TrackId,
        /// Where its packets come from.
        transport: TransportId,
        /// Whose it is; tracks of one participant share a clock mapping.
        participant: ParticipantId,
        /// How to recognise and read its packets.
        receiver: ReceiverParams,
    },
    /// The section of a track was negotiated anew (payload types, extension ids, encodings).
    UpdateTrack {
        /// Which one.
        track: TrackId,
        /// Replaces all parameters.
        receiver: ReceiverParams,
    },
    /// Muted tracks are not forwarded, and their silence is not a fault.
    SetTrackMuted {
        /// Which one.
        track: TrackId,
        /// As the participant or the server API says.
        muted: bool,
    },
    /// Ends a track and all its subscriptions.
    RemoveTrack {
        /// Which one.
        track: TrackId,
    },
    /// Forwards a track to a sink. Starts with a key frame request when the track is video.
    AddSubscription {
        /// Its id from now on.
        subscription: SubscriptionId,
        /// What is forwarded.
        track: TrackId,
        /// To where.
        sink: Sink,
        /// How packets look there.
        sender: SenderParams,
        /// Which layers are wanted.
        target: LayerTarget,
    },
    /// Changes which layers are wanted.
    SetSubscriptionTarget {
        /// Which one.
        subscription: SubscriptionId,
        /// What is wanted from now on.
        target: LayerTarget,
    },
    /// How much may be sent to a client, so that what doesn't fit is not begun. Sound always goes.
    SetBudget {
        /// On which Transport it receives.
        transport: TransportId,
        /// `None`: as much as there is.
        budget: Option<Budget>,
    },
    /// The section of a subscription was negotiated anew.
    UpdateSubscription {
        /// Which one.
        subscription: SubscriptionId,
        /// Replaces all parameters; the SSRC of media may not change, that of retransmissions may come and go.
        sender: SenderParams,
    },
    /// Stops forwarding.
    RemoveSubscription {
        /// Which one.
        subscription: SubscriptionId,
    },
    /// Who may send data to whom.
    SetDataPolicy(DataPolicy),
    /// A data packet of the server itself (SendData). The Shard fills in nothing.
    SendData {
        /// Whom it goes to.
        audience: DataAudience,
        /// On which channel.
        channel: DataChannel,
        /// Encoded `livekit.DataPacket`.
        packet: Vec<u8>,
    },
    /// Sends a resumed participant the reliable packets that it has missed.
    ReplayData {
        /// Who resumed.
        participant: ParticipantId,
        /// Publisher and the last sequence that the participant has of it.
        have: Vec<(ParticipantSid, u32)>,
    },
    /// Calls a method of a participant. Its acknowledgement and its answer become events and go to nobody else.
    SendRpc {
        /// Names the call in events.
        rpc: RpcId,
        /// Names the call to the participant.
        request_id: String,
        /// Who is called.
        to: ParticipantId,
        /// Encoded `livekit.DataPacket`.
        packet: Vec<u8>,
    },
    /// Nobody waits for the answer any more.
    ForgetRpc {
        /// Which call.
        rpc: RpcId,
    },
    /// Who receives a data track from now on; makes it known.
    SetDataTrack {
        /// Whose it is.
        publisher: ParticipantId,
        /// The publisher's number for it.
        handle: u16,
        /// All of them.
        subscribers: Vec<DataTrackSubscriber>,
    },
    /// A data track has ended.
    RemoveDataTrack {
        /// Whose it was.
        publisher: ParticipantId,
        /// The publisher's number for it.
        handle: u16,
    },
    /// A participant of another room on this Shard is in this one from now on: its Transport goes on with its tracks. What
    /// the other room forwarded to it has ended before.
    AdoptTransport {
        /// The room that it was in.
        from: RoomHandle,
        /// Which one.
        transport: TransportId,
    },
    /// Shows what there is of the room, by one `ShardEvent::View`.
    Inspect {
        /// Comes back with the view.
        query: u64,
        /// Whose decisions are shown; `None`: of as many Transports as fit.
        decisions_of: Option<ParticipantId>,
    },
    /// The room is gone: ends all that is left of it.
    CloseRoom,
}

/// A new Transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportParams {
    /// Its id from now on.
    pub transport: TransportId,
    /// Whose it is.
    pub participant: ParticipantId,
    /// Our credentials; the ufrag names this Shard.
    pub local: IceCredentials,
}

/// The other side of a Transport, from its description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteParams {
    /// Its ICE credentials.
    pub ice: IceCredentials,
    /// Its certificate's fingerprint; another certificate fails the Transport.
    pub fingerprint: Fingerprint,
    /// Our role in the handshake.
    pub dtls_role: DtlsRole,
    /// Present if data channels were negotiated.
    pub sctp: Option<SctpParams>,
}

/// Data channels of a Transport (RFC 8841).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SctpParams {
    /// `a=sctp-port` of the other side.
    pub remote_port: u16,
    /// `a=max-message-size` of the other side, bytes; 0 means no limit.
    pub max_message_size: u32,
    /// We open the protocol's channels (subscriber connection of dual mode); otherwise the client does.
    pub open_channels: bool,
}

/// How packets of a published track are recognised and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverParams {
    /// Its media section.
    pub mid: Mid,
    /// Audio or video.
    pub kind: MediaKind,
    /// Payload types in the order of preference.
    pub codecs: SmallVec<[ReceiverCodec; 4]>,
    /// Header extension ids of the section.
    pub extensions: ExtensionIds,
    /// At least one; several for simulcast, in the order of spatial layers.
    pub encodings: SmallVec<[EncodingParams; 3]>,
}

/// A payload type of a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverCodec {
    /// Its number.
    pub payload_type: PayloadType,
    /// What it carries.
    pub codec: Codec,
    /// Payload type of its retransmissions (RFC 4588).
    pub rtx: Option<PayloadType>,
    /// Generic NACK was negotiated (RFC 4585).
    pub nack: bool,
    /// Transport-wide feedback was negotiated.
    pub transport_cc: bool,
}

/// One encoding of a track: the only one, or a layer of simulcast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodingParams {
    /// Present for simulcast by rid.
    pub rid: Option<Rid>,
    /// Known when the description has `a=ssrc` lines.
    pub ssrc: Option<Ssrc>,
    /// From `a=ssrc-group:FID`.
    pub rtx_ssrc: Option<Ssrc>,
    /// 0 is the smallest.
    pub spatial: u8,
}

/// Where a subscription's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Sink {
    /// A client of this Shard.
    Transport(TransportId),
}

/// How packets of a subscription look on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderParams {
    /// Media section on the subscriber's Transport.
    pub mid: Mid,
    /// Our SSRC.
    pub ssrc: Ssrc,
    /// SSRC of retransmissions, if the codec has them.
    pub rtx_ssrc: Option<Ssrc>,
    /// What is sent.
    pub codec: Codec,
    /// Payload type that the subscriber expects.
    pub payload_type: PayloadType,
    /// Where `codec` is RED: payload type of the Opus inside, and of packets that come without redundancy.
    pub opus_payload_type: Option<PayloadType>,
    /// Payload type of retransmissions (RFC 4588).
    pub rtx_payload_type: Option<PayloadType>,
    /// The subscriber sends NACKs.
    pub nack: bool,
    /// Header extension ids of the section.
    pub extensions: ExtensionIds,
}

/// How much may be sent to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Bits a second of media.
    pub bits: u64,
    /// A video of which not even the smallest layer fits pauses; otherwise that layer is sent all the same.
    pub may_pause: bool,
}

/// The layers a subscriber wants: the highest live one at or below is sent, else the lowest live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LayerTarget {
    /// Highest wanted spatial layer; 0 is the smallest.
    pub spatial: u8,
    /// Highest wanted temporal layer; 0 is the lowest frame rate.
    pub temporal: u8,
    /// Frames a second that suffice: of the temporal layers up to `temporal`, none is sent above the lowest that has as many.
    /// 0 means all.
    pub fps: u16,
    /// Nothing is sent while set (invisible element, lost permission).
    pub paused: bool,
    /// Where not all fits into what may be sent to the client: 1 goes first, 255 last; 0, which is not said, after all others,
    /// in the order of subscribing.
    pub priority: u8,
}

impl LayerTarget {
    /// Everything there is.
    pub const HIGHEST: Self = Self {
        spatial: u8::MAX,
        temporal: u8::MAX,
        fps: 0,
        paused: false,
        priority: 0,
    };
}

//! What the planes of the SFU say to each other: ids, time, commands and events. No behaviour beyond making and reading
//! these values.
//!
//! The two types that matter are [`ShardCommand`] (room to Shard) and [`ShardEvent`] (Shard to room). Both are plain
//! serialisable data with ids and no reply channels, so that the same can cross pods. SDP never appears here: the
//! negotiation crate turns it into typed deltas before a Shard hears of it.
#![forbid(unsafe_code)]

pub mod command;
pub mod data;
pub mod event;
pub mod ice;
pub mod ids;
pub mod media;
pub mod time;
pub mod view;

pub use command::{
    Budget, EncodingParams, LayerTarget, ReceiverCodec, ReceiverParams, RemoteParams, RoomToShard,
    SctpParams, SenderParams, ShardCommand, Sink, TransportParams,
};
pub use data::{
    DataAudience, DataChannel, DataParticipant, DataPolicy, DataTrackSubscriber, RpcAnswer,
};
pub use event::{FailureCause, LinkQuality, ShardEvent, ShardToRoom, SpeakerLevel, TransportState};
pub use ice::{Candidate, CandidateProtocol, IceCredentials, Path};
pub use ids::{
    Mid, ParticipantId, ParticipantIdentity, ParticipantSid, Rid, RoomHandle, RoomName, RoomSid,
    RpcId, ShardId, StreamId, SubscriptionId, TrackId, TrackSid, TransportId,
};
pub use media::{
    Codec, DtlsRole, DtlsVersion, ExtensionIds, Fingerprint, MediaKind, MediaPolicy, PayloadType,
    RtpExtension, SrtpProfile, Ssrc,
};
pub use time::{NtpTime, Timestamp, WallClock};
pub use view::{
    Decision, DecisionKind, DropReason, KeyFrameReason, LayerView, Queue, Rate, ShardView, Subject,
    SubscriptionView, TrackView, TransportView,
};

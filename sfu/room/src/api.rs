//! The server API as far as it concerns one room (`livekit.RoomService`). Permission to call was checked before.

use livekit_protocol as proto;
use plenum_types::{ParticipantIdentity, RoomName, TrackSid};

use crate::{RoomSettings, RoomView};

/// Names a call until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiCallId(pub u64);

/// What a call asks of a room.
#[derive(Debug, Clone)]
pub enum ApiRequest {
    /// The room's own state (CreateRoom of a room that exists, ListRooms). Answer: `Room`.
    GetRoom,
    /// CreateRoom or a Room resource: settings that replace the present ones. Answer: `Room`.
    Configure(RoomSettings),
    /// Answer: `Participants`, hidden ones included.
    ListParticipants,
    /// Answer: `Participant`.
    GetParticipant(ParticipantIdentity),
    /// Leave PARTICIPANT_REMOVED. Answer: `Done`.
    RemoveParticipant {
        /// Whom.
        identity: ParticipantIdentity,
        /// Its tokens from before this Unix second let nobody into this room any more, whether or not it is there now.
        revoke_tokens_before: Option<i64>,
    },
    /// Answer: `Track`.
    MutePublishedTrack {
        /// Whose track.
        identity: ParticipantIdentity,
        /// Which one.
        track: TrackSid,
        /// Mute, or unmute where the configuration allows it.
        muted: bool,
    },
    /// Permission is replaced whole, attributes are merged. Answer: `Participant`.
    UpdateParticipant(proto::UpdateParticipantRequest),
    /// Subscribes a participant to tracks, or unsubscribes it. Answer: `Done`.
    UpdateSubscriptions(proto::UpdateSubscriptionsRequest),
    /// A data message of no participant. Answer: `Done`.
    SendData(proto::SendDataRequest),
    /// Calls a method of a participant. Answer: `RpcPayload`, once it is there.
    PerformRpc(proto::PerformRpcRequest),
    /// Sends a participant to another room. Answer: `Done`.
    MoveParticipant {
        /// Whom.
        identity: ParticipantIdentity,
        /// Where to.
        destination: RoomName,
        /// That room is open on the same Shard: the participant may go there with its media.
        together: bool,
    },
    /// Answer: `Room`.
    UpdateRoomMetadata(String),
    /// Everything there is to see, with the decisions about one participant's media, or of as many as fit. Answer: `View`, after
    /// the Shards have answered.
    Inspect {
        /// Whose decisions; one that is not there has none.
        decisions_of: Option<ParticipantIdentity>,
    },
    /// All leave with ROOM_DELETED and the room ends. Answer: `Done`.
    DeleteRoom,
}

/// What a call gets.
#[derive(Debug, Clone, PartialEq)]
pub enum ApiResponse {
    /// The room.
    Room(proto::Room),
    /// All participants.
    Participants(Vec<proto::ParticipantInfo>),
    /// One participant.
    Participant(Box<proto::ParticipantInfo>),
    /// One track.
    Track(Box<proto::TrackInfo>),
    /// What a participant's method returned.
    RpcPayload(String),
    /// The room as people see it who look for a fault.
    View(Box<RoomView>),
    /// It is done.
    Done,
}

/// Why a call failed, in Twirp's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Twirp's error code.
    pub code: ApiErrorCode,
    /// What a caller reads.
    pub message: String,
}

/// Twirp error codes that a room gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorCode {
    /// `not_found` (404)
    NotFound,
    /// `invalid_argument` (400)
    InvalidArgument,
    /// `failed_precondition` (412)
    FailedPrecondition,
    /// `resource_exhausted` (429)
    ResourceExhausted,
    /// `unavailable` (503)
    Unavailable,
    /// `canceled` (408)
    Canceled,
    /// `malformed` (400)
    Malformed,
    /// `internal` (500)
    Internal,
    /// `unimplemented` (501)
    Unimplemented,
}

impl ApiErrorCode {
    /// As Twirp writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::InvalidArgument => "invalid_argument",
            Self::FailedPrecondition => "failed_precondition",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unavailable => "unavailable",
            Self::Canceled => "canceled",
            Self::Malformed => "malformed",
            Self::Internal => "internal",
            Self::Unimplemented => "unimplemented",
        }
    }
}

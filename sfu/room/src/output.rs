//! What a room wants done.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use livekit_protocol as proto;
use plenum_types::{ParticipantIdentity, ParticipantSid, RoomName, ShardCommand, ShardId};
use prost::Message as _;

use crate::{
    ApiCallId, ApiError, ApiResponse, ConnectionId, EndReason, Grants, JoinRefusal, Traveller,
};

/// One thing to do. Outputs are in order: what precedes an answer is done before it.
#[derive(Debug)]
pub enum RoomOutput {
    /// Send a message to a client.
    Send {
        /// To which connection.
        connection: ConnectionId,
        /// What.
        message: Arc<SignalMessage>,
    },
    /// Close a connection (code 1000) after what was sent before.
    Close {
        /// Which one.
        connection: ConnectionId,
        /// Text of the close frame.
        reason: &'static str,
    },
    /// A client that was to join is refused: nothing was sent, and the connection is forgotten.
    Refuse {
        /// Which one.
        connection: ConnectionId,
        /// Why.
        refusal: JoinRefusal,
    },
    /// Sign a token and send it as `refresh_token`. The server fills in what a room doesn't know (key, room, expiry: at
    /// least ten minutes ahead, at least that of the token the connection came with).
    RefreshToken {
        /// To which connection.
        connection: ConnectionId,
        /// What it says now.
        grants: Box<Grants>,
    },
    /// Queue a command for a Shard.
    Shard {
        /// Which one.
        shard: ShardId,
        /// What.
        command: ShardCommand,
    },
    /// Answer a server API call.
    Api {
        /// Which one.
        call: ApiCallId,
        /// How it went.
        result: Result<ApiResponse, ApiError>,
    },
    /// What must not be lost has changed: store `Room::snapshot`.
    SnapshotChanged {
        /// Store it before the outputs that follow (an API answer); otherwise gather changes for at most 250 ms.
        before_next: bool,
    },
    /// Sign a token for another room, to which the participant shall connect, and send it.
    TokenFor {
        /// To whom.
        connection: ConnectionId,
        /// What it says.
        grants: Box<Grants>,
        /// The other room.
        room: RoomName,
    },
    /// A participant has left for the room that the call names: hand it over, with its connection.
    Departed {
        /// The call that sent it there.
        call: ApiCallId,
        /// What to hand over.
        traveller: Box<Traveller>,
    },
    /// A participant has come from another room: sign a token, put it into the message ([`crate::room_moved`]) and send it.
    Arrived {
        /// To whom.
        connection: ConnectionId,
        /// What the token says.
        grants: Box<Grants>,
        /// The message, still without a token.
        moved: Box<proto::RoomMovedResponse>,
    },
    /// A participant's media path works for the first time.
    ParticipantActive {
        /// Its session.
        sid: ParticipantSid,
        /// Who.
        identity: ParticipantIdentity,
    },
    /// A participant publishes its first track, or its first one again.
    ParticipantPublishes {
        /// Its session.
        sid: ParticipantSid,
        /// Who.
        identity: ParticipantIdentity,
    },
    /// A join got this far.
    JoinStep {
        /// How far.
        step: JoinStep,
        /// Since it began.
        after: Duration,
    },
    /// A participant is gone.
    ParticipantLeft {
        /// Its session.
        sid: ParticipantSid,
        /// Who.
        identity: ParticipantIdentity,
        /// Why.
        reason: proto::DisconnectReason,
        /// It had been active.
        was_active: bool,
    },
    /// The room is over: drop it. Nothing follows.
    Ended(EndReason),
}

/// How far a join has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinStep {
    /// Its media path works.
    Connected,
    /// A first packet of a track that was there was sent to it.
    FirstMedia,
}

/// A message to clients, encoded at most once however many get it.
#[derive(Debug)]
pub struct SignalMessage {
    response: proto::SignalResponse,
    encoded: OnceLock<Bytes>,
}

impl SignalMessage {
    /// A message of this kind.
    #[must_use]
    pub fn new(message: proto::signal_response::Message) -> Arc<Self> {
        Arc::new(Self {
            response: proto::SignalResponse {
                message: Some(message),
            },
            encoded: OnceLock::new(),
        })
    }

    /// The message itself, for connections that speak JSON.
    #[must_use]
    pub const fn response(&self) -> &proto::SignalResponse {
        &self.response
    }

    /// The message as a binary frame.
    #[must_use]
    pub fn binary(&self) -> Bytes {
        self.encoded
            .get_or_init(|| self.response.encode_to_vec().into())
            .clone()
    }
}

//! What a call gets.

use livekit_protocol as proto;
use plenum_room::ApiResponse;
use prost::Message;

use super::{
    Encoding,
    json::{self, Shape},
};

/// The answer to a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A room.
    Room(proto::Room),
    /// Rooms.
    Rooms(proto::ListRoomsResponse),
    /// Participants.
    Participants(proto::ListParticipantsResponse),
    /// A participant.
    Participant(Box<proto::ParticipantInfo>),
    /// A track.
    Track(Box<proto::MuteRoomTrackResponse>),
    /// A dispatch.
    Dispatch(Box<proto::AgentDispatch>),
    /// Dispatches.
    Dispatches(proto::ListAgentDispatchResponse),
    /// What a participant's method returned.
    Rpc(proto::PerformRpcResponse),
    /// Done.
    Empty,
}

impl Answer {
    /// In the encoding of the call.
    #[must_use]
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        fn write<M: Message + serde::Serialize>(
            message: &M,
            shape: Shape,
            encoding: Encoding,
        ) -> Vec<u8> {
            match encoding {
                Encoding::Protobuf => message.encode_to_vec(),
                Encoding::Json => json::write(message, shape),
            }
        }
        match self {
            Self::Room(room) => write(room, json::ROOM, encoding),
            Self::Rooms(rooms) => write(rooms, json::ROOMS, encoding),
            Self::Participants(list) => write(list, json::PARTICIPANTS, encoding),
            Self::Participant(info) => write(info.as_ref(), json::PARTICIPANT, encoding),
            Self::Track(track) => write(track.as_ref(), json::TRACK_ANSWER, encoding),
            Self::Dispatch(dispatch) => write(dispatch.as_ref(), json::DISPATCH, encoding),
            Self::Dispatches(list) => write(list, json::DISPATCHES, encoding),
            Self::Rpc(response) => write(response, json::RPC_ANSWER, encoding),
            Self::Empty => write(&proto::DeleteRoomResponse::default(), json::EMPTY, encoding),
        }
    }
}

impl From<ApiResponse> for Answer {
    fn from(response: ApiResponse) -> Self {
        match response {
            ApiResponse::Room(room) => Self::Room(room),
            ApiResponse::Participants(participants) => {
                Self::Participants(proto::ListParticipantsResponse { participants })
            }
            ApiResponse::Participant(info) => Self::Participant(info),
            ApiResponse::Track(track) => Self::Track(Box::new(proto::MuteRoomTrackResponse {
                track: Some(*track),
            })),
            ApiResponse::RpcPayload(payload) => Self::Rpc(proto::PerformRpcResponse { payload }),
            // No call of this service looks at a room.
            ApiResponse::Done | ApiResponse::View(_) => Self::Empty,
        }
    }
}

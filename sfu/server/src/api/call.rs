//! The calls of `livekit.RoomService` and `livekit.AgentDispatchService`: what they need, and what they do.

use std::time::Duration;

use livekit_protocol as proto;
use plenum_room::{ApiRequest, Limits};
use plenum_types::RoomName;
use prost::Message;
use serde::de::DeserializeOwned;

use super::{Answer, Code, Encoding, Method, TwirpError, bounds, dispatch};
use crate::{
    agents,
    auth::Claims,
    config::Presets,
    rooms::{API_ANSWER, NewRoom, RoomDefaults, Rooms, rpc_answer},
};

/// A call as its body says.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// See [`Method::CreateRoom`].
    CreateRoom(Box<proto::CreateRoomRequest>),
    /// See [`Method::ListRooms`].
    ListRooms(proto::ListRoomsRequest),
    /// See [`Method::DeleteRoom`].
    DeleteRoom(proto::DeleteRoomRequest),
    /// See [`Method::ListParticipants`].
    ListParticipants(proto::ListParticipantsRequest),
    /// See [`Method::GetParticipant`].
    GetParticipant(proto::RoomParticipantIdentity),
    /// See [`Method::RemoveParticipant`].
    RemoveParticipant(proto::RoomParticipantIdentity),
    /// See [`Method::MutePublishedTrack`].
    MutePublishedTrack(proto::MuteRoomTrackRequest),
    /// See [`Method::UpdateParticipant`].
    UpdateParticipant(Box<proto::UpdateParticipantRequest>),
    /// See [`Method::UpdateSubscriptions`].
    UpdateSubscriptions(proto::UpdateSubscriptionsRequest),
    /// See [`Method::SendData`].
    SendData(proto::SendDataRequest),
    /// See [`Method::UpdateRoomMetadata`].
    UpdateRoomMetadata(proto::UpdateRoomMetadataRequest),
    /// See [`Method::CreateDispatch`].
    CreateDispatch(Box<proto::CreateAgentDispatchRequest>),
    /// See [`Method::DeleteDispatch`].
    DeleteDispatch(proto::DeleteAgentDispatchRequest),
    /// See [`Method::ListDispatch`].
    ListDispatch(proto::ListAgentDispatchRequest),
    /// See [`Method::PerformRpc`].
    PerformRpc(proto::PerformRpcRequest),
    /// See [`Method::MoveParticipant`].
    MoveParticipant(proto::MoveParticipantRequest),
    /// See [`Method::ForwardParticipant`].
    ForwardParticipant(proto::ForwardParticipantRequest),
}

impl Call {
    /// Reads a body.
    ///
    /// # Errors
    /// It is not what the method takes, or has too many parts.
    pub fn read(method: Method, encoding: Encoding, body: &[u8]) -> Result<Self, TwirpError> {
        fn decode<M: Message + Default + DeserializeOwned>(
            encoding: Encoding,
            body: &[u8],
        ) -> Result<M, TwirpError> {
            let malformed = |why: String| TwirpError::new(Code::Malformed, why);
            match encoding {
                Encoding::Protobuf => {
                    M::decode(body).map_err(|error| malformed(format!("the body: {error}")))
                }
                Encoding::Json => serde_json::from_slice(body)
                    .map_err(|error| malformed(format!("the body: {error}"))),
            }
        }
        bounds::check(method, encoding, body)?;
        Ok(match method {
            Method::CreateRoom => Self::CreateRoom(Box::new(decode(encoding, body)?)),
            Method::ListRooms => Self::ListRooms(decode(encoding, body)?),
            Method::DeleteRoom => Self::DeleteRoom(decode(encoding, body)?),
            Method::ListParticipants => Self::ListParticipants(decode(encoding, body)?),
            Method::GetParticipant => Self::GetParticipant(decode(encoding, body)?),
            Method::RemoveParticipant => Self::RemoveParticipant(decode(encoding, body)?),
            Method::MutePublishedTrack => Self::MutePublishedTrack(decode(encoding, body)?),
            Method::UpdateParticipant => Self::UpdateParticipant(Box::new(decode(encoding, body)?)),
            Method::UpdateSubscriptions => Self::UpdateSubscriptions(decode(encoding, body)?),
            Method::SendData => Self::SendData(decode(encoding, body)?),
            Method::UpdateRoomMetadata => Self::UpdateRoomMetadata(decode(encoding, body)?),
            Method::CreateDispatch => Self::CreateDispatch(Box::new(decode(encoding, body)?)),
            Method::DeleteDispatch => Self::DeleteDispatch(decode(encoding, body)?),
            Method::ListDispatch => Self::ListDispatch(decode(encoding, body)?),
            Method::PerformRpc => Self::PerformRpc(decode(encoding, body)?),
            Method::MoveParticipant => Self::MoveParticipant(decode(encoding, body)?),
            Method::ForwardParticipant => Self::ForwardParticipant(decode(encoding, body)?),
        })
    }

    /// The room that the call is about; `None` for all.
    #[must_use]
    pub fn room(&self) -> Option<&str> {
        match self {
            Self::ListRooms(_) => None,
            Self::CreateRoom(request) => Some(&request.name),
            Self::DeleteRoom(request) => Some(&request.room),
            Self::ListParticipants(request) => Some(&request.room),
            Self::GetParticipant(request) | Self::RemoveParticipant(request) => Some(&request.room),
            Self::MutePublishedTrack(request) => Some(&request.room),
            Self::UpdateParticipant(request) => Some(&request.room),
            Self::UpdateSubscriptions(request) => Some(&request.room),
            Self::SendData(request) => Some(&request.room),
            Self::UpdateRoomMetadata(request) => Some(&request.room),
            Self::CreateDispatch(request) => Some(&request.room),
            Self::DeleteDispatch(request) => Some(&request.room),
            Self::ListDispatch(request) => Some(&request.room),
            Self::PerformRpc(request) => Some(&request.room),
            Self::MoveParticipant(request) => Some(&request.room),
            Self::ForwardParticipant(request) => Some(&request.room),
        }
    }

    /// Whether a token allows the call (protocol.md 11).
    ///
    /// # Errors
    /// It does not, or the call names no room where it must.
    pub fn check(&self, claims: &Claims) -> Result<(), TwirpError> {
        let video = &claims.video;
        let (allowed, needed) = match self {
            Self::CreateRoom(_) | Self::DeleteRoom(_) => (video.room_create, "roomCreate"),
            Self::ListRooms(_) => (video.room_list, "roomList"),
            Self::MoveParticipant(proto::MoveParticipantRequest {
                destination_room, ..
            })
            | Self::ForwardParticipant(proto::ForwardParticipantRequest {
                destination_room, ..
            }) => (
                video.room_admin
                    && self.room() == Some(video.room.as_str())
                    && *destination_room == video.destination_room,
                "roomAdmin for this room and destinationRoom for the other one",
            ),
            _ => (
                video.room_admin && self.room() == Some(video.room.as_str()),
                "roomAdmin for this room",
            ),
        };
        if !allowed {
            return Err(TwirpError::new(
                Code::Unauthenticated,
                format!("permissions denied: the token needs {needed}"),
            ));
        }
        if self.room() == Some("") {
            return Err(TwirpError::new(
                Code::InvalidArgument,
                "the room's name is empty",
            ));
        }
        let invalid = |why: String| TwirpError::new(Code::InvalidArgument, why);
        if let Self::CreateRoom(request) = self {
            agents::check(&request.agents).map_err(|error| invalid(error.to_string()))?;
            Limits::default()
                .check_room_metadata(&request.metadata)
                .map_err(|error| invalid(error.to_string()))?;
        }
        // Before its room is made.
        if let Self::CreateDispatch(request) = self {
            dispatch::check(request).map_err(|error| invalid(error.to_string()))?;
        }
        self.check_destination()
    }

    /// Whether the preset that it names, if any, is there.
    ///
    /// # Errors
    /// It is not.
    pub fn check_preset(&self, presets: &Presets) -> Result<(), TwirpError> {
        let Self::CreateRoom(request) = self else {
            return Ok(());
        };
        presets
            .find(&request.room_preset)
            .map(|_| ())
            .map_err(|error| TwirpError::new(Code::InvalidArgument, format!("room_preset {error}")))
    }

    fn check_destination(&self) -> Result<(), TwirpError> {
        match self {
            Self::MoveParticipant(request) if request.destination_room.is_empty() => Err(
                TwirpError::new(Code::InvalidArgument, "destination_room is empty"),
            ),
            Self::MoveParticipant(request) if request.destination_room == request.room => Err(
                TwirpError::new(Code::InvalidArgument, "destination_room is the room itself"),
            ),
            Self::ForwardParticipant(_) => Err(TwirpError::new(
                Code::Unimplemented,
                "ForwardParticipant is not offered by this server; MoveParticipant is",
            )),
            _ => Ok(()),
        }
    }

    /// How long the room may take for it.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self {
            Self::PerformRpc(request) => rpc_answer(request.response_timeout_ms),
            _ => API_ANSWER,
        }
    }

    /// The method that it calls.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self {
            Self::CreateRoom(_) => Method::CreateRoom,
            Self::ListRooms(_) => Method::ListRooms,
            Self::DeleteRoom(_) => Method::DeleteRoom,
            Self::ListParticipants(_) => Method::ListParticipants,
            Self::GetParticipant(_) => Method::GetParticipant,
            Self::RemoveParticipant(_) => Method::RemoveParticipant,
            Self::MutePublishedTrack(_) => Method::MutePublishedTrack,
            Self::UpdateParticipant(_) => Method::UpdateParticipant,
            Self::UpdateSubscriptions(_) => Method::UpdateSubscriptions,
            Self::SendData(_) => Method::SendData,
            Self::UpdateRoomMetadata(_) => Method::UpdateRoomMetadata,
            Self::CreateDispatch(_) => Method::CreateDispatch,
            Self::DeleteDispatch(_) => Method::DeleteDispatch,
            Self::ListDispatch(_) => Method::ListDispatch,
            Self::PerformRpc(_) => Method::PerformRpc,
            Self::MoveParticipant(_) => Method::MoveParticipant,
            Self::ForwardParticipant(_) => Method::ForwardParticipant,
        }
    }

    /// What the room opens with, should the call open it.
    #[must_use]
    pub fn new_room(&self, defaults: &RoomDefaults, presets: &Presets) -> NewRoom {
        match self {
            Self::CreateRoom(request) => defaults.for_request(request, presets),
            _ => defaults.settings.clone().into(),
        }
    }

    /// Does it, on a room that is open on this member. `None` if it is not, or not any more.
    ///
    /// # Errors
    /// Those of the room.
    pub async fn carry_out(self, rooms: &Rooms) -> Option<Result<Answer, TwirpError>> {
        let room: RoomName = self.room()?.into();
        let result = match self {
            Self::CreateDispatch(request) => {
                return dispatch::create(rooms, &room, *request).await;
            }
            Self::DeleteDispatch(request) => {
                return dispatch::delete(rooms, &room, &request).await;
            }
            Self::ListDispatch(request) => return dispatch::list(rooms, &room, &request),
            Self::MoveParticipant(request) => rooms.move_participant(request).await?,
            call => rooms.call(&room, call.of_one_room()?).await?,
        };
        Some(result.map(Answer::from).map_err(TwirpError::from))
    }

    /// What the call asks of its room; `None` if it concerns several.
    fn of_one_room(self) -> Option<ApiRequest> {
        Some(match self {
            Self::ListRooms(_)
            | Self::MoveParticipant(_)
            | Self::ForwardParticipant(_)
            | Self::CreateDispatch(_)
            | Self::DeleteDispatch(_)
            | Self::ListDispatch(_) => return None,
            Self::PerformRpc(request) => ApiRequest::PerformRpc(request),
            Self::CreateRoom(_) => ApiRequest::GetRoom,
            Self::DeleteRoom(_) => ApiRequest::DeleteRoom,
            Self::ListParticipants(_) => ApiRequest::ListParticipants,
            Self::GetParticipant(request) => ApiRequest::GetParticipant(request.identity.into()),
            Self::RemoveParticipant(request) => ApiRequest::RemoveParticipant {
                identity: request.identity.into(),
                revoke_tokens_before: Some(request.revoke_token_ts).filter(|second| *second > 0),
            },
            Self::MutePublishedTrack(request) => ApiRequest::MutePublishedTrack {
                identity: request.identity.into(),
                track: request.track_sid.into(),
                muted: request.muted,
            },
            Self::UpdateParticipant(request) => ApiRequest::UpdateParticipant(*request),
            Self::UpdateSubscriptions(request) => ApiRequest::UpdateSubscriptions(request),
            Self::SendData(request) => ApiRequest::SendData(request),
            Self::UpdateRoomMetadata(request) => ApiRequest::UpdateRoomMetadata(request.metadata),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::VideoGrant;

    fn call(method: Method) -> Call {
        let body = match method {
            Method::CreateRoom => r#"{"name":"lobby","empty_timeout":9,"later_field":1}"#,
            Method::ListRooms => "{}",
            _ => r#"{"room":"lobby"}"#,
        };
        Call::read(method, Encoding::Json, body.as_bytes()).unwrap()
    }

    fn allowed(method: Method, video: VideoGrant) -> bool {
        let claims = Claims {
            video,
            ..Claims::default()
        };
        call(method).check(&claims).is_ok()
    }

    /// covers: twirp.permissions, grant.roomCreate, grant.roomList, grant.roomAdmin
    #[test]
    fn each_method_needs_its_own_permission() {
        let create = || VideoGrant {
            room_create: true,
            ..Default::default()
        };
        let list = || VideoGrant {
            room_list: true,
            ..Default::default()
        };
        let admin = |room: &str| VideoGrant {
            room_admin: true,
            room: room.to_owned(),
            ..Default::default()
        };
        for method in Method::ALL {
            let expected = match method {
                Method::CreateRoom | Method::DeleteRoom => [true, false, false, false],
                Method::ListRooms => [false, true, false, false],
                // They need a grant for the other room too, see below.
                Method::MoveParticipant | Method::ForwardParticipant => [false; 4],
                _ => [false, false, true, false],
            };
            let found = [create(), list(), admin("lobby"), admin("other")]
                .map(|video| allowed(method, video));
            assert_eq!(found, expected, "{}", method.name());
            assert!(
                !allowed(method, VideoGrant::join("lobby")),
                "{}",
                method.name()
            );
        }
    }

    #[test]
    fn a_room_is_not_created_with_metadata_that_is_not_kept() {
        let claims = Claims {
            video: VideoGrant {
                room_create: true,
                ..Default::default()
            },
            ..Claims::default()
        };
        let check = |bytes: usize| {
            Call::CreateRoom(Box::new(proto::CreateRoomRequest {
                name: "lobby".to_owned(),
                metadata: "m".repeat(bytes),
                ..Default::default()
            }))
            .check(&claims)
        };
        assert_eq!(check(512 * 1024), Ok(()));
        let error = check(512 * 1024 + 1).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains("524288"), "{error}");
    }

    /// covers: room.room_preset
    #[test]
    fn a_room_is_not_created_by_a_preset_that_is_not_there() {
        let body = br#"{"name":"lobby","room_preset":"studio"}"#;
        let call = Call::read(Method::CreateRoom, Encoding::Json, body).unwrap();
        let error = call.check_preset(&Presets::default()).unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains("studio"));
        let presets = serde_json::from_str(r#"{"studio": {}}"#).unwrap();
        assert!(call.check_preset(&presets).is_ok());
    }

    /// covers: grant.destinationRoom
    #[test]
    fn a_move_needs_both_rooms_and_forwarding_is_not_offered() {
        let claims = |destination_room: &str| Claims {
            video: VideoGrant {
                room_admin: true,
                room: "lobby".to_owned(),
                destination_room: destination_room.to_owned(),
                ..Default::default()
            },
            ..Claims::default()
        };
        let check = |method, destination: &str, claims: &Claims| {
            let body =
                format!(r#"{{"room":"lobby","identity":"a","destinationRoom":"{destination}"}}"#);
            let call = Call::read(method, Encoding::Json, body.as_bytes()).unwrap();
            call.check(claims).map_err(|error| error.code)
        };
        let moving = Method::MoveParticipant;
        assert_eq!(check(moving, "hall", &claims("hall")), Ok(()));
        assert_eq!(
            check(moving, "hall", &claims("attic")),
            Err(Code::Unauthenticated)
        );
        assert_eq!(check(moving, "", &claims("")), Err(Code::InvalidArgument));
        assert_eq!(
            check(moving, "lobby", &claims("lobby")),
            Err(Code::InvalidArgument)
        );
        assert_eq!(
            check(Method::ForwardParticipant, "hall", &claims("hall")),
            Err(Code::Unimplemented)
        );
    }

    #[test]
    fn a_dispatch_without_measure_is_refused_before_its_room_is_made() {
        let request = proto::CreateAgentDispatchRequest {
            agent_name: "a".repeat(257),
            room: "lobby".to_owned(),
            ..Default::default()
        };
        let claims = Claims {
            video: VideoGrant {
                room_admin: true,
                room: "lobby".to_owned(),
                ..Default::default()
            },
            ..Claims::default()
        };
        let error = Call::CreateDispatch(Box::new(request))
            .check(&claims)
            .unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains("256"), "{error}");
    }

    #[test]
    fn an_admin_of_the_nameless_room_is_nobody() {
        let body = Call::read(Method::SendData, Encoding::Json, b"{}").unwrap();
        let claims = Claims {
            video: VideoGrant {
                room_admin: true,
                ..Default::default()
            },
            ..Claims::default()
        };
        assert_eq!(body.check(&claims).unwrap_err().code, Code::InvalidArgument);
    }

    /// covers: twirp.json, twirp.protobuf, edge.twirp_json_shapes
    #[test]
    fn both_spellings_and_protobuf_are_read() {
        let camel = br#"{"name":"lobby","emptyTimeout":9}"#;
        let same = Call::read(Method::CreateRoom, Encoding::Json, camel).unwrap();
        assert_eq!(same, call(Method::CreateRoom));
        let bytes = proto::CreateRoomRequest {
            name: "lobby".to_owned(),
            empty_timeout: 9,
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!(
            Call::read(Method::CreateRoom, Encoding::Protobuf, &bytes).unwrap(),
            same
        );
        for (encoding, body) in [
            (Encoding::Json, &b"{"[..]),
            (Encoding::Protobuf, &[0xff][..]),
        ] {
            let error = Call::read(Method::CreateRoom, encoding, body).unwrap_err();
            assert_eq!(error.code, Code::Malformed);
        }
    }
}

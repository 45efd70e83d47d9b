//! The methods of `livekit.RoomService` and `livekit.AgentDispatchService`.

const ROOM_SERVICE: &str = "livekit.RoomService";
const DISPATCH_SERVICE: &str = "livekit.AgentDispatchService";

/// A method of one of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Opens a room, or says how it is.
    CreateRoom,
    /// Lists rooms.
    ListRooms,
    /// Ends a room.
    DeleteRoom,
    /// Lists participants, hidden ones too.
    ListParticipants,
    /// One participant.
    GetParticipant,
    /// Sends a participant away.
    RemoveParticipant,
    /// Mutes a track.
    MutePublishedTrack,
    /// Changes what a participant is and may do.
    UpdateParticipant,
    /// Subscribes a participant to tracks, or unsubscribes it.
    UpdateSubscriptions,
    /// Sends a data message.
    SendData,
    /// Changes the room's metadata.
    UpdateRoomMetadata,
    /// Brings agents into a room.
    CreateDispatch,
    /// Ends the agents of a dispatch.
    DeleteDispatch,
    /// Lists the dispatches of a room with their jobs.
    ListDispatch,
    /// Calls a method of a participant.
    PerformRpc,
    /// Takes a participant to another room.
    MoveParticipant,
    /// Not offered: shows a participant's tracks in another room too.
    ForwardParticipant,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::CreateRoom,
        Self::ListRooms,
        Self::DeleteRoom,
        Self::ListParticipants,
        Self::GetParticipant,
        Self::RemoveParticipant,
        Self::MutePublishedTrack,
        Self::UpdateParticipant,
        Self::UpdateSubscriptions,
        Self::SendData,
        Self::UpdateRoomMetadata,
        Self::CreateDispatch,
        Self::DeleteDispatch,
        Self::ListDispatch,
        Self::PerformRpc,
        Self::MoveParticipant,
        Self::ForwardParticipant,
    ];

    /// Its name in the URL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateRoom => "CreateRoom",
            Self::ListRooms => "ListRooms",
            Self::DeleteRoom => "DeleteRoom",
            Self::ListParticipants => "ListParticipants",
            Self::GetParticipant => "GetParticipant",
            Self::RemoveParticipant => "RemoveParticipant",
            Self::MutePublishedTrack => "MutePublishedTrack",
            Self::UpdateParticipant => "UpdateParticipant",
            Self::UpdateSubscriptions => "UpdateSubscriptions",
            Self::SendData => "SendData",
            Self::UpdateRoomMetadata => "UpdateRoomMetadata",
            Self::CreateDispatch => "CreateDispatch",
            Self::DeleteDispatch => "DeleteDispatch",
            Self::ListDispatch => "ListDispatch",
            Self::PerformRpc => "PerformRpc",
            Self::MoveParticipant => "MoveParticipant",
            Self::ForwardParticipant => "ForwardParticipant",
        }
    }

    /// The service that it belongs to.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::CreateDispatch | Self::DeleteDispatch | Self::ListDispatch => DISPATCH_SERVICE,
            _ => ROOM_SERVICE,
        }
    }

    /// Its path on the public port and, under `/internal/v1`, on the internal one.
    #[must_use]
    pub fn path(self) -> String {
        format!("twirp/{}/{}", self.service(), self.name())
    }

    /// The method that a URL names.
    #[must_use]
    pub fn find(service: &str, name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|method| method.service() == service && method.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_belong_to_their_services() {
        assert_eq!(
            Method::find("livekit.AgentDispatchService", "ListDispatch"),
            Some(Method::ListDispatch)
        );
        assert_eq!(Method::find("livekit.RoomService", "ListDispatch"), None);
        assert_eq!(
            Method::find("livekit.RoomService", "ListRooms"),
            Some(Method::ListRooms)
        );
        assert_eq!(Method::find("livekit.Egress", "ListRooms"), None);
        assert_eq!(Method::find("livekit.RoomService", "Explode"), None);
    }
}

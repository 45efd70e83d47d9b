//! MoveParticipant, as the server sees it: which way a participant can go, and the handing over of its connection.

use livekit_protocol as proto;
use plenum_room::{ApiError, ApiErrorCode, ApiRequest, ApiResponse, Traveller};
use plenum_types::RoomName;

use super::{Rooms, registry::RoomRef, task::Client};

/// A participant that is handed to another room's task.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) traveller: Box<Traveller>,
    pub(super) client: Client,
}

impl Rooms {
    /// Sends a participant of a room that is here to another room. `None` if its room is not here any more.
    ///
    /// # Errors
    /// Those of the rooms.
    pub async fn move_participant(
        &self,
        request: proto::MoveParticipantRequest,
    ) -> Option<Result<ApiResponse, ApiError>> {
        let (room, destination): (RoomName, RoomName) =
            (request.room.into(), request.destination_room.into());
        let source = self.find(&room).await?;
        let target = self.find(&destination).await;
        if let Some(target) = &target
            && target.is_full()
        {
            return Some(Err(ApiError {
                code: ApiErrorCode::FailedPrecondition,
                message: format!(
                    "room {destination} is full: its max_participants is reached; raise it or remove somebody first"
                ),
            }));
        }
        // On another Shard, on another member or not open yet: the client connects there by itself.
        let target = target.filter(|target| target.shard == source.shard);
        let request = ApiRequest::MoveParticipant {
            identity: request.identity.into(),
            destination,
            together: target.is_some(),
        };
        self.call_with(&source, request, target).await
    }
}

impl RoomRef {
    fn is_full(&self) -> bool {
        let summary = self.summary.borrow();
        let limit = summary.info.max_participants;
        limit > 0 && summary.info.num_participants >= limit
    }
}

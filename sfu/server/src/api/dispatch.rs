//! `livekit.AgentDispatchService`: what agents a room wants.

use livekit_protocol as proto;
use plenum_types::RoomName;

use super::{Answer, TwirpError};
use crate::{
    agents::{self, DispatchError},
    rooms::Rooms,
};

/// How a call went; `None` if the room went elsewhere a moment ago.
type Outcome = Option<Result<Answer, TwirpError>>;

/// Whether a room may get this dispatch.
pub(super) fn check(request: &proto::CreateAgentDispatchRequest) -> Result<(), DispatchError> {
    agents::check(&[wanted_by(request.clone())])
}

pub(super) async fn create(
    rooms: &Rooms,
    room: &RoomName,
    request: proto::CreateAgentDispatchRequest,
) -> Outcome {
    let made = rooms.config().agents.create(room, &wanted_by(request));
    if made.is_ok() && !rooms.save(room).await {
        return None;
    }
    outcome(made.map(|made| Answer::Dispatch(Box::new(made))))
}

pub(super) async fn delete(
    rooms: &Rooms,
    room: &RoomName,
    request: &proto::DeleteAgentDispatchRequest,
) -> Outcome {
    let deleted = rooms.config().agents.delete(room, &request.dispatch_id);
    if deleted.is_ok() && !rooms.save(room).await {
        return None;
    }
    outcome(deleted.map(|gone| Answer::Dispatch(Box::new(gone))))
}

pub(super) fn list(
    rooms: &Rooms,
    room: &RoomName,
    request: &proto::ListAgentDispatchRequest,
) -> Outcome {
    let listed = rooms.config().agents.list(room, &request.dispatch_id);
    outcome(listed.map(|agent_dispatches| {
        Answer::Dispatches(proto::ListAgentDispatchResponse { agent_dispatches })
    }))
}

fn wanted_by(request: proto::CreateAgentDispatchRequest) -> proto::RoomAgentDispatch {
    proto::RoomAgentDispatch {
        agent_name: request.agent_name,
        metadata: request.metadata,
        restart_policy: request.restart_policy,
        deployment: request.deployment,
        attributes: request.attributes,
    }
}

fn outcome(result: Result<Answer, DispatchError>) -> Outcome {
    match result {
        Err(DispatchError::NoRoom) => None,
        result => Some(result.map_err(TwirpError::from)),
    }
}

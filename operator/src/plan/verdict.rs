//! What is known of a room's place, between who decides it and who writes it down.

use plenum_cluster::directory::Holder;
use plenum_cluster::member_api::{MemberState, RoomReport};
use plenum_crds::RoomPhase;
use plenum_crds::conditions::reasons;

use super::observed::{NodeView, RoomView};

/// A room's home as the members report it.
pub(super) struct Home<'a> {
    pub(super) node: &'a NodeView,
    pub(super) report: &'a RoomReport,
    pub(super) state: MemberState,
    pub(super) holder: Holder,
}

/// What a room's status is to say about its place.
pub(super) struct Verdict<'a> {
    pub(super) phase: RoomPhase,
    pub(super) home: Option<&'a Home<'a>>,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// This operator has told the home the spec as it is now.
pub(super) fn is_applied(room: &RoomView, home: &Home<'_>) -> bool {
    room.applied.as_ref().is_some_and(|applied| {
        applied.generation == room.generation
            && applied.node == home.node.name
            && applied.incarnation == home.holder.incarnation
    })
}

pub(super) fn refusal_reason(reason: &str) -> &'static str {
    match reason {
        "DirectoryUnavailable" => reasons::DIRECTORY_UNAVAILABLE,
        "AtCapacity" => reasons::AT_CAPACITY,
        "Closed" => reasons::CLOSED,
        "NotHome" | "Draining" => reasons::MOVING,
        _ => reasons::REFUSED,
    }
}

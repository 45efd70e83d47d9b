//! The rooms of this member: one task each, and the ways to reach them.
//!
//! [`Rooms`] is the registry. A room opens only for a claim that [`Membership`] holds; it is reached by clients
//! through [`Rooms::connect`] and by the server API through [`Rooms::call`]. There is no lock around a room: its task owns
//! it, and everything else is a message to that task.

mod grants;
mod moving;
mod new_room;
mod open;
mod registry;
mod task;
mod travel;
mod waiting;

pub use moving::{MoveError, Mover};
pub use new_room::{NewRoom, RoomDefaults};
pub use open::{Held, OpenError};
pub(crate) use registry::{API_ANSWER, rpc_answer, state_mismatch};
pub use registry::{RoomSummary, Rooms, RoomsConfig};

#[cfg(doc)]
use plenum_cluster::Membership;

//! The rooms of this member: one task each, and the ways to reach them.
//!
//! [`Rooms`] is the registry. A room opens only through [`Directory::claim`], which may refuse; it is reached by clients
//! through [`Rooms::connect`] and by the server API through [`Rooms::call`]. There is no lock around a room: its task owns
//! it, and everything else is a message to that task.

mod open;
mod registry;
mod task;

pub use open::{OpenError, RoomDefaults};
pub use registry::{RoomSummary, Rooms, RoomsConfig};

#[cfg(doc)]
use plenum_cluster::Directory;

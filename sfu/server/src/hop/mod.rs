//! The hop: a client's connection carried from the member where its socket ends (the edge) to the home of its room.
//!
//! A hop is a WebSocket on the home's internal port. The edge says hello with the home's NodeId and Incarnation as it
//! knows them and the client's [`JoinContext`](crate::signal::JoinContext); the home lets the client in as if it had come
//! by itself, and answers with the room's first frame; from then on encoded frames go both ways unchanged. Application
//! pings and JSON end at the edge; tokens were checked there.
//!
//! Both ends notice a silent hop within [`SUSPECT`]. A lost hop is never a verdict about the home: the edge asks
//! [`Membership::fate`](plenum_cluster::Membership::fate) what became of it (claims.md rule 12).

mod edge;
mod home;
mod hops;
mod wire;

#[cfg(fuzzing)]
pub(crate) use wire::{Hello, Welcome};

pub use edge::{HopError, open};
pub use home::serve;
pub use hops::Hops;

use std::time::Duration;

/// How often the edge pings the home.
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// A hop on which nothing was heard for this long is suspected.
const SUSPECT: Duration = Duration::from_millis(1500);
/// Largest message: a hello holds a join request of 1 MiB, in JSON and with a token beside it.
const MAX_HOP_MESSAGE: usize = 8 * 1024 * 1024;

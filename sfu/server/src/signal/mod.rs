//! Signaling connections: from a WebSocket to frames, and from frames to a room.
//!
//! [`JoinContext`] is what a client says before its first message; a [`Connection`] is the stream of encoded frames that
//! follows, in both directions. Everything that belongs to the socket itself (upgrade, keep-alive, JSON) happens in
//! [`socket`], on the member where the socket ends; the two values above can be carried to another member unchanged.

mod connection;
mod join;
mod outbox;
pub(crate) mod parts;
mod route;
pub mod socket;

#[cfg(fuzzing)]
pub(crate) use parts::{MAX_PARTS, of_json, of_protobuf};

pub use connection::{Connection, FrameError, FrameSink, Inbound, Quota};
pub use join::{JoinContext, JoinError, SignalVersion};
pub use outbox::{Outbox, OutboxReader, Outgoing, outbox};
pub use route::FrameRoute;

//! Threads, sockets, clocks and queues that drive Shards.
//!
//! [`Engine`] starts one thread per Shard, each with its own UDP port and epoll loop, takes commands for them
//! ([`Engine::send`]) and hands out what they say ([`ShardNews`]). [`Clock`] is the only clock of the process.
//! [`ServeUntil`] stops all sending at a given moment, whatever the control plane does meanwhile.
//!
//! A Shard's thread never waits for anyone: not for a room that does not read its events, not for a full socket, not for
//! a lock that another thread might hold. A panic in a Shard costs that Shard's rooms alone: they reconnect to a fresh one,
//! which the same thread makes on the same sockets.
#![deny(unsafe_code)] // allowed in `drops` alone

mod acceptor;
mod backlog;
mod clock;
mod driven;
mod driver;
mod drops;
mod engine;
mod listen;
mod outgoing;
mod queue;
mod restart;
mod serve_until;
mod sockets;
mod status;
mod stream_queue;
mod streams;

pub use acceptor::AcceptorStats;
pub use clock::Clock;
pub use driven::Driven;
pub use engine::{CommandError, Engine, EngineConfig, EngineError, ShardNews, default_shards};
pub use listen::listen;
pub use plenum_media::{Delays, Shard, ShardConfig, ShardStats, TransmitSink};
pub use serve_until::ServeUntil;
pub use sockets::BindError;
pub use status::{IoStats, ShardHealth, ShardStatus};

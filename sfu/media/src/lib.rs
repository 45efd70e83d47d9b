//! The Shard: everything of one media thread, without the thread.
//!
//! [`Shard`] owns Transports, Tracks and Subscriptions. Commands of rooms and datagrams of clients go in with the time;
//! [`Shard::flush`] hands what is to be sent to a [`TransmitSink`], [`Shard::poll_event`] gives what rooms must know, and
//! [`ShardStats`] counts what happened.
//!
//! Nobody else touches what a Shard owns. On the path of a packet (received, opened, mapped, sealed, sent) it takes no lock,
//! allocates nothing after warm-up and writes no log line. Whatever peers send, its memory stays bounded.
#![forbid(unsafe_code)]

mod adopt;
mod allocation;
mod answers;
mod arrivals;
mod bucket;
mod budget;
mod clock;
mod commands;
mod config;
mod control;
mod counts;
mod data;
mod decisions;
mod egress;
mod events;
mod flush;
mod forward;
mod frame_rates;
#[cfg(fuzzing)]
pub mod fuzzing;
mod history;
mod inspect;
mod key_frames;
mod keys;
mod layer;
mod meter;
mod missing;
mod outbox;
mod quality;
mod receive;
mod reception;
mod rooms;
mod segments;
mod sender;
mod shard;
mod sink;
mod speakers;
mod stats;
mod subscription;
mod tick;
mod track;
mod transports;

pub use config::{Budgets, ShardConfig};
pub use counts::{Delays, Drops, Handshakes};
pub use shard::Shard;
pub use sink::{Run, TransmitSink, Transmitted};
pub use stats::ShardStats;

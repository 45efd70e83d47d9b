//! Shards on real sockets and threads.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests fail the test, too

mod failing;
mod sockets;
mod streams;
mod world;

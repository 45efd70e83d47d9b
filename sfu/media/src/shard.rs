//! The public entry.

use std::net::SocketAddr;

use plenum_types::{RoomToShard, ShardToRoom, Timestamp, WallClock};

use crate::{ShardConfig, ShardStats, TransmitSink};

/// One media thread's Transports, Tracks and Subscriptions.
pub struct Shard {
    config: ShardConfig,
    stats: ShardStats,
}

impl Shard {
    /// An empty Shard.
    #[must_use]
    pub fn new(config: ShardConfig, now: Timestamp) -> Self {
        let _ = now;
        Self {
            config,
            stats: ShardStats::default(),
        }
    }

    /// Does what a room wants. Commands about unknown ids are ignored and counted.
    pub fn handle_command(&mut self, now: Timestamp, command: RoomToShard) {
        let _ = (now, command);
    }

    /// Takes a datagram that came to `local` from `remote`. It is opened in place.
    pub fn handle_datagram(
        &mut self,
        now: Timestamp,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &mut [u8],
    ) {
        let _ = (now, local, remote, datagram);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest; [`Timestamp::FAR_FUTURE`] if nothing
    /// waits. Ask after each call that takes a time.
    #[must_use]
    pub fn next_timeout(&self) -> Timestamp {
        Timestamp::FAR_FUTURE
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// Sends all that waits: call it at the end of each pass, and when a full socket is writable again.
    pub fn flush(&mut self, now: Timestamp, wall: WallClock, sink: &mut impl TransmitSink) {
        let _ = (now, sink);
        self.config.wall = wall;
    }

    /// The next event for a room. State is coalesced per id while it waits, so a slow reader costs no memory.
    pub fn poll_event(&mut self) -> Option<ShardToRoom> {
        None
    }

    /// Counters and gauges as they are now.
    #[must_use]
    pub fn stats(&self) -> &ShardStats {
        &self.stats
    }
}

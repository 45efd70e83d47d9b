//! What a media thread drives.

use plenum_media::{Shard, ShardStats, TransmitSink};
use plenum_types::{Path, RoomToShard, ShardToRoom, Timestamp, WallClock};

/// The calls of a [`Shard`], which says what each is for. Tests drive one around it that breaks at one of them.
pub trait Driven: 'static {
    /// The Shard itself.
    fn shard(&self) -> &Shard;
    /// The Shard itself.
    fn shard_mut(&mut self) -> &mut Shard;

    /// See [`Shard::handle_command`].
    fn handle_command(&mut self, now: Timestamp, command: RoomToShard) {
        self.shard_mut().handle_command(now, command);
    }
    /// See [`Shard::handle_packet`].
    fn handle_packet(&mut self, now: Timestamp, path: Path, packet: &mut [u8]) {
        self.shard_mut().handle_packet(now, path, packet);
    }
    /// See [`Shard::handle_path_lost`].
    fn handle_path_lost(&mut self, now: Timestamp, path: Path) {
        self.shard_mut().handle_path_lost(now, path);
    }
    /// See [`Shard::has_path`].
    fn has_path(&self, path: Path) -> bool {
        self.shard().has_path(path)
    }
    /// See [`Shard::next_timeout`].
    fn next_timeout(&self) -> Timestamp {
        self.shard().next_timeout()
    }
    /// See [`Shard::handle_timeout`].
    fn handle_timeout(&mut self, now: Timestamp) {
        self.shard_mut().handle_timeout(now);
    }
    /// See [`Shard::flush`].
    fn flush(&mut self, now: Timestamp, wall: WallClock, sink: &mut impl TransmitSink) {
        self.shard_mut().flush(now, wall, sink);
    }
    /// See [`Shard::poll_event`].
    fn poll_event(&mut self) -> Option<ShardToRoom> {
        self.shard_mut().poll_event()
    }
    /// See [`Shard::stats`].
    fn stats(&self) -> &ShardStats {
        self.shard().stats()
    }
}

impl Driven for Shard {
    fn shard(&self) -> &Shard {
        self
    }
    fn shard_mut(&mut self) -> &mut Shard {
        self
    }
}

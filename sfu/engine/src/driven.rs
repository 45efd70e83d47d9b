//! What a media thread drives.

use plenum_media::{Shard, ShardStats, TransmitSink};
use plenum_types::{Path, RoomToShard, ShardToRoom, Timestamp, WallClock};

/// The calls of a [`Shard`], which says what each is for. Tests drive one that breaks.
pub trait Driven: 'static {
    /// See [`Shard::handle_command`].
    fn handle_command(&mut self, now: Timestamp, command: RoomToShard);
    /// See [`Shard::handle_packet`].
    fn handle_packet(&mut self, now: Timestamp, path: Path, packet: &mut [u8]);
    /// See [`Shard::handle_path_lost`].
    fn handle_path_lost(&mut self, now: Timestamp, path: Path);
    /// See [`Shard::has_path`].
    fn has_path(&self, path: Path) -> bool;
    /// See [`Shard::next_timeout`].
    fn next_timeout(&self) -> Timestamp;
    /// See [`Shard::handle_timeout`].
    fn handle_timeout(&mut self, now: Timestamp);
    /// See [`Shard::flush`].
    fn flush(&mut self, now: Timestamp, wall: WallClock, sink: &mut impl TransmitSink);
    /// See [`Shard::poll_event`].
    fn poll_event(&mut self) -> Option<ShardToRoom>;
    /// See [`Shard::stats`].
    fn stats(&self) -> &ShardStats;
}

impl Driven for Shard {
    fn handle_command(&mut self, now: Timestamp, command: RoomToShard) {
        self.handle_command(now, command);
    }
    fn handle_packet(&mut self, now: Timestamp, path: Path, packet: &mut [u8]) {
        self.handle_packet(now, path, packet);
    }
    fn handle_path_lost(&mut self, now: Timestamp, path: Path) {
        self.handle_path_lost(now, path);
    }
    fn has_path(&self, path: Path) -> bool {
        self.has_path(path)
    }
    fn next_timeout(&self) -> Timestamp {
        self.next_timeout()
    }
    fn handle_timeout(&mut self, now: Timestamp) {
        self.handle_timeout(now);
    }
    fn flush(&mut self, now: Timestamp, wall: WallClock, sink: &mut impl TransmitSink) {
        self.flush(now, wall, sink);
    }
    fn poll_event(&mut self) -> Option<ShardToRoom> {
        self.poll_event()
    }
    fn stats(&self) -> &ShardStats {
        self.stats()
    }
}

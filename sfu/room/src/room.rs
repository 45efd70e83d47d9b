//! The room itself: its state, and which concern each input goes to.

use livekit_protocol as proto;
use plenum_types::{RoomSid, Timestamp};

use crate::{RoomConfig, RoomInput, RoomOutput, RoomSnapshot, SnapshotError};

/// One call: a pure state machine. See the crate's first lines.
#[derive(Debug)]
pub struct Room {
    config: RoomConfig,
    rng: fastrand::Rng,
    outputs: Vec<RoomOutput>,
}

/// How much there is in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomStats {
    /// Participants, hidden ones included.
    pub participants: usize,
    /// Participants that publish.
    pub publishers: usize,
    /// Published tracks.
    pub tracks: usize,
    /// Tracks forwarded to participants.
    pub subscriptions: usize,
}

impl Room {
    /// A room that nobody is in yet. All its randomness comes from `rng`.
    #[must_use]
    pub fn new(config: RoomConfig, rng: fastrand::Rng, now: Timestamp) -> Self {
        let _ = now;
        Self {
            config,
            rng,
            outputs: Vec::new(),
        }
    }

    /// A room that lived elsewhere before.
    ///
    /// # Errors
    /// The snapshot is not one that this version can read.
    pub fn restore(
        config: RoomConfig,
        snapshot: &RoomSnapshot,
        rng: fastrand::Rng,
        now: Timestamp,
    ) -> Result<Self, SnapshotError> {
        let mut room = Self::new(config, rng, now);
        room.config.sid = snapshot.sid.clone();
        Ok(room)
    }

    /// Takes one input. Drain the outputs afterwards.
    pub fn handle(&mut self, now: Timestamp, input: RoomInput) {
        let _ = (now, input, self.rng.u64(..));
    }

    /// What is to be done, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, RoomOutput> {
        self.outputs.drain(..)
    }

    /// When to give `RoomInput::Timer` next, unless another input comes first.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        None
    }

    /// What outlives this member.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Option<RoomSnapshot> {
        let _ = now;
        None
    }

    /// Its `RM_` sid.
    #[must_use]
    pub const fn sid(&self) -> &RoomSid {
        &self.config.sid
    }

    /// The room as the protocol describes it.
    #[must_use]
    pub fn info(&self) -> proto::Room {
        proto::Room::default()
    }

    /// How much there is in it.
    #[must_use]
    pub fn stats(&self) -> RoomStats {
        RoomStats::default()
    }
}

//! What a Shard is told at its start.

use std::sync::Arc;

use plenum_transport::{Certificate, EpochInstant};
use plenum_types::{ShardId, WallClock};

use crate::transports::SSRCS_PER_TRACK;

/// Start parameters of a Shard.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Which one it is.
    pub shard: ShardId,
    /// The process's DTLS certificate.
    pub certificate: Arc<Certificate>,
    /// The process's clock base, for the DTLS and SCTP libraries.
    pub epoch: EpochInstant,
    /// Wall time at the start; each [`flush`](crate::Shard::flush) brings the current one.
    pub wall: WallClock,
    /// Bounds of memory.
    pub budgets: Budgets,
}

/// Most memory that a Shard takes for media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Bytes of all histories together. At the bound histories stop growing, so that late NACKs go unanswered.
    pub history_bytes: usize,
    /// Transports; more are refused and counted.
    pub transports: usize,
    /// Tracks of one Transport; more are refused and counted.
    pub tracks_per_transport: usize,
    /// Subscriptions of one Transport; more are refused and counted.
    pub subscriptions_per_transport: usize,
}

impl Budgets {
    /// SSRCs that one client may use.
    pub(crate) const fn max_incoming(&self) -> usize {
        SSRCS_PER_TRACK * self.tracks_per_transport
    }
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            // 1 s of 400 video layers at 2.5 Mbit/s.
            history_bytes: 128 << 20,
            transports: 20_000,
            tracks_per_transport: 64,
            // A page of 500 participants with audio and video.
            subscriptions_per_transport: 1_024,
        }
    }
}

//! The one place where `Instant` appears: `dimpl` and `sctp-proto` count in it.

use plenum_types::Timestamp;
use std::time::{Duration, Instant};

/// What the system's clock said at [`Timestamp::ZERO`]. Whoever reads clocks makes one per process and gives it to all
/// Transports.
#[derive(Debug, Clone, Copy)]
pub struct EpochInstant(Instant);

impl EpochInstant {
    /// From the instant that stands for [`Timestamp::ZERO`].
    #[must_use]
    pub const fn new(at_zero: Instant) -> Self {
        Self(at_zero)
    }

    /// For the libraries below. A time too far ahead for an `Instant` becomes the epoch.
    pub(crate) fn instant(self, at: Timestamp) -> Instant {
        self.0
            .checked_add(Duration::from_nanos(at.as_nanos()))
            .unwrap_or(self.0)
    }

    /// From the libraries below. Times before the epoch become zero.
    pub(crate) fn timestamp(self, at: Instant) -> Timestamp {
        Timestamp::ZERO + at.saturating_duration_since(self.0)
    }
}

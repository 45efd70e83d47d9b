//! How much one sender may send whatever its receivers can take.
//!
//! Within its rate a sender's messages go to everyone they are for. Above it they go only to those for whom little waits:
//! a file reaches fast receivers at full speed, and a flood costs slow ones messages of the flood, but neither their
//! connection nor what others send. This is what `LiveKit` does with slow readers; nobody is closed for sending much.

use plenum_types::{DataChannel, Timestamp};

use crate::bucket::{Bucket, Limit};

/// Bytes a second: 4 Mbit/s, more than conversation needs and less than most downlinks. As many at once: half of what may
/// wait for a receiver before its connection is given up.
const LIMIT: Limit = Limit::a_second(512 << 10);
/// What a message costs besides its bytes, so that empty ones are bounded too.
const OVERHEAD: u64 = 64;

/// Bytes that may wait for a receiver of a message above its sender's rate: what leaves room for the messages of others.
pub(super) const fn spare(channel: DataChannel) -> usize {
    match channel {
        DataChannel::Reliable => 256 << 10,
        DataChannel::Lossy | DataChannel::DataTrack => 16 << 10,
    }
}

/// A sender's token bucket, in bytes.
#[derive(Debug)]
pub(super) struct SenderRate(Bucket);

impl SenderRate {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self(Bucket::full(LIMIT, now))
    }

    /// Whether a message of `len` bytes is within the rate. One that is not takes nothing from it.
    pub(super) fn take(&mut self, len: usize, now: Timestamp) -> bool {
        self.0.take(len as u64 + OVERHEAD, LIMIT, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_a_burst_and_then_its_rate() {
        let mut rate = SenderRate::new(Timestamp::ZERO);
        let message = 1_024 - OVERHEAD as usize;
        let burst = (0..10_000).filter(|_| rate.take(message, Timestamp::ZERO));
        assert_eq!(burst.count(), 512);
        let taken =
            (1..=10_000).filter(|millis| rate.take(message, Timestamp::from_millis(*millis)));
        assert!((5_100..=5_120).contains(&taken.count()));
        // An hour's rest is one burst.
        let later = Timestamp::from_millis(3_600_000);
        assert_eq!(
            (0..10_000).filter(|_| rate.take(message, later)).count(),
            512
        );
        let empty = Timestamp::from_millis(7_200_000);
        assert_eq!((0..100_000).filter(|_| rate.take(0, empty)).count(), 8_192);
    }
}

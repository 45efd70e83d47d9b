//! How fast a worker may talk.

use std::time::Duration;

use plenum_types::Timestamp;

/// Messages and pings at once: a worker that comes back reports each of its jobs.
const BURST: u32 = 1_000;
/// Messages and pings in a second. A worker says a handful, and a few for each job.
const PER_SECOND: u32 = 200;

/// What a worker may still say without waiting.
#[derive(Debug)]
pub(super) struct Pace {
    /// When all of the burst is there again, as if it were taken one by one.
    full_at: Timestamp,
}

impl Pace {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { full_at: now }
    }

    /// Takes one; how long its sender has to wait for it.
    pub(super) fn take(&mut self, now: Timestamp) -> Duration {
        let one = Duration::from_secs(1) / PER_SECOND;
        self.full_at = self.full_at.max(now) + one;
        self.full_at
            .saturating_since(now)
            .saturating_sub(one * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_flood_waits() {
        let start = Timestamp::from_millis(5_000);
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert_eq!(pace.take(start), Duration::ZERO);
        }
        let mut now = start;
        for _ in 0..PER_SECOND * 3 {
            now = now + pace.take(now);
        }
        assert_eq!(now.saturating_since(start), Duration::from_secs(3));
        // Who was silent for a while has the whole burst again, and no more.
        let later = now + Duration::from_secs(3_600);
        let waits = (0..BURST + 1).filter(|_| !pace.take(later).is_zero());
        assert_eq!(waits.count(), 1);
    }
}

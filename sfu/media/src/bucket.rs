//! A token bucket: so much at once, so much a second.

use plenum_types::Timestamp;

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// What a [`Bucket`] gives a second, and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(u64);

impl Limit {
    /// At most 2^34, so that a second of it in nanoseconds fits into 64 bits.
    pub(crate) const fn a_second(rate: u64) -> Self {
        assert!(rate <= 1 << 34);
        Self(rate)
    }
}

/// Starts empty at the start of the clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    left: u64,
    at: Timestamp,
}

impl Bucket {
    /// One that is full.
    pub(crate) const fn full(limit: Limit, now: Timestamp) -> Self {
        Self {
            left: limit.0,
            at: now,
        }
    }

    /// Takes `cost`; `false`, and takes nothing, if so much is not there.
    pub(crate) fn take(&mut self, cost: u64, limit: Limit, now: Timestamp) -> bool {
        let elapsed = now.as_nanos().saturating_sub(self.at.as_nanos());
        let earned = elapsed.min(SECOND) * limit.0 / SECOND;
        if earned > 0 {
            self.left = (self.left + earned).min(limit.0);
            self.at = now;
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit::a_second(1_000);

    #[test]
    fn there_is_a_burst_and_then_the_rate() {
        let now = Timestamp::from_millis(60_000);
        for mut bucket in [Bucket::full(LIMIT, now), Bucket::default()] {
            assert_eq!(
                (0..10_000).filter(|_| bucket.take(10, LIMIT, now)).count(),
                100
            );
            let taken = (1..=10_000u64).filter(|millis| {
                bucket.take(10, LIMIT, now + std::time::Duration::from_millis(*millis))
            });
            assert_eq!(taken.count(), 1_000);
        }
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let mut bucket = Bucket::full(LIMIT, Timestamp::ZERO);
        assert!(!bucket.take(1_001, LIMIT, Timestamp::ZERO));
        assert!(bucket.take(1_000, LIMIT, Timestamp::ZERO));
    }
}

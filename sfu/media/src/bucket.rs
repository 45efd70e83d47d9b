//! A token bucket: so much at once, so much a second.

use plenum_types::Timestamp;

/// What a [`Bucket`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// A second.
    pub(crate) rate: u64,
    /// At once.
    pub(crate) burst: u64,
}

impl Limit {
    /// A second's worth at once.
    pub(crate) const fn a_second(rate: u64) -> Self {
        Self { rate, burst: rate }
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
            left: limit.burst,
            at: now,
        }
    }

    /// Takes `cost`; `false`, and takes nothing, if so much is not there.
    pub(crate) fn take(&mut self, cost: u64, limit: Limit, now: Timestamp) -> bool {
        let elapsed = now.saturating_since(self.at).as_micros();
        let earned = elapsed.saturating_mul(limit.rate.into()) / 1_000_000;
        if earned > 0 {
            let earned = u64::try_from(earned).unwrap_or(limit.burst);
            self.left = self.left.saturating_add(earned).min(limit.burst);
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

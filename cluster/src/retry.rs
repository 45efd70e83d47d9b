//! How to try again: exponential back-off with full jitter, bounded by the caller's deadline.

use std::time::Duration;

/// Settings of a back-off. Only for transient and idempotent work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first pause; it doubles with each attempt.
    pub base: Duration,
    /// Upper bound of any pause.
    pub cap: Duration,
}

impl RetryPolicy {
    /// The pause before attempt number `attempt` (the first retry is 1), drawn evenly between zero and its bound ("full
    /// jitter"), or `None` when it would end after the caller's deadline.
    pub fn pause(
        &self,
        attempt: u32,
        until_deadline: Duration,
        random: &mut fastrand::Rng,
    ) -> Option<Duration> {
        // Beyond 2^20 times the base every cap is long reached.
        let doublings = attempt.saturating_sub(1).min(20);
        let bound = self.base.saturating_mul(1 << doublings).min(self.cap);
        let pause = bound.mul_f64(random.f64());
        (pause < until_deadline).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        base: Duration::from_millis(100),
        cap: Duration::from_secs(2),
    };

    #[test]
    fn pauses_are_spread_over_a_doubling_and_capped_range() {
        let mut random = fastrand::Rng::with_seed(1);
        for (attempt, bound_ms) in [(1, 100), (2, 200), (4, 800), (6, 2000), (u32::MAX, 2000)] {
            let pauses: Vec<Duration> = (0..1000)
                .filter_map(|_| POLICY.pause(attempt, Duration::from_secs(9), &mut random))
                .collect();
            let bound = Duration::from_millis(bound_ms);
            assert!(pauses.iter().all(|p| *p < bound));
            assert!(
                pauses.iter().any(|p| *p > bound.mul_f64(0.95))
                    && pauses.iter().any(|p| *p < bound.mul_f64(0.05))
            );
        }
    }

    #[test]
    fn no_retry_ends_after_the_deadline() {
        let mut random = fastrand::Rng::with_seed(2);
        let deadline = Duration::from_millis(50);
        let pauses: Vec<_> = (0..1000)
            .map(|_| POLICY.pause(5, deadline, &mut random))
            .collect();
        assert!(pauses.iter().flatten().all(|p| *p < deadline));
        assert!(pauses.contains(&None));
    }
}

//! How much may be said in what time.

use std::time::Duration;

use plenum_types::Timestamp;

/// Bytes that may go out at once, and how fast they come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Most that may go out at once.
    pub(crate) burst_bytes: u32,
    /// What comes back in a second.
    pub(crate) bytes_per_second: u32,
}

/// What is left of a [`Rate`]. The last message may be larger than that: the debt is waited off.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    left: i64,
    at: Timestamp,
}

impl Pace {
    pub(crate) fn new(rate: Rate, now: Timestamp) -> Self {
        Self {
            rate,
            left: rate.burst_bytes.into(),
            at: now,
        }
    }

    /// Whether so many bytes may go out now; if so, they count.
    pub(crate) fn take(&mut self, now: Timestamp, bytes: usize) -> bool {
        let passed = now.saturating_since(self.at).as_millis();
        let refilled = i64::try_from(passed)
            .unwrap_or(i64::MAX)
            .saturating_mul(self.rate.bytes_per_second.into())
            / 1000;
        self.left = self
            .left
            .saturating_add(refilled)
            .min(self.rate.burst_bytes.into());
        // What comes back in less than a millisecond is given away: two calls in the same one refill nothing.
        if passed > 0 {
            self.at = now;
        }
        if self.left <= 0 {
            return false;
        }
        self.left -= i64::try_from(bytes).unwrap_or(i64::MAX);
        true
    }

    /// How long until something may go out again.
    pub(crate) fn wait(&self) -> Duration {
        let debt = u64::try_from(-self.left).unwrap_or(0) + 1;
        let rate = u64::from(self.rate.bytes_per_second.max(1));
        Duration::from_millis(debt * 1000 / rate + 1)
    }
}

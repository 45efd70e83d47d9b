//! How much flows, over the last second or so.

use std::time::Duration;

use plenum_types::{Rate, Timestamp};

/// A rate over less than this would jump with every frame.
const SHORTEST: Duration = Duration::from_millis(900);

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    bytes: u64,
    packets: u64,
    /// Totals at the last look, and when that was.
    looked: (u64, u64, Timestamp),
    rate: Rate,
}

impl Meter {
    /// A packet of this size.
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.packets += 1;
    }

    /// Called about once a second.
    pub(crate) fn look(&mut self, now: Timestamp) {
        let (bytes, packets, at) = self.looked;
        let elapsed = now.saturating_since(at);
        if elapsed < SHORTEST {
            return;
        }
        let a_second = |count: u64| {
            u64::try_from(u128::from(count) * 1_000_000_000 / elapsed.as_nanos().max(1))
                .unwrap_or(u64::MAX)
        };
        self.rate = Rate {
            bits: a_second((self.bytes - bytes).saturating_mul(8)),
            packets: u32::try_from(a_second(self.packets - packets)).unwrap_or(u32::MAX),
        };
        self.looked = (self.bytes, self.packets, now);
    }

    pub(crate) const fn rate(&self) -> Rate {
        self.rate
    }

    /// All packets so far.
    pub(crate) const fn packets(&self) -> u64 {
        self.packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_second() {
        let mut meter = Meter::default();
        let mut now = Timestamp::from_millis(50_000);
        meter.look(now);
        for _ in 0..10 {
            for _ in 0..100 {
                meter.add(1_000);
            }
            now += Duration::from_secs(1);
            meter.look(now);
        }
        let steady = Rate {
            bits: 800_000,
            packets: 100,
        };
        assert_eq!(meter.rate(), steady);
        now += Duration::from_millis(10);
        meter.look(now);
        assert_eq!(meter.rate(), steady);
        now += Duration::from_secs(1);
        meter.look(now);
        assert_eq!(meter.rate(), Rate::default());
    }
}

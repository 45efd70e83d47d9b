//! How well packets travel on a Transport, for the room's connection quality.

use std::time::Duration;

use plenum_types::{LinkQuality, Timestamp};

/// Between two events.
const INTERVAL: Duration = Duration::from_secs(5);

/// Sums since the last event.
#[derive(Debug)]
pub(crate) struct LinkMeter {
    rtt: Option<Duration>,
    uplink: (u64, u64),
    downlink: (u64, u64),
    due: Timestamp,
    last: LinkQuality,
}

impl LinkMeter {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            rtt: None,
            uplink: (0, 0),
            downlink: (0, 0),
            due: now + INTERVAL,
            last: LinkQuality::default(),
        }
    }

    /// A round trip was measured.
    pub(crate) fn on_rtt(&mut self, sample: Duration) {
        self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
    }

    pub(crate) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Packets of the client: how many there should have been and how many came.
    pub(crate) fn on_uplink(&mut self, expected: u64, received: u64) {
        self.uplink.0 += expected;
        self.uplink.1 += received.min(expected);
    }

    /// Packets of ours: how many the client should have got and how many it missed.
    pub(crate) fn on_downlink(&mut self, expected: u64, lost: u64) {
        self.downlink.0 += expected;
        self.downlink.1 += lost.min(expected);
    }

    /// It is time for an event.
    pub(crate) fn due(&self, now: Timestamp) -> bool {
        now >= self.due
    }

    /// What was measured since the last one.
    pub(crate) fn take(&mut self, uplink_expected: bool, now: Timestamp) -> LinkQuality {
        self.due = now + INTERVAL;
        let (expected, received) = std::mem::take(&mut self.uplink);
        let (sent, lost) = std::mem::take(&mut self.downlink);
        let share = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f32 / whole as f32
            }
        };
        self.last = LinkQuality {
            rtt: self.rtt,
            uplink_loss: share(expected - received, expected),
            downlink_loss: share(lost, sent),
            uplink_expected,
        };
        self.last
    }

    /// What was measured for the last event.
    pub(crate) const fn last(&self) -> LinkQuality {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_a_share_of_what_was_sent() {
        let mut meter = LinkMeter::new(Timestamp::ZERO);
        meter.on_uplink(100, 90);
        meter.on_downlink(200, 1);
        let quality = meter.take(true, Timestamp::from_millis(5_000));
        assert!((quality.uplink_loss - 0.1).abs() < 1e-6);
        assert!((quality.downlink_loss - 0.005).abs() < 1e-6);
        assert!(!meter.due(Timestamp::from_millis(9_000)));
        assert!(meter.due(Timestamp::from_millis(10_000)));
    }
}

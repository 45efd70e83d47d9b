//! Statistics of a received stream (RFC 3550 section 6.4.1, appendix A.3 and A.8).

use plenum_rtp::rtcp::ReportBlock;
use plenum_types::{NtpTime, Ssrc, Timestamp};

/// What came of a stream since its first packet.
#[derive(Debug, Default)]
pub(crate) struct Reception {
    first: Option<u64>,
    highest: u64,
    received: u64,
    reported: (u64, u64),
    rated: (u64, u64),
    last_transit: Option<i64>,
    jitter_sixteenths: i64,
    last_report: Option<(u32, Timestamp)>,
}

impl Reception {
    /// A packet that was not there before. `index` is its extended sequence number.
    pub(crate) fn on_packet(
        &mut self,
        index: u64,
        timestamp: u32,
        clock_rate: u32,
        now: Timestamp,
    ) {
        self.first = Some(self.first.map_or(index, |first| first.min(index)));
        self.received += 1;
        if index > self.highest {
            self.highest = index;
            let arrival = (now.as_nanos() / 1_000).wrapping_mul(u64::from(clock_rate)) / 1_000_000;
            let transit = i64::from((arrival as u32).wrapping_sub(timestamp));
            if let Some(last) = self.last_transit {
                // Half a circle or more is a jump of the clock, not jitter.
                let change = (transit - last).abs();
                if change < i64::from(u32::MAX / 2) {
                    self.jitter_sixteenths += change - ((self.jitter_sixteenths + 8) >> 4);
                }
            }
            self.last_transit = Some(transit);
        }
    }

    /// A sender report came.
    pub(crate) fn on_sender_report(&mut self, ntp: NtpTime, now: Timestamp) {
        self.last_report = Some((ntp.compact(), now));
    }

    fn expected(&self) -> u64 {
        self.first
            .map_or(0, |first| self.highest.saturating_sub(first) + 1)
    }

    /// Expected and received since the last call, for the link's quality.
    pub(crate) fn rate_interval(&mut self) -> (u64, u64) {
        let now = (self.expected(), self.received);
        let before = std::mem::replace(&mut self.rated, now);
        (
            now.0.saturating_sub(before.0),
            now.1.saturating_sub(before.1),
        )
    }

    /// Expected and received since the first packet.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.expected(), self.received)
    }

    /// The block of the next report; `None` before the first packet.
    pub(crate) fn report(&mut self, ssrc: Ssrc, now: Timestamp) -> Option<ReportBlock> {
        self.first?;
        let (expected, received) = (self.expected(), self.received);
        let (expected_before, received_before) =
            std::mem::replace(&mut self.reported, (expected, received));
        let expected_now = expected.saturating_sub(expected_before);
        let lost_now = expected_now.saturating_sub(received.saturating_sub(received_before));
        let fraction_lost = (lost_now * 256)
            .checked_div(expected_now)
            .unwrap_or(0)
            .min(255) as u8;
        let lost = expected.cast_signed() - received.cast_signed();
        let (last_sr, delay) = self.last_report.map_or((0, 0), |(compact, at)| {
            let waited = now.saturating_since(at).as_nanos();
            (compact, ((waited << 16) / 1_000_000_000) as u32)
        });
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            // Our extended numbers begin at 65,536: RFC 3550 counts wraps from 0.
            highest_sequence: (self.highest - (1 << 16)) as u32,
            jitter: (self.jitter_sixteenths >> 4).max(0) as u32,
            last_sr,
            delay_since_last_sr: delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 1 << 16;

    #[test]
    fn loss_is_reported_once() {
        let mut reception = Reception::default();
        for n in (0..100u64).filter(|n| n % 4 != 1) {
            reception.on_packet(BASE + n, n as u32 * 90, 90_000, Timestamp::from_millis(n));
        }
        let block = reception
            .report(Ssrc(1), Timestamp::from_millis(100))
            .unwrap();
        assert_eq!(block.fraction_lost, 64);
        assert_eq!(block.cumulative_lost, 25);
        assert_eq!(block.highest_sequence, 99);
        assert_eq!(block.jitter, 0);
        let again = reception
            .report(Ssrc(1), Timestamp::from_millis(200))
            .unwrap();
        assert_eq!(again.fraction_lost, 0);
        assert_eq!(again.cumulative_lost, 25);
    }

    #[test]
    fn the_last_sender_report_is_echoed_with_its_age() {
        let mut reception = Reception::default();
        reception.on_packet(BASE, 0, 48_000, Timestamp::from_millis(0));
        reception.on_sender_report(NtpTime(0x1234_5678_9abc_def0), Timestamp::from_millis(500));
        let block = reception
            .report(Ssrc(1), Timestamp::from_millis(1_500))
            .unwrap();
        assert_eq!(block.last_sr, 0x5678_9abc);
        assert_eq!(block.delay_since_last_sr, 65_536);
    }
}

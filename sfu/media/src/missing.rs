//! Packets of a published layer that did not come, and when to ask for them again.

use std::time::Duration;

use plenum_types::Timestamp;

/// A gap longer than this is not mended packet by packet: a key frame is cheaper.
const MAX_GAP: u64 = 100;
/// Packets asked for at a time, oldest first.
const MAX_MISSING: usize = 200;
/// Requests per packet; after these its frame is too old to show.
const MAX_TRIES: u8 = 8;
/// A packet older than this is too late for every subscriber's jitter buffer.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Round trip before the first measurement.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// Requests are not repeated faster, whatever the round trip.
const MIN_REPEAT: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
struct Gap {
    index: u64,
    since: Timestamp,
    asked: Option<Timestamp>,
    tries: u8,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    gaps: Vec<Gap>,
    rtt: Option<Duration>,
    told: bool,
}

impl Missing {
    /// Packets from `from` up to before `to` were skipped. `false`: too many, ask for a key frame instead.
    pub(crate) fn on_gap(&mut self, from: u64, to: u64, now: Timestamp) -> bool {
        let gap = to.saturating_sub(from);
        if gap > MAX_GAP || self.gaps.len() + gap as usize > MAX_MISSING {
            self.gaps.clear();
            return false;
        }
        self.gaps.extend((from..to).map(|index| Gap {
            index,
            since: now,
            asked: None,
            tries: 0,
        }));
        true
    }

    /// A packet came after all.
    pub(crate) fn on_arrival(&mut self, index: u64, now: Timestamp) {
        if self.gaps.is_empty() {
            return;
        }
        let Some(place) = self.gaps.iter().position(|gap| gap.index == index) else {
            return;
        };
        let gap = self.gaps.remove(place);
        if let (Some(asked), 1) = (gap.asked, gap.tries) {
            let sample = now.saturating_since(asked);
            self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
            self.told = false;
        }
    }

    /// Nothing is missed any more.
    pub(crate) fn clear(&mut self) {
        self.gaps.clear();
    }

    /// Sequence numbers to ask for now, ascending.
    pub(crate) fn due(&mut self, now: Timestamp, into: &mut Vec<u16>) {
        if self.gaps.is_empty() {
            return;
        }
        self.gaps
            .retain(|gap| gap.tries < MAX_TRIES && now.saturating_since(gap.since) < MAX_AGE);
        let rtt = self.rtt.unwrap_or(FIRST_RTT);
        // A quarter more than the round trip, so that an answer under way is not asked for again.
        let repeat = (rtt + rtt / 4).max(MIN_REPEAT);
        for gap in &mut self.gaps {
            if gap
                .asked
                .is_none_or(|asked| now.saturating_since(asked) >= repeat)
            {
                gap.asked = Some(now);
                gap.tries += 1;
                into.push(gap.index as u16);
            }
        }
    }

    /// Round trip to the publisher as retransmissions show it, if it was measured since the last call.
    pub(crate) fn take_rtt(&mut self) -> Option<Duration> {
        let told = std::mem::replace(&mut self.told, true);
        self.rtt.filter(|_| !told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_packet_is_asked_for_once_per_round_trip() {
        let mut missing = Missing::default();
        assert!(missing.on_gap(65_540, 65_543, Timestamp::ZERO));
        let mut asked = Vec::new();
        missing.due(Timestamp::from_millis(10), &mut asked);
        assert_eq!(asked, [4, 5, 6]);
        missing.on_arrival(65_541, Timestamp::from_millis(50));
        assert_eq!(missing.take_rtt(), Some(Duration::from_millis(40)));
        assert_eq!(missing.take_rtt(), None);
        asked.clear();
        missing.due(Timestamp::from_millis(40), &mut asked);
        assert!(asked.is_empty());
        missing.due(Timestamp::from_millis(60), &mut asked);
        assert_eq!(asked, [4, 6]);
    }

    #[test]
    fn requests_end() {
        let mut missing = Missing::default();
        missing.on_gap(65_540, 65_541, Timestamp::ZERO);
        let mut asked = Vec::new();
        for n in 0..1_000 {
            missing.due(Timestamp::from_millis(n * 10), &mut asked);
        }
        assert_eq!(asked.len(), usize::from(MAX_TRIES));
    }

    #[test]
    fn a_long_gap_is_not_mended() {
        let mut missing = Missing::default();
        assert!(!missing.on_gap(65_540, 70_000, Timestamp::ZERO));
        let mut asked = Vec::new();
        missing.due(Timestamp::from_millis(10), &mut asked);
        assert!(asked.is_empty());
    }

    #[test]
    fn so_many_packets_are_missed_at_a_time_and_no_more() {
        let mut missing = Missing::default();
        let gaps = MAX_MISSING as u64 / MAX_GAP;
        for gap in 0..gaps {
            let from = 65_536 + gap * 2 * MAX_GAP;
            assert!(missing.on_gap(from, from + MAX_GAP, Timestamp::ZERO));
        }
        let from = 65_536 + gaps * 2 * MAX_GAP;
        assert!(!missing.on_gap(from, from + 1, Timestamp::ZERO));
        // A key frame is asked for instead of all of them.
        let mut asked = Vec::new();
        missing.due(Timestamp::from_millis(10), &mut asked);
        assert!(asked.is_empty());
    }
}

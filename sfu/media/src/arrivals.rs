//! When packets with a transport-wide number came, for feedback to the publisher's congestion control.

use std::time::Duration;

use plenum_rtp::{
    SequenceExtender,
    rtcp::{
        RtcpWriter,
        twcc::{self, FeedbackHead, MAX_STATUSES},
    },
};
use plenum_types::{Ssrc, Timestamp};

/// Between two messages. libwebrtc's own receivers send every 50 to 250 ms.
const INTERVAL: Duration = Duration::from_millis(50);
/// Numbers that a message may lag behind: 10 Mbit/s for a quarter of a second.
const WINDOW: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    extender: SequenceExtender,
    /// Ring by extended number, from `next` to the highest.
    times: Vec<Option<Timestamp>>,
    next: Option<u64>,
    feedback_count: u8,
    due: Timestamp,
}

impl Arrivals {
    /// A packet came.
    pub(crate) fn record(&mut self, sequence: u16, now: Timestamp) {
        if self.times.is_empty() {
            self.times.resize(WINDOW, None);
        }
        let before = self.extender.highest();
        let number = self.extender.extend(sequence);
        let next = *self.next.get_or_insert(number);
        if number < next {
            // Reported as lost already; a sender takes the later word only from a repeated report.
            return;
        }
        let window = WINDOW as u64;
        if number >= next + window {
            let moved = number + 1 - window;
            let last_old = before.unwrap_or(number);
            for old in next..moved.min(last_old + 1).min(next + window) {
                self.set(old, None);
            }
            self.next = Some(moved);
        }
        self.set(number, Some(now));
    }

    fn set(&mut self, number: u64, time: Option<Timestamp>) {
        if let Some(slot) = self.times.get_mut(number as usize % WINDOW) {
            *slot = time;
        }
    }

    /// Writes a message if it is time and something came.
    pub(crate) fn feedback(
        &mut self,
        writer: &mut RtcpWriter<'_>,
        sender: Ssrc,
        media: Ssrc,
        now: Timestamp,
    ) -> bool {
        let (Some(next), Some(highest)) = (self.next, self.extender.highest()) else {
            return false;
        };
        if highest < next || now < self.due {
            return false;
        }
        let mut next = next;
        let mut statuses = [None; MAX_STATUSES];
        let mut count;
        loop {
            count = (highest + 1 - next).min(MAX_STATUSES as u64);
            for (number, status) in (next..next + count).zip(&mut statuses) {
                *status = self.times.get(number as usize % WINDOW).copied().flatten();
            }
            if statuses.iter().any(Option::is_some) {
                break;
            }
            // A message must tell of an arrival: a longer hole is passed over, and its sender sees the jump.
            next += count;
            if next > highest {
                return false;
            }
        }
        let head = FeedbackHead {
            sender,
            media,
            base_sequence: next as u16,
            feedback_count: self.feedback_count,
        };
        let told = twcc::write(
            writer,
            head,
            statuses.get(..count as usize).unwrap_or_default(),
        ) as u64;
        if told == 0 {
            return false;
        }
        for number in next..next + told {
            self.set(number, None);
        }
        self.next = Some(next + told);
        self.feedback_count = self.feedback_count.wrapping_add(1);
        // What did not fit goes with the next tick.
        if told == count && next + told > highest {
            self.due = now + INTERVAL;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_rtp::rtcp::{Compound, RtcpPacket};

    fn told(arrivals: &mut Arrivals, millis: u64) -> Vec<(u16, bool)> {
        let mut buffer = [0; 1_200];
        let mut writer = RtcpWriter::new(&mut buffer);
        arrivals.feedback(
            &mut writer,
            Ssrc(1),
            Ssrc(2),
            Timestamp::from_millis(millis),
        );
        let len = writer.len();
        Compound::new(&buffer[..len])
            .flat_map(|packet| match packet {
                RtcpPacket::TransportFeedback(feedback) => feedback
                    .packets()
                    .map(|(sequence, time)| (sequence, time.is_some()))
                    .collect(),
                _ => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn each_packet_is_told_of_once() {
        let mut arrivals = Arrivals::default();
        for sequence in [65_534, 65_535, 1] {
            arrivals.record(sequence, Timestamp::from_millis(1_000));
        }
        assert_eq!(
            told(&mut arrivals, 1_100),
            [(65_534, true), (65_535, true), (0, false), (1, true)]
        );
        assert!(told(&mut arrivals, 2_000).is_empty());
        arrivals.record(3, Timestamp::from_millis(2_000));
        assert_eq!(told(&mut arrivals, 2_100), [(2, false), (3, true)]);
    }

    #[test]
    fn a_jump_of_numbers_shows_no_stale_times() {
        let mut arrivals = Arrivals::default();
        for sequence in 0..600 {
            arrivals.record(sequence, Timestamp::from_millis(1_000));
        }
        arrivals.record(5_000, Timestamp::from_millis(1_001));
        let mut all = Vec::new();
        for n in 0..4 {
            all.extend(told(&mut arrivals, 1_100 + n * 100));
        }
        let came: Vec<_> = all.iter().filter(|(_, came)| *came).collect();
        assert_eq!(came, [&(5_000, true)]);
    }
}

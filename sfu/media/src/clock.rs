//! From a publishing participant's clock to ours: one mapping for all its tracks, so that lips and sound stay together.

use plenum_types::NtpTime;

/// How fast the mapping follows reports that took longer than the fastest: clocks drift by some 50 ppm, so 1/64 of the
/// difference per report is plenty.
const FOLLOW: i64 = 64;

/// Offset filtered from sender reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ParticipantClock {
    offset: Option<i64>,
}

impl ParticipantClock {
    /// A report said `theirs` and came when our wall clock was `ours`.
    pub(crate) fn on_report(&mut self, theirs: NtpTime, ours: NtpTime) {
        let sample = ours.0.wrapping_sub(theirs.0).cast_signed();
        self.offset = Some(match self.offset {
            None => sample,
            // The fastest report has waited least in queues.
            Some(offset) if sample < offset => sample,
            Some(offset) => offset.wrapping_add(sample.wrapping_sub(offset) / FOLLOW),
        });
    }

    /// What to add to their time to get ours, 32.32 fixed point seconds.
    pub(crate) const fn offset(self) -> Option<i64> {
        self.offset
    }

    /// Their time at a moment of ours.
    pub(crate) fn theirs(self, ours: NtpTime) -> Option<NtpTime> {
        self.offset
            .map(|offset| NtpTime(ours.0.wrapping_sub(offset.cast_unsigned())))
    }
}

/// Ticks of a media clock between two moments, wrapping.
pub(crate) fn ticks_between(later: NtpTime, earlier: NtpTime, clock_rate: u32) -> u32 {
    let difference = i128::from(later.0.wrapping_sub(earlier.0).cast_signed());
    ((difference * i128::from(clock_rate)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delayed_reports_hardly_move_the_mapping() {
        let second = 1u64 << 32;
        let mut clock = ParticipantClock::default();
        clock.on_report(NtpTime(10 * second), NtpTime(30 * second));
        clock.on_report(NtpTime(11 * second), NtpTime(31 * second + second / 2));
        let offset = clock.offset().unwrap();
        assert!(offset < (20 * second + second / 100).cast_signed());
        clock.on_report(NtpTime(12 * second), NtpTime(32 * second));
        assert_eq!(
            clock.theirs(NtpTime(33 * second)),
            Some(NtpTime(13 * second))
        );
    }

    #[test]
    fn ticks_go_both_ways() {
        let second = 1u64 << 32;
        assert_eq!(
            ticks_between(NtpTime(3 * second), NtpTime(2 * second), 90_000),
            90_000
        );
        assert_eq!(
            ticks_between(NtpTime(2 * second), NtpTime(3 * second), 90_000),
            0u32.wrapping_sub(90_000)
        );
    }
}

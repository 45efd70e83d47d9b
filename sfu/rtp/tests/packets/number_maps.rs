//! Extended numbers follow their wrapping source, whatever the order of arrival.

use plenum_rtp::{SequenceExtender, TimestampExtender};
use proptest::prelude::*;

proptest! {
    #[test]
    fn sequence_numbers_follow_steps_below_half_the_circle(
        start in any::<u16>(),
        steps in prop::collection::vec(-15_000i64..16_000, 1..200),
    ) {
        let mut map = SequenceExtender::default();
        let first = map.extend(start);
        prop_assert_eq!(first as u16, start);
        let mut highest = first;
        for step in steps {
            let wanted = highest.saturating_add_signed(step);
            prop_assert_eq!(map.peek(wanted as u16), wanted);
            prop_assert_eq!(map.extend(wanted as u16), wanted);
            highest = highest.max(wanted);
            prop_assert_eq!(map.highest(), Some(highest));
        }
    }

    #[test]
    fn timestamps_follow_steps_below_half_the_circle(
        start in any::<u32>(),
        steps in prop::collection::vec(-1_000_000_000i64..2_000_000_000, 1..200),
    ) {
        let mut map = TimestampExtender::default();
        let mut highest = map.extend(start);
        prop_assert_eq!(highest as u32, start);
        for step in steps {
            let wanted = highest.saturating_add_signed(step);
            prop_assert_eq!(map.extend(wanted as u32), wanted);
            highest = highest.max(wanted);
        }
    }
}

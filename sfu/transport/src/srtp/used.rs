//! Which indices a key has sealed. Two packets under one index would give away both, and the key that authenticates them.

use hashbrown::{HashMap, hash_map::Entry};
use plenum_types::Ssrc;

/// SSRCs under one key. A Transport that changes its subscriptions once a second meets this after a day and a half; each
/// takes 24 bytes.
const MAX_SSRCS: usize = 1 << 17;
/// Indices below the highest that are told apart: streams are sealed in order, so older ones are refused unseen.
const WINDOW: u64 = 64;

/// The latest indices of one SSRC: bit `n` of `recent` stands for `highest - n`.
#[derive(Debug, Clone, Copy)]
struct Latest {
    highest: u64,
    recent: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct UsedIndices(HashMap<u32, Latest>);

/// An index that is free, and what marks it as used.
pub(super) struct Free<'a> {
    latest: &'a mut Latest,
    index: u64,
}

impl UsedIndices {
    /// `None` if the index was used before, or may have been.
    pub(super) fn free(&mut self, ssrc: Ssrc, index: u64) -> Option<Free<'_>> {
        let full = self.0.len() >= MAX_SSRCS;
        let latest = match self.0.entry(ssrc.0) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if full => return None,
            Entry::Vacant(entry) => entry.insert(Latest {
                highest: index,
                recent: 0,
            }),
        };
        let age = latest.highest.saturating_sub(index);
        let unused = index > latest.highest || (age < WINDOW && latest.recent >> age & 1 == 0);
        unused.then_some(Free { latest, index })
    }
}

impl Free<'_> {
    /// From now on the index is used.
    pub(super) fn mark(self) {
        let Self { latest, index } = self;
        if index > latest.highest {
            let step = u32::try_from(index - latest.highest).unwrap_or(u32::MAX);
            latest.recent = latest.recent.checked_shl(step).unwrap_or(0);
            latest.highest = index;
        }
        latest.recent |= 1 << (latest.highest - index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_index_is_given_twice_whatever_the_order() {
        let mut random = fastrand::Rng::with_seed(3711);
        for _ in 0..200 {
            let mut used = UsedIndices::default();
            let mut given = HashSet::new();
            let mut highest = random.u64(..1 << 40);
            for _ in 0..500 {
                let index = highest.saturating_add_signed(random.i64(-70..=5));
                highest = highest.max(index);
                let ssrc = Ssrc(random.u32(..2));
                if let Some(free) = used.free(ssrc, index) {
                    free.mark();
                    assert!(given.insert((ssrc.0, index)));
                }
            }
            assert!(given.len() > 50);
        }
    }

    #[test]
    fn what_was_not_sealed_stays_free() {
        let mut used = UsedIndices::default();
        assert!(used.free(Ssrc(1), 7).is_some());
        used.free(Ssrc(1), 7).unwrap().mark();
        assert!(used.free(Ssrc(1), 7).is_none());
        assert!(used.free(Ssrc(2), 7).is_some());
        used.free(Ssrc(1), 7 + WINDOW).unwrap().mark();
        assert!(used.free(Ssrc(1), 7).is_none());
        assert!(used.free(Ssrc(1), 6).is_none());
        assert!(used.free(Ssrc(1), 8).is_some());
    }

    #[test]
    fn ssrcs_are_bounded() {
        let mut used = UsedIndices::default();
        let taken = (0..2 * MAX_SSRCS as u32)
            .filter(|ssrc| used.free(Ssrc(*ssrc), 0).is_some())
            .count();
        assert_eq!(taken, MAX_SSRCS);
    }
}

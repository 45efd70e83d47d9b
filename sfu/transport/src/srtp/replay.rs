//! Rollover counter and replay window of one stream (RFC 3711 sections 3.3.1 and 3.3.2).

/// Packets of the past that are told apart. Browsers repeat lost packets up to a second later; a high-rate video layer
/// sends close to a thousand in that time.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Which indices have been seen: a bit for each of the last [`WINDOW`].
#[derive(Debug, Clone)]
pub(super) struct ReplayWindow {
    highest: u64,
    /// Bit `index % WINDOW`.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// Starts at the first authentic index.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self {
            highest: index,
            seen: [0; WORDS],
        };
        window.set(index, true);
        window
    }

    /// The index that a 16-bit sequence number most likely stands for.
    pub(super) fn estimate(&self, sequence: u16) -> u64 {
        let rollover = self.highest >> 16;
        let last = (self.highest & 0xffff) as u16;
        // The signed distance says whether the number is ahead of or behind the highest one.
        let ahead = sequence.wrapping_sub(last).cast_signed();
        let rollover = if ahead >= 0 && sequence < last {
            rollover + 1
        } else if ahead < 0 && sequence > last {
            // Before the first rollover, a number that looks older than anything is taken as new.
            rollover.saturating_sub(1)
        } else {
            rollover
        };
        (rollover << 16) | u64::from(sequence)
    }

    /// True if the index may be new.
    pub(super) fn is_new(&self, index: u64) -> bool {
        if index > self.highest {
            return true;
        }
        self.highest - index < WINDOW && !self.get(index)
    }

    /// Marks an authentic index.
    pub(super) fn mark(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    self.set(skipped, false);
                }
            }
            self.highest = index;
        }
        self.set(index, true);
    }

    fn position(index: u64) -> (usize, u64) {
        let bit = index % WINDOW;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn get(&self, index: u64) -> bool {
        let (word, mask) = Self::position(index);
        self.seen.get(word).is_some_and(|word| word & mask != 0)
    }

    fn set(&mut self, index: u64, value: bool) {
        let (word, mask) = Self::position(index);
        if let Some(word) = self.seen.get_mut(word) {
            if value {
                *word |= mask;
            } else {
                *word &= !mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_new_once() {
        let mut window = ReplayWindow::starting_at(5000);
        assert!(!window.is_new(5000));
        assert!(window.is_new(4999) && window.is_new(5001));
        window.mark(4999);
        assert!(!window.is_new(4999));
        window.mark(5003);
        assert!(window.is_new(5001) && window.is_new(5002) && !window.is_new(5003));
        assert!(!window.is_new(5003 - WINDOW), "too old to tell");
        window.mark(5003 + WINDOW - 1);
        assert!(!window.is_new(5003));
        window.mark(100_000);
        assert!(window.is_new(99_999));
    }

    #[test]
    fn sequence_numbers_roll_over_both_ways() {
        let mut window = ReplayWindow::starting_at(65_530);
        assert_eq!(window.estimate(65_535), 65_535);
        assert_eq!(window.estimate(3), 65_539);
        window.mark(65_539);
        assert_eq!(window.estimate(65_533), 65_533);
        assert_eq!(window.estimate(4), 65_540);
        let window = ReplayWindow::starting_at(2);
        assert_eq!(window.estimate(65_535), 65_535);
    }
}

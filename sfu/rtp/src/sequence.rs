//! Wrapping numbers made monotonic: 16-bit sequence numbers and 32-bit timestamps as 64-bit ones.

/// Where extended numbers begin, so that packets from before the first one still have a place.
const BASE_SEQUENCE: u64 = 1 << 16;
/// See [`BASE_SEQUENCE`].
const BASE_TIMESTAMP: u64 = 1 << 32;

/// Extends 16-bit sequence numbers. Each number is read as the one nearest to the highest seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SequenceExtender {
    highest: Option<u64>,
}

impl SequenceExtender {
    /// The extended number; remembers it if it is the highest.
    pub fn extend(&mut self, number: u16) -> u64 {
        let extended = self.peek(number);
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// The extended number; remembers nothing.
    #[must_use]
    pub fn peek(&self, number: u16) -> u64 {
        match self.highest {
            None => BASE_SEQUENCE + u64::from(number),
            Some(highest) => {
                let step = number.wrapping_sub(highest as u16).cast_signed();
                highest.saturating_add_signed(i64::from(step))
            }
        }
    }

    /// The highest extended number so far.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Extends 32-bit timestamps. Each one is read as the one nearest to the last seen, so that it follows jumps both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimestampExtender {
    highest: Option<u64>,
}

impl TimestampExtender {
    /// The extended timestamp; remembers it if it is the highest.
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let extended = self.peek(timestamp);
        if self.highest.is_none_or(|highest| extended > highest) {
            self.highest = Some(extended);
        }
        extended
    }

    /// The extended timestamp; remembers nothing.
    #[must_use]
    pub fn peek(&self, timestamp: u32) -> u64 {
        match self.highest {
            None => BASE_TIMESTAMP + u64::from(timestamp),
            Some(highest) => {
                let step = timestamp.wrapping_sub(highest as u32).cast_signed();
                highest.saturating_add_signed(i64::from(step))
            }
        }
    }

    /// The highest extended timestamp so far.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// `a` comes after `b` on the circle of 16-bit numbers.
#[must_use]
pub fn is_newer(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000
}

//! Header extension elements (RFC 8285) and the values of those that the server reads or writes.

use plenum_types::NtpTime;

use crate::{
    bytes::{array_at, u8_at, u64_at},
    packet::{ONE_BYTE_PROFILE, TWO_BYTE_PROFILE},
};

/// Walks the elements of a packet as (id, value). Stops at the first one that runs past the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Extensions<'a> {
    /// Elements of a profile; of an unknown profile there are none.
    #[must_use]
    pub fn new(profile: u16, elements: &'a [u8]) -> Self {
        // The low four bits of the two-byte profile are free for applications.
        let two_byte = profile & 0xfff0 == TWO_BYTE_PROFILE;
        Self {
            rest: if two_byte || profile == ONE_BYTE_PROFILE {
                elements
            } else {
                &[]
            },
            two_byte,
        }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&head, after) = self.rest.split_first()?;
            if head == 0 {
                // Padding.
                self.rest = after;
                continue;
            }
            let (id, length, values) = if self.two_byte {
                let (&length, values) = after.split_first()?;
                (head, usize::from(length), values)
            } else {
                (head >> 4, usize::from(head & 0x0f) + 1, after)
            };
            if !self.two_byte && id == 15 {
                // RFC 8285 section 4.2: id 15 ends the elements.
                self.rest = &[];
                return None;
            }
            let Some((value, rest)) = values.split_at_checked(length) else {
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            if id == 0 {
                continue;
            }
            return Some((id, value));
        }
    }
}

/// `ssrc-audio-level` (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// The encoder heard a voice.
    pub voice: bool,
    /// Loudness in dB below overload: 0 is loudest, 127 is silence.
    pub below_overload_db: u8,
}

impl AudioLevel {
    /// Reads the element's value.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let byte = u8_at(value, 0)?;
        Some(Self {
            voice: byte & 0x80 != 0,
            below_overload_db: byte & 0x7f,
        })
    }

    /// The element's value.
    #[must_use]
    pub fn write(self) -> [u8; 1] {
        [(u8::from(self.voice) << 7) | (self.below_overload_db & 0x7f)]
    }
}

/// `abs-send-time`: 24 bits of seconds in 6.18 fixed point, from an NTP time.
#[must_use]
pub fn abs_send_time(ntp: NtpTime) -> [u8; 3] {
    // NTP is 32.32: drop 14 fraction bits and keep the low 24.
    let [.., a, b, c] = ((ntp.0 >> 14) as u32).to_be_bytes();
    [a, b, c]
}

/// Transport-wide sequence number, as `draft-holmer-rmcat-transport-wide-cc-extensions-01` puts it.
#[must_use]
pub fn transport_sequence(value: &[u8]) -> Option<u16> {
    array_at(value, 0).map(u16::from_be_bytes)
}

/// `abs-capture-time`: when the first byte was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// On the capturer's clock.
    pub captured: NtpTime,
    /// What to add to get the time on the sender's clock, in 32.32 fixed point seconds.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// Reads the element's value: 8 bytes, or 16 with the offset.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        Some(Self {
            captured: NtpTime(u64_at(value, 0)?),
            clock_offset: array_at(value, 8).map(i64::from_be_bytes),
        })
    }

    /// The element's value with an offset, 16 bytes.
    #[must_use]
    pub fn write(self) -> [u8; 16] {
        let both = (u128::from(self.captured.0) << 64)
            | u128::from(self.clock_offset.unwrap_or(0).cast_unsigned());
        both.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_between_elements_is_skipped() {
        let elements = [0x10, 7, 0, 0, 0x21, 8, 9, 0];
        let found: Vec<_> = Extensions::new(ONE_BYTE_PROFILE, &elements).collect();
        assert_eq!(found, [(1, &[7][..]), (2, &[8, 9][..])]);
    }

    #[test]
    fn an_element_past_the_end_ends_the_walk() {
        let elements = [0x10, 7, 0x2f, 8];
        assert_eq!(Extensions::new(ONE_BYTE_PROFILE, &elements).count(), 1);
        let elements = [5, 9, 1, 1];
        assert_eq!(Extensions::new(TWO_BYTE_PROFILE, &elements).count(), 0);
        assert_eq!(Extensions::new(0x1234, &elements).count(), 0);
    }

    #[test]
    fn values_read_back() {
        let level = AudioLevel {
            voice: true,
            below_overload_db: 33,
        };
        assert_eq!(AudioLevel::read(&level.write()), Some(level));
        let capture = AbsCaptureTime {
            captured: NtpTime(0x0102_0304_0506_0708),
            clock_offset: Some(-5),
        };
        assert_eq!(AbsCaptureTime::read(&capture.write()), Some(capture));
        // One and a half seconds: 6.18 fixed point.
        assert_eq!(abs_send_time(NtpTime(3 << 31)), [0x06, 0, 0]);
    }
}

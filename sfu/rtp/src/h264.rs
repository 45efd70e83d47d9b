//! H.264 payloads (RFC 6184): whether a packet begins a picture that needs no earlier one.
//!
//! Only the headers of NAL units are read: encrypting clients leave them in the clear.

use crate::bytes::{u8_at, u16_at};

/// A slice of a picture that refers to no other.
const IDR: u8 = 5;
/// Parameters of the sequence, which encoders send before each IDR picture.
const SPS: u8 = 7;
/// Several NAL units in one packet (section 5.7.1).
const STAP_A: u8 = 24;
/// A piece of a NAL unit (section 5.8).
const FU_A: u8 = 28;
/// The piece is the first one.
const FU_START: u8 = 0x80;
/// Type bits of a NAL unit's first byte.
const TYPE: u8 = 0x1f;

/// A stream can be decoded from this packet on: it has parameters of a sequence, or the beginning of an IDR slice. What
/// can't be read begins nothing.
#[must_use]
pub fn starts_key_frame(payload: &[u8]) -> bool {
    match u8_at(payload, 0).map(|byte| byte & TYPE) {
        Some(IDR | SPS) => true,
        Some(STAP_A) => aggregate_starts(payload),
        Some(FU_A) => u8_at(payload, 1)
            .is_some_and(|head| head & FU_START != 0 && matches!(head & TYPE, IDR | SPS)),
        _ => false,
    }
}

fn aggregate_starts(payload: &[u8]) -> bool {
    let mut at = 1;
    while let Some(size) = u16_at(payload, at) {
        at += 2;
        let end = at + usize::from(size);
        if size == 0 || end > payload.len() {
            return false;
        }
        if u8_at(payload, at).is_some_and(|head| matches!(head & TYPE, IDR | SPS)) {
            return true;
        }
        at = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_found_in_each_form() {
        assert!(starts_key_frame(&[0x65, 0x88]));
        assert!(starts_key_frame(&[0x67, 0x42]));
        assert!(starts_key_frame(&[0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68]));
        // Access unit delimiter, then parameters.
        assert!(starts_key_frame(&[0x78, 0, 1, 0x09, 0, 1, 0x67]));
        assert!(starts_key_frame(&[0x7c, 0x85, 0x88]));
    }

    #[test]
    fn other_packets_begin_nothing() {
        assert!(!starts_key_frame(&[0x41, 0x9a]));
        assert!(!starts_key_frame(&[0x68, 0xce]));
        // Later pieces of an IDR slice, and the first of another one.
        assert!(!starts_key_frame(&[0x7c, 0x05, 0x88]));
        assert!(!starts_key_frame(&[0x7c, 0x81, 0x88]));
    }

    #[test]
    fn lengths_past_the_end_begin_nothing() {
        assert!(!starts_key_frame(&[]));
        assert!(!starts_key_frame(&[0x7c]));
        assert!(!starts_key_frame(&[0x78]));
        assert!(!starts_key_frame(&[0x78, 0]));
        assert!(!starts_key_frame(&[0x78, 0, 0, 0x67]));
        assert!(!starts_key_frame(&[0x78, 0, 9, 0x67, 0x42]));
        assert!(!starts_key_frame(&[0x78, 0xff, 0xff, 0x67]));
    }
}

//! AV1 payloads (AV1 RTP specification, section 4): whether a packet begins a coded video sequence.

use crate::bytes::u8_at;

/// The first element continues one of the packet before (`Z`).
const CONTINUES: u8 = 0x80;
/// The packet is the first one of a coded video sequence (`N`).
const NEW_SEQUENCE: u8 = 0x08;
/// Type of the unit that each coded video sequence begins with (AV1 specification, section 6.2.2).
const OBU_SEQUENCE_HEADER: u8 = 1;
/// Elements of a packet that are looked at: a sequence header is the first or comes after a temporal delimiter.
const LOOKED_AT: usize = 3;
/// Bytes of a length; a payload has less than 64 KB.
const MAX_LENGTH_BYTES: usize = 3;

/// A stream can be decoded from this packet on. What can't be read begins nothing.
#[must_use]
pub fn starts_key_frame(payload: &[u8]) -> bool {
    let Some(head) = u8_at(payload, 0) else {
        return false;
    };
    if head & CONTINUES != 0 {
        return false;
    }
    head & NEW_SEQUENCE != 0 || has_sequence_header(payload, usize::from(head >> 4 & 0x03))
}

/// `count` elements, the last one without a length; 0 means that all have one.
fn has_sequence_header(payload: &[u8], count: usize) -> bool {
    let mut at = 1;
    for element in 1..=LOOKED_AT {
        let length = if element == count {
            payload.len().saturating_sub(at)
        } else {
            let Some((length, bytes)) = length_at(payload, at) else {
                return false;
            };
            at += bytes;
            length
        };
        let end = at + length;
        if length == 0 || end > payload.len() {
            return false;
        }
        if u8_at(payload, at).is_some_and(|head| head >> 3 & 0x0f == OBU_SEQUENCE_HEADER) {
            return true;
        }
        if element == count {
            return false;
        }
        at = end;
    }
    false
}

/// A length in LEB128, and its bytes.
fn length_at(payload: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut length = 0;
    for place in 0..MAX_LENGTH_BYTES {
        let byte = u8_at(payload, at + place)?;
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((length, place + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_sequence_is_found_by_the_header_and_by_its_first_unit() {
        assert!(starts_key_frame(&[0x18, 0x0a, 1]));
        assert!(starts_key_frame(&[0x08]));
        // One element, two elements, all with lengths; the last after a temporal delimiter.
        assert!(starts_key_frame(&[0x10, 0x0a, 1]));
        assert!(starts_key_frame(&[0x20, 2, 0x0a, 1, 0x32, 0]));
        assert!(starts_key_frame(&[0x00, 1, 0x12, 2, 0x0a, 1]));
    }

    #[test]
    fn other_packets_begin_nothing() {
        assert!(!starts_key_frame(&[0x10, 0x32, 1]));
        // It continues the packet before.
        assert!(!starts_key_frame(&[0x98, 0x0a, 1]));
    }

    #[test]
    fn lengths_past_the_end_begin_nothing() {
        for payload in [
            &[][..],
            &[0x00],
            &[0x10],
            &[0x20, 9, 0x0a],
            &[0x00, 0],
            &[0x00, 0xff, 0xff, 0xff, 0x7f],
            &[0x00, 1, 0x12, 1, 0x12, 1, 0x12, 1, 0x0a],
            &[0x20, 0xff],
        ] {
            assert!(!starts_key_frame(payload), "{payload:?}");
        }
    }
}

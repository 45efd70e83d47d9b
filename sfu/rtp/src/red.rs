//! Redundant audio (RFC 2198): headers of blocks, then the blocks; the last one is what the packet is about.

use crate::bytes::{put, u8_at, u16_at};

/// Another header follows.
const MORE: u8 = 0x80;
/// Bytes of the header of a redundant block; that of the last block has one.
const REDUNDANT_HEADER: usize = 4;
/// Blocks of a packet. Chromium sends two or three.
const MAX_BLOCKS: usize = 16;

/// Where the primary block of a payload begins; `None` if blocks run past the end, or there is nothing in the last one.
#[must_use]
pub fn primary_at(payload: &[u8]) -> Option<u16> {
    let mut at = 0;
    let mut redundant = 0;
    for _ in 0..MAX_BLOCKS {
        if u8_at(payload, at)? & MORE == 0 {
            let primary = at + 1 + redundant;
            u8_at(payload, primary)?;
            return u16::try_from(primary).ok();
        }
        // 14 bits of timestamp offset, 10 bits of length.
        redundant += usize::from(u16_at(payload, at + 2)? & 0x03ff);
        at += REDUNDANT_HEADER;
    }
    None
}

/// Gives all blocks of a payload another payload type, which each subscriber numbers itself.
pub fn set_payload_types(payload: &mut [u8], payload_type: u8) {
    let mut at = 0;
    for _ in 0..MAX_BLOCKS {
        let Some(head) = u8_at(payload, at) else {
            return;
        };
        // The place was just read.
        let _ = put(payload, at, &[(head & MORE) | (payload_type & 0x7f)]);
        if head & MORE == 0 {
            return;
        }
        at += REDUNDANT_HEADER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames before it, of three bytes and one, and a primary block of two.
    const PAYLOAD: [u8; 15] = [
        0x80 | 111,
        0x1e,
        0,
        3,
        0x80 | 111,
        0x0f,
        0,
        1,
        111,
        1,
        1,
        1,
        2,
        9,
        9,
    ];

    #[test]
    fn the_primary_block_is_found_behind_the_redundant_ones() {
        assert_eq!(primary_at(&PAYLOAD), Some(13));
        assert_eq!(primary_at(&[111, 7]), Some(1));
    }

    #[test]
    fn all_blocks_get_the_subscribers_payload_type() {
        let mut payload = PAYLOAD;
        set_payload_types(&mut payload, 96);
        assert_eq!(
            (payload[0], payload[4], payload[8]),
            (0x80 | 96, 0x80 | 96, 96)
        );
        assert_eq!(payload[9..], PAYLOAD[9..]);
        assert_eq!(primary_at(&payload), Some(13));
    }

    #[test]
    fn blocks_past_the_end_are_refused() {
        for end in 0..14 {
            assert_eq!(primary_at(&PAYLOAD[..end]), None, "{end}");
        }
        // 1023 bytes of redundancy in a packet of six.
        assert_eq!(primary_at(&[0xef, 0, 3, 0xff, 111, 9]), None);
        // Headers without an end.
        assert_eq!(primary_at(&[0x80 | 111; 400]), None);
        set_payload_types(&mut [0x80 | 111; 3], 96);
    }
}

//! Retransmission payloads (RFC 4588): the original sequence number, then the original payload.

use crate::bytes::u16_at;

/// Bytes before the original payload.
pub const RTX_HEADER: usize = 2;

/// Splits a retransmission's payload into original sequence number and original payload; `None` if it is only padding.
#[must_use]
pub fn split(payload: &[u8]) -> Option<(u16, &[u8])> {
    let original = payload.get(RTX_HEADER..)?;
    if original.is_empty() {
        return None;
    }
    Some((u16_at(payload, 0)?, original))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_of_padding_carry_nothing() {
        assert_eq!(split(&[]), None);
        assert_eq!(split(&[1, 2]), None);
        assert_eq!(split(&[1, 2, 3]), Some((0x102, &[3][..])));
    }
}

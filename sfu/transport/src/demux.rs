//! What a datagram is, by its first byte (RFC 7983 section 7).

/// Kind of a datagram on a media port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatagramKind {
    /// First byte 0 to 3.
    Stun,
    /// First byte 20 to 63.
    Dtls,
    /// First byte 128 to 191 and a second byte that is no RTCP packet type.
    Rtp,
    /// First byte 128 to 191 and a second byte of 192 to 223 (RFC 5761 section 4).
    Rtcp,
    /// Something that is not answered: empty, ZRTP, TURN channels, noise.
    Unknown,
}

/// Tells what a datagram is without reading past its second byte.
#[must_use]
pub fn classify(datagram: &[u8]) -> DatagramKind {
    match *datagram {
        [0..=3, ..] => DatagramKind::Stun,
        [20..=63, ..] => DatagramKind::Dtls,
        [128..=191, 192..=223, ..] => DatagramKind::Rtcp,
        [128..=191, _, ..] => DatagramKind::Rtp,
        _ => DatagramKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_protocols_apart() {
        assert_eq!(classify(&[]), DatagramKind::Unknown);
        assert_eq!(classify(&[0, 1]), DatagramKind::Stun);
        assert_eq!(classify(&[22, 254, 253]), DatagramKind::Dtls);
        assert_eq!(classify(&[0x80, 200]), DatagramKind::Rtcp);
        assert_eq!(classify(&[0x80, 96]), DatagramKind::Rtp);
        assert_eq!(classify(&[0x90, 0x80 | 111]), DatagramKind::Rtp);
        assert_eq!(classify(&[64]), DatagramKind::Unknown);
        assert_eq!(classify(&[0x80]), DatagramKind::Unknown);
    }
}

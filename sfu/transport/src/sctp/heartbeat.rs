//! SCTP's question whether the other side is there (RFC 9260 sections 3.3.5 and 8.3). The library answers it and never asks.

use bytes::Bytes;

/// Type of the answer, which the library doesn't know.
pub(crate) const HEARTBEAT_ACK: u8 = 5;
/// Bytes of a packet before its checksum: two ports and the verification tag.
const HEADER: usize = 8;
/// HEARTBEAT without flags, and the one parameter that it must have: four bytes that come back.
const CHUNK: [u8; 12] = [4, 0, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0];

/// How the other side of an association is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heartbeat {
    header: [u8; HEADER],
}

impl Heartbeat {
    /// For the association to which the library sends `packet`. An INIT has no tag yet and says nothing.
    pub(crate) fn like(packet: &[u8]) -> Option<Self> {
        let header: [u8; HEADER] = *packet.first_chunk()?;
        let [_, _, _, _, tag @ ..] = header;
        (tag != [0; 4]).then_some(Self { header })
    }

    /// The question.
    pub(crate) fn packet(self) -> Bytes {
        let unsummed = [self.header.as_slice(), &[0; 4], &CHUNK].concat();
        let checksum = crc32c(&unsummed).to_le_bytes();
        Bytes::from([self.header.as_slice(), &checksum, &CHUNK].concat())
    }
}

/// CRC-32C; SCTP has it in little-endian order (RFC 9260 section 6.8). Bit by bit: questions are short and rare.
fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value of CRC-32/ISCSI in the catalogue of CRC algorithms.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_packet_without_a_tag_is_no_pattern() {
        assert!(Heartbeat::like(&[0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0, 1]).is_none());
        assert!(Heartbeat::like(&[0x13, 0x88, 0x13, 0x88, 0, 0, 1]).is_none());
        let heartbeat = Heartbeat::like(&[0x13, 0x88, 0x13, 0x88, 0, 0, 0, 7, 1]).unwrap();
        let packet = heartbeat.packet();
        assert!(packet.starts_with(&heartbeat.header));
        assert!(packet.ends_with(&CHUNK));
        assert_eq!(packet.len(), 24);
    }
}

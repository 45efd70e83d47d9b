//! The little of an RTP or RTCP header that SRTP must know (RFC 3550 sections 5.1, 5.3.1 and 6.4.1).

use plenum_types::Ssrc;

use super::MIN_RTP_HEADER as FIXED;

/// Sequence number, SSRC and length of an RTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RtpHeader {
    pub(super) sequence: u16,
    pub(super) ssrc: Ssrc,
    /// Fixed header, CSRCs and extension.
    pub(super) len: usize,
}

impl RtpHeader {
    /// `None` if the packet is no RTP or ends within its header.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<FIXED>()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut len = FIXED + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let [_, _, high, low] = *packet.get(len..)?.first_chunk::<4>()?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        (len <= packet.len()).then_some(Self {
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: Ssrc(u32::from_be_bytes([
                fixed[8], fixed[9], fixed[10], fixed[11],
            ])),
            len,
        })
    }
}

/// The sender's SSRC of a compound RTCP packet. `None` if it is no RTCP.
pub(super) fn rtcp_ssrc(packet: &[u8]) -> Option<Ssrc> {
    let [first, _, _, _, ssrc @ ..] = *packet.first_chunk::<8>()?;
    (first >> 6 == 2).then_some(Ssrc(u32::from_be_bytes(ssrc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_past_the_end_are_refused() {
        let mut packet = [0u8; 20];
        packet[0] = 0x90;
        packet[15] = 1;
        assert_eq!(RtpHeader::parse(&packet).map(|header| header.len), Some(20));
        packet[15] = 2;
        assert_eq!(RtpHeader::parse(&packet), None);
        packet[0] = 0x9f;
        assert_eq!(RtpHeader::parse(&packet), None);
        packet[0] = 0x40;
        assert_eq!(RtpHeader::parse(&packet), None);
        assert_eq!(RtpHeader::parse(&packet[..11]), None);
    }
}

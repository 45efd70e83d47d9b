//! Writes a compound packet into a buffer of the caller.

use plenum_types::Ssrc;

use super::{
    FMT_FIR, FMT_NACK, FMT_PLI, HEADER, PT_BYE, PT_PAYLOAD_FEEDBACK, PT_RECEIVER_REPORT,
    PT_SENDER_REPORT, PT_SOURCE_DESCRIPTION, PT_TRANSPORT_FEEDBACK, ReportBlock, SenderInfo,
};
use crate::bytes::put;

/// Report blocks that one packet can count (5 bits).
pub const MAX_BLOCKS: usize = 31;
/// SDES item that names the endpoint (RFC 3550 section 6.5.1).
const SDES_CNAME: u8 = 1;

/// Appends packets; each one is written wholly or not at all, and says which.
#[derive(Debug)]
pub struct RtcpWriter<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

/// The body of a packet under way.
pub(super) struct Body<'w> {
    buffer: &'w mut [u8],
    at: usize,
}

impl Body<'_> {
    fn bytes(&mut self, value: &[u8]) -> Option<()> {
        put(self.buffer, self.at, value)?;
        self.at += value.len();
        Some(())
    }

    pub(super) fn u8(&mut self, value: u8) -> Option<()> {
        self.bytes(&[value])
    }

    pub(super) fn u16(&mut self, value: u16) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    /// Zeros up to a whole word.
    pub(super) fn pad(&mut self) -> Option<()> {
        while !self.at.is_multiple_of(4) {
            self.u8(0)?;
        }
        Some(())
    }

    fn block(&mut self, block: &ReportBlock) -> Option<()> {
        self.u32(block.ssrc.0)?;
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) & 0xff_ffff;
        self.u32((u32::from(block.fraction_lost) << 24) | lost.cast_unsigned())?;
        self.u32(block.highest_sequence)?;
        self.u32(block.jitter)?;
        self.u32(block.last_sr)?;
        self.u32(block.delay_since_last_sr)
    }
}

impl<'a> RtcpWriter<'a> {
    /// Starts an empty compound.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, at: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at
    }

    /// Nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    pub(super) fn packet(
        &mut self,
        packet_type: u8,
        count: u8,
        write: impl FnOnce(&mut Body<'_>) -> Option<()>,
    ) -> bool {
        let start = self.at;
        let Some(buffer) = self.buffer.get_mut(start..) else {
            return false;
        };
        let mut body = Body { buffer, at: HEADER };
        if write(&mut body).is_none() {
            return false;
        }
        let length = body.at;
        let Ok(words) = u16::try_from(length / 4 - 1) else {
            return false;
        };
        let [high, low] = words.to_be_bytes();
        if put(body.buffer, 0, &[0x80 | count, packet_type, high, low]).is_none() {
            return false;
        }
        self.at = start + length;
        true
    }

    /// SR with at most [`MAX_BLOCKS`] blocks.
    pub fn sender_report(&mut self, info: &SenderInfo, blocks: &[ReportBlock]) -> bool {
        let blocks = blocks.get(..MAX_BLOCKS).unwrap_or(blocks);
        self.packet(PT_SENDER_REPORT, blocks.len() as u8, |body| {
            body.u32(info.ssrc.0)?;
            body.u32((info.ntp.0 >> 32) as u32)?;
            body.u32(info.ntp.0 as u32)?;
            body.u32(info.rtp_timestamp)?;
            body.u32(info.packets)?;
            body.u32(info.octets)?;
            blocks.iter().try_for_each(|block| body.block(block))
        })
    }

    /// RR with at most [`MAX_BLOCKS`] blocks.
    pub fn receiver_report(&mut self, sender: Ssrc, blocks: &[ReportBlock]) -> bool {
        let blocks = blocks.get(..MAX_BLOCKS).unwrap_or(blocks);
        self.packet(PT_RECEIVER_REPORT, blocks.len() as u8, |body| {
            body.u32(sender.0)?;
            blocks.iter().try_for_each(|block| body.block(block))
        })
    }

    /// SDES with the CNAME of one source.
    pub fn source_name(&mut self, ssrc: Ssrc, cname: &str) -> bool {
        self.packet(PT_SOURCE_DESCRIPTION, 1, |body| {
            body.u32(ssrc.0)?;
            body.u8(SDES_CNAME)?;
            body.u8(u8::try_from(cname.len()).ok()?)?;
            body.bytes(cname.as_bytes())?;
            body.u8(0)?;
            body.pad()
        })
    }

    /// BYE of one source.
    pub fn bye(&mut self, ssrc: Ssrc) -> bool {
        self.packet(PT_BYE, 1, |body| body.u32(ssrc.0))
    }

    /// Generic NACK. `missing` must ascend (on the circle of 16 bits); what lies within 16 of another shares its pair.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, missing: &[u16]) -> bool {
        self.packet(PT_TRANSPORT_FEEDBACK, FMT_NACK, |body| {
            body.u32(sender.0)?;
            body.u32(media.0)?;
            let mut rest = missing;
            while let Some((&first, mut after)) = rest.split_first() {
                let mut mask = 0u16;
                while let Some((&next, more)) = after.split_first() {
                    let distance = next.wrapping_sub(first);
                    if !(1..=16).contains(&distance) {
                        break;
                    }
                    mask |= 1 << (distance - 1);
                    after = more;
                }
                body.u16(first)?;
                body.u16(mask)?;
                rest = after;
            }
            Some(())
        })
    }

    /// Picture loss indication.
    pub fn pli(&mut self, sender: Ssrc, media: Ssrc) -> bool {
        self.packet(PT_PAYLOAD_FEEDBACK, FMT_PLI, |body| {
            body.u32(sender.0)?;
            body.u32(media.0)
        })
    }

    /// Full intra request for one stream.
    pub fn fir(&mut self, sender: Ssrc, media: Ssrc, number: u8) -> bool {
        self.packet(PT_PAYLOAD_FEEDBACK, FMT_FIR, |body| {
            body.u32(sender.0)?;
            body.u32(0)?;
            body.u32(media.0)?;
            body.u32(u32::from(number) << 24)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;
    use plenum_types::NtpTime;

    #[test]
    fn a_compound_reads_back() {
        let info = SenderInfo {
            ssrc: Ssrc(1),
            ntp: NtpTime(0x0102_0304_0506_0708),
            rtp_timestamp: 9,
            packets: 10,
            octets: 11,
        };
        let block = ReportBlock {
            ssrc: Ssrc(2),
            fraction_lost: 3,
            cumulative_lost: -4,
            highest_sequence: 0x1_0005,
            jitter: 6,
            last_sr: 7,
            delay_since_last_sr: 8,
        };
        let mut buffer = [0u8; 512];
        let mut writer = RtcpWriter::new(&mut buffer);
        assert!(writer.sender_report(&info, &[block, block]));
        assert!(writer.source_name(Ssrc(1), "call"));
        assert!(writer.nack(Ssrc(1), Ssrc(2), &[65_534, 65_535, 0, 14, 15, 400]));
        assert!(writer.pli(Ssrc(1), Ssrc(3)));
        assert!(writer.fir(Ssrc(1), Ssrc(4), 5));
        assert!(writer.bye(Ssrc(1)));
        let len = writer.len();
        let mut packets = Compound::new(&buffer[..len]);
        let Some(RtcpPacket::SenderReport(report)) = packets.next() else {
            panic!("no sender report");
        };
        assert_eq!(report.info, info);
        assert_eq!(report.blocks.collect::<Vec<_>>(), [block, block]);
        assert!(matches!(
            packets.next(),
            Some(RtcpPacket::Other { packet_type: 202 })
        ));
        let Some(RtcpPacket::Nack(nack)) = packets.next() else {
            panic!("no nack");
        };
        assert_eq!(
            nack.pairs.collect::<Vec<_>>(),
            [65_534, 65_535, 0, 14, 15, 400]
        );
        assert!(matches!(
            packets.next(),
            Some(RtcpPacket::Pli { media: Ssrc(3) })
        ));
        let Some(RtcpPacket::Fir(fir)) = packets.next() else {
            panic!("no fir");
        };
        assert_eq!(fir.collect::<Vec<_>>(), [(Ssrc(4), 5)]);
        let Some(RtcpPacket::Bye(sources)) = packets.next() else {
            panic!("no bye");
        };
        assert_eq!(sources.collect::<Vec<_>>(), [Ssrc(1)]);
        assert!(packets.next().is_none());
    }

    #[test]
    fn a_packet_that_does_not_fit_leaves_the_compound_whole() {
        let mut buffer = [0u8; 20];
        let mut writer = RtcpWriter::new(&mut buffer);
        assert!(writer.pli(Ssrc(1), Ssrc(2)));
        assert!(!writer.pli(Ssrc(1), Ssrc(2)));
        assert_eq!(writer.len(), 12);
    }

    #[test]
    fn a_report_whose_count_lies_is_passed_over_and_what_follows_is_read() {
        let mut buffer = [0u8; 64];
        let mut writer = RtcpWriter::new(&mut buffer);
        assert!(writer.receiver_report(Ssrc(1), &[]));
        assert!(writer.pli(Ssrc(1), Ssrc(2)));
        let len = writer.len();
        buffer[0] |= 31;
        let mut compound = Compound::new(&buffer[..len]);
        assert!(matches!(compound.next(), Some(RtcpPacket::Pli { .. })));
        assert!(compound.next().is_none());
        assert!(compound.was_malformed());
    }
}

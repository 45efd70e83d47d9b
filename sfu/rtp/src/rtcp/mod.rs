//! RTCP (RFC 3550 section 6, RFC 4585, RFC 5104): reading compound packets and writing reports.

mod feedback;
mod reports;
pub mod twcc;
mod writer;

pub use feedback::{Fir, Nack, NackPairs, Remb};
pub use reports::{ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport};
pub use twcc::TransportFeedback;
pub use writer::{MAX_BLOCKS, RtcpWriter};

use plenum_types::Ssrc;

use crate::bytes::{u8_at, u16_at, u32_at};

/// Bytes before a packet's body.
pub(crate) const HEADER: usize = 4;
pub(crate) const PT_SENDER_REPORT: u8 = 200;
pub(crate) const PT_RECEIVER_REPORT: u8 = 201;
pub(crate) const PT_SOURCE_DESCRIPTION: u8 = 202;
pub(crate) const PT_BYE: u8 = 203;
pub(crate) const PT_TRANSPORT_FEEDBACK: u8 = 205;
pub(crate) const PT_PAYLOAD_FEEDBACK: u8 = 206;
pub(crate) const FMT_NACK: u8 = 1;
pub(crate) const FMT_TRANSPORT_CC: u8 = 15;
pub(crate) const FMT_PLI: u8 = 1;
pub(crate) const FMT_FIR: u8 = 4;
pub(crate) const FMT_APPLICATION: u8 = 15;

/// One packet of a compound.
#[derive(Debug, Clone, Copy)]
pub enum RtcpPacket<'a> {
    /// SR.
    SenderReport(SenderReport<'a>),
    /// RR.
    ReceiverReport(ReceiverReport<'a>),
    /// BYE: the sources that leave.
    Bye(Sources<'a>),
    /// Generic NACK (RFC 4585 section 6.2.1).
    Nack(Nack<'a>),
    /// Picture loss indication (RFC 4585 section 6.3.1).
    Pli {
        /// The stream that needs a key frame.
        media: Ssrc,
    },
    /// Full intra request (RFC 5104 section 4.3.1): the streams that need a key frame.
    Fir(Fir<'a>),
    /// Receiver's estimate of the bandwidth (draft-alvestrand-rmcat-remb).
    Remb(Remb<'a>),
    /// Arrival times of everything with a transport-wide number.
    TransportFeedback(TransportFeedback<'a>),
    /// A source description, or a type that the server has no use for.
    Other {
        /// Packet type.
        packet_type: u8,
    },
}

/// Walks the packets of a datagram. Stops at the first one whose length is wrong; bodies that are too short are skipped.
#[derive(Debug, Clone, Copy)]
pub struct Compound<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl<'a> Compound<'a> {
    /// A plaintext datagram.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self {
            rest: datagram,
            malformed: false,
        }
    }

    /// A length or a count of what was walked so far did not agree with what follows.
    #[must_use]
    pub const fn was_malformed(&self) -> bool {
        self.malformed
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let Some((first, packet_type, packet, rest)) = split(self.rest) else {
                self.malformed = true;
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            let read = body(first, packet).and_then(|body| read(packet_type, first & 0x1f, body));
            if read.is_some() {
                return read;
            }
            self.malformed = true;
        }
        None
    }
}

/// The first byte, the type, the first packet and what follows it.
fn split(datagram: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let (first, packet_type) = (u8_at(datagram, 0)?, u8_at(datagram, 1)?);
    let length = HEADER + usize::from(u16_at(datagram, 2)?) * 4;
    let (packet, rest) = datagram.split_at_checked(length)?;
    (first >> 6 == 2).then_some((first, packet_type, packet, rest))
}

/// A packet without its header and padding.
fn body(first: u8, packet: &[u8]) -> Option<&[u8]> {
    let body = packet.get(HEADER..)?;
    if first & 0x20 == 0 {
        return Some(body);
    }
    let padding = usize::from(body.last().copied().unwrap_or(0));
    let kept = body.len().checked_sub(padding).filter(|_| padding > 0)?;
    body.get(..kept)
}

fn read(packet_type: u8, count: u8, body: &[u8]) -> Option<RtcpPacket<'_>> {
    Some(match (packet_type, count) {
        (PT_SENDER_REPORT, _) => RtcpPacket::SenderReport(SenderReport::read(count, body)?),
        (PT_RECEIVER_REPORT, _) => RtcpPacket::ReceiverReport(ReceiverReport::read(count, body)?),
        (PT_BYE, _) => RtcpPacket::Bye(Sources {
            rest: body.get(..usize::from(count) * 4)?,
        }),
        (PT_TRANSPORT_FEEDBACK, FMT_NACK) => RtcpPacket::Nack(Nack::read(body)?),
        (PT_TRANSPORT_FEEDBACK, FMT_TRANSPORT_CC) => {
            RtcpPacket::TransportFeedback(TransportFeedback::read(body)?)
        }
        (PT_PAYLOAD_FEEDBACK, FMT_PLI) => RtcpPacket::Pli {
            media: Ssrc(u32_at(body, 4)?),
        },
        (PT_PAYLOAD_FEEDBACK, FMT_FIR) => RtcpPacket::Fir(Fir::read(body)?),
        (PT_PAYLOAD_FEEDBACK, FMT_APPLICATION) => match Remb::read(body) {
            Some(remb) => RtcpPacket::Remb(remb),
            None => RtcpPacket::Other { packet_type },
        },
        _ => RtcpPacket::Other { packet_type },
    })
}

/// Walks a list of SSRCs.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    pub(crate) rest: &'a [u8],
}

impl Iterator for Sources<'_> {
    type Item = Ssrc;

    fn next(&mut self) -> Option<Ssrc> {
        let (first, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(Ssrc(u32::from_be_bytes(*first)))
    }
}

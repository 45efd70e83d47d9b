//! A client, and what it saw.

use std::net::SocketAddr;

use plenum_rtp::{
    RtpPacket, Vp8Descriptor,
    rtcp::{Compound, RtcpPacket, SenderInfo},
};
use plenum_transport::{DatagramKind, SrtpReceiver, SrtpSender, classify};
use plenum_types::{ParticipantId, PayloadType, Ssrc, TransportId};

/// An RTP packet as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub ssrc: Ssrc,
    pub payload_type: PayloadType,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Packet {
    pub fn vp8(&self) -> Vp8Descriptor {
        Vp8Descriptor::parse(&self.payload).unwrap()
    }

    pub fn picture_id(&self) -> u16 {
        self.vp8().picture_id.unwrap().value
    }
}

/// RTCP as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feedback {
    Pli(Ssrc),
    Nack(Ssrc, Vec<u16>),
    SenderReport(SenderInfo),
    Reception(Vec<plenum_rtp::rtcp::ReportBlock>),
    Arrivals(Vec<(u16, bool)>),
}

pub struct Client {
    pub transport: TransportId,
    pub participant: ParticipantId,
    pub address: SocketAddr,
    pub sender: SrtpSender,
    pub receiver: SrtpReceiver,
    pub packets: Vec<Packet>,
    pub feedback: Vec<Feedback>,
    pub lose: bool,
}

impl Client {
    /// Reads a datagram of the server's.
    pub fn read(&mut self, datagram: &mut [u8]) {
        match classify(datagram) {
            DatagramKind::Rtp => {
                let opened = self.receiver.open_rtp(datagram).unwrap();
                let packet = RtpPacket::parse(&datagram[..opened.len]).unwrap();
                self.packets.push(Packet {
                    ssrc: packet.ssrc(),
                    payload_type: packet.payload_type(),
                    sequence: packet.sequence(),
                    timestamp: packet.timestamp(),
                    marker: packet.marker(),
                    payload: packet.payload().to_vec(),
                    extensions: packet
                        .extensions()
                        .map(|(id, value)| (id, value.to_vec()))
                        .collect(),
                });
            }
            DatagramKind::Rtcp => {
                let len = self.receiver.open_rtcp(datagram).unwrap();
                read_feedback(&datagram[..len], &mut self.feedback);
            }
            _ => {}
        }
    }
}

fn read_feedback(datagram: &[u8], into: &mut Vec<Feedback>) {
    for packet in Compound::new(datagram) {
        into.push(match packet {
            RtcpPacket::Pli { media } => Feedback::Pli(media),
            RtcpPacket::Nack(nack) => Feedback::Nack(nack.media, nack.pairs.collect()),
            RtcpPacket::SenderReport(report) => Feedback::SenderReport(report.info),
            RtcpPacket::ReceiverReport(report) => Feedback::Reception(report.blocks.collect()),
            RtcpPacket::TransportFeedback(feedback) => Feedback::Arrivals(
                feedback
                    .packets()
                    .map(|(sequence, time)| (sequence, time.is_some()))
                    .collect(),
            ),
            _ => continue,
        });
    }
}

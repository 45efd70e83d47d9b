//! What comes in datagrams.

use livekit_protocol as proto;
use plenum_rtp::{
    HeaderWriter, RtpHeader, RtpPacket,
    packet::ExtensionForm,
    rtcp::{Compound, RtcpPacket, RtcpWriter},
    rtx,
};
use plenum_transport::{FrameReader, MAX_FRAME};
use plenum_types::Ssrc;
use prost::Message as _;

/// A connectivity check: as it came, and with a checksum that is right.
pub(crate) fn stun(bytes: &[u8]) {
    plenum_transport::fuzzing::stun(bytes);
    plenum_transport::fuzzing::stun(&plenum_transport::fuzzing::with_checksum(bytes));
}

/// The protocol that opens data channels.
pub(crate) fn dcep(bytes: &[u8]) {
    plenum_transport::fuzzing::dcep(bytes);
}

/// Datagrams on a TCP connection, cut as the first bytes say: however it is cut, the same frames come out.
pub(crate) fn framing(bytes: &[u8]) {
    let Some((sizes, stream)) = bytes.split_at_checked(4) else {
        return;
    };
    let frames = |sizes: &[u8]| {
        let mut reader = FrameReader::default();
        let (mut frames, mut stream) = (Vec::new(), stream);
        for size in sizes.iter().cycle() {
            let space = reader.space();
            assert!(!space.is_empty());
            let (now, later) = stream.split_at(
                (usize::from(*size) * 16 + 1)
                    .min(stream.len())
                    .min(space.len()),
            );
            space[..now.len()].copy_from_slice(now);
            reader.filled(now.len());
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
            stream = later;
            if stream.is_empty() {
                break;
            }
        }
        (frames, None)
    };
    let found = frames(sizes);
    assert_eq!(found, frames(&[255]));
    assert!(
        found
            .0
            .iter()
            .all(|frame| (1..=MAX_FRAME).contains(&frame.len()))
    );
}

/// A header and its extensions, written again.
pub(crate) fn rtp(bytes: &[u8]) {
    let Ok(packet) = RtpPacket::parse(bytes) else {
        return;
    };
    assert_eq!(
        packet.header_len() + packet.payload().len() + packet.padding(),
        bytes.len()
    );
    if let Some((_, rest)) = rtx::split(packet.payload()) {
        assert!(rest.len() < packet.payload().len());
    }
    let elements: Vec<(u8, &[u8])> = packet.extensions().collect();
    let header = RtpHeader {
        marker: packet.marker(),
        payload_type: packet.payload_type(),
        sequence: packet.sequence(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
    };
    let mut buffer = vec![0; 2 * bytes.len() + 64];
    let mut writer = HeaderWriter::new(&mut buffer, header, ExtensionForm::TwoByte).unwrap();
    let written = elements
        .iter()
        .filter(|(id, value)| writer.push(*id, value).is_some())
        .count();
    let length = writer.finish().unwrap();
    let again = RtpPacket::parse(&buffer[..length]).unwrap();
    assert_eq!(again.extensions().count(), written);
    assert_eq!(
        (
            again.marker(),
            again.payload_type(),
            again.sequence(),
            again.timestamp(),
            again.ssrc()
        ),
        (
            packet.marker(),
            packet.payload_type(),
            packet.sequence(),
            packet.timestamp(),
            packet.ssrc()
        )
    );
}

/// Reports and requests; what a NACK lists is written and read back.
pub(crate) fn rtcp(bytes: &[u8]) {
    let mut packets = 0;
    for packet in Compound::new(bytes) {
        packets += 1;
        let parts = match packet {
            RtcpPacket::SenderReport(report) => report.blocks.count(),
            RtcpPacket::ReceiverReport(report) => report.blocks.count(),
            RtcpPacket::Bye(sources) => sources.count(),
            RtcpPacket::Nack(nack) => {
                nack_again(nack.media, &nack.pairs.collect::<Vec<_>>());
                0
            }
            RtcpPacket::Fir(fir) => fir.count(),
            RtcpPacket::Remb(remb) => remb.sources.count(),
            // A run of 13 bits for two bytes.
            RtcpPacket::TransportFeedback(feedback) => feedback.packets().count() / 65_536,
            RtcpPacket::Pli { .. } | RtcpPacket::Other { .. } => 1,
        };
        assert!(parts <= bytes.len());
    }
    // Each has a head of four bytes.
    assert!(packets * 4 <= bytes.len());
}

fn nack_again(media: Ssrc, listed: &[u16]) {
    let mut missing = listed.to_vec();
    missing.sort_unstable();
    missing.dedup();
    let mut buffer = vec![0; 64 + 4 * missing.len()];
    let mut writer = RtcpWriter::new(&mut buffer);
    if missing.is_empty() || !writer.nack(Ssrc(1), media, &missing) {
        return;
    }
    let length = writer.len();
    let mut read: Vec<u16> = Compound::new(&buffer[..length])
        .flat_map(|packet| match packet {
            RtcpPacket::Nack(nack) => nack.pairs.collect::<Vec<_>>(),
            _ => Vec::new(),
        })
        .collect();
    read.sort_unstable();
    assert_eq!(read, missing);
}

/// A data message: whoever it says it is from, receivers read the sender that the server knows.
pub(crate) fn data(bytes: &[u8]) {
    let Some(rewritten) = plenum_media::fuzzing::data(bytes, "alice", "PA_alice") else {
        return;
    };
    assert!(rewritten.len() <= bytes.len() + 64);
    // What the envelope takes for a message need not be one inside.
    let Ok(packet) = proto::DataPacket::decode(rewritten.as_slice()) else {
        return;
    };
    assert_eq!(packet.participant_identity, "alice");
    assert_eq!(packet.participant_sid, "PA_alice");
    #[expect(deprecated, reason = "old clients read the sender there")]
    if let Some(proto::data_packet::Value::User(user)) = packet.value {
        assert_eq!(user.participant_identity, "alice");
        assert_eq!(user.participant_sid, "PA_alice");
    }
}

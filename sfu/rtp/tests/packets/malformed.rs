//! Nothing a peer sends makes a parser panic or run without end.

use plenum_rtp::{
    RtpPacket, Vp8Descriptor,
    rtcp::{Compound, RtcpPacket, RtcpWriter, twcc},
    rtx,
};
use plenum_types::{Ssrc, Timestamp};

const ROUNDS: usize = 200_000;

fn walk(bytes: &[u8]) -> usize {
    let mut found = 0;
    if let Ok(packet) = RtpPacket::parse(bytes) {
        found += packet.extensions().count();
        found += packet.payload().len() + packet.padding();
        if let Some(read) = Vp8Descriptor::parse(packet.payload()) {
            let mut copy = packet.payload().to_vec();
            read.rewrite(&mut copy, 1, 2);
            assert!(usize::from(read.len) < copy.len());
        }
        found += rtx::split(packet.payload()).map_or(0, |(_, rest)| rest.len());
    }
    for packet in Compound::new(bytes) {
        found += match packet {
            RtcpPacket::SenderReport(report) => report.blocks.count(),
            RtcpPacket::ReceiverReport(report) => report.blocks.count(),
            RtcpPacket::Bye(sources) => sources.count(),
            RtcpPacket::Nack(nack) => nack.pairs.count(),
            RtcpPacket::Fir(fir) => fir.count(),
            RtcpPacket::Remb(remb) => remb.sources.count(),
            RtcpPacket::TransportFeedback(feedback) => feedback.packets().count(),
            RtcpPacket::Pli { .. } | RtcpPacket::Other { .. } => 1,
        };
    }
    found
}

#[test]
fn random_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes = [0u8; 160];
    for _ in 0..ROUNDS {
        let len = random.usize(..bytes.len());
        random.fill(&mut bytes[..len]);
        if let Some(first) = bytes[..len].first_mut() {
            *first = 0x80 | (*first & 0x3f);
        }
        if len > 1 && random.bool() {
            bytes[1] = 200 + random.u8(0..7);
            bytes[2] = 0;
        }
        walk(&bytes[..len]);
    }
}

#[test]
fn mutated_compounds_never_panic() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut good = [0u8; 400];
    let mut writer = RtcpWriter::new(&mut good);
    assert!(writer.receiver_report(Ssrc(1), &[]));
    assert!(writer.nack(Ssrc(1), Ssrc(2), &[1, 2, 50, 60_000]));
    let arrivals: Vec<_> = (0..60u64)
        .map(|n| (n % 7 != 0).then(|| Timestamp::from_millis(n * 40)))
        .collect();
    let head = twcc::FeedbackHead {
        sender: Ssrc(1),
        media: Ssrc(2),
        base_sequence: 1,
        feedback_count: 0,
    };
    assert_eq!(twcc::write(&mut writer, head, &arrivals), 60);
    assert!(writer.fir(Ssrc(1), Ssrc(2), 3));
    let len = writer.len();
    for _ in 0..ROUNDS {
        let mut bytes = good;
        for _ in 0..random.usize(1..6) {
            bytes[random.usize(..len)] = random.u8(..);
        }
        let end = if random.bool() {
            len
        } else {
            random.usize(..=len)
        };
        // A status count of 65,535 over run-length chunks is the most that a datagram can claim.
        assert!(walk(&bytes[..end]) < 100 * 65_536);
    }
}

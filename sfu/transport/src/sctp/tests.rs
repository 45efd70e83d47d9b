use std::time::Instant;

use super::*;

const PARAMS: SctpParams = SctpParams {
    remote_port: 5000,
    max_message_size: 0,
    open_channels: false,
};

/// Two associations joined by a perfect link.
struct Pair {
    now: Timestamp,
    sides: [Sctp; 2],
    events: [VecDeque<TransportEvent>; 2],
    /// All packets so far, with their receiver.
    log: Vec<(usize, Bytes)>,
}

impl Pair {
    #[allow(
        clippy::disallowed_methods,
        reason = "the base of a clock that only the test advances"
    )]
    fn new(roles: [DtlsRole; 2]) -> Self {
        let epoch = EpochInstant::new(Instant::now());
        let now = Timestamp::from_millis(1);
        Self {
            now,
            sides: roles.map(|role| Sctp::new(epoch, PARAMS, role, now)),
            events: Default::default(),
            log: Vec::new(),
        }
    }

    fn established() -> Self {
        let mut pair = Self::new([DtlsRole::Passive, DtlsRole::Active]);
        pair.run(Duration::from_secs(1));
        assert!(pair.sides.iter().all(|side| side.established));
        pair
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            for side in 0..2 {
                let mut packets = Vec::new();
                self.sides[side].handle_timeout(self.now, &mut packets, &mut self.events[side]);
                self.deliver(1 - side, packets);
            }
        }
    }

    fn deliver(&mut self, to: usize, packets: Vec<Bytes>) {
        for packet in packets {
            self.log.push((to, packet.clone()));
            let mut answers = Vec::new();
            self.sides[to].handle_packet(
                packet.to_vec(),
                self.now,
                &mut answers,
                &mut self.events[to],
            );
            self.deliver(1 - to, answers);
        }
    }

    /// Writes as a client that does as it likes.
    fn write(
        &mut self,
        side: usize,
        stream: StreamId,
        message: &[u8],
        ppi: PayloadProtocolIdentifier,
    ) {
        let (_, association) = self.sides[side].association.as_mut().unwrap();
        let _ = association.open_stream(stream, ppi);
        self.sides[side].write(stream, message, ppi);
        self.run(Duration::from_millis(5));
    }
}

/// CRC-32C, which SCTP has in little-endian order at offset 8 (RFC 9260 section 6.8).
fn set_checksum(packet: &mut [u8]) {
    packet[8..12].fill(0);
    let mut crc = u32::MAX;
    for byte in packet.iter() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
}

#[test]
fn two_sides_that_both_begin_still_meet() {
    let mut pair = Pair::new([DtlsRole::Active, DtlsRole::Active]);
    pair.run(Duration::from_secs(5));
    assert!(pair.sides.iter().all(|side| side.established));
}

#[test]
fn a_late_copy_of_the_first_packet_does_no_harm() {
    let mut pair = Pair::established();
    let init = pair.log.iter().find(|(to, _)| *to == 0).cloned().unwrap().1;
    pair.deliver(0, vec![init]);
    pair.write(1, 100, b"hi", PayloadProtocolIdentifier::Binary);
    assert_eq!(pair.events[0].len(), 2);
}

#[test]
fn a_heartbeat_is_answered_and_its_answer_does_no_harm() {
    let mut pair = Pair::established();
    for side in 0..2 {
        let question = pair.sides[side].heartbeat().unwrap().packet();
        pair.log.clear();
        pair.deliver(1 - side, vec![question]);
        let answers = pair.log.iter().filter(|(to, _)| *to == side);
        let types: Vec<_> = answers.map(|(_, packet)| packet[FIRST_CHUNK_AT]).collect();
        assert_eq!(types, [HEARTBEAT_ACK], "of side {side}");
    }
    pair.write(1, 100, b"hi", PayloadProtocolIdentifier::Binary);
    assert_eq!(pair.events[0].len(), 2);
}

#[test]
fn agreed_streams_need_no_open() {
    let mut pair = Pair::established();
    for (stream, channel) in NEGOTIATED {
        pair.write(1, stream, b"hi", PayloadProtocolIdentifier::Binary);
        assert_eq!(
            pair.events[0].drain(..).collect::<Vec<_>>(),
            [
                TransportEvent::ChannelOpen(channel),
                TransportEvent::Data {
                    channel,
                    payload: b"hi".to_vec()
                }
            ]
        );
        assert_eq!(pair.sides[0].stream_of(channel), Some(stream));
    }
}

#[test]
fn other_labels_are_acknowledged_and_ignored() {
    let mut pair = Pair::established();
    let mut open = DcepMessage::open(DataChannel::Lossy);
    let label = open.len() - 6;
    open[label..].copy_from_slice(b"_other");
    pair.log.clear();
    pair.write(1, 4, &open, PayloadProtocolIdentifier::Dcep);
    pair.write(1, 4, b"hi", PayloadProtocolIdentifier::Binary);
    assert!(pair.events[0].is_empty());
    // DATA with the DCEP protocol id and the one byte of ACK.
    let acknowledged = pair
        .log
        .iter()
        .any(|(to, packet)| *to == 1 && packet.windows(5).any(|window| window == [0, 0, 0, 50, 2]));
    assert!(acknowledged);
}

#[test]
fn a_client_that_opens_streams_without_end_loses_its_association() {
    let mut pair = Pair::established();
    for stream in 0..MAX_STREAMS as u16 {
        pair.write(1, stream, b"x", PayloadProtocolIdentifier::Binary);
    }
    assert!(pair.sides[0].association.is_some());
    pair.write(1, 1000, b"x", PayloadProtocolIdentifier::Binary);
    assert!(pair.sides[0].association.is_none());
    pair.run(Duration::from_secs(2));
}

#[test]
fn mutated_packets_with_good_checksums_never_panic() {
    let mut pair = Pair::established();
    for (stream, _) in NEGOTIATED {
        pair.write(1, stream, &[7; 3000], PayloadProtocolIdentifier::Binary);
        pair.write(0, stream, &[7; 3000], PayloadProtocolIdentifier::Binary);
    }
    let packets: Vec<Bytes> = pair
        .log
        .iter()
        .filter(|(to, _)| *to == 0)
        .map(|(_, packet)| packet.clone())
        .collect();
    let mut random = fastrand::Rng::with_seed(3);
    let mut rebuilt = 0;
    for _ in 0..30_000 {
        let mut packet = random.choice(&packets).unwrap().to_vec();
        // Verification tag of the association at hand, so that more than the tag is looked at.
        if let Some((_, last)) = pair.log.iter().rev().find(|(to, _)| *to == 0) {
            packet[4..8].copy_from_slice(&last[4..8]);
        }
        for _ in 0..random.usize(0..8) {
            let at = random.usize(12..packet.len());
            packet[at] = if random.bool() {
                random.u8(..)
            } else {
                random.u8(..16)
            };
        }
        if random.u8(..) < 64 {
            packet.truncate(random.usize(12..=packet.len()));
        }
        set_checksum(&mut packet);
        let mut answers = Vec::new();
        pair.sides[0].handle_packet(packet, pair.now, &mut answers, &mut pair.events[0]);
        pair.now += Duration::from_millis(3);
        pair.sides[0].handle_timeout(pair.now, &mut answers, &mut pair.events[0]);
        pair.events[0].clear();
        if pair.sides[0].association.is_none() || !pair.sides[0].established {
            rebuilt += 1;
            pair = Pair::established();
        }
    }
    println!("associations ended by noise: {rebuilt}");
}

//! What a client whose keys are good can do to others: nothing.

use crate::common::{Call, Camera, DEPENDENCY_ID, VP8};
use plenum_rtp::RtpHeader;
use plenum_types::{Codec, LayerTarget, PayloadType, Ssrc};

/// Bytes a second of one picture that go on to others, as the program has it.
const VIDEO_RATE: u64 = 4 << 20;

#[test]
fn what_no_encoder_sends_goes_to_nobody_and_others_go_on() {
    let mut call = Call::new();
    let (alice, bob, carol) = (call.join(), call.join(), call.join());
    let loud = call.add_video(alice, 1, 1_000);
    let calm = call.add_video(carol, 1, 2_000);
    let (_, loud_out) = call.subscribe(bob, loud, Codec::Vp8, LayerTarget::HIGHEST);
    let (_, calm_out) = call.subscribe(bob, calm, Codec::Vp8, LayerTarget::HIGHEST);
    let mut flood = Camera::new(alice, 1, 1_000);
    flood.packet_bytes = 1_150;
    let mut camera = Camera::new(carol, 1, 2_000);
    let (mut loud_bytes, mut pictures) = (0, Vec::new());
    for step in 0..200 {
        // 10,000 packets a second for two seconds.
        flood.shoot(&mut call, 0, step % 10 == 0, 100);
        if step % 3 == 0 {
            camera.shoot(&mut call, 0, step == 0, 2);
        }
        call.advance_millis(10);
        loud_bytes += call
            .take(bob, loud_out)
            .iter()
            .map(|packet| packet.payload.len() as u64)
            .sum::<u64>();
        pictures.extend(call.take(bob, calm_out));
    }
    let stats = *call.shard.stats();
    assert!(stats.over_rate > 5_000, "{}", stats.over_rate);
    // A second's worth at once, and two seconds.
    assert!(loud_bytes > 2 * VIDEO_RATE && loud_bytes <= 3 * VIDEO_RATE);
    assert_eq!(pictures.len(), 2 * 67);
    assert!(
        pictures
            .windows(2)
            .all(|pair| pair[1].sequence == pair[0].sequence + 1)
    );
    // A ring of a mebibyte, and its slots.
    assert!(stats.history_bytes < 3 << 20, "{}", stats.history_bytes);
}

#[test]
fn many_tracks_do_not_make_a_client_louder() {
    let mut call = Call::new();
    let alice = call.join();
    for track in 0..8 {
        call.add_video(alice, 1, 1_000 * (track + 1));
    }
    let mut cameras: Vec<_> = (0..8)
        .map(|track| Camera::new(alice, 1, 1_000 * (track + 1)))
        .collect();
    for camera in &mut cameras {
        camera.packet_bytes = 1_150;
        camera.shoot(&mut call, 0, true, 3_000);
    }
    // Each within what a picture may take at once, together above what a client may.
    let stats = call.shard.stats();
    assert!((12_000..=15_000).contains(&(stats.rtp_received - stats.over_rate)));
}

#[test]
fn nobody_gets_more_packets_again_than_they_got() {
    let (mut call, [_, bob], mut camera, ssrc) = Call::watched(1);
    let mut sent = Vec::new();
    let mut shoot = |call: &mut Call, key: bool| {
        camera.shoot(call, 0, key, 3);
        sent.extend(call.take(bob, ssrc));
        sent.clone()
    };
    for frame in 0..30 {
        shoot(&mut call, frame == 0);
    }
    let all: Vec<u16> = shoot(&mut call, false)
        .iter()
        .map(|packet| packet.sequence)
        .collect();
    let mut again = 0;
    for _ in 0..40 {
        // Beyond a round trip, so that each may be answered once more.
        call.advance_millis(150);
        call.send_rtcp(bob, |writer| {
            writer.nack(Ssrc(77), ssrc, &all);
        });
        call.settle();
        again += call.take(bob, Ssrc(ssrc.0 + 4_000)).len();
    }
    assert_eq!(again, all.len());
    assert!(call.shard.stats().nacks_refused as usize >= 38 * all.len());

    // What comes later can be asked for.
    let newest = shoot(&mut call, true).last().unwrap().sequence;
    call.send_rtcp(bob, |writer| {
        writer.nack(Ssrc(77), ssrc, &[newest]);
    });
    call.settle();
    assert_eq!(call.take(bob, Ssrc(ssrc.0 + 4_000)).len(), 1);
}

#[test]
fn counts_and_lengths_that_lie_are_counted_and_change_nothing() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 1);
    call.take_plis(alice);
    let [a, b, c, d] = ssrc.0.to_be_bytes();
    let own = [0, 0, 0, 77];
    let lies: [Vec<u8>; 6] = [
        // 31 report blocks, none there.
        [&[0x9f, 201, 0, 1][..], &own].concat(),
        // Longer than the datagram.
        [&[0x81, 206, 0xff, 0xff][..], &own, &[a, b, c, d]].concat(),
        // A request for a key frame without the stream.
        [&[0x81, 206, 0, 1][..], &own].concat(),
        // Padding longer than the packet.
        [&[0xa1, 206, 0, 2][..], &own, &[a, b, c, 200]].concat(),
        // 31 sources that leave, none named.
        [&[0x9f, 203, 0, 1][..], &own].concat(),
        // Less than a header.
        [&[0x80, 201, 0, 1][..], &own, &[0x81, 206]].concat(),
    ];
    for lie in &lies {
        call.send_raw_rtcp(bob, lie);
    }
    call.settle();
    assert_eq!(call.shard.stats().malformed, lies.len() as u64);
    assert!(call.take_plis(alice).is_empty());
}

#[test]
fn padding_longer_than_the_packet_is_malformed() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 1);
    for (number, padding) in [0, 21, 255].into_iter().enumerate() {
        let mut packet = vec![0xa0, VP8.0, 0, number as u8, 0, 0, 0, 0];
        packet.extend(1_000u32.to_be_bytes());
        packet.extend([0x10; 19]);
        packet.push(padding);
        call.send_raw_rtp(alice, (1 << 16) + number as u64, &packet);
    }
    call.settle();
    assert_eq!(call.shard.stats().malformed, 3);
    assert_eq!(call.take(bob, ssrc).len(), 1);
    camera.shoot(&mut call, 0, false, 1);
    assert_eq!(call.take(bob, ssrc).len(), 1);
}

#[test]
fn descriptors_of_any_bytes_leave_the_numbers_of_subscribers_whole() {
    const AV1: PayloadType = PayloadType(45);
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_track_in(alice, &[(AV1, Codec::Av1)], 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Av1, LayerTarget::HIGHEST);
    let mut random = fastrand::Rng::with_seed(6);
    let mut got = Vec::new();
    for number in 0..20_000u64 {
        let mut descriptor = vec![0; random.usize(1..60)];
        random.fill(&mut descriptor);
        if let Some(flags) = descriptor.get_mut(3) {
            // As often as not a structure: templates, decode targets and chains without end.
            *flags |= if random.bool() { 0xf0 } else { 0 };
        }
        let header = RtpHeader {
            marker: random.bool(),
            payload_type: AV1,
            sequence: number as u16,
            timestamp: random.u32(..),
            ssrc: Ssrc(1_000),
        };
        let extensions = [(DEPENDENCY_ID, &descriptor[..])];
        call.send_rtp(
            alice,
            number,
            header,
            &extensions,
            &[0x18, 0x0a, 0xff, 0x7f],
        );
        if number % 50 == 0 {
            call.advance_millis(10);
            got.extend(call.take(bob, ssrc));
        }
    }
    assert!(
        got.windows(2)
            .all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1))
    );
    assert_eq!(call.shard.stats().indices_refused, 0);
}

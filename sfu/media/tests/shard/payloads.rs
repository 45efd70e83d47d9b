//! Each codec's numbers and key frames, as subscribers get them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

use crate::common::{Call, DEPENDENCY_ID, OUT_OPUS, OUT_RED, Packet};
use plenum_rtp::{RtpHeader, Vp9Descriptor};
use plenum_types::{Codec, LayerTarget, PayloadType, ShardCommand, Sink, Ssrc};

const IN: PayloadType = PayloadType(98);

/// A publisher's stream of one layer.
struct Stream {
    client: usize,
    ssrc: u32,
    payload_type: PayloadType,
    sequence: u64,
    /// Where its clock began.
    clock: u32,
}

impl Stream {
    fn new(client: usize, ssrc: u32) -> Self {
        Self {
            client,
            ssrc,
            payload_type: IN,
            sequence: 1_000,
            clock: 0,
        }
    }

    /// A frame of one packet.
    fn send(&mut self, call: &mut Call, extensions: &[(u8, &[u8])], payload: &[u8]) {
        let header = RtpHeader {
            marker: true,
            payload_type: self.payload_type,
            sequence: self.sequence as u16,
            timestamp: ((call.now.as_nanos() / 1_000 * 90 / 1_000) as u32).wrapping_add(self.clock),
            ssrc: Ssrc(self.ssrc),
        };
        call.send_rtp(self.client, self.sequence, header, extensions, payload);
        self.sequence += 1;
        call.settle();
        call.advance_millis(33);
    }
}

fn only(spatial: u8) -> LayerTarget {
    LayerTarget {
        spatial,
        ..LayerTarget::HIGHEST
    }
}

fn assert_no_hole(packets: &[Packet]) {
    for (before, after) in packets.iter().zip(packets.iter().skip(1)) {
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    }
}

/// Non-flexible mode; `temporal` 1 is a switching point.
fn vp9(picture: u16, tl0: u8, temporal: u8, key: bool) -> Vec<u8> {
    let [high, low] = (picture | 0x8000).to_be_bytes();
    let predicted = if key { 0 } else { 0x40 };
    let sync = if temporal > 0 { 0x10 } else { 0 };
    vec![
        0xac | predicted,
        high,
        low,
        (temporal << 5) | sync,
        tl0,
        0xaa,
    ]
}

fn read_vp9(packet: &Packet) -> (u16, u8) {
    let read = Vp9Descriptor::parse(&packet.payload).unwrap();
    (read.picture_id.unwrap().value, read.tl0_pic_idx.unwrap())
}

#[test]
fn vp9_pictures_go_on_through_a_layer_switch_and_a_mute() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_track_in(alice, &[(IN, Codec::Vp9)], 2, 1_000);
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp9, only(0));
    let (mut low, mut high) = (Stream::new(alice, 1_000), Stream::new(alice, 1_001));
    for n in 0..10u16 {
        low.send(&mut call, &[], &vp9(0x7ffc + n, 250 + n as u8, 0, n == 0));
        if n == 5 {
            call.set_target(subscription, only(1));
        }
        high.send(&mut call, &[], &vp9(77 + n, n as u8, 0, n % 6 == 0));
    }
    call.command(ShardCommand::SetTrackMuted { track, muted: true });
    for n in 10..20u16 {
        high.send(&mut call, &[], &vp9(77 + n, n as u8, 0, false));
    }
    call.command(ShardCommand::SetTrackMuted {
        track,
        muted: false,
    });
    for n in 20..25u16 {
        high.send(&mut call, &[], &vp9(77 + n, n as u8, 0, n == 22));
    }
    let got = call.take(bob, ssrc);
    assert_no_hole(&got);
    assert_eq!(got.len(), 7 + 4 + 3);
    for (before, after) in got.iter().zip(got.iter().skip(1)) {
        let ((picture, tl0), (next_picture, next_tl0)) = (read_vp9(before), read_vp9(after));
        assert_eq!(next_picture, (picture + 1) & 0x7fff);
        assert_eq!(next_tl0, tl0.wrapping_add(1));
    }
}

#[test]
fn dropped_temporal_layers_of_vp9_leave_holes_in_its_pictures_only() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_track_in(alice, &[(IN, Codec::Vp9)], 1, 1_000);
    let target = LayerTarget {
        temporal: 0,
        ..LayerTarget::HIGHEST
    };
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp9, target);
    let mut stream = Stream::new(alice, 1_000);
    for n in 0..20u16 {
        if n == 10 {
            call.set_target(subscription, LayerTarget::HIGHEST);
        }
        stream.send(
            &mut call,
            &[],
            &vp9(100 + n, (n / 2) as u8, (n % 2) as u8, n == 0),
        );
    }
    let got = call.take(bob, ssrc);
    assert_no_hole(&got);
    let pictures: Vec<_> = got.iter().map(|packet| read_vp9(packet).0 - 100).collect();
    assert_eq!(
        pictures,
        [0, 2, 4, 6, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    );
}

#[test]
fn pictures_may_jump_as_they_like() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_track_in(alice, &[(IN, Codec::Vp9)], 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp9, LayerTarget::HIGHEST);
    let mut stream = Stream::new(alice, 1_000);
    for picture in [5, 0x7fff, 0, 0x4000, 3] {
        stream.send(
            &mut call,
            &[],
            &vp9(picture, picture as u8, 7, picture == 5),
        );
    }
    // A descriptor that can't be read is passed over.
    stream.send(&mut call, &[], &[0xac, 0x80]);
    stream.send(&mut call, &[], &vp9(4, 0, 0, false));
    let got = call.take(bob, ssrc);
    assert_no_hole(&got);
    assert_eq!(got.len(), 6);
}

#[test]
fn h264_begins_with_a_key_frame_and_is_not_touched() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_track_in(alice, &[(IN, Codec::H264)], 1, 1_000);
    let mut stream = Stream::new(alice, 1_000);
    let slice = [0x41, 0x9a, 1, 2, 3];
    stream.send(&mut call, &[], &slice);
    let (_, ssrc) = call.subscribe(bob, track, Codec::H264, LayerTarget::HIGHEST);
    call.settle();
    assert_eq!(call.take_plis(alice), [Ssrc(1_000)]);
    let parameters = [0x78, 0, 2, 0x67, 0x42, 0, 1, 0x68];
    let idr = [0x7c, 0x85, 0xff];
    for payload in [&slice[..], &parameters, &idr, &slice] {
        stream.send(&mut call, &[], payload);
    }
    let got = call.take(bob, ssrc);
    assert_no_hole(&got);
    let payloads: Vec<_> = got.iter().map(|packet| packet.payload.as_slice()).collect();
    assert_eq!(payloads, [&parameters[..], &idr, &slice]);
}

#[test]
fn av1_frames_are_numbered_on_and_structures_arrive_whole() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_track_in(alice, &[(IN, Codec::Av1)], 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Av1, LayerTarget::HIGHEST);
    let mut stream = Stream::new(alice, 1_000);
    // Longer than the one-byte form takes.
    let structure = |number: u8| -> Vec<u8> {
        let mut value = vec![0xc0, 0xff, number, 0x80];
        value.resize(90, 7);
        value
    };
    let payload = [0x10, 0x32, 1];
    let mut frames = |call: &mut Call, range: std::ops::RangeInclusive<u8>, key: u8| {
        for number in range {
            let whole = structure(number);
            let value = if number == key {
                &whole[..]
            } else {
                &whole[..3]
            };
            stream.send(call, &[(DEPENDENCY_ID, value)], &payload);
        }
    };
    frames(&mut call, 250..=253, 250);
    call.command(ShardCommand::SetTrackMuted { track, muted: true });
    frames(&mut call, 254..=255, 250);
    call.command(ShardCommand::SetTrackMuted {
        track,
        muted: false,
    });
    frames(&mut call, 0..=5, 2);
    let got = call.take(bob, ssrc);
    assert_no_hole(&got);
    let numbers: Vec<_> = got
        .iter()
        .map(|packet| {
            let (_, value) = packet
                .extensions
                .iter()
                .find(|(id, _)| *id == DEPENDENCY_ID)
                .unwrap();
            (u16::from_be_bytes([value[1], value[2]]), value.len())
        })
        .collect();
    let first = 0xfffa;
    assert_eq!(
        numbers[..4],
        [(first, 90), (first + 1, 3), (first + 2, 3), (first + 3, 3)]
    );
    assert_eq!(numbers[4], (first + 4, 90));
    assert_eq!(numbers.len(), 8);
    assert!(got.iter().all(|packet| packet.payload == payload));
}

/// Two redundant blocks and a primary one.
const RED: [u8; 12] = [0xef, 0, 0, 2, 0xef, 0, 0, 1, 111, 5, 5, 6];

#[test]
fn red_is_taken_off_for_who_has_none() {
    let mut call = Call::new();
    let (alice, bob, carol) = (call.join(), call.join(), call.join());
    let codecs = [
        (PayloadType(63), Codec::Red),
        (PayloadType(111), Codec::Opus),
    ];
    let track = call.add_track_in(alice, &codecs, 1, 1_000);
    let (_, plain) = call.subscribe(bob, track, Codec::Opus, LayerTarget::HIGHEST);
    let (_, redundant) = call.subscribe(carol, track, Codec::Red, LayerTarget::HIGHEST);
    let mut stream = Stream::new(alice, 1_000);
    stream.payload_type = PayloadType(63);
    stream.send(&mut call, &[], &[&RED[..], &[9, 9]].concat());
    // Blocks past the end.
    stream.send(&mut call, &[], &[0xef, 0, 3, 0xff, 111, 9]);
    stream.payload_type = PayloadType(111);
    stream.send(&mut call, &[], &[8, 8]);

    let got = call.take(bob, plain);
    assert_no_hole(&got);
    let seen: Vec<_> = got
        .iter()
        .map(|p| (p.payload_type, p.payload.clone()))
        .collect();
    assert_eq!(seen, [(OUT_OPUS, vec![9, 9]), (OUT_OPUS, vec![8, 8])]);

    let got = call.take(carol, redundant);
    assert_no_hole(&got);
    let mut rewritten = [&RED[..], &[9, 9]].concat();
    rewritten[0] = 0x80 | OUT_OPUS.0;
    rewritten[4] = 0x80 | OUT_OPUS.0;
    rewritten[8] = OUT_OPUS.0;
    let seen: Vec<_> = got
        .iter()
        .map(|p| (p.payload_type, p.payload.clone()))
        .collect();
    assert_eq!(seen, [(OUT_RED, rewritten), (OUT_OPUS, vec![8, 8])]);
}

#[test]
fn packets_in_a_codec_that_the_subscriber_lacks_are_passed_over() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let codecs = [(IN, Codec::Vp9), (PayloadType(102), Codec::H264)];
    let track = call.add_track_in(alice, &codecs, 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp9, LayerTarget::HIGHEST);
    let mut stream = Stream::new(alice, 1_000);
    stream.send(&mut call, &[], &vp9(1, 1, 0, true));
    stream.payload_type = PayloadType(102);
    stream.send(&mut call, &[], &[0x67, 0x42]);
    stream.payload_type = IN;
    stream.send(&mut call, &[], &vp9(2, 2, 0, false));
    let got = call.take(bob, ssrc);
    assert_no_hole(&got);
    assert_eq!(got.len(), 2);
}

#[test]
fn another_codec_under_the_same_ssrc_goes_on_in_numbers_and_time() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let first = call.add_track_in(alice, &[(IN, Codec::Vp9)], 1, 1_000);
    let second = call.add_track_in(alice, &[(PayloadType(96), Codec::Vp8)], 1, 2_000);
    let (subscription, ssrc) = call.subscribe(bob, first, Codec::Vp9, LayerTarget::HIGHEST);
    let mut stream = Stream::new(alice, 1_000);
    for n in 0..10 {
        stream.send(&mut call, &[], &vp9(n, n as u8, 0, n == 0));
    }
    call.command(ShardCommand::RemoveSubscription { subscription });
    call.command(ShardCommand::AddSubscription {
        subscription,
        track: second,
        sink: Sink::Transport(call.clients[bob].transport),
        sender: Call::sender_params(subscription, Codec::Vp8),
        target: LayerTarget::HIGHEST,
    });
    // Clients drop pictures whose timestamps are behind: its clock is hours behind.
    let mut stream = Stream::new(alice, 2_000);
    stream.payload_type = PayloadType(96);
    stream.clock = 0_u32.wrapping_sub(1 << 30);
    for n in 0..10_u8 {
        stream.send(&mut call, &[], &[0x90, 0x80, n, u8::from(n > 0), 7]);
    }
    let got = call.take(bob, ssrc);
    assert_no_hole(&got);
    assert_eq!(got.len(), 20);
    for (before, after) in got.iter().zip(got.iter().skip(1)) {
        let step = after.timestamp.wrapping_sub(before.timestamp);
        assert!((1..9_000).contains(&step), "timestamp step {step}");
    }
}

//! Numbers stay contiguous whatever layers do.

use crate::common::{Call, Camera, Packet};
use plenum_types::{Codec, LayerTarget, ShardCommand, ShardEvent, Ssrc};
use proptest::prelude::*;

fn only(spatial: u8) -> LayerTarget {
    LayerTarget {
        spatial,
        ..LayerTarget::HIGHEST
    }
}

/// Checks what a decoder needs: sequence numbers and picture ids without holes, timestamps that only grow by frame.
fn assert_contiguous(packets: &[Packet]) {
    for (before, after) in packets.iter().zip(packets.iter().skip(1)) {
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        if before.marker {
            let step = after.timestamp.wrapping_sub(before.timestamp);
            assert!((1..90_000).contains(&step), "timestamp step {step}");
            assert_eq!(after.picture_id(), (before.picture_id() + 1) & 0x7fff);
        } else {
            assert_eq!(after.timestamp, before.timestamp);
            assert_eq!(after.picture_id(), before.picture_id());
        }
    }
}

/// covers: sdk.simulcast
#[test]
fn a_switch_waits_for_a_key_frame_and_leaves_no_hole() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 3, 1_000);
    let mut camera = Camera::new(alice, 3, 1_000);
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, only(0));
    let mut got = Vec::new();
    for frame in 0..60 {
        if frame == 20 {
            call.take_plis(alice);
            call.set_target(subscription, only(2));
            call.settle();
            assert_eq!(call.take_plis(alice), [Ssrc(1_002)]);
        }
        for layer in 0..3 {
            let key = frame == 0 || (frame == 30 && layer == 2);
            camera.shoot(&mut call, layer, key, layer + 1);
        }
        let packets = call.take(bob, ssrc);
        let layer = packets.last().unwrap().payload[7];
        assert_eq!(layer, if frame < 30 { 0 } else { 2 }, "frame {frame}");
        got.extend(packets);
        call.advance_millis(33);
    }
    assert_contiguous(&got);
    assert_eq!(call.shard.stats().layer_switches, 1);
}

#[test]
fn silent_top_layer_switches_down() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 2, 1_000);
    let mut camera = Camera::new(alice, 2, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut got = Vec::new();
    for frame in 0..60 {
        for layer in 0..2 {
            if layer == 0 || frame < 20 {
                let asked = call.take_plis(alice).contains(&Ssrc(1_000 + layer as u32));
                camera.shoot(&mut call, layer, frame == 0 || asked, 2);
            }
        }
        got.extend(call.take(bob, ssrc));
        call.advance_millis(33);
    }
    assert!(
        call.events
            .contains(&ShardEvent::LayerSilent { track, spatial: 1 })
    );
    assert_contiguous(&got);
    // The lowest layer alone came first, the top one died at 0.66 s and was given up half a second later.
    let low = got.iter().filter(|packet| packet.payload[7] == 0).count();
    assert!(low > 2 * 20, "{low}");
    assert_eq!(got.last().unwrap().payload[7], 0);
}

#[test]
fn a_still_screen_keeps_its_layer() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(2);
    for frame in 0..40 {
        for layer in 0..2 {
            camera.shoot(&mut call, layer, frame < 2, 2);
        }
        call.advance_millis(33);
    }
    call.take(bob, ssrc);
    call.take_plis(alice);
    for _ in 0..10 {
        call.advance_millis(1_000);
        for layer in 0..2 {
            camera.shoot(&mut call, layer, false, 2);
        }
    }
    let got = call.take(bob, ssrc);
    assert_eq!(got.len(), 20);
    assert!(got.iter().all(|packet| packet.payload[7] == 1));
    assert!(call.take_plis(alice).is_empty());
}

#[test]
fn a_layer_that_comes_later_is_switched_up_to() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(2);
    camera.shoot(&mut call, 0, true, 1);
    assert_eq!(call.take(bob, ssrc).len(), 1);
    call.advance_millis(33);
    camera.shoot(&mut call, 1, true, 1);
    let first = call.take(bob, ssrc);
    if first.is_empty() {
        // The layer was unknown before this frame: its key frame is asked for.
        assert!(call.take_plis(alice).contains(&Ssrc(1_001)));
        call.advance_millis(33);
        camera.shoot(&mut call, 1, true, 1);
        assert_eq!(call.take(bob, ssrc)[0].payload[7], 1);
    } else {
        assert_eq!(first[0].payload[7], 1);
    }
}

/// Two layers, the second of which begins with a picture that comes 60 ms late, while the publisher's reports say that its
/// clock is `apart` ticks ahead: the step of the subscriber's timestamps.
fn step_to_a_late_layer(apart: u32) -> u32 {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 2, 1_000);
    let mut camera = Camera::new(alice, 2, 1_000);
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, only(0));
    for layer in 0..2 {
        camera.shoot(&mut call, layer, true, 1);
    }
    for (layer, ahead) in camera.layers.clone().iter().zip([0, apart]) {
        let ticks = (call.now.as_nanos() / 1_000 * 90 / 1_000) as u32;
        let ntp = call.wall.ntp(call.now);
        let rtp_timestamp = ticks
            .wrapping_add(layer.timestamp_offset)
            .wrapping_sub(ahead);
        call.send_rtcp(alice, |writer| {
            writer.sender_report(
                &plenum_rtp::rtcp::SenderInfo {
                    ssrc: layer.ssrc,
                    ntp,
                    rtp_timestamp,
                    packets: 1,
                    octets: 1,
                },
                &[],
            );
        });
    }
    call.set_target(subscription, only(1));
    call.advance_millis(100);
    // Captured now, but it comes 60 ms later.
    let late = camera.frame(1, true, 1, call.now);
    call.advance_millis(60);
    for packet in &late {
        camera.send(&mut call, packet);
    }
    call.settle();
    match call.take(bob, ssrc).as_slice() {
        [before, after] => after.timestamp.wrapping_sub(before.timestamp),
        other => panic!("{other:?}"),
    }
}

/// covers: sdk.av_sync
#[test]
fn sender_reports_align_layers_whose_packets_arrive_late() {
    assert_eq!(step_to_a_late_layer(0), 9_000);
    // Two seconds of difference are still believed.
    assert_eq!(step_to_a_late_layer(2 * 90_000), 2 * 90_000 + 9_000);
}

#[test]
fn reports_of_layers_that_are_far_apart_are_not_believed() {
    // By arrival: 160 ms, whatever the reports say.
    for apart in [
        4 * 90_000,
        3_600 * 90_000,
        u32::MAX / 2,
        u32::MAX - 4 * 90_000,
    ] {
        assert_eq!(step_to_a_late_layer(apart), 14_400, "{apart}");
    }
}

#[test]
fn mute_and_pause_leave_no_hole() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut got = Vec::new();
    for frame in 0..50 {
        match frame {
            10 => call.command(ShardCommand::SetTrackMuted { track, muted: true }),
            20 => call.command(ShardCommand::SetTrackMuted {
                track,
                muted: false,
            }),
            30 => call.set_target(
                subscription,
                LayerTarget {
                    paused: true,
                    ..LayerTarget::HIGHEST
                },
            ),
            40 => call.set_target(subscription, LayerTarget::HIGHEST),
            _ => {}
        }
        call.settle();
        let asked = !call.take_plis(alice).is_empty();
        camera.shoot(&mut call, 0, frame == 0 || asked, 2);
        got.extend(call.take(bob, ssrc));
        call.advance_millis(33);
    }
    assert_contiguous(&got);
    assert!((50..=62).contains(&got.len()), "{}", got.len());
}

#[test]
fn a_lower_frame_rate_leaves_no_hole() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.temporal_layers = 2;
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut got = Vec::new();
    for frame in 0..60 {
        let temporal = if (20..40).contains(&frame) { 0 } else { 1 };
        call.set_target(
            subscription,
            LayerTarget {
                temporal,
                ..LayerTarget::HIGHEST
            },
        );
        camera.shoot(&mut call, 0, frame == 0, 2);
        got.extend(call.take(bob, ssrc));
        call.advance_millis(33);
    }
    assert_contiguous(&got);
    assert_eq!(got.len(), 2 * (60 - 10));
}

/// covers: sdk.video_fps
#[test]
fn a_wanted_frame_rate_is_met_by_the_lowest_temporal_layer_that_has_it() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.temporal_layers = 2;
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    // 15 frames a second, every other one of them in the lower layer.
    let mut frame = 0;
    let mut shoot = |call: &mut Call, frames: usize| {
        let mut got = Vec::new();
        for _ in 0..frames {
            camera.shoot(call, 0, frame == 0, 2);
            got.extend(call.take(bob, ssrc));
            call.advance_millis(67);
            frame += 1;
        }
        got
    };
    let mut all = shoot(&mut call, 30);
    assert_eq!(all.len(), 60);
    for (fps, expected) in [(5, 30), (7, 30), (10, 60), (30, 60), (0, 60)] {
        call.set_target(
            subscription,
            LayerTarget {
                fps,
                ..LayerTarget::HIGHEST
            },
        );
        // The new wish counts from the next frame on, or from the next at which a decoder may step up.
        all.extend(shoot(&mut call, 2));
        let got = shoot(&mut call, 30);
        assert_eq!(got.len(), expected, "{fps} frames a second");
        all.extend(got);
    }
    assert_contiguous(&all);
}

#[test]
fn another_source_in_place_of_a_layer_leaves_no_hole() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video_by_rid(alice, &["q"]);
    let mid = track.0.to_string();
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut got = Vec::new();
    for source in 0..3 {
        let mut camera = Camera::new(alice, 1, 2_000 + source);
        camera.extensions = vec![
            (crate::common::MID_ID, mid.clone().into_bytes()),
            (crate::common::RID_ID, b"q".to_vec()),
        ];
        for frame in 0..10 {
            let asked = !call.take_plis(alice).is_empty();
            camera.shoot(&mut call, 0, frame == 0 || asked, 2);
            got.extend(call.take(bob, ssrc));
            call.advance_millis(33);
        }
    }
    assert_contiguous(&got);
    assert!(got.len() >= 54, "{}", got.len());
}

/// One step of a random call.
#[derive(Debug, Clone)]
enum Step {
    Frame { key: bool, lose: u8, swap: bool },
    Target(LayerTarget),
    Mute(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), any::<u8>(), any::<bool>()).prop_map(|(key, lose, swap)| Step::Frame { key, lose, swap }),
        1 => (0u8..3, 0u8..2, prop::bool::weighted(0.1)).prop_map(|(spatial, temporal, paused)| {
            Step::Target(LayerTarget { spatial, temporal, paused, ..LayerTarget::HIGHEST })
        }),
        1 => any::<bool>().prop_map(Step::Mute),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Under random switches, loss and reordering: no output number is used twice, packets of a frame agree, frames in order
    /// of their numbers have growing timestamps and picture ids, and a retransmission repeats what was sent.
    #[test]
    fn output_numbers_are_consistent(steps in prop::collection::vec(step(), 1..80)) {
        let mut call = Call::new();
        let (alice, bob) = (call.join(), call.join());
        let track = call.add_video(alice, 3, 1_000);
        let mut camera = Camera::new(alice, 3, 1_000);
        camera.temporal_layers = 2;
        let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
        let mut got: Vec<Packet> = Vec::new();
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Target(target) => call.set_target(subscription, *target),
                Step::Mute(muted) => call.command(ShardCommand::SetTrackMuted { track, muted: *muted }),
                Step::Frame { key, lose, swap } => {
                    for layer in 0..3 {
                        let mut packets = camera.frame(layer, n == 0 || *key, 3, call.now);
                        if *swap {
                            packets.swap(1, 2);
                        }
                        for (place, packet) in packets.iter().enumerate() {
                            if lose >> (layer * 2) & 3 != place as u8 + 1 {
                                camera.send(&mut call, packet);
                            }
                        }
                    }
                }
            }
            call.settle();
            got.extend(call.take(bob, ssrc));
            call.advance_millis(33);
            got.extend(call.take(bob, ssrc));
        }
        got.sort_by_key(|packet| packet.sequence);
        for pair in got.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            prop_assert_ne!(before.sequence, after.sequence);
            let step = after.timestamp.wrapping_sub(before.timestamp).cast_signed();
            prop_assert!(step >= 0, "timestamps run back by {}", step);
            let pictures = after.picture_id().wrapping_sub(before.picture_id()) & 0x7fff;
            prop_assert!(pictures < 0x4000, "picture ids run back");
            prop_assert_eq!(step == 0, pictures == 0);
        }
        let lost: Vec<u16> = got.iter().rev().take(20).map(|packet| packet.sequence).rev().collect();
        call.send_rtcp(bob, |writer| { writer.nack(Ssrc(77), ssrc, &lost); });
        call.settle();
        for answer in call.take(bob, Ssrc(ssrc.0 + 4_000)) {
            let (sequence, payload) = plenum_rtp::rtx::split(&answer.payload).unwrap();
            let original = got.iter().find(|packet| packet.sequence == sequence).unwrap();
            prop_assert_eq!(payload, original.payload.as_slice());
            prop_assert_eq!(answer.timestamp, original.timestamp);
        }
    }
}

#[test]
fn a_layer_that_becomes_another_one_never_repeats_numbers() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.layers[0].next_sequence = 0;
    camera.shoot(&mut call, 0, true, 100);
    // Once round the circle, so that a layer that begins anew has the numbers from before.
    for next in [30_000, 60_000, 65_536 + 20] {
        camera.layers[0].next_sequence = next;
        camera.shoot(&mut call, 0, false, 1);
    }
    let last = call.take(bob, ssrc).last().map(|packet| packet.sequence);
    let mut params = call.video_params(track, 1, 1_000);
    params.encodings[0].spatial = 2;
    call.command(ShardCommand::UpdateTrack {
        track,
        receiver: params,
    });
    camera.shoot(&mut call, 0, false, 3);
    camera.shoot(&mut call, 0, true, 2);
    let sequences: Vec<_> = call
        .take(bob, ssrc)
        .iter()
        .map(|packet| packet.sequence)
        .collect();
    let next = last.map_or(0, |last| last + 1);
    assert_eq!(sequences, [next, next + 1]);
}

//! A subscriber sees nothing before a key frame, and the publisher is asked for one.

use crate::common::{Call, Camera, OUT_VP8};
use plenum_types::{Codec, LayerTarget, ShardEvent, Ssrc};

/// covers: sdk.late_join
#[test]
fn late_subscriber_gets_a_key_frame() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.shoot(&mut call, 0, true, 3);
    camera.shoot(&mut call, 0, false, 2);
    call.take_plis(alice);

    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    call.settle();
    assert_eq!(call.take_plis(alice), [Ssrc(1_000)]);
    camera.shoot(&mut call, 0, false, 2);
    assert!(call.take(bob, ssrc).is_empty());

    call.advance_millis(33);
    camera.shoot(&mut call, 0, true, 3);
    let packets = call.take(bob, ssrc);
    assert_eq!(packets.len(), 3);
    assert!(packets[0].vp8().key_frame);
    assert!(packets.iter().all(|packet| packet.payload_type == OUT_VP8));
    assert!(packets[2].marker);
    assert!(
        call.events
            .contains(&ShardEvent::SubscriptionStarted { subscription })
    );
    call.advance_millis(2_000);
    assert!(call.take_plis(alice).is_empty());
}

#[test]
fn a_key_frame_is_asked_for_until_it_comes() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    for _ in 0..50 {
        camera.shoot(&mut call, 0, false, 1);
        call.advance_millis(40);
    }
    // Two seconds, one request each half second.
    let asked = call.take_plis(alice).len();
    assert!((4..=5).contains(&asked), "{asked}");
}

#[test]
fn a_first_packet_that_was_overtaken_brings_the_rest_of_its_frame() {
    let (mut call, [_, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, false, 1);
    let frame = camera.frame(0, true, 3, call.now);
    for place in [1, 0, 2] {
        camera.send(&mut call, &frame[place]);
    }
    call.settle();
    let packets = call.take(bob, ssrc);
    let sequences: Vec<_> = packets.iter().map(|packet| packet.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
}

#[test]
fn fifty_subscribers_get_every_packet() {
    let mut call = Call::new();
    let alice = call.join();
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.packet_bytes = 1_100;
    let subscribers: Vec<_> = (0..50)
        .map(|_| {
            let client = call.join();
            (
                client,
                call.subscribe(client, track, Codec::Vp8, LayerTarget::HIGHEST)
                    .1,
            )
        })
        .collect();
    call.network.runs.clear();
    for n in 0..10 {
        camera.shoot(&mut call, 0, n == 0, 7);
        call.advance_millis(33);
    }
    for (client, ssrc) in subscribers {
        assert_eq!(call.take(client, ssrc).len(), 70);
    }
    // Seven equal packets of one subscriber are one run.
    assert!(
        call.network
            .runs
            .iter()
            .filter(|segments| **segments == 7)
            .count()
            >= 450
    );
}

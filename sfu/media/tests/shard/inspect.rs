//! What a Shard shows of a room, and the decisions that it remembers.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

use crate::common::{Call, Camera};
use plenum_types::{
    Codec, DecisionKind, DropReason, KeyFrameReason, LayerTarget, ParticipantId, Queue,
    ShardCommand, ShardEvent, ShardView, Subject,
};

fn look(call: &mut Call, decisions_of: Option<ParticipantId>) -> ShardView {
    call.events.clear();
    call.command(ShardCommand::Inspect {
        query: 7,
        decisions_of,
    });
    call.settle();
    call.events
        .iter()
        .find_map(|event| match event {
            ShardEvent::View(view) => Some((**view).clone()),
            _ => None,
        })
        .unwrap()
}

fn about(view: &ShardView, transport: usize, subject: Subject) -> Vec<DecisionKind> {
    view.transports[transport]
        .decisions
        .iter()
        .filter(|decision| decision.about == subject)
        .map(|decision| decision.what)
        .collect()
}

const LOW: LayerTarget = LayerTarget {
    spatial: 0,
    ..LayerTarget::HIGHEST
};

#[test]
fn a_view_shows_layers_subscriptions_and_how_much_flows() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 3, 1_000);
    let mut camera = Camera::new(alice, 3, 1_000);
    let (subscription, _) = call.subscribe(bob, track, Codec::Vp8, LOW);
    for frame in 0..100 {
        // The topmost layer never comes.
        for layer in 0..2 {
            camera.shoot(&mut call, layer, frame == 0, 1 + layer);
        }
        call.advance_millis(33);
    }
    let view = look(&mut call, None);
    assert_eq!((view.query, view.truncated), (7, false));
    assert_eq!(view.transports.len(), 2);
    assert!(view.transports.iter().all(|transport| transport.connected));
    assert!(view.transports[bob].path.is_some() && view.transports[bob].srtp.is_some());
    let [shown] = view.tracks.as_slice() else {
        panic!("one track");
    };
    let live: Vec<_> = shown.layers.iter().map(|layer| layer.live).collect();
    assert_eq!(
        (shown.track, live.as_slice()),
        (track, &[true, true, false][..])
    );
    let low = &shown.layers[0];
    assert_eq!((low.received, low.lost), (100, 0));
    assert!((28..=32).contains(&low.rate.packets), "{:?}", low.rate);
    assert!(low.rate.bits > 10_000);
    assert!(low.since_key_frame.unwrap().as_millis() > 3_000);
    assert!(low.since_packet.unwrap().as_millis() < 50);
    assert_eq!(shown.layers[2].since_packet, None);
    let [gets] = view.subscriptions.as_slice() else {
        panic!("one subscription");
    };
    assert_eq!((gets.subscription, gets.track), (subscription, track));
    assert_eq!(
        (gets.chosen, gets.current, gets.open),
        (Some(0), Some(0), true)
    );
    assert_eq!((gets.sent, gets.dropped, gets.dropping), (100, 0, false));
    assert!((28..=32).contains(&gets.rate.packets), "{:?}", gets.rate);
}

#[test]
fn decisions_tell_how_a_layer_came_to_be_sent() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 2, 1_000);
    let mut camera = Camera::new(alice, 2, 1_000);
    let (subscription, _) = call.subscribe(bob, track, Codec::Vp8, LOW);
    let shoot = |call: &mut Call, camera: &mut Camera, key| {
        for layer in 0..2 {
            camera.shoot(call, layer, key, 1);
        }
        call.advance_millis(200);
    };
    shoot(&mut call, &mut camera, true);
    call.set_target(subscription, LayerTarget::HIGHEST);
    shoot(&mut call, &mut camera, false);
    shoot(&mut call, &mut camera, true);
    call.set_target(
        subscription,
        LayerTarget {
            paused: true,
            ..LayerTarget::HIGHEST
        },
    );
    let view = look(&mut call, None);
    assert_eq!(
        about(&view, bob, Subject::Subscription(subscription)),
        [
            DecisionKind::Chose(0),
            DecisionKind::Began(0),
            DecisionKind::Targeted {
                spatial: 255,
                temporal: 255,
                fps: 0
            },
            DecisionKind::Chose(1),
            DecisionKind::Switched { from: 0, to: 1 },
            DecisionKind::Paused,
        ]
    );
    assert_eq!(
        about(&view, alice, Subject::Track(track)),
        [
            DecisionKind::LayerLive(0),
            DecisionKind::LayerLive(1),
            DecisionKind::AskedKeyFrame {
                layer: 1,
                why: KeyFrameReason::Layer
            },
            DecisionKind::GotKeyFrame(1),
        ]
    );
    assert_eq!(
        about(&view, alice, Subject::Transport)[0],
        DecisionKind::PathChanged
    );
    let participant = call.clients[bob].participant;
    let of_bob = look(&mut call, Some(participant));
    assert!(of_bob.transports[alice].decisions.is_empty());
    assert!(!of_bob.transports[bob].decisions.is_empty());
}

#[test]
fn a_queue_that_drops_is_seen_for_a_moment() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let (subscription, _) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.shoot(&mut call, 0, true, 5);
    for _ in 0..60 {
        for packet in camera.frame(0, false, 20, call.now) {
            camera.send(&mut call, &packet);
        }
    }
    let view = look(&mut call, None);
    let [gets] = view.subscriptions.as_slice() else {
        panic!("one subscription");
    };
    assert!(gets.dropping && gets.dropped > 0);
    assert_eq!((gets.chosen, gets.current), (Some(0), None));
    let full = (Queue::Video, DropReason::Full);
    assert!(call.shard.stats().dropped.get(full.0, full.1) > 0);
    let noted = about(&view, bob, Subject::Subscription(subscription));
    let dropped = DecisionKind::Dropped {
        queue: full.0,
        why: full.1,
    };
    assert_eq!(noted.iter().filter(|what| **what == dropped).count(), 1);
    let asked = about(&view, alice, Subject::Track(track));
    assert!(asked.contains(&DecisionKind::AskedKeyFrame {
        layer: 0,
        why: KeyFrameReason::Dropped
    }));
    call.advance_millis(2_100);
    assert!(!look(&mut call, None).subscriptions[0].dropping);
}

#[test]
fn a_view_of_a_large_room_is_cut_and_says_so() {
    let mut call = Call::new();
    for _ in 0..501 {
        call.join_unconnected();
    }
    let view = look(&mut call, None);
    assert!(view.truncated);
    assert_eq!(view.transports.len(), 500);
}

#[test]
fn forward_delays_are_counted_from_arrival() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_audio(alice, 50);
    call.subscribe(bob, track, Codec::Opus, LayerTarget::HIGHEST);
    let header = |sequence: u16| plenum_rtp::RtpHeader {
        marker: false,
        payload_type: crate::common::OPUS,
        sequence,
        timestamp: u32::from(sequence) * 960,
        ssrc: plenum_types::Ssrc(50),
    };
    for sequence in 0..10u16 {
        call.send_rtp(alice, u64::from(sequence), header(sequence), &[], &[1; 20]);
        call.now += std::time::Duration::from_micros(150);
        call.settle();
    }
    let delays = call.shard.stats().delays;
    assert_eq!(delays.count(), 10);
    assert_eq!(delays.sum().as_micros(), 1_500);
    let counts: Vec<_> = delays.buckets().map(|(_, count)| count).collect();
    assert_eq!(counts.iter().position(|count| *count == 10), Some(2));
}

//! What a client gets when not all of it may be sent.
#![allow(clippy::indexing_slicing, reason = "a panic is a failed test")]

use crate::common::{Call, Camera, OPUS};
use plenum_rtp::RtpHeader;
use plenum_types::{Budget, Codec, LayerTarget, ShardCommand, ShardEvent, Ssrc, SubscriptionId};

/// Frames a second; one packet each.
const FPS: u64 = 10;
/// Packets of the three layers: 20, 40 and 80 kbit/s of payload, and some header.
const BYTES: [usize; 3] = [250, 500, 1_000];

/// A camera with three layers, and one who watches it.
struct Scene {
    call: Call,
    camera: Camera,
    alice: usize,
    bob: usize,
    subscription: SubscriptionId,
    ssrc: Ssrc,
}

impl Scene {
    fn new() -> Self {
        let mut call = Call::new();
        let (alice, bob) = (call.join(), call.join());
        let track = call.add_video(alice, 3, 1_000);
        let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
        Self {
            camera: Camera::new(alice, 3, 1_000),
            call,
            alice,
            bob,
            subscription,
            ssrc,
        }
    }

    /// Lets seconds pass, with key frames where they are asked for; tells the layers that bob got in the last one.
    fn seconds(&mut self, seconds: u64) -> Vec<u8> {
        for frame in 0..seconds * FPS {
            if frame == (seconds - 1) * FPS {
                self.call.take(self.bob, self.ssrc);
            }
            let asked = self.call.take_plis(self.alice);
            for (layer, bytes) in BYTES.iter().enumerate() {
                let source = Ssrc(1_000 + layer as u32);
                let key = self.camera.layers[layer].frames == 0 || asked.contains(&source);
                self.camera.packet_bytes = *bytes;
                self.camera.shoot(&mut self.call, layer, key, 1);
            }
            self.call.advance_millis(1_000 / FPS);
        }
        let got = self.call.take(self.bob, self.ssrc);
        let mut layers: Vec<u8> = got.iter().map(|packet| packet.payload[7]).collect();
        layers.dedup();
        layers
    }

    fn budget(&mut self, bits: Option<u64>) {
        let transport = self.call.clients[self.bob].transport;
        self.call.command(ShardCommand::SetBudget {
            transport,
            budget: bits.map(|bits| Budget {
                bits,
                may_pause: true,
            }),
        });
        self.call.settle();
    }

    fn told(&mut self) -> Vec<bool> {
        let subscription = self.subscription;
        let told = self.call.events.drain(..).filter_map(|event| match event {
            ShardEvent::StreamPaused {
                subscription: id,
                paused,
            } if id == subscription => Some(paused),
            _ => None,
        });
        told.collect()
    }
}

#[test]
fn the_layer_that_fits_is_sent() {
    let mut scene = Scene::new();
    assert_eq!(scene.seconds(3), [2]);
    scene.budget(Some(60_000));
    assert_eq!(scene.seconds(2), [1]);
    scene.budget(Some(30_000));
    assert_eq!(scene.seconds(2), [0]);
    assert!(scene.told().is_empty());
    scene.budget(None);
    assert_eq!(scene.seconds(2), [2]);
}

/// covers: out.stream_state_update
#[test]
fn what_fits_in_no_layer_pauses_and_goes_on_when_it_fits() {
    let mut scene = Scene::new();
    scene.seconds(3);
    scene.budget(Some(5_000));
    assert!(scene.seconds(2).is_empty());
    assert_eq!(scene.told(), [true]);
    scene.budget(Some(50_000));
    assert_eq!(scene.seconds(6), [1]);
    assert_eq!(scene.told(), [false]);
}

#[test]
fn the_end_of_a_bound_wakes_what_it_paused() {
    let mut scene = Scene::new();
    scene.seconds(3);
    scene.budget(Some(0));
    assert!(scene.seconds(2).is_empty());
    scene.budget(None);
    assert_eq!(scene.seconds(2), [2]);
    assert_eq!(scene.told(), [true, false]);
}

#[test]
fn sound_is_never_paused_for_a_bound() {
    let mut scene = Scene::new();
    let microphone = scene.call.add_audio(scene.alice, 7_000);
    let (_, ssrc) = scene
        .call
        .subscribe(scene.bob, microphone, Codec::Opus, LayerTarget::HIGHEST);
    scene.budget(Some(0));
    scene.seconds(2);
    for n in 0..5 {
        let header = RtpHeader {
            marker: false,
            payload_type: OPUS,
            sequence: n as u16,
            timestamp: (n * 960) as u32,
            ssrc: Ssrc(7_000),
        };
        scene.call.send_rtp(scene.alice, n, header, &[], &[7; 60]);
        scene.call.advance_millis(20);
    }
    assert_eq!(scene.call.take(scene.bob, ssrc).len(), 5);
}

/// covers: in.track_setting
#[test]
fn who_goes_first_is_what_the_subscriber_says_and_then_who_came_first() {
    for (priorities, seen) in [([0, 0], 0), ([0, 9], 1), ([2, 1], 1), ([1, 2], 0)] {
        let mut call = Call::new();
        let bob = call.join();
        let publishers = [call.join(), call.join()];
        let mut cameras = publishers.map(|place| Camera::new(place, 1, 1_000));
        let ssrcs = [0, 1].map(|n| {
            let track = call.add_video(publishers[n], 1, 1_000);
            let target = LayerTarget {
                priority: priorities[n],
                ..LayerTarget::HIGHEST
            };
            call.subscribe(bob, track, Codec::Vp8, target).1
        });
        let transport = call.clients[bob].transport;
        for frame in 0..60 {
            // One of them takes 40 kbit/s.
            if frame == 30 {
                let budget = Budget {
                    bits: 60_000,
                    may_pause: true,
                };
                call.command(ShardCommand::SetBudget {
                    transport,
                    budget: Some(budget),
                });
            }
            for (camera, publisher) in cameras.iter_mut().zip(publishers) {
                let asked = !call.take_plis(publisher).is_empty();
                camera.packet_bytes = 500;
                camera.shoot(&mut call, 0, frame == 0 || asked, 1);
            }
            call.advance_millis(1_000 / FPS);
            if frame == 40 {
                for ssrc in ssrcs {
                    call.take(bob, ssrc);
                }
            }
        }
        let got = ssrcs.map(|ssrc| call.take(bob, ssrc).len());
        assert_eq!(
            got.map(|count| count > 0),
            [seen == 0, seen == 1],
            "{priorities:?}"
        );
    }
}

//! End-to-end encrypted payloads: what a client's encryption leaves in the clear is enough to forward and to switch layers,
//! and nobody touches the rest.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is a failed test"
)]

use crate::common::{Call, DEPENDENCY_ID, Packet};
use plenum_rtp::RtpHeader;
use plenum_types::{Codec, LayerTarget, PayloadType, Ssrc};

const IN: PayloadType = PayloadType(98);
/// Of the lower layer; that of the upper one follows.
const SSRC: u32 = 1_000;
/// Frames of each layer; the subscriber goes up and down again in between.
const FRAMES: u16 = 60;
const UP_AT: u16 = 20;
const DOWN_AT: u16 = 40;

/// A frame in one packet, as it leaves an encrypting client.
struct Frame {
    clear: Vec<u8>,
    cipher: Vec<u8>,
    dependency: Option<Vec<u8>>,
}

impl Frame {
    fn payload(&self) -> Vec<u8> {
        [&self.clear[..], &self.cipher].concat()
    }
}

/// Bytes that look like nothing; other ones for each layer and frame.
fn cipher(layer: u8, number: u16) -> Vec<u8> {
    let mut state = u32::from(number) << 8 | u32::from(layer) << 2 | 1;
    let len = 16 + usize::from(number % 7) * 150;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    bytes.take(len).collect()
}

/// The client's frame headers stay readable: 10 bytes of a key frame, 3 of others.
fn vp8(number: u16, key: bool) -> Vec<u8> {
    let [high, low] = ((number + 7) | 0x8000).to_be_bytes();
    let mut clear = vec![0x90, 0x80, high, low];
    clear.extend(if key {
        &[0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0][..]
    } else {
        &[0x11, 0, 0]
    });
    clear
}

/// Only the descriptor, which is written after the encryption.
fn vp9(number: u16, key: bool) -> Vec<u8> {
    let [high, low] = ((number + 7) | 0x8000).to_be_bytes();
    vec![if key { 0xac } else { 0xec }, high, low, 0, number as u8]
}

/// Parameters, and the headers of slices.
fn h264(number: u16, key: bool) -> Vec<u8> {
    if !key {
        return vec![0x41];
    }
    let slice = cipher(0, number).len() as u16 + 1;
    let [high, low] = slice.to_be_bytes();
    vec![
        0x78, 0, 4, 0x67, 0x42, 0xe0, 0x1f, 0, 2, 0x68, 0xce, high, low, 0x65,
    ]
}

fn frame(codec: Codec, layer: u8, number: u16, key: bool) -> Frame {
    let mut dependency = None;
    let clear = match codec {
        Codec::Vp8 => vp8(number, key),
        Codec::Vp9 => vp9(number, key),
        Codec::Av1 => {
            // All that is known of it is in the header extension.
            let [high, low] = number.to_be_bytes();
            let mut value = vec![0xc0, high, low];
            if key {
                value.extend([0x80, 1, 0x1e]);
            }
            dependency = Some(value);
            Vec::new()
        }
        _ => h264(number, key),
    };
    Frame {
        clear,
        cipher: cipher(layer, number),
        dependency,
    }
}

fn only(spatial: u8) -> LayerTarget {
    LayerTarget {
        spatial,
        ..LayerTarget::HIGHEST
    }
}

/// What of a payload may be written anew: numbers in descriptors of VP8 and VP9.
fn untouched(codec: Codec, payload: &[u8]) -> &[u8] {
    match codec {
        Codec::Vp8 => &payload[4..],
        Codec::Vp9 => &payload[5..],
        _ => payload,
    }
}

fn send(call: &mut Call, client: usize, layer: u8, number: u16, frame: &Frame) {
    let header = RtpHeader {
        marker: true,
        payload_type: IN,
        sequence: number + 100,
        timestamp: (call.now.as_nanos() / 1_000 * 90 / 1_000) as u32,
        ssrc: Ssrc(SSRC + u32::from(layer)),
    };
    let dependency = frame.dependency.as_deref();
    let extensions: Vec<_> = dependency
        .map(|value| (DEPENDENCY_ID, value))
        .into_iter()
        .collect();
    call.send_rtp(
        client,
        u64::from(number) + 100,
        header,
        &extensions,
        &frame.payload(),
    );
    call.settle();
}

/// Layers by frame, as the subscriber got them.
fn layers_of(codec: Codec, got: &[Packet], sent: &[(u8, u16, Frame)]) -> Vec<(u16, u8)> {
    let find = |packet: &Packet| {
        let is_it = |(_, _, frame): &&(u8, u16, Frame)| {
            untouched(codec, &packet.payload) == untouched(codec, &frame.payload())
        };
        let found = sent.iter().find(is_it);
        let (layer, number, _) = found.unwrap_or_else(|| panic!("{codec:?}: nobody sent this"));
        (*number, *layer)
    };
    got.iter().map(find).collect()
}

/// covers: codec.e2ee
#[test]
fn encrypted_payloads_pass_untouched_and_layers_switch() {
    for codec in [
        Codec::Vp8,
        Codec::Vp9,
        Codec::H264,
        Codec::H264High,
        Codec::Av1,
    ] {
        let mut call = Call::new();
        let (alice, bob) = (call.join(), call.join());
        let track = call.add_track_in(alice, &[(IN, codec)], 2, SSRC);
        let (subscription, ssrc) = call.subscribe(bob, track, codec, only(0));
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for number in 0..FRAMES {
            match number {
                UP_AT => call.set_target(subscription, only(1)),
                DOWN_AT => call.set_target(subscription, only(0)),
                _ => {}
            }
            call.settle();
            let asked = call.take_plis(alice);
            for layer in 0..2 {
                let key = number == 0 || asked.contains(&Ssrc(SSRC + u32::from(layer)));
                let frame = frame(codec, layer, number, key);
                send(&mut call, alice, layer, number, &frame);
                sent.push((layer, number, frame));
            }
            got.extend(call.take(bob, ssrc));
            call.advance_millis(33);
        }
        for (before, after) in got.iter().zip(got.iter().skip(1)) {
            assert_eq!(after.sequence, before.sequence.wrapping_add(1), "{codec:?}");
        }
        let layers = layers_of(codec, &got, &sent);
        // Frame by frame without a break, and the layer that is wanted a frame after it was.
        for number in 0..FRAMES {
            let of_frame = layers.iter().filter(|(of, _)| *of == number).count();
            assert!(of_frame >= 1, "{codec:?}: frame {number} did not come");
        }
        let layer_at = |number: u16| layers.iter().rfind(|(of, _)| *of == number).unwrap().1;
        assert_eq!(
            [UP_AT - 1, UP_AT + 5, DOWN_AT - 1, DOWN_AT + 5].map(layer_at),
            [0, 1, 1, 0],
            "{codec:?}"
        );
        assert_eq!(call.shard.stats().layer_switches, 2, "{codec:?}");
    }
}

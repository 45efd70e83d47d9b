//! A publisher's pictures.

use plenum_rtp::RtpHeader;
use plenum_types::{Ssrc, Timestamp};

use super::{Call, VP8};

/// One simulcast layer of a camera.
#[derive(Debug, Clone)]
pub struct CameraLayer {
    pub ssrc: Ssrc,
    pub next_sequence: u64,
    pub timestamp_offset: u32,
    pub picture_id: u16,
    pub tl0: u8,
    pub frames: u64,
}

/// A publisher's video: makes VP8 packets of any layer.
#[derive(Debug, Clone)]
pub struct Camera {
    pub client: usize,
    pub layers: Vec<CameraLayer>,
    pub packet_bytes: usize,
    /// Frame n of a layer has temporal layer n mod this.
    pub temporal_layers: u64,
    pub extensions: Vec<(u8, Vec<u8>)>,
}

/// A packet of a camera before sealing.
#[derive(Debug, Clone)]
pub struct CameraPacket {
    pub extended: u64,
    pub header: RtpHeader,
    pub payload: Vec<u8>,
}

impl Camera {
    pub fn new(client: usize, layers: u8, ssrc: u32) -> Self {
        Self {
            client,
            layers: (0..layers)
                .map(|layer| CameraLayer {
                    ssrc: Ssrc(ssrc + u32::from(layer)),
                    next_sequence: 65_530 - 40_000 * u64::from(layer % 2),
                    timestamp_offset: 1_000_000_007u32.wrapping_mul(u32::from(layer) + 4),
                    picture_id: 32_760 - u16::from(layer) * 77,
                    tl0: 250 - layer,
                    frames: 0,
                })
                .collect(),
            packet_bytes: 40,
            temporal_layers: 1,
            extensions: Vec::new(),
        }
    }

    /// Packets of the next frame of a layer, captured at `at`.
    pub fn frame(
        &mut self,
        layer: usize,
        key: bool,
        packets: usize,
        at: Timestamp,
    ) -> Vec<CameraPacket> {
        let state = &mut self.layers[layer];
        let timestamp =
            ((at.as_nanos() / 1_000 * 90 / 1_000) as u32).wrapping_add(state.timestamp_offset);
        let temporal = if key {
            0
        } else {
            (state.frames % self.temporal_layers) as u8
        };
        state.frames = if key { 1 } else { state.frames + 1 };
        state.picture_id = (state.picture_id + 1) & 0x7fff;
        if temporal == 0 {
            state.tl0 = state.tl0.wrapping_add(1);
        }
        (0..packets)
            .map(|place| {
                let first = u8::from(place == 0) << 4;
                let [high, low] = (state.picture_id | 0x8000).to_be_bytes();
                // Frames of temporal layer 1 refer to layer 0 only: a receiver may step up at each.
                let sync = u8::from(temporal > 0) << 5;
                let mut payload = vec![
                    0x80 | first,
                    0xe0,
                    high,
                    low,
                    state.tl0,
                    (temporal << 6) | sync,
                    u8::from(!key),
                    layer as u8,
                ];
                payload.resize(self.packet_bytes.max(8), place as u8);
                let extended = state.next_sequence;
                state.next_sequence += 1;
                CameraPacket {
                    extended,
                    header: RtpHeader {
                        marker: place + 1 == packets,
                        payload_type: VP8,
                        sequence: extended as u16,
                        timestamp,
                        ssrc: state.ssrc,
                    },
                    payload,
                }
            })
            .collect()
    }

    pub fn send(&self, call: &mut Call, packet: &CameraPacket) {
        let extensions: Vec<(u8, &[u8])> = self
            .extensions
            .iter()
            .map(|(id, value)| (*id, value.as_slice()))
            .collect();
        call.send_rtp(
            self.client,
            packet.extended,
            packet.header,
            &extensions,
            &packet.payload,
        );
    }

    /// Captures, sends and lets subscribers read one frame of a layer.
    pub fn shoot(&mut self, call: &mut Call, layer: usize, key: bool, packets: usize) {
        for packet in self.frame(layer, key, packets, call.now) {
            self.send(call, &packet);
        }
        call.settle();
    }
}

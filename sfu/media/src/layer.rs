//! One published encoding: its numbers, statistics, liveness and history.

use std::time::Duration;

use plenum_rtp::{Payload, SequenceExtender};
use plenum_types::{EncodingParams, MediaKind, NtpTime, Ssrc, Timestamp};

use crate::{
    bucket::{Bucket, Limit},
    frame_rates::FrameRates,
    history::{History, HistoryBudget, Packet},
    key_frames::KeyFrames,
    keys::SubscriptionKey,
    meter::Meter,
    missing::Missing,
    reception::Reception,
};

/// A layer is silent after this long without a packet, or after three frame times if that is longer.
const SILENT_AFTER: Duration = Duration::from_millis(500);
/// See [`SILENT_AFTER`].
const SILENT_FRAMES: u32 = 3;
/// A frame rate below one in two seconds is not a rate.
const MAX_FRAME_TIME: Duration = Duration::from_secs(2);

/// Bytes a second of a picture: 32 Mbit/s, four times what LiveKit's SDKs send of a screen in 4K. What one publisher sends
/// above it would be sent on to everybody.
const VIDEO: Limit = Limit::a_second(4 << 20);
/// Bytes a second of sound: 2 Mbit/s. Opus ends at 510 kbit/s, and RED sends it up to three times.
const AUDIO: Limit = Limit::a_second(256 << 10);

/// What the publisher's last sender report said of this layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerReport {
    /// Publisher's clock.
    pub(crate) ntp: NtpTime,
    /// Media timestamp at that moment.
    pub(crate) timestamp: u32,
}

/// What a packet was to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// Seen before.
    Duplicate,
    /// New.
    Fresh {
        /// The layer was silent before.
        became_live: bool,
        /// Too much is missing to be mended packet by packet.
        broken: bool,
        /// Packets skipped before this one.
        skipped: u64,
    },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Layer {
    /// As negotiated.
    pub(crate) encoding: EncodingParams,
    /// Where its packets come from, once known.
    pub(crate) ssrc: Option<Ssrc>,
    /// Extended numbers of an SSRC start above those of the one before.
    base: u64,
    extender: SequenceExtender,
    pub(crate) history: History,
    pub(crate) reception: Reception,
    pub(crate) missing: Missing,
    pub(crate) key_frames: KeyFrames,
    pub(crate) meter: Meter,
    rate: Bucket,
    pub(crate) frame_rates: FrameRates,
    /// Packets came lately.
    pub(crate) live: bool,
    last_packet: Timestamp,
    last_frame: Option<(u32, Timestamp)>,
    frame_time: Duration,
    pub(crate) report: Option<LayerReport>,
    /// Subscriptions that may want its packets.
    pub(crate) interested: Vec<SubscriptionKey>,
}

impl Layer {
    pub(crate) fn new(encoding: EncodingParams) -> Self {
        Self {
            ssrc: None,
            base: 0,
            extender: SequenceExtender::default(),
            history: History::default(),
            reception: Reception::default(),
            missing: Missing::default(),
            key_frames: KeyFrames::default(),
            meter: Meter::default(),
            rate: Bucket::default(),
            frame_rates: FrameRates::default(),
            live: false,
            last_packet: Timestamp::ZERO,
            last_frame: None,
            frame_time: Duration::ZERO,
            report: None,
            interested: Vec::new(),
            encoding,
        }
    }

    /// Packets come from another source from now on. `true` if there was one before: what was forwarded has no
    /// continuation.
    pub(crate) fn set_source(&mut self, ssrc: Ssrc) -> bool {
        let replaced = self.ssrc.is_some_and(|before| before != ssrc);
        if replaced {
            // Beyond every index in use, in whole circles so that the low 16 bits stay the sequence number.
            self.base = (self.history.newest() >> 16 << 16) + (1 << 16);
            self.extender = SequenceExtender::default();
            self.reception = Reception::default();
            self.missing.clear();
            self.report = None;
            self.last_frame = None;
            self.frame_rates = FrameRates::default();
        }
        self.ssrc = Some(ssrc);
        replaced
    }

    /// Whether a packet of `len` bytes is within what any encoder sends.
    pub(crate) fn within_rate(&mut self, len: usize, kind: MediaKind, now: Timestamp) -> bool {
        let limit = match kind {
            MediaKind::Audio => AUDIO,
            MediaKind::Video => VIDEO,
        };
        self.rate.take(len as u64, limit, now)
    }

    /// The index of a packet by its sequence number.
    pub(crate) fn index_of(&self, sequence: u16) -> u64 {
        self.base + self.extender.peek(sequence)
    }

    /// Counts and keeps a packet. The index comes from [`index_of`](Self::index_of).
    pub(crate) fn receive(
        &mut self,
        packet: Packet<'_>,
        kind: MediaKind,
        clock_rate: u32,
        nack: bool,
        budget: &mut HistoryBudget,
    ) -> Receipt {
        let info = packet.info;
        let now = info.arrival;
        let extended = info.index - self.base;
        let highest = self.extender.highest();
        let mut skipped = 0;
        let mut broken = false;
        match highest {
            Some(highest) if extended > highest + 1 => {
                skipped = extended - highest - 1;
                if nack {
                    broken = !self
                        .missing
                        .on_gap(self.base + highest + 1, info.index, now);
                }
            }
            Some(highest) if extended <= highest => {
                if self.history.has_seen(info.index) {
                    return Receipt::Duplicate;
                }
                self.missing.on_arrival(info.index, now);
            }
            _ => {}
        }
        self.extender.extend(info.index as u16);
        self.reception
            .on_packet(extended, info.timestamp, clock_rate, now);
        self.last_packet = now;
        self.observe_frame(info.timestamp, now);
        if let Some(temporal) = info.payload.as_ref().and_then(Payload::temporal) {
            self.frame_rates
                .observe(info.timestamp, temporal.layer, clock_rate);
        }
        let became_live = !std::mem::replace(&mut self.live, true);
        if !packet.payload.is_empty() {
            self.history.insert(packet, kind, budget);
            if kind == MediaKind::Video && info.starts() {
                self.key_frames.on_key_frame(now);
            }
        }
        Receipt::Fresh {
            became_live,
            broken,
            skipped,
        }
    }

    fn observe_frame(&mut self, timestamp: u32, now: Timestamp) {
        match self.last_frame {
            Some((last, _)) if last == timestamp => {}
            Some((_, at)) => {
                let sample = now.saturating_since(at).min(MAX_FRAME_TIME);
                self.frame_time = if self.frame_time.is_zero() {
                    sample
                } else {
                    (self.frame_time * 7 + sample) / 8
                };
                self.last_frame = Some((timestamp, now));
            }
            None => self.last_frame = Some((timestamp, now)),
        }
    }

    /// When its last packet came.
    pub(crate) const fn last_packet(&self) -> Timestamp {
        self.last_packet
    }

    /// `true` if the layer has just fallen silent: nothing came until `at`.
    pub(crate) fn check_silence(&mut self, at: Timestamp) -> bool {
        if !self.live {
            return false;
        }
        let patience = SILENT_AFTER.max(self.frame_time * SILENT_FRAMES);
        if at.saturating_since(self.last_packet) < patience {
            return false;
        }
        self.live = false;
        self.missing.clear();
        self.last_frame = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::PacketInfo;

    fn layer() -> Layer {
        Layer::new(EncodingParams {
            rid: None,
            ssrc: None,
            rtx_ssrc: None,
            spatial: 0,
        })
    }

    fn receive(layer: &mut Layer, sequence: u16, millis: u64) -> Receipt {
        let info = PacketInfo {
            index: layer.index_of(sequence),
            arrival: Timestamp::from_millis(millis),
            timestamp: (millis * 90) as u32,
            marker: true,
            payload: None,
            audio_level: None,
            capture: None,
        };
        let mut budget = HistoryBudget::new(usize::MAX);
        let packet = Packet {
            info: &info,
            descriptor: &[],
            payload: &[1],
        };
        layer.receive(packet, MediaKind::Video, 90_000, true, &mut budget)
    }

    #[test]
    fn a_slow_screen_share_is_not_silent() {
        let mut layer = layer();
        for n in 0..10 {
            receive(&mut layer, n, u64::from(n) * 1_000);
        }
        assert!(!layer.check_silence(Timestamp::from_millis(11_500)));
        assert!(layer.check_silence(Timestamp::from_millis(12_100)));
        assert!(!layer.check_silence(Timestamp::from_millis(12_200)));
    }

    #[test]
    fn late_packets_are_fresh_once() {
        let mut layer = layer();
        receive(&mut layer, 65_534, 0);
        assert!(matches!(
            receive(&mut layer, 1, 1),
            Receipt::Fresh { skipped: 2, .. }
        ));
        assert!(matches!(
            receive(&mut layer, 65_535, 2),
            Receipt::Fresh { skipped: 0, .. }
        ));
        assert_eq!(receive(&mut layer, 65_535, 3), Receipt::Duplicate);
    }

    #[test]
    fn another_source_never_reuses_indices() {
        let mut layer = layer();
        layer.set_source(Ssrc(1));
        receive(&mut layer, 65_535, 0);
        receive(&mut layer, 3, 1);
        let newest = layer.history.newest();
        assert!(layer.set_source(Ssrc(2)));
        assert!(layer.index_of(0) > newest);
        assert_eq!(layer.index_of(77) as u16, 77);
    }
}

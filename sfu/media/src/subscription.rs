//! A track forwarded to one participant: which layer, and how its numbers map.
//!
//! Output numbers are contiguous through mute, pauses, layer switches and dropped temporal layers: see
//! [`segments`](crate::segments).

use std::time::Duration;

use plenum_types::{
    Codec, LayerTarget, MediaKind, NtpTime, RoomHandle, SenderParams, SubscriptionId, Timestamp,
};

use crate::{
    allocation::Afforded,
    answers::Answers,
    history::PacketInfo,
    keys::{TrackKey, TransportKey},
    meter::Meter,
    segments::{Segment, Segments},
    sender::SenderLayout,
};

/// Output sequence numbers begin here: below 2^15, as RFC 3711 section 3.3.1 asks of a first number.
const FIRST_OUT: u64 = 1;
/// Layers are aligned by sender reports only if the result differs from the arrival times by less than this.
const MAX_ALIGNMENT: Duration = Duration::from_secs(3);

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    /// Not for this subscription.
    Skip,
    /// Send it with this output number.
    Send(u64),
    /// Send it with this output number: another layer, or the first one, begins with it.
    Begin(u64),
}

/// Whether two layers' clocks can be compared, for [`Subscription::forward`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Alignment {
    /// Timestamps of the new layer less those of the old one at the same moment, by sender reports.
    pub(crate) new_less_old: Option<u32>,
}

/// Where the numbers of an SSRC go on when its subscription is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retired {
    /// Under one key no number may come twice.
    pub(crate) next_out: u64,
    /// What was sent last.
    last: Option<Last>,
}

/// Numbers of what was sent last, and when it was. Clients drop what is older, whatever codec it is in.
#[derive(Debug, Clone, Copy)]
struct Last {
    sent: Timestamp,
    timestamp: u32,
    picture: u16,
    tl0: u8,
}

impl Retired {
    /// Of retransmissions, which have no other numbers of their own.
    pub(crate) const fn repair(next_out: u64) -> Self {
        Self {
            next_out,
            last: None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) room: RoomHandle,
    pub(crate) id: SubscriptionId,
    pub(crate) track: TrackKey,
    pub(crate) transport: TransportKey,
    pub(crate) kind: MediaKind,
    pub(crate) params: SenderParams,
    pub(crate) layout: SenderLayout,
    pub(crate) target: LayerTarget,
    /// The sink is connected.
    pub(crate) open: bool,
    /// The layer that should be sent.
    pub(crate) wanted: Option<u8>,
    /// The layer that is sent.
    pub(crate) current: Option<u8>,
    /// The layer before: late packets of it still fill holes.
    previous: Option<u8>,
    /// The highest temporal layer that passes, and the one that is to pass from the next chance on.
    temporal: u8,
    temporal_limit: u8,
    segments: Segments,
    /// Source index after the last one forwarded or dropped on purpose.
    next_source: u64,
    next_out: u64,
    /// Something was sent.
    begun: bool,
    dropped_packets: u64,
    dropped_pictures: u16,
    dropped_timestamp: Option<u32>,
    last_timestamp: u32,
    last_sent: Timestamp,
    last_picture: u16,
    last_tl0: u8,
    pub(crate) started: bool,
    pub(crate) answers: Answers,
    pub(crate) rtx_next: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    /// The subscriber has reported on our SSRC, so it knows what belongs to it.
    pub(crate) acknowledged: bool,
    /// Publisher's time and our timestamp at the same moment, by the publisher's reports.
    pub(crate) clock: Option<(NtpTime, u32)>,
    /// Sequence of the last report's number and its loss, for the link's quality.
    pub(crate) reported: Option<(u32, i32)>,
    /// Share of packets that the client missed, by its last two reports.
    pub(crate) loss: f32,
    pub(crate) meter: Meter,
    /// Packets that were dropped before they were sent, and when the last one was.
    pub(crate) dropped: u64,
    pub(crate) dropped_at: Option<Timestamp>,
    /// What the client's bandwidth takes of it.
    pub(crate) afforded: Afforded,
    /// How many times in a row more would have fitted.
    pub(crate) waited: u8,
}

impl Subscription {
    pub(crate) fn new(
        room: RoomHandle,
        id: SubscriptionId,
        track: TrackKey,
        transport: TransportKey,
        params: SenderParams,
        target: LayerTarget,
    ) -> Self {
        Self {
            room,
            id,
            track,
            transport,
            kind: params.codec.kind(),
            layout: SenderLayout::new(&params),
            target,
            open: false,
            wanted: None,
            current: None,
            previous: None,
            temporal: target.temporal,
            temporal_limit: target.temporal,
            segments: Segments::new(params.codec.kind(), FIRST_OUT),
            next_source: 0,
            next_out: FIRST_OUT,
            begun: false,
            dropped_packets: 0,
            dropped_pictures: 0,
            dropped_timestamp: None,
            last_timestamp: 0,
            last_sent: Timestamp::ZERO,
            last_picture: 0,
            last_tl0: 0,
            started: false,
            answers: Answers::default(),
            rtx_next: FIRST_OUT,
            packets: 0,
            octets: 0,
            acknowledged: false,
            clock: None,
            reported: None,
            loss: 0.0,
            meter: Meter::default(),
            dropped: 0,
            dropped_at: None,
            afforded: Afforded::All,
            waited: 0,
            params,
        }
    }

    /// Continues the numbers of a subscription that had the same SSRCs.
    pub(crate) fn continue_from(&mut self, out: Option<Retired>, rtx: Option<Retired>) {
        if let Some(out) = out {
            self.next_out = out.next_out;
            if let Some(last) = out.last {
                self.begun = true;
                self.last_sent = last.sent;
                self.last_timestamp = last.timestamp;
                self.last_picture = last.picture;
                self.last_tl0 = last.tl0;
            }
        }
        if let Some(rtx) = rtx {
            self.rtx_next = rtx.next_out;
        }
    }

    /// Where another subscription with its SSRC would go on.
    pub(crate) fn retire(&self) -> Retired {
        Retired {
            next_out: self.next_out,
            last: self.begun.then_some(Last {
                sent: self.last_sent,
                timestamp: self.last_timestamp,
                picture: self.last_picture,
                tl0: self.last_tl0,
            }),
        }
    }

    /// Retransmissions have another SSRC: `next` is where its numbers go on, if it was used before.
    pub(crate) fn restart_rtx(&mut self, next: Option<Retired>) {
        self.rtx_next = next.map_or(FIRST_OUT, |next| next.next_out);
    }

    /// The section was negotiated anew; the SSRC stays.
    pub(crate) fn set_params(&mut self, params: SenderParams) {
        self.layout = SenderLayout::new(&params);
        self.params = params;
    }

    /// The subscriber can read packets in this codec. Opus goes with RED: one is made from the other on the way.
    pub(crate) fn takes(&self, codec: Codec) -> bool {
        match (codec, self.params.codec) {
            (Codec::Red, Codec::Opus) => true,
            (Codec::Opus, Codec::Red) => self.params.opus_payload_type.is_some(),
            (came, expected) => came == expected,
        }
    }

    /// May need packets of this layer: sends it, waits for it, or has holes in it.
    pub(crate) fn wants_packets_of(&self, layer: u8) -> bool {
        self.current == Some(layer) || self.previous == Some(layer) || self.may_begin(layer)
    }

    /// A key frame of this layer is a step forward: it is the wanted one, or better than nothing.
    fn may_begin(&self, layer: u8) -> bool {
        match self.wanted {
            Some(wanted) => layer == wanted || (self.current.is_none() && layer < wanted),
            None => false,
        }
    }

    /// What is to be sent: what the room wants, as far as the client's bandwidth takes it.
    pub(crate) fn limited_target(&self) -> LayerTarget {
        self.afforded.limit(self.target)
    }

    /// Waits for a key frame of this layer.
    pub(crate) fn waits_for(&self, layer: u8) -> bool {
        self.wanted == Some(layer) && self.current != Some(layer)
    }

    /// Sets which layer should be sent; `None` stops at once. `true`: a key frame of it is needed.
    pub(crate) fn want(&mut self, layer: Option<u8>) -> bool {
        if layer.is_none() {
            self.stop();
        }
        self.wanted = layer;
        self.kind == MediaKind::Video && layer.is_some() && self.current != layer
    }

    /// What was sent has no continuation: the next packet must be one that starts.
    pub(crate) fn stop(&mut self) {
        if let Some(layer) = self.current.take() {
            self.previous = Some(layer);
        }
    }

    /// A packet of it was dropped since more is to be sent than the way to the client takes.
    pub(crate) const fn note_drop(&mut self, now: Timestamp) {
        self.dropped += 1;
        self.dropped_at = Some(now);
    }

    /// Another source took a layer's place: its timestamps are not those of the one before.
    pub(crate) fn lose_source(&mut self, layer: u8) {
        if self.current == Some(layer) {
            self.stop();
        }
        // Also out of reach of retransmissions: a source index means nothing across sources.
        self.segments.lose(layer);
    }

    /// What becomes of a packet of a layer of its track, of which the temporal layers up to `temporal` have the wanted frame
    /// rate.
    pub(crate) fn forward(
        &mut self,
        layer: u8,
        packet: &PacketInfo,
        temporal: u8,
        align: impl FnOnce(u8) -> Alignment,
    ) -> Forward {
        self.temporal_limit = self.target.temporal.min(temporal);
        if self.current == Some(layer) {
            if packet.index < self.next_source {
                return self.forward_late(layer, packet.index);
            }
            if !self.passes(packet) {
                return Forward::Skip;
            }
            if self.dropped_packets > 0 {
                self.close_gap(packet.index);
            }
            return Forward::Send(self.send(packet));
        }
        if packet.starts() && self.may_begin(layer) {
            self.begin(layer, packet, align);
            return Forward::Begin(self.send(packet));
        }
        if self.previous == Some(layer) {
            return self.forward_late(layer, packet.index);
        }
        Forward::Skip
    }

    fn send(&mut self, packet: &PacketInfo) -> u64 {
        let segment = self.segments.newest();
        let out = segment.out(packet.index);
        self.next_source = packet.index + 1;
        self.next_out = out + 1;
        self.answers.earn();
        self.last_sent = packet.arrival;
        self.last_timestamp = packet.timestamp.wrapping_add(segment.timestamp_offset);
        if let Some(payload) = &packet.payload {
            if let Some(picture) = payload.picture() {
                self.last_picture = picture.wrapping_add(segment.picture_offset);
            }
            if let Some(tl0) = payload.tl0() {
                self.last_tl0 = tl0.wrapping_add(segment.tl0_offset);
            }
        }
        out
    }

    /// Drops temporal layers above the target; steps up only where the stream allows it.
    fn passes(&mut self, packet: &PacketInfo) -> bool {
        let Some((payload, temporal)) = packet
            .payload
            .as_ref()
            .and_then(|payload| Some((payload, payload.temporal()?)))
        else {
            return true;
        };
        let wanted = self.temporal_limit;
        if temporal.start && wanted != self.temporal {
            if wanted < self.temporal || payload.starts() {
                self.temporal = wanted;
            } else if temporal.sync && temporal.layer <= wanted {
                self.temporal = self.temporal.max(temporal.layer);
            }
        }
        if temporal.layer <= self.temporal {
            return true;
        }
        self.dropped_packets += 1;
        if payload.counts_without_holes() && self.dropped_timestamp != Some(packet.timestamp) {
            self.dropped_timestamp = Some(packet.timestamp);
            self.dropped_pictures = self.dropped_pictures.wrapping_add(1);
        }
        self.next_source = packet.index + 1;
        false
    }

    /// A packet of the current layer that is dropped for another reason than its layer, such as padding alone.
    pub(crate) fn pass_over(&mut self, layer: u8, index: u64) {
        if self.current == Some(layer) && index >= self.next_source {
            self.dropped_packets += 1;
            self.next_source = index + 1;
        }
    }

    fn push_segment(&mut self, segment: Segment) {
        self.segments.push(segment);
        self.dropped_packets = 0;
        self.dropped_pictures = 0;
        self.dropped_timestamp = None;
    }

    /// Packets were dropped on purpose before this one.
    fn close_gap(&mut self, source: u64) {
        // Holes of packets that were lost, not dropped, stay: they may be mended.
        let newest = *self.segments.newest();
        self.push_segment(Segment {
            first_source: source,
            first_out: newest.out(source) - self.dropped_packets,
            picture_offset: newest.picture_offset.wrapping_sub(self.dropped_pictures),
            ..newest
        });
    }

    /// Begins a layer with a packet that needs none before it.
    fn begin(&mut self, layer: u8, packet: &PacketInfo, align: impl FnOnce(u8) -> Alignment) {
        let mut segment = Segment {
            layer,
            first_source: packet.index,
            first_out: self.next_out,
            ..*self.segments.newest()
        };
        if !std::mem::replace(&mut self.begun, true) {
            self.segments.begin(segment);
        } else {
            segment.timestamp_offset = self.align_timestamp(layer, packet, align);
            if let Some(payload) = &packet.payload {
                if let Some(picture) = payload.picture() {
                    segment.picture_offset =
                        self.last_picture.wrapping_add(1).wrapping_sub(picture);
                }
                if let Some(tl0) = payload.tl0() {
                    segment.tl0_offset = self.last_tl0.wrapping_add(1).wrapping_sub(tl0);
                }
            }
            self.push_segment(segment);
        }
        self.temporal = self.temporal_limit;
        self.previous = self
            .current
            .or(self.previous)
            .filter(|previous| *previous != layer);
        self.current = Some(layer);
        self.next_source = packet.index;
    }

    fn align_timestamp(
        &self,
        layer: u8,
        packet: &PacketInfo,
        align: impl FnOnce(u8) -> Alignment,
    ) -> u32 {
        let clock_rate = self.params.codec.clock_rate();
        let elapsed = packet.arrival.saturating_since(self.last_sent);
        let ticks = |time: Duration| {
            (time.as_micros().min(u128::from(u32::MAX)) as u64 * u64::from(clock_rate) / 1_000_000)
                as u32
        };
        let by_arrival = self.last_timestamp.wrapping_add(ticks(elapsed).max(1));
        let newest = self.segments.newest();
        let by_reports = if layer == newest.layer {
            Some(packet.timestamp.wrapping_add(newest.timestamp_offset))
        } else {
            align(newest.layer).new_less_old.map(|difference| {
                packet
                    .timestamp
                    .wrapping_sub(difference)
                    .wrapping_add(newest.timestamp_offset)
            })
        };
        let out = by_reports
            .filter(|out| {
                out.wrapping_sub(by_arrival).cast_signed().unsigned_abs() < ticks(MAX_ALIGNMENT)
            })
            .map_or(by_arrival, |out| {
                // Never back: a frame of the same moment may have been sent.
                if out.wrapping_sub(self.last_timestamp).cast_signed() > 0 {
                    out
                } else {
                    self.last_timestamp.wrapping_add(1)
                }
            });
        out.wrapping_sub(packet.timestamp)
    }

    fn forward_late(&self, layer: u8, source: u64) -> Forward {
        self.segments
            .hole_for(layer, source, self.next_out)
            .map_or(Forward::Skip, Forward::Send)
    }

    /// The segment of an output number that was or could have been sent.
    pub(crate) fn segment_of(&self, out: u64) -> Option<&Segment> {
        self.segments.of(out, self.next_out)
    }

    /// The output number that a 16-bit sequence number of the subscriber means: the newest one sent.
    pub(crate) fn out_of(&self, sequence: u16) -> u64 {
        let newest = self.next_out - 1;
        newest.saturating_sub(u64::from((newest as u16).wrapping_sub(sequence)))
    }

    /// The next output number.
    pub(crate) const fn next_out(&self) -> u64 {
        self.next_out
    }

    /// The layer that was sent before the current one.
    pub(crate) const fn before(&self) -> Option<u8> {
        self.previous
    }

    /// The newest segment, if something was sent.
    pub(crate) fn newest_segment(&self) -> Option<&Segment> {
        self.segments.newest_sent()
    }

    /// The track's layers moved to other places.
    pub(crate) fn forget_layers(&mut self) {
        self.stop();
        self.previous = None;
        self.wanted = None;
        self.segments.lose_all();
    }
}

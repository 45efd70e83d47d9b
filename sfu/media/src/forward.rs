//! RTP from a publisher to its subscribers. Everything here runs for each packet: no allocation after warm-up.

use plenum_rtp::{
    AbsCaptureTime, AudioLevel, Payload, RtpPacket, extensions::transport_sequence, rtx,
};
use plenum_types::{
    Codec, Decision, DecisionKind, DropReason, KeyFrameReason, RtpExtension, ShardEvent, Ssrc,
    Subject, Timestamp,
};

use crate::{
    clock::ticks_between,
    egress::{Priority, Queued},
    history::{Packet, PacketInfo},
    keys::{SubscriptionKey, TrackKey, TransportKey},
    layer::{LayerReport, Receipt},
    shard::Shard,
    subscription::{Alignment, Forward},
    track::Track,
    transports::{Incoming, TransportEntry, UPLINK},
};

/// Header extension elements that matter here.
#[derive(Debug, Default)]
struct Elements<'a> {
    mid: Option<&'a [u8]>,
    rid: Option<&'a [u8]>,
    repaired_rid: Option<&'a [u8]>,
    audio_level: Option<AudioLevel>,
    capture: Option<AbsCaptureTime>,
    transport_sequence: Option<u16>,
    dependency: Option<&'a [u8]>,
}

impl<'a> Elements<'a> {
    fn read(entry: &TransportEntry, packet: &RtpPacket<'a>) -> Self {
        let mut elements = Self::default();
        let Some(table) = &entry.extensions else {
            return elements;
        };
        for (id, value) in packet.extensions() {
            match table.get(id) {
                Some(RtpExtension::Mid) => elements.mid = Some(value),
                Some(RtpExtension::Rid) => elements.rid = Some(value),
                Some(RtpExtension::RepairedRid) => elements.repaired_rid = Some(value),
                Some(RtpExtension::AudioLevel) => elements.audio_level = AudioLevel::read(value),
                Some(RtpExtension::AbsCaptureTime) => {
                    elements.capture = AbsCaptureTime::read(value);
                }
                Some(RtpExtension::TransportWideCc) => {
                    elements.transport_sequence = transport_sequence(value);
                }
                Some(RtpExtension::DependencyDescriptor) => elements.dependency = Some(value),
                Some(RtpExtension::AbsSendTime) | None => {}
            }
        }
        elements
    }
}

impl Shard {
    /// Takes an opened packet.
    pub(crate) fn receive_rtp(&mut self, now: Timestamp, transport: TransportKey, datagram: &[u8]) {
        let Ok(packet) = RtpPacket::parse(datagram) else {
            self.stats.malformed += 1;
            return;
        };
        let Some(entry) = self.transports.get_mut(transport) else {
            return;
        };
        if !entry.uplink.take(datagram.len() as u64, UPLINK, now) {
            self.stats.over_rate += 1;
            return;
        }
        let elements = Elements::read(entry, &packet);
        if let Some(sequence) = elements.transport_sequence {
            entry.arrivals.record(sequence, now);
        }
        let source = match entry.incoming.get(&packet.ssrc().0) {
            Some(source) => *source,
            None => match self.resolve(now, transport, &packet, &elements) {
                Some(source) => source,
                None => {
                    self.stats.unrouted += 1;
                    return;
                }
            },
        };
        self.next_tick = self.next_tick.min(now + crate::tick::BUSY);
        let Some(track) = self.tracks.get_mut(source.track.index()) else {
            return;
        };
        let (sequence, payload, codec) = if source.retransmission {
            let codec = track.codec_of_rtx(packet.payload_type()).copied();
            let Some((sequence, payload)) = rtx::split(packet.payload()) else {
                // A probe of padding alone.
                return;
            };
            (sequence, payload, codec)
        } else {
            let codec = track.codec_of(packet.payload_type()).copied();
            (packet.sequence(), packet.payload(), codec)
        };
        let (Some(codec), kind, clock_rate) = (codec, track.kind(), track.clock_rate()) else {
            self.stats.unrouted += 1;
            return;
        };
        let Some(layer) = track.layers.get_mut(usize::from(source.layer)) else {
            return;
        };
        if layer.ssrc.is_none() {
            if source.retransmission {
                return;
            }
            layer.set_source(packet.ssrc());
        }
        if !layer.within_rate(datagram.len(), kind, now) {
            self.stats.over_rate += 1;
            return;
        }
        let read = if payload.is_empty() {
            None
        } else {
            Payload::read(codec.codec, payload, elements.dependency)
        };
        let info = PacketInfo {
            index: layer.index_of(sequence),
            arrival: now,
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload: read,
            audio_level: elements.audio_level,
            capture: elements.capture,
        };
        let receipt = layer.receive(
            Packet {
                info: &info,
                // Only this codec's is forwarded.
                descriptor: elements
                    .dependency
                    .filter(|_| codec.codec == Codec::Av1)
                    .unwrap_or_default(),
                payload,
            },
            kind,
            clock_rate,
            codec.nack,
            &mut self.history_budget,
        );
        let Receipt::Fresh {
            became_live,
            broken,
            skipped,
        } = receipt
        else {
            self.stats.duplicates += 1;
            return;
        };
        layer.meter.add(datagram.len());
        if layer.key_frames.take_answered() {
            let (about, spatial) = (Subject::Track(track.id), layer.encoding.spatial);
            if let Some(entry) = self.transports.get_mut(transport) {
                entry.decisions.push(Decision {
                    at: self.wall.unix_nanos(now),
                    about,
                    what: DecisionKind::GotKeyFrame(spatial),
                });
            }
        }
        self.stats.uplink_lost += skipped;
        if let Some(level) = elements.audio_level
            && !source.retransmission
        {
            track.loudness.observe(level);
        }
        if became_live {
            let arriving = info.starts().then_some(source.layer);
            self.on_layer_live(now, source, arriving);
        }
        if broken {
            self.request_key_frame(now, source.track, source.layer, KeyFrameReason::Loss);
        }
        match read {
            Some(_) => self.forward(source, &info, codec.codec),
            None => self.pass_over(source, info.index),
        }
    }

    fn on_layer_live(&mut self, now: Timestamp, source: Incoming, arriving: Option<u8>) {
        let Some(track) = self.tracks.get(source.track.index()) else {
            return;
        };
        if let (Some(layer), Some(room)) = (
            track.layers.get(usize::from(source.layer)),
            self.rooms.get(track.room.index()),
        ) {
            self.events.push(
                room.handle,
                ShardEvent::LayerLive {
                    track: track.id,
                    spatial: layer.encoding.spatial,
                },
            );
        }
        let (transport, about) = (track.transport, Subject::Track(track.id));
        let spatial = track.spatial(source.layer);
        self.decide(now, transport, about, DecisionKind::LayerLive(spatial));
        self.retarget_all(now, source.track, arriving);
    }

    /// Chooses layers anew for all subscriptions of a track, perhaps before a key frame of the layer `arriving`.
    pub(crate) fn retarget_all(&mut self, now: Timestamp, track: TrackKey, arriving: Option<u8>) {
        let count = self
            .tracks
            .get(track.index())
            .map_or(0, |track| track.subscribers.len());
        for place in 0..count {
            let key = self
                .tracks
                .get(track.index())
                .and_then(|track| track.subscribers.get(place))
                .copied();
            if let Some(key) = key {
                self.retarget_before(now, key, arriving);
            }
        }
        self.gather_stale_interest();
    }

    fn pass_over(&mut self, source: Incoming, index: u64) {
        let Some(layer) = self
            .tracks
            .get(source.track.index())
            .and_then(|track| track.layers.get(usize::from(source.layer)))
        else {
            return;
        };
        for key in &layer.interested {
            if let Some(subscription) = self.subscriptions.get_mut(key.index()) {
                subscription.pass_over(source.layer, index);
            }
        }
    }

    fn forward(&mut self, source: Incoming, info: &PacketInfo, codec: Codec) {
        let Self {
            tracks,
            subscriptions,
            transports,
            ready,
            stats,
            scratch,
            wall,
            ..
        } = self;
        let Some(track) = tracks.get(source.track.index()) else {
            return;
        };
        let Some(layer) = track.layers.get(usize::from(source.layer)) else {
            return;
        };
        let priority = match track.kind() {
            plenum_types::MediaKind::Audio => Priority::Audio,
            plenum_types::MediaKind::Video => Priority::Video,
        };
        scratch.begun.clear();
        for key in &layer.interested {
            let Some(subscription) = subscriptions.get_mut(key.index()) else {
                continue;
            };
            if !subscription.takes(codec) {
                subscription.pass_over(source.layer, info.index);
                continue;
            }
            let align = |old| alignment(track, old, source.layer);
            let temporal = layer.frame_rates.temporal_for(subscription.target.fps);
            let out = match subscription.forward(source.layer, info, temporal, align) {
                Forward::Skip => continue,
                Forward::Send(out) => out,
                Forward::Begin(out) => {
                    scratch.begun.push(*key);
                    out
                }
            };
            let Some(entry) = transports.get_mut(subscription.transport) else {
                continue;
            };
            let queued = Queued {
                subscription: *key,
                out,
                since: info.arrival,
            };
            if entry.egress.push(priority, queued) {
                if !entry.egress.ready {
                    entry.egress.ready = true;
                    ready.push_back(subscription.transport);
                }
            } else {
                stats.dropped.add(priority.queue(), DropReason::Full);
                entry.dropped += 1;
                if entry.decisions.drop_is_news(info.arrival) {
                    entry.decisions.push(Decision {
                        at: wall.unix_nanos(info.arrival),
                        about: Subject::Subscription(subscription.id),
                        what: DecisionKind::Dropped {
                            queue: priority.queue(),
                            why: DropReason::Full,
                        },
                    });
                }
                subscription.note_drop(info.arrival);
                // The rest of the frame, and what builds on it, is of no use: a key frame must follow.
                subscription.stop();
                scratch.begun.push(*key);
            }
        }
        if !self.scratch.begun.is_empty() {
            self.after_begin(source, info);
        }
    }

    /// Subscriptions began a layer, or lost it since their queue was full.
    fn after_begin(&mut self, source: Incoming, info: &PacketInfo) {
        let mut begun = std::mem::take(&mut self.scratch.begun);
        for key in begun.drain(..) {
            self.mark_stale(source.track);
            let Some(subscription) = self.subscriptions.get_mut(key.index()) else {
                continue;
            };
            if subscription.waits_for(source.layer) {
                self.request_key_frame(
                    info.arrival,
                    source.track,
                    source.layer,
                    KeyFrameReason::Dropped,
                );
                continue;
            }
            let (room, id, transport) =
                (subscription.room, subscription.id, subscription.transport);
            if std::mem::replace(&mut subscription.started, true) {
                self.stats.layer_switches += 1;
            } else {
                self.events
                    .push(room, ShardEvent::SubscriptionStarted { subscription: id });
            }
            self.note_begun(info.arrival, source, key, transport, id);
            self.catch_up(source, info.index, key);
        }
        self.scratch.begun = begun;
    }

    fn note_begun(
        &mut self,
        now: Timestamp,
        source: Incoming,
        key: SubscriptionKey,
        transport: TransportKey,
        id: plenum_types::SubscriptionId,
    ) {
        let (Some(subscription), Some(track)) = (
            self.subscriptions.get(key.index()),
            self.tracks.get(source.track.index()),
        ) else {
            return;
        };
        let to = track.spatial(source.layer);
        let what = match subscription.before() {
            Some(before) => DecisionKind::Switched {
                from: track.spatial(before),
                to,
            },
            None => DecisionKind::Began(to),
        };
        self.decide(now, transport, Subject::Subscription(id), what);
    }

    /// Packets of the frame that overtook its first one.
    fn catch_up(&mut self, source: Incoming, from: u64, key: SubscriptionKey) {
        let Some(layer) = self
            .tracks
            .get(source.track.index())
            .and_then(|track| track.layers.get(usize::from(source.layer)))
        else {
            return;
        };
        let Some(subscription) = self.subscriptions.get_mut(key.index()) else {
            return;
        };
        let Some(entry) = self.transports.get_mut(subscription.transport) else {
            return;
        };
        let temporal = layer.frame_rates.temporal_for(subscription.target.fps);
        for index in from + 1..=layer.history.newest() {
            if let Some(Packet { info, .. }) = layer.history.get(index)
                && let Forward::Send(out) =
                    subscription.forward(source.layer, info, temporal, |_| Alignment::default())
            {
                entry.egress.push(
                    Priority::Video,
                    Queued {
                        subscription: key,
                        out,
                        since: info.arrival,
                    },
                );
            }
        }
    }

    /// Finds the track of an SSRC seen for the first time: by section and rid, else by payload type if only one fits.
    fn resolve(
        &mut self,
        now: Timestamp,
        transport: TransportKey,
        packet: &RtpPacket<'_>,
        elements: &Elements<'_>,
    ) -> Option<Incoming> {
        let entry = self.transports.get(transport)?;
        if entry.incoming.len() >= self.config.budgets.max_incoming() {
            return None;
        }
        let payload_type = packet.payload_type();
        let carries = |track: &Track| {
            track.codec_of(payload_type).is_some() || track.codec_of_rtx(payload_type).is_some()
        };
        let key = match elements.mid {
            Some(mid) => entry.tracks.iter().copied().find(|key| {
                self.tracks
                    .get(key.index())
                    .is_some_and(|track| track.params.mid.as_str().as_bytes() == mid)
            })?,
            None => {
                let mut fitting = entry
                    .tracks
                    .iter()
                    .copied()
                    .filter(|key| self.tracks.get(key.index()).is_some_and(carries));
                let only = fitting.next()?;
                if fitting.next().is_some() {
                    return None;
                }
                only
            }
        };
        let track = self.tracks.get(key.index())?;
        let retransmission = track.codec_of_rtx(payload_type).is_some();
        let rid = if retransmission {
            elements.repaired_rid.or(elements.rid)
        } else {
            elements.rid
        };
        let layer = match rid {
            Some(rid) => track.layer_of_rid(rid)?,
            None if track.layers.len() == 1 => 0,
            None => return None,
        };
        let source = Incoming {
            track: key,
            layer,
            retransmission,
        };
        self.adopt(now, transport, packet.ssrc(), source);
        Some(source)
    }

    /// An SSRC belongs to a layer from now on.
    fn adopt(&mut self, now: Timestamp, transport: TransportKey, ssrc: Ssrc, source: Incoming) {
        if let Some(entry) = self.transports.get_mut(transport) {
            // The SSRC before it is silent for good.
            entry.incoming.retain(|_, known| *known != source);
            entry.incoming.insert(ssrc.0, source);
        }
        if source.retransmission {
            return;
        }
        let replaced = self
            .tracks
            .get_mut(source.track.index())
            .and_then(|track| track.layers.get_mut(usize::from(source.layer)))
            .is_some_and(|layer| layer.set_source(ssrc));
        if replaced {
            if let Some(track) = self.tracks.get(source.track.index()) {
                let what = DecisionKind::SourceReplaced(track.spatial(source.layer));
                let about = Subject::Track(track.id);
                self.decide(now, transport, about, what);
            }
            let subscribers = self
                .tracks
                .get(source.track.index())
                .map(|track| track.subscribers.clone())
                .unwrap_or_default();
            for key in subscribers {
                if let Some(subscription) = self.subscriptions.get_mut(key.index()) {
                    subscription.lose_source(source.layer);
                }
                self.retarget(now, key);
            }
            self.gather_stale_interest();
        }
    }
}

/// How a new layer's timestamps relate to those of the one sent before, by the publisher's reports.
fn alignment(track: &Track, old: u8, new: u8) -> Alignment {
    let report =
        |place: u8| -> Option<LayerReport> { track.layers.get(usize::from(place))?.report };
    let new_less_old = report(old).zip(report(new)).map(|(old, new)| {
        new.timestamp
            .wrapping_sub(old.timestamp)
            .wrapping_sub(ticks_between(new.ntp, old.ntp, track.clock_rate()))
    });
    Alignment { new_less_old }
}

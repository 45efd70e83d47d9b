//! What happens by the clock: reports, requests, silence, speakers, quality.

use std::time::Duration;

use plenum_rtp::rtcp::{MAX_BLOCKS, RtcpWriter, SenderInfo};
use plenum_transport::MAX_SRTCP_OVERHEAD;
use plenum_types::{
    Decision, DecisionKind, KeyFrameReason, MediaKind, ShardEvent, Ssrc, Subject, Timestamp,
};

use crate::{
    clock::ticks_between,
    keys::{SubscriptionKey, TrackKey, TransportKey},
    shard::Shard,
};

/// Between ticks while packets come: how late a request for a lost packet may be.
pub(crate) const BUSY: Duration = Duration::from_millis(10);
/// How long after a packet of a track the next ones are expected.
const BUSY_AFTER_PACKET: Duration = Duration::from_secs(1);
/// Between ticks while none come.
pub(crate) const IDLE: Duration = Duration::from_millis(500);
/// Between reports of a Transport.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// SSRC of our own feedback: libwebrtc's own receivers use 1 too, so no client takes offence.
pub(crate) const FEEDBACK_SSRC: Ssrc = Ssrc(1);
/// Bytes of a compound packet of ours.
pub(crate) const MAX_COMPOUND: usize = 1_200;
/// Bytes that a sender report takes at most.
const SENDER_REPORT: usize = 28;
/// CNAME of everything that we send (RFC 3550 section 6.5.1). One name for all keeps every participant's audio and video in
/// one synchronisation context; which belong together the description's msid says.
const CNAME: &str = "plenum";

impl Shard {
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let mut busy = false;
        let mut indices = std::mem::take(&mut self.scratch.indices);
        crate::keys::occupied(&self.tracks, &mut indices);
        for index in indices.drain(..) {
            busy |= self.tick_track(now, TrackKey::from_index(index));
        }
        crate::keys::occupied(&self.transports.entries, &mut indices);
        for index in indices.drain(..) {
            self.tick_transport(now, TransportKey::from_index(index));
        }
        crate::keys::occupied(&self.rooms, &mut indices);
        for index in indices.drain(..) {
            self.tick_room(now, index);
        }
        self.scratch.indices = indices;
        self.next_tick = now + if busy { BUSY } else { IDLE };
        self.update_gauges();
    }

    /// Silence, missing packets and awaited key frames. `true` while packets come.
    fn tick_track(&mut self, now: Timestamp, key: TrackKey) -> bool {
        self.check_silence(now, key);
        let Some(track) = self.tracks.get(key.index()) else {
            return false;
        };
        let (transport, count) = (track.transport, track.layers.len());
        let busy = now.saturating_since(track.last_packet()) < BUSY_AFTER_PACKET;
        for place in 0..count {
            let Some(layer) = self
                .tracks
                .get_mut(key.index())
                .and_then(|track| track.layers.get_mut(place))
            else {
                continue;
            };
            let mut sequences = std::mem::take(&mut self.scratch.sequences);
            sequences.clear();
            layer.missing.due(now, &mut sequences);
            let (ssrc, key_frame) = (layer.ssrc, layer.key_frames.due(now));
            if let Some(ssrc) = ssrc {
                if !sequences.is_empty() {
                    self.stats.nacks_sent += sequences.len() as u64;
                    self.send_rtcp(transport, |writer| {
                        writer.nack(FEEDBACK_SSRC, ssrc, &sequences);
                    });
                }
                if key_frame {
                    self.ask_key_frame(now, key, place as u8, KeyFrameReason::Repeated);
                }
            }
            self.scratch.sequences = sequences;
        }
        busy
    }

    fn check_silence(&mut self, now: Timestamp, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key.index()) else {
            return;
        };
        let horizon = track.silence_horizon(now);
        let (id, muted, transport) = (track.id, track.muted, track.transport);
        let room = self.rooms.get(track.room.index()).map(|room| room.handle);
        let mut changed = false;
        for layer in &mut track.layers {
            if !layer.check_silence(horizon) {
                continue;
            }
            changed = true;
            let spatial = layer.encoding.spatial;
            if let Some(entry) = self.transports.get_mut(transport) {
                entry.decisions.push(Decision {
                    at: self.wall.unix_nanos(now),
                    about: Subject::Track(id),
                    what: DecisionKind::LayerSilent(spatial),
                });
            }
            if let Some(room) = room.filter(|_| !muted) {
                self.events
                    .push(room, ShardEvent::LayerSilent { track: id, spatial });
            }
        }
        if changed {
            self.retarget_all(now, key, None);
        }
    }

    /// Needs a key frame of a layer: asks for it, unless that was done a moment ago.
    pub(crate) fn request_key_frame(
        &mut self,
        now: Timestamp,
        key: TrackKey,
        layer: u8,
        why: KeyFrameReason,
    ) {
        let Some(track) = self.tracks.get_mut(key.index()) else {
            return;
        };
        if track.kind() == MediaKind::Audio || track.muted {
            return;
        }
        if track.ssrc(layer).is_some()
            && track
                .layers
                .get_mut(usize::from(layer))
                .is_some_and(|layer| layer.key_frames.request(now))
        {
            self.ask_key_frame(now, key, layer, why);
        }
    }

    fn ask_key_frame(&mut self, now: Timestamp, key: TrackKey, layer: u8, why: KeyFrameReason) {
        let Some((track, ssrc)) = self
            .tracks
            .get(key.index())
            .and_then(|track| Some((track, track.ssrc(layer)?)))
        else {
            return;
        };
        let (transport, about) = (track.transport, Subject::Track(track.id));
        let layer = track.spatial(layer);
        self.decide(
            now,
            transport,
            about,
            DecisionKind::AskedKeyFrame { layer, why },
        );
        self.send_pli(transport, ssrc);
    }

    fn send_pli(&mut self, transport: TransportKey, ssrc: Ssrc) {
        self.stats.key_frame_requests_sent += 1;
        self.send_rtcp(transport, |writer| {
            writer.pli(FEEDBACK_SSRC, ssrc);
        });
    }

    /// Sends a compound packet that begins with an empty receiver report (RFC 3550 section 6.1).
    pub(crate) fn send_rtcp(
        &mut self,
        transport: TransportKey,
        write: impl FnOnce(&mut RtcpWriter<'_>),
    ) {
        self.send_compound(transport, |writer| {
            writer.receiver_report(FEEDBACK_SSRC, &[]);
            let before = writer.len();
            write(writer);
            writer.len() > before
        });
    }

    fn send_compound(
        &mut self,
        transport: TransportKey,
        write: impl FnOnce(&mut RtcpWriter<'_>) -> bool,
    ) {
        let Some(entry) = self.transports.get_mut(transport) else {
            return;
        };
        let Some(path) = entry.transport.send_path() else {
            return;
        };
        let sent = self
            .outbox
            .write(MAX_COMPOUND + MAX_SRTCP_OVERHEAD, |buffer| {
                let mut writer = RtcpWriter::new(buffer.get_mut(..MAX_COMPOUND)?);
                if !write(&mut writer) {
                    return None;
                }
                let len = writer.len();
                let sealed = entry.transport.sealer()?.seal_rtcp(buffer, len).ok()?;
                Some((path, sealed))
            });
        self.stats.rtcp_sent += u64::from(sent);
    }

    fn tick_transport(&mut self, now: Timestamp, key: TransportKey) {
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        if !entry.connected {
            return;
        }
        let media = entry
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track.index()))
            .find_map(|track| track.layers.iter().find_map(|layer| layer.ssrc));
        if let Some(media) = media {
            let mut arrivals = std::mem::take(&mut entry.arrivals);
            self.send_rtcp(key, |writer| {
                arrivals.feedback(writer, FEEDBACK_SSRC, media, now);
            });
            if let Some(entry) = self.transports.get_mut(key) {
                entry.arrivals = arrivals;
            }
        }
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        if now >= entry.next_report {
            entry.next_report = now + REPORT_INTERVAL;
            self.report_reception(now, key);
            self.report_sending(now, key);
            self.share_budget(now, key);
        }
        self.tell_quality(now, key);
    }

    /// Receiver reports about everything that a client publishes.
    fn report_reception(&mut self, now: Timestamp, key: TransportKey) {
        let Some(entry) = self.transports.entries.get_mut(key.index()) else {
            return;
        };
        let mut blocks = std::mem::take(&mut self.scratch.blocks);
        blocks.clear();
        for track in &entry.tracks {
            let Some(track) = self.tracks.get_mut(track.index()) else {
                continue;
            };
            for layer in &mut track.layers {
                if let Some(rtt) = layer.missing.take_rtt() {
                    entry.link.on_rtt(rtt);
                }
                layer.meter.look(now);
                let (expected, received) = layer.reception.rate_interval();
                entry.link.on_uplink(expected, received);
                if let Some(ssrc) = layer.ssrc.filter(|_| layer.live) {
                    blocks.extend(layer.reception.report(ssrc, now));
                }
            }
        }
        for chunk in blocks.chunks(MAX_BLOCKS) {
            self.send_compound(key, |writer| {
                writer.receiver_report(FEEDBACK_SSRC, chunk)
                    && writer.source_name(FEEDBACK_SSRC, CNAME)
            });
        }
        self.scratch.blocks = blocks;
    }

    /// Sender reports about everything that a client receives: our wall clock against our timestamps, by one mapping per
    /// publishing participant.
    fn report_sending(&mut self, now: Timestamp, key: TransportKey) {
        let ours = self.wall.ntp(now);
        let mut reports = std::mem::take(&mut self.scratch.reports);
        reports.clear();
        let mut place = 0;
        while let Some(subscription) = self
            .transports
            .get(key)
            .and_then(|entry| entry.subscriptions.get(place))
            .copied()
        {
            place += 1;
            if let Some(known) = self.subscriptions.get_mut(subscription.index()) {
                known.meter.look(now);
            }
            self.remind_of_key_frame(now, subscription);
            reports.extend(self.sender_info(subscription, ours));
        }
        let per_compound = (MAX_COMPOUND - SENDER_REPORT) / SENDER_REPORT;
        for chunk in reports.chunks(per_compound) {
            self.send_compound(key, |writer| {
                for info in chunk {
                    writer.sender_report(info, &[]);
                }
                chunk
                    .first()
                    .is_some_and(|first| writer.source_name(first.ssrc, CNAME))
            });
        }
        self.scratch.reports = reports;
    }

    /// A subscription that still waits for a layer asks again: its client can't, since nothing comes.
    fn remind_of_key_frame(&mut self, now: Timestamp, key: SubscriptionKey) {
        if let Some(subscription) = self.subscriptions.get(key.index())
            && let Some(layer) = subscription.wanted
            && subscription.waits_for(layer)
        {
            let track = subscription.track;
            self.request_key_frame(now, track, layer, KeyFrameReason::Repeated);
        }
    }

    fn sender_info(
        &mut self,
        key: SubscriptionKey,
        ours: plenum_types::NtpTime,
    ) -> Option<SenderInfo> {
        let subscription = self.subscriptions.get_mut(key.index())?;
        if subscription.packets == 0 {
            return None;
        }
        let track = self.tracks.get(subscription.track.index())?;
        let room = self.rooms.get(track.room.index())?;
        let clock = room.clocks.get(&track.participant)?;
        let segment = subscription.newest_segment()?;
        if let Some(report) = track
            .layers
            .get(usize::from(segment.layer))
            .and_then(|layer| layer.report)
        {
            subscription.clock = Some((
                report.ntp,
                report.timestamp.wrapping_add(segment.timestamp_offset),
            ));
        }
        let (ntp, timestamp) = subscription.clock?;
        let elapsed = ticks_between(clock.theirs(ours)?, ntp, track.clock_rate());
        Some(SenderInfo {
            ssrc: subscription.params.ssrc,
            ntp: ours,
            rtp_timestamp: timestamp.wrapping_add(elapsed),
            packets: subscription.packets,
            octets: subscription.octets,
        })
    }

    fn tell_quality(&mut self, now: Timestamp, key: TransportKey) {
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        if !entry.link.due(now) {
            return;
        }
        // Layers that nobody wants pause by themselves; a client that is gone fails its connectivity checks.
        let expected = entry
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(track.index()))
            .any(|track| !track.muted && track.layers.iter().any(|layer| layer.live));
        let quality = entry.link.take(expected, now);
        let (room, transport) = (entry.room_handle, entry.id);
        self.events
            .push(room, ShardEvent::LinkQuality { transport, quality });
    }

    fn tick_room(&mut self, now: Timestamp, index: usize) {
        let Some(room) = self.rooms.get_mut(index) else {
            return;
        };
        room.data.forget_old(now);
        if !room.speakers.due(now) {
            return;
        }
        let mut changes = Vec::new();
        for key in &room.tracks {
            if let Some(track) = self.tracks.get_mut(key.index())
                && track.kind() == MediaKind::Audio
            {
                changes.extend(track.loudness.look(track.id, track.muted));
            }
        }
        if !changes.is_empty() {
            self.events.push(room.handle, ShardEvent::Speakers(changes));
        }
    }
}

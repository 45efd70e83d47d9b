//! RTCP from clients: reports, requests for packets and key frames.

use std::time::Duration;

use plenum_rtp::rtcp::{Compound, Nack, ReportBlock, RtcpPacket, SenderInfo};
use plenum_types::{KeyFrameReason, Ssrc, Timestamp};

use crate::{
    egress::{Priority, Queued},
    keys::{SubscriptionKey, TransportKey},
    layer::LayerReport,
    shard::Shard,
};

/// Round trip before the first measurement, for answers to NACKs.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// A request is answered again after this at the earliest, whatever the round trip.
const MIN_REPEAT: Duration = Duration::from_millis(20);
/// Sequence numbers of one datagram that are looked at: a second of 400 packets. More is an attack.
const MAX_ASKED: usize = 400;
/// Round trips longer than this are nonsense.
const MAX_RTT: Duration = Duration::from_secs(30);

impl Shard {
    /// Takes an opened compound packet.
    pub(crate) fn receive_rtcp(&mut self, now: Timestamp, key: TransportKey, datagram: &[u8]) {
        let mut asked = 0;
        let mut compound = Compound::new(datagram);
        for packet in compound.by_ref() {
            match packet {
                RtcpPacket::SenderReport(report) => {
                    self.on_sender_report(now, key, &report.info);
                    for block in report.blocks {
                        self.on_report_block(now, key, &block);
                    }
                }
                RtcpPacket::ReceiverReport(report) => {
                    for block in report.blocks {
                        self.on_report_block(now, key, &block);
                    }
                }
                RtcpPacket::Nack(nack) => self.on_nack(now, key, nack, &mut asked),
                RtcpPacket::Pli { media } => self.on_key_frame_request(now, key, media),
                RtcpPacket::Fir(entries) => {
                    for (media, _) in entries {
                        self.on_key_frame_request(now, key, media);
                    }
                }
                RtcpPacket::Bye(_)
                | RtcpPacket::Remb(_)
                | RtcpPacket::TransportFeedback(_)
                | RtcpPacket::Other { .. } => {}
            }
        }
        self.stats.malformed += u64::from(compound.was_malformed());
    }

    fn on_sender_report(&mut self, now: Timestamp, key: TransportKey, info: &SenderInfo) {
        let Some(source) = self
            .transports
            .get(key)
            .and_then(|entry| entry.incoming.get(&info.ssrc.0))
            .filter(|source| !source.retransmission)
            .copied()
        else {
            return;
        };
        let Some(track) = self.tracks.get_mut(source.track.index()) else {
            return;
        };
        let (room, participant) = (track.room, track.participant);
        if let Some(layer) = track.layers.get_mut(usize::from(source.layer)) {
            layer.report = Some(LayerReport {
                ntp: info.ntp,
                timestamp: info.rtp_timestamp,
            });
            layer.reception.on_sender_report(info.ntp, now);
        }
        if let Some(room) = self.rooms.get_mut(room.index()) {
            room.clocks
                .entry(participant)
                .or_default()
                .on_report(info.ntp, self.wall.ntp(now));
        }
    }

    fn on_report_block(&mut self, now: Timestamp, key: TransportKey, block: &ReportBlock) {
        let ours = self.wall.ntp(now).compact();
        let Some(entry) = self.transports.entries.get_mut(key.index()) else {
            return;
        };
        let Some(subscription) = entry
            .outgoing
            .get(&block.ssrc.0)
            .and_then(|key| self.subscriptions.get_mut(key.index()))
        else {
            return;
        };
        subscription.acknowledged = true;
        if block.last_sr != 0 {
            let units = ours
                .wrapping_sub(block.last_sr)
                .wrapping_sub(block.delay_since_last_sr);
            let rtt = Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16);
            if rtt < MAX_RTT {
                entry.link.on_rtt(rtt);
            }
        }
        let now_reported = (block.highest_sequence, block.cumulative_lost);
        if let Some((sequence, lost)) = subscription.reported.replace(now_reported) {
            let expected = block.highest_sequence.wrapping_sub(sequence);
            // Half a circle back is a report out of order.
            if expected < u32::MAX / 2 {
                let lost = block.cumulative_lost.saturating_sub(lost).max(0);
                if expected > 0 {
                    subscription.loss = (lost as f32 / expected as f32).min(1.0);
                }
                entry
                    .link
                    .on_downlink(u64::from(expected), u64::from(lost.unsigned_abs()));
            }
        }
    }

    fn on_nack(&mut self, now: Timestamp, key: TransportKey, nack: Nack<'_>, asked: &mut usize) {
        let Some(entry) = self.transports.entries.get_mut(key.index()) else {
            return;
        };
        let Some(subscription_key) = entry.outgoing.get(&nack.media.0).copied() else {
            return;
        };
        let rtt = entry.rtt().unwrap_or(FIRST_RTT).max(MIN_REPEAT);
        let Some(subscription) = self.subscriptions.get_mut(subscription_key.index()) else {
            return;
        };
        let Some(track) = self.tracks.get(subscription.track.index()) else {
            return;
        };
        for sequence in nack.pairs {
            self.stats.nacks_received += 1;
            *asked += 1;
            let out = subscription.out_of(sequence);
            // Without a stream of retransmissions there is no way to send a packet twice under one key safely.
            let answerable = *asked <= MAX_ASKED
                && subscription.params.rtx_ssrc.is_some()
                && out < subscription.next_out()
                && subscription
                    .segment_of(out)
                    .and_then(|segment| {
                        track
                            .layers
                            .get(usize::from(segment.layer))?
                            .history
                            .get(segment.source(out))
                    })
                    .is_some()
                && subscription.answers.may_answer(out, rtt, now);
            let queued = Queued {
                subscription: subscription_key,
                out,
                since: now,
            };
            if !answerable || !entry.egress.push(Priority::Retransmission, queued) {
                self.stats.nacks_refused += 1;
                continue;
            }
            if !entry.egress.ready {
                entry.egress.ready = true;
                self.ready.push_back(key);
            }
        }
    }

    fn on_key_frame_request(&mut self, now: Timestamp, key: TransportKey, media: Ssrc) {
        self.stats.key_frame_requests_received += 1;
        let subscription: Option<SubscriptionKey> = self
            .transports
            .get(key)
            .and_then(|entry| entry.outgoing.get(&media.0))
            .copied();
        let Some(known) = subscription.and_then(|key| self.subscriptions.get(key.index())) else {
            return;
        };
        if let Some(layer) = known.current.or(known.wanted) {
            let track = known.track;
            self.request_key_frame(now, track, layer, KeyFrameReason::Subscriber);
        }
    }
}

//! What there is of a room, for people who look for a fault: read between packets, bounded, and nothing changes by it.

use std::time::Duration;

use plenum_types::{
    LayerView, LinkQuality, ParticipantId, Rate, ShardEvent, ShardView, SubscriptionView,
    Timestamp, TrackView, TransportView,
};

use crate::{
    allocation::Afforded,
    keys::{RoomKey, SubscriptionKey},
    layer::Layer,
    shard::Shard,
    subscription::Subscription,
    track::Track,
    transports::TransportEntry,
};

/// Transports of one view, as many tracks, and twenty times as many subscriptions: 2 ms of copying at most, which is what
/// handshakes may take of a pass, too.
const MAX_TRANSPORTS: usize = 500;
const MAX_TRACKS: usize = 500;
const MAX_SUBSCRIPTIONS: usize = 10_000;
/// Decisions of one view: the full rings of fifty Transports.
const MAX_DECISIONS: usize = 10_000;
/// Packets that were dropped this long ago still say that the way to the client is too narrow.
const DROPPING_FOR: Duration = Duration::from_secs(2);

impl Shard {
    /// Answers by one event.
    pub(crate) fn inspect(
        &mut self,
        now: Timestamp,
        key: RoomKey,
        query: u64,
        decisions_of: Option<ParticipantId>,
    ) -> Option<()> {
        let room = self.rooms.get(key.index())?;
        let mut view = ShardView {
            query,
            ..ShardView::default()
        };
        let mut decisions = 0;
        for key in room.transports.iter().take(MAX_TRANSPORTS) {
            let Some(entry) = self.transports.get(*key) else {
                continue;
            };
            let mut shown = transport_view(entry);
            let is_asked = decisions_of.is_none_or(|id| id == entry.participant);
            if is_asked && decisions + entry.decisions.len() <= MAX_DECISIONS {
                decisions += entry.decisions.len();
                shown.decisions.extend(entry.decisions.iter().copied());
            } else {
                view.truncated |= is_asked;
            }
            view.transports.push(shown);
            for key in &entry.subscriptions {
                if view.subscriptions.len() == MAX_SUBSCRIPTIONS {
                    view.truncated = true;
                    break;
                }
                view.subscriptions
                    .extend(self.subscription_view(now, entry, *key));
            }
        }
        for key in room.tracks.iter().take(MAX_TRACKS) {
            let Some(track) = self.tracks.get(key.index()) else {
                continue;
            };
            if let Some(entry) = self.transports.get(track.transport) {
                view.tracks.push(track_view(now, entry, track));
            }
        }
        view.truncated |= room.transports.len() > MAX_TRANSPORTS || room.tracks.len() > MAX_TRACKS;
        let handle = room.handle;
        self.events.push(handle, ShardEvent::View(Box::new(view)));
        Some(())
    }

    fn subscription_view(
        &self,
        now: Timestamp,
        entry: &TransportEntry,
        key: SubscriptionKey,
    ) -> Option<SubscriptionView> {
        let subscription: &Subscription = self.subscriptions.get(key.index())?;
        let track = self.tracks.get(subscription.track.index())?;
        let spatial = |place: Option<u8>| {
            let layer = track.layers.get(usize::from(place?))?;
            Some(layer.encoding.spatial)
        };
        Some(SubscriptionView {
            subscription: subscription.id,
            track: track.id,
            transport: entry.id,
            open: subscription.open,
            target: subscription.target,
            chosen: spatial(subscription.wanted),
            current: spatial(subscription.current),
            rate: subscription.meter.rate(),
            sent: subscription.meter.packets(),
            loss: subscription.loss,
            dropped: subscription.dropped,
            starved: subscription.afforded == Afforded::Nothing,
            dropping: subscription
                .dropped_at
                .is_some_and(|at| now.saturating_since(at) < DROPPING_FOR),
        })
    }
}

fn transport_view(entry: &TransportEntry) -> TransportView {
    TransportView {
        transport: entry.id,
        participant: entry.participant,
        connected: entry.connected,
        path: entry.transport.send_path(),
        srtp: entry.negotiated.map(|(srtp, _)| srtp),
        dtls: entry.negotiated.map(|(_, dtls)| dtls),
        link: LinkQuality {
            rtt: entry.rtt(),
            ..entry.link.last()
        },
        waiting: u32::try_from(entry.egress.len()).unwrap_or(u32::MAX),
        dropped: entry.dropped,
        decisions: Vec::new(),
    }
}

fn track_view(now: Timestamp, entry: &TransportEntry, track: &Track) -> TrackView {
    TrackView {
        track: track.id,
        transport: entry.id,
        muted: track.muted,
        layers: track
            .layers
            .iter()
            .map(|layer| layer_view(now, track, layer))
            .collect(),
    }
}

fn layer_view(now: Timestamp, track: &Track, layer: &Layer) -> LayerView {
    let (expected, received) = layer.reception.totals();
    let started = received > 0;
    LayerView {
        spatial: layer.encoding.spatial,
        codec: track.params.codecs.first().map(|codec| codec.codec),
        rid: layer.encoding.rid.clone(),
        ssrc: layer.ssrc,
        live: layer.live,
        rate: if layer.live {
            layer.meter.rate()
        } else {
            Rate::default()
        },
        frame_rates: layer.frame_rates.shown(),
        received,
        lost: expected.saturating_sub(received),
        since_packet: started.then(|| now.saturating_since(layer.last_packet())),
        since_key_frame: layer.key_frames.since_last(now),
        awaits_key_frame: layer.key_frames.is_awaited(),
    }
}

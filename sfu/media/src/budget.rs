//! How much may be sent to a client, and what that means for each of its videos.

use std::{cmp::Reverse, collections::BinaryHeap};

use plenum_types::{Budget, DecisionKind, LayerTarget, MediaKind, ShardEvent, Subject, Timestamp};
use smallvec::SmallVec;

use crate::{
    allocation::{Afforded, Share, allocate},
    keys::{SubscriptionKey, TransportKey},
    shard::Shard,
    track::Track,
};

/// A video whose share is reckoned.
#[derive(Debug)]
struct Video {
    key: SubscriptionKey,
    /// Spatial layers, in the order of the share's rates.
    layers: SmallVec<[u8; 3]>,
}

/// Memory that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Allocation {
    /// Who goes first: by what the subscriber said, then by who came first.
    order: Vec<(u8, usize, SubscriptionKey)>,
    videos: Vec<Video>,
    shares: Vec<Share>,
    steps: BinaryHeap<Reverse<(u64, usize, usize)>>,
}

impl Shard {
    pub(crate) fn set_budget(
        &mut self,
        now: Timestamp,
        key: TransportKey,
        budget: Option<Budget>,
    ) -> Option<()> {
        self.transports.get_mut(key)?.budget = budget;
        if budget.is_some() {
            self.share_budget(now, key);
            return Some(());
        }
        for place in 0.. {
            let Some(subscription) = self.subscription_at(key, place) else {
                break;
            };
            self.set_afforded(now, subscription, Afforded::All);
        }
        Some(())
    }

    fn subscription_at(&self, key: TransportKey, place: usize) -> Option<SubscriptionKey> {
        self.transports.get(key)?.subscriptions.get(place).copied()
    }

    /// Reckons anew what fits, by what was sent over the last second.
    pub(crate) fn share_budget(&mut self, now: Timestamp, key: TransportKey) {
        let Some(entry) = self.transports.get(key) else {
            return;
        };
        let Some(budget) = entry.budget else {
            return;
        };
        let mut work = std::mem::take(&mut self.scratch.allocation);
        work.videos.clear();
        work.shares.clear();
        work.order.clear();
        for (place, &key) in entry.subscriptions.iter().enumerate() {
            if let Some(subscription) = self.subscriptions.get(key.index()) {
                // 0, which is not said, comes after 255.
                let rank = subscription.target.priority.wrapping_sub(1);
                work.order.push((rank, place, key));
            }
        }
        work.order.sort_unstable();
        let mut sound = 0;
        for &(_, _, key) in &work.order {
            let Some((subscription, track)) = self
                .subscriptions
                .get(key.index())
                .and_then(|known| Some((known, self.tracks.get(known.track.index())?)))
            else {
                continue;
            };
            if !subscription.open || subscription.target.paused || track.muted {
                continue;
            }
            if subscription.kind == MediaKind::Audio {
                sound += subscription.meter.rate().bits;
                continue;
            }
            let (layers, rates) = choices(track, subscription.target);
            let fits = match subscription.afforded {
                Afforded::All => layers.len().checked_sub(1),
                Afforded::UpTo(spatial) => layers
                    .iter()
                    .rposition(|layer| *layer <= spatial)
                    .or_else(|| (!layers.is_empty()).then_some(0)),
                Afforded::Nothing => None,
            };
            work.videos.push(Video { key, layers });
            work.shares.push(Share {
                rates,
                fits,
                waited: subscription.waited,
            });
        }
        let bits = budget.bits.saturating_sub(sound);
        allocate(bits, budget.may_pause, &mut work.shares, &mut work.steps);
        for (video, share) in work.videos.iter().zip(&work.shares) {
            if let Some(subscription) = self.subscriptions.get_mut(video.key.index()) {
                subscription.waited = share.waited;
            }
            if share.rates.is_empty() {
                continue;
            }
            let layer = share.fits.and_then(|place| video.layers.get(place));
            let afforded = layer.map_or(Afforded::Nothing, |layer| Afforded::UpTo(*layer));
            self.set_afforded(now, video.key, afforded);
        }
        self.scratch.allocation = work;
    }

    fn set_afforded(&mut self, now: Timestamp, key: SubscriptionKey, afforded: Afforded) {
        let Some(subscription) = self.subscriptions.get_mut(key.index()) else {
            return;
        };
        let before = std::mem::replace(&mut subscription.afforded, afforded);
        if before == afforded {
            return;
        }
        let (id, room, transport) = (subscription.id, subscription.room, subscription.transport);
        let what = match afforded {
            Afforded::All => DecisionKind::Affords(Some(u8::MAX)),
            Afforded::UpTo(spatial) => DecisionKind::Affords(Some(spatial)),
            Afforded::Nothing => DecisionKind::Affords(None),
        };
        self.decide(now, transport, Subject::Subscription(id), what);
        let paused = afforded == Afforded::Nothing;
        if paused != (before == Afforded::Nothing) {
            let event = ShardEvent::StreamPaused {
                subscription: id,
                paused,
            };
            self.events.push(room, event);
        }
        self.retarget(now, key);
    }
}

/// The layers that may be sent for a target, smallest first, and how much each takes.
fn choices(track: &Track, target: LayerTarget) -> (SmallVec<[u8; 3]>, SmallVec<[u64; 3]>) {
    let mut live: SmallVec<[(u8, u64); 3]> = track
        .layers
        .iter()
        .filter(|layer| layer.live)
        .map(|layer| (layer.encoding.spatial, layer.meter.rate().bits))
        .collect();
    live.sort_unstable();
    let wanted = live
        .iter()
        .filter(|(spatial, _)| *spatial <= target.spatial)
        .count();
    // Where all are above the target, the lowest is sent.
    live.truncate(wanted.max(1));
    live.into_iter().unzip()
}

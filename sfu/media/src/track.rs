//! A published track: its layers and who subscribes.

use std::time::Duration;

use plenum_types::{
    Codec, LayerTarget, MediaKind, ParticipantId, PayloadType, ReceiverCodec, ReceiverParams, Rid,
    Ssrc, Timestamp, TrackId,
};
use slab::Slab;
use smallvec::SmallVec;

use crate::{
    history::HistoryBudget,
    keys::{RoomKey, SubscriptionKey, TransportKey},
    layer::Layer,
    speakers::Loudness,
    subscription::Subscription,
};

/// All layers of a track may pause together for this long; a still screen is refreshed each second.
const STILL: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) room: RoomKey,
    pub(crate) id: TrackId,
    pub(crate) transport: TransportKey,
    pub(crate) participant: ParticipantId,
    pub(crate) params: ReceiverParams,
    pub(crate) muted: bool,
    /// In the order of `params.encodings`.
    pub(crate) layers: SmallVec<[Layer; 3]>,
    pub(crate) subscribers: Vec<SubscriptionKey>,
    /// Lists of interested subscriptions must be made anew.
    pub(crate) interest_stale: bool,
    pub(crate) loudness: Loudness,
}

impl Track {
    pub(crate) fn new(
        room: RoomKey,
        id: TrackId,
        transport: TransportKey,
        participant: ParticipantId,
        params: ReceiverParams,
    ) -> Self {
        Self {
            room,
            id,
            transport,
            participant,
            muted: false,
            layers: params.encodings.iter().cloned().map(Layer::new).collect(),
            params,
            subscribers: Vec::new(),
            interest_stale: false,
            loudness: Loudness::default(),
        }
    }

    /// The section was negotiated anew. Layers keep their state by rid or place; what is gone gives its memory back.
    pub(crate) fn update(&mut self, params: ReceiverParams, budget: &mut HistoryBudget) {
        let mut old = std::mem::take(&mut self.layers);
        for encoding in &params.encodings {
            let place = old.iter().position(|layer| {
                layer.encoding.rid == encoding.rid && layer.encoding.spatial == encoding.spatial
            });
            let layer = match place {
                Some(place) => {
                    let mut layer = old.remove(place);
                    layer.encoding = encoding.clone();
                    layer
                }
                None => Layer::new(encoding.clone()),
            };
            self.layers.push(layer);
        }
        for mut layer in old {
            layer.history.release(budget);
        }
        self.params = params;
        self.interest_stale = true;
    }

    pub(crate) fn kind(&self) -> MediaKind {
        self.params.kind
    }

    pub(crate) fn codec_of(&self, payload_type: PayloadType) -> Option<&ReceiverCodec> {
        self.params
            .codecs
            .iter()
            .find(|codec| codec.payload_type == payload_type)
    }

    pub(crate) fn codec_of_rtx(&self, payload_type: PayloadType) -> Option<&ReceiverCodec> {
        self.params
            .codecs
            .iter()
            .find(|codec| codec.rtx == Some(payload_type))
    }

    /// Clock of its timestamps, Hz.
    pub(crate) fn clock_rate(&self) -> u32 {
        self.params
            .codecs
            .first()
            .map_or(Codec::Vp8, |codec| codec.codec)
            .clock_rate()
    }

    pub(crate) fn layer_of_rid(&self, rid: &[u8]) -> Option<u8> {
        self.layers
            .iter()
            .position(|layer| {
                layer
                    .encoding
                    .rid
                    .as_ref()
                    .is_some_and(|own: &Rid| own.as_str().as_bytes() == rid)
            })
            .map(|place| place as u8)
    }

    /// The layer to send for a target: the highest live one at or below, else the lowest live. `None` if none lives.
    pub(crate) fn choose(&self, target: LayerTarget) -> Option<u8> {
        let mut below: Option<(u8, u8)> = None;
        let mut lowest: Option<(u8, u8)> = None;
        for (place, layer) in self.layers.iter().enumerate() {
            if !layer.live {
                continue;
            }
            let spatial = layer.encoding.spatial;
            let candidate = (spatial, place as u8);
            if spatial <= target.spatial && below.is_none_or(|best| best.0 < spatial) {
                below = Some(candidate);
            }
            if lowest.is_none_or(|best| best.0 > spatial) {
                lowest = Some(candidate);
            }
        }
        below.or(lowest).map(|(_, place)| place)
    }

    /// The spatial layer at a place.
    pub(crate) fn spatial(&self, place: u8) -> u8 {
        self.layers
            .get(usize::from(place))
            .map_or(place, |layer| layer.encoding.spatial)
    }

    /// When its last packet came.
    pub(crate) fn last_packet(&self) -> Timestamp {
        self.layers
            .iter()
            .map(Layer::last_packet)
            .max()
            .unwrap_or_default()
    }

    /// Until when layers are measured for silence. A layer is dead while others live; where all pause together, as those
    /// of a still screen do between refreshes, there is nothing to switch to.
    pub(crate) fn silence_horizon(&self, now: Timestamp) -> Timestamp {
        if self.layers.len() == 1 {
            now
        } else {
            self.last_packet().max(now.saturating_sub(STILL))
        }
    }

    /// Tells each layer which subscriptions may want its packets.
    pub(crate) fn gather_interest(&mut self, subscriptions: &Slab<Subscription>) {
        self.interest_stale = false;
        for (place, layer) in self.layers.iter_mut().enumerate() {
            layer.interested.clear();
            layer.interested.extend(
                self.subscribers
                    .iter()
                    .filter(|key| {
                        subscriptions
                            .get(key.index())
                            .is_some_and(|subscription| subscription.wants_packets_of(place as u8))
                    })
                    .copied(),
            );
        }
    }

    /// SSRC for feedback about a layer.
    pub(crate) fn ssrc(&self, layer: u8) -> Option<Ssrc> {
        self.layers.get(usize::from(layer))?.ssrc
    }
}

//! News for rooms. State is coalesced per id, so what waits is bounded by what there is, however slow the reader.

use std::collections::VecDeque;

use hashbrown::{HashMap, hash_map::Entry};
use plenum_types::{
    DataChannel, ParticipantId, RoomHandle, RpcId, ShardEvent, ShardId, ShardToRoom,
    SubscriptionId, TrackId, TransportId,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    State(TransportId),
    Channel(TransportId, DataChannel),
    Layer(TrackId, u8),
    Started(SubscriptionId),
    Paused(SubscriptionId),
    Speakers,
    Progress(ParticipantId),
    Quality(TransportId),
    Overflow(TransportId),
    RpcAcknowledged(RpcId),
    RpcAnswered(RpcId),
    View,
}

fn subject(event: &ShardEvent) -> Subject {
    match event {
        ShardEvent::TransportState { transport, .. } => Subject::State(*transport),
        ShardEvent::DataChannelOpen { transport, channel } => {
            Subject::Channel(*transport, *channel)
        }
        ShardEvent::LayerLive { track, spatial } | ShardEvent::LayerSilent { track, spatial } => {
            Subject::Layer(*track, *spatial)
        }
        ShardEvent::SubscriptionStarted { subscription } => Subject::Started(*subscription),
        ShardEvent::StreamPaused { subscription, .. } => Subject::Paused(*subscription),
        ShardEvent::Speakers(_) => Subject::Speakers,
        ShardEvent::DataProgress { participant, .. } => Subject::Progress(*participant),
        ShardEvent::LinkQuality { transport, .. } => Subject::Quality(*transport),
        ShardEvent::View(_) => Subject::View,
        ShardEvent::DataOverflow { transport } => Subject::Overflow(*transport),
        ShardEvent::RpcAcknowledged { rpc } => Subject::RpcAcknowledged(*rpc),
        ShardEvent::RpcAnswered { rpc, .. } => Subject::RpcAnswered(*rpc),
    }
}

/// Events that wait for their rooms.
#[derive(Debug)]
pub(crate) struct Events {
    shard: ShardId,
    order: VecDeque<(RoomHandle, Subject)>,
    latest: HashMap<(RoomHandle, Subject), ShardEvent>,
}

impl Events {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            order: VecDeque::new(),
            latest: HashMap::new(),
        }
    }

    /// Replaces an event about the same thing that still waits; its place in the order stays.
    pub(crate) fn push(&mut self, room: RoomHandle, event: ShardEvent) {
        let key = (room, subject(&event));
        match self.latest.entry(key) {
            Entry::Vacant(place) => {
                self.order.push_back(key);
                place.insert(event);
            }
            Entry::Occupied(mut place) => match (place.get_mut(), event) {
                (ShardEvent::Speakers(old), ShardEvent::Speakers(new)) => {
                    for level in new {
                        match old.iter_mut().find(|known| known.track == level.track) {
                            Some(known) => *known = level,
                            None => old.push(level),
                        }
                    }
                }
                (old, new) => *old = new,
            },
        }
    }

    /// The oldest one.
    pub(crate) fn pop(&mut self) -> Option<ShardToRoom> {
        let key = self.order.pop_front()?;
        let event = self.latest.remove(&key)?;
        Some(ShardToRoom {
            room: key.0,
            shard: self.shard,
            event,
        })
    }

    /// A room is gone: nobody reads its events.
    pub(crate) fn forget(&mut self, room: RoomHandle) {
        self.order.retain(|key| key.0 != room);
        self.latest.retain(|key, _| key.0 != room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_types::SpeakerLevel;

    #[test]
    fn a_slow_reader_sees_the_latest_state_only() {
        let mut events = Events::new(ShardId(0));
        let room = RoomHandle(1);
        for n in 0..1_000 {
            events.push(
                room,
                ShardEvent::DataProgress {
                    participant: ParticipantId(7),
                    last_sequence: n,
                },
            );
            events.push(
                room,
                ShardEvent::Speakers(vec![SpeakerLevel {
                    track: TrackId(u64::from(n % 2)),
                    level: 0.5,
                    active: true,
                }]),
            );
        }
        let all: Vec<_> = std::iter::from_fn(|| events.pop())
            .map(|out| out.event)
            .collect();
        assert_eq!(all.len(), 2);
        assert_eq!(
            all[0],
            ShardEvent::DataProgress {
                participant: ParticipantId(7),
                last_sequence: 999
            }
        );
        assert!(matches!(&all[1], ShardEvent::Speakers(levels) if levels.len() == 2));
    }
}

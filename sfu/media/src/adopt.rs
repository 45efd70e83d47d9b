//! A participant that goes to another room takes its Transports along, with the tracks that it publishes.

use plenum_types::{FailureCause, RoomHandle, ShardEvent, TransportId, TransportState};

use crate::{
    keys::{RoomKey, TrackKey},
    shard::Shard,
};

impl Shard {
    /// Makes a Transport of the room `from` one of `room`. Its tracks keep what was learned of them (sources, layers,
    /// histories); what was forwarded to it and from it in the other room ends.
    pub(crate) fn adopt_transport(
        &mut self,
        room: RoomKey,
        from: RoomHandle,
        id: TransportId,
    ) -> Option<()> {
        let handle = self.rooms.get(room.index())?.handle;
        let found = self
            .room_keys
            .get(&from)
            .and_then(|old| Some((*old, self.transports.find(*old, id)?)));
        let Some((old, key)) = found else {
            // The room thinks that it is here: it must not wait for what never comes.
            self.events.push(
                handle,
                ShardEvent::TransportState {
                    transport: id,
                    state: TransportState::Failed(FailureCause::Closed),
                },
            );
            return None;
        };
        let entry = self.transports.get(key)?;
        let participant = entry.participant;
        let (tracks, subscriptions) = (entry.tracks.clone(), entry.subscriptions.clone());
        for subscription in subscriptions {
            self.remove_subscription(subscription);
        }
        for track in tracks {
            self.rehome_track(track, old, room);
        }
        self.transports.rehome(key, room, handle);
        let known = self.rooms.get_mut(old.index())?;
        known.transports.retain(|known| *known != key);
        let clock = known.clocks.remove(&participant);
        let known = self.rooms.get_mut(room.index())?;
        known.transports.push(key);
        if let Some(clock) = clock {
            known.clocks.insert(participant, clock);
        }
        Some(())
    }

    fn rehome_track(&mut self, key: TrackKey, old: RoomKey, room: RoomKey) {
        let Some(track) = self.tracks.get_mut(key.index()) else {
            return;
        };
        track.room = room;
        let id = track.id;
        for subscriber in std::mem::take(&mut track.subscribers) {
            self.remove_subscription(subscriber);
        }
        self.track_keys.remove(&(old, id));
        self.track_keys.insert((room, id), key);
        if let Some(known) = self.rooms.get_mut(old.index()) {
            known.tracks.retain(|known| *known != key);
        }
        if let Some(known) = self.rooms.get_mut(room.index()) {
            known.tracks.push(key);
        }
        self.mark_stale(key);
    }
}

//! Data messages between a Shard's Transports.

use std::rc::Rc;

use plenum_transport::DataError;
use plenum_types::{
    DataAudience, DataChannel, ParticipantId, ParticipantSid, RpcId, ShardEvent, Timestamp,
};

use super::{rate::spare, tracks::renumber};
use crate::{
    keys::{RoomKey, TransportKey},
    shard::Shard,
};

impl Shard {
    /// A message of a client.
    pub(crate) fn receive_data(
        &mut self,
        now: Timestamp,
        key: TransportKey,
        channel: DataChannel,
        message: &[u8],
    ) {
        let Some(entry) = self.transports.get(key) else {
            return;
        };
        let (room_key, handle, from) = (entry.room, entry.room_handle, entry.participant);
        let Some(room) = self.rooms.get_mut(room_key.index()) else {
            return;
        };
        let reliable = match channel {
            DataChannel::Reliable => true,
            DataChannel::Lossy => false,
            DataChannel::DataTrack => {
                return self.receive_data_track(now, room_key, from, message);
            }
        };
        let Ok(delivery) = room.data.route(from, message, reliable, now) else {
            self.stats.data_refused += 1;
            return;
        };
        if let Some(last_sequence) = delivery.progress {
            self.events.push(
                handle,
                ShardEvent::DataProgress {
                    participant: from,
                    last_sequence,
                },
            );
        }
        if let Some(event) = delivery.to_server {
            self.events.push(handle, event);
        }
        for to in delivery.to.iter() {
            if !delivery.within_rate && !self.has_spare_room(room_key, *to, channel) {
                self.stats.data_over_rate += 1;
                self.stats.data_refused += 1;
                continue;
            }
            self.deliver(now, room_key, *to, channel, &delivery.message);
        }
    }

    /// A packet of a data track.
    fn receive_data_track(
        &mut self,
        now: Timestamp,
        room_key: RoomKey,
        from: ParticipantId,
        packet: &[u8],
    ) {
        let Some(routed) = self
            .rooms
            .get_mut(room_key.index())
            .and_then(|room| room.data_tracks.route(from, packet, now))
        else {
            self.stats.data_refused += 1;
            return;
        };
        let mut packet = packet.to_vec();
        for (to, handle) in routed.to {
            renumber(&mut packet, handle);
            let has_room =
                routed.within_rate || self.has_spare_room(room_key, to, DataChannel::DataTrack);
            if !has_room {
                self.stats.data_over_rate += 1;
            }
            if has_room && self.send_track_packet(now, room_key, to, &packet) {
                self.stats.data_sent += 1;
            } else {
                self.stats.data_refused += 1;
            }
        }
    }

    /// Whether the receiver's channel took it. One that isn't open yet gets what comes later.
    fn send_track_packet(
        &mut self,
        now: Timestamp,
        room_key: RoomKey,
        to: ParticipantId,
        packet: &[u8],
    ) -> bool {
        let Some(key) = self
            .rooms
            .get(room_key.index())
            .and_then(|room| room.data.downlink(to))
            .and_then(|id| self.transports.find(room_key, id))
        else {
            return false;
        };
        let Some(entry) = self.transports.get_mut(key) else {
            return false;
        };
        let sent = entry
            .transport
            .send_data(DataChannel::DataTrack, packet, now);
        self.touched.push(key);
        sent.is_ok()
    }

    /// Calls a method of a participant for the server.
    pub(crate) fn send_rpc(
        &mut self,
        now: Timestamp,
        room: RoomKey,
        rpc: RpcId,
        request_id: String,
        to: ParticipantId,
        packet: Vec<u8>,
    ) {
        if let Some(known) = self.rooms.get_mut(room.index()) {
            known.data.rpcs.expect(rpc, request_id, to);
        }
        self.deliver(now, room, to, DataChannel::Reliable, &packet.into());
    }

    /// A message of the server itself.
    pub(crate) fn send_server_data(
        &mut self,
        now: Timestamp,
        room: RoomKey,
        audience: &DataAudience,
        channel: DataChannel,
        packet: Vec<u8>,
    ) {
        let Some(known) = self.rooms.get(room.index()) else {
            return;
        };
        let to = known.data.audience(audience);
        let message: Rc<[u8]> = packet.into();
        for participant in to.iter() {
            self.deliver(now, room, *participant, channel, &message);
        }
    }

    /// What a resumed participant has missed.
    pub(crate) fn replay_data(
        &mut self,
        now: Timestamp,
        room: RoomKey,
        participant: ParticipantId,
        have: &[(ParticipantSid, u32)],
    ) {
        let Some(known) = self.rooms.get(room.index()) else {
            return;
        };
        for message in known.data.missed(participant, have) {
            self.deliver(now, room, participant, DataChannel::Reliable, &message);
        }
    }

    /// A channel opened: what waited for it goes first.
    pub(crate) fn flush_waiting_data(
        &mut self,
        now: Timestamp,
        key: TransportKey,
        channel: DataChannel,
    ) {
        if channel != DataChannel::Reliable {
            return;
        }
        let Some(entry) = self.transports.get(key) else {
            return;
        };
        let (room_key, participant, id) = (entry.room, entry.participant, entry.id);
        let Some(room) = self.rooms.get(room_key.index()) else {
            return;
        };
        if room.data.downlink(participant) != Some(id) {
            return;
        }
        self.send_waiting(now, room_key, participant);
    }

    /// Receivers may have another downlink now.
    pub(crate) fn send_all_waiting(&mut self, now: Timestamp, room: RoomKey) {
        let receivers = self
            .rooms
            .get(room.index())
            .map(|room| room.data.waiting_receivers())
            .unwrap_or_default();
        for receiver in receivers {
            self.send_waiting(now, room, receiver);
        }
    }

    fn send_waiting(&mut self, now: Timestamp, room_key: RoomKey, participant: ParticipantId) {
        let Some(room) = self.rooms.get_mut(room_key.index()) else {
            return;
        };
        for message in room.data.take_waiting(participant) {
            self.deliver(now, room_key, participant, DataChannel::Reliable, &message);
        }
    }

    /// A receiver's channel is open and little waits on it.
    fn has_spare_room(&self, room: RoomKey, to: ParticipantId, channel: DataChannel) -> bool {
        self.rooms
            .get(room.index())
            .filter(|room| !room.data.is_waiting(to))
            .and_then(|room| room.data.downlink(to))
            .and_then(|id| self.transports.find(room, id))
            .and_then(|key| self.transports.get(key))
            .is_some_and(|entry| entry.transport.data_waiting(channel) <= spare(channel))
    }

    fn deliver(
        &mut self,
        now: Timestamp,
        room_key: RoomKey,
        to: ParticipantId,
        channel: DataChannel,
        message: &Rc<[u8]>,
    ) {
        let Some(room) = self.rooms.get_mut(room_key.index()) else {
            return;
        };
        let reliable = channel == DataChannel::Reliable;
        let downlink = room
            .data
            .downlink(to)
            .and_then(|id| self.transports.find(room_key, id));
        let sent = match downlink.and_then(|key| self.transports.get_mut(key)) {
            Some(entry) if !(reliable && room.data.is_waiting(to)) => {
                entry.transport.send_data(channel, message, now)
            }
            _ => Err(DataError::NotOpen),
        };
        let taken = match sent {
            Ok(()) => true,
            Err(DataError::NotOpen) => reliable && room.data.wait(to, message),
            Err(DataError::TooLong { .. } | DataError::Overflow) => false,
        };
        if taken {
            self.stats.data_sent += 1;
        } else {
            self.stats.data_refused += 1;
        }
        // Its datagrams and news are taken when the whole batch is done.
        if let Some(key) = downlink {
            self.touched.push(key);
        }
    }
}

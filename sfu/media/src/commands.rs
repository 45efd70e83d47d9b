//! What rooms want.

use plenum_transport::{Transport, TransportConfig};
use plenum_types::{
    DecisionKind, IceCredentials, KeyFrameReason, LayerTarget, ParticipantId, ReceiverParams,
    RemoteParams, RoomHandle, SenderParams, ShardCommand, Sink, Subject, SubscriptionId, Timestamp,
    TrackId, TransportId, TransportParams,
};

use crate::{
    allocation::Afforded,
    keys::{RoomKey, SubscriptionKey, TrackKey, TransportKey},
    rooms::Room,
    shard::Shard,
    subscription::{Retired, Subscription},
    track::Track,
    transports::{ExtensionTable, Incoming, MAX_RETIRED},
};

impl Shard {
    pub(crate) fn apply(&mut self, now: Timestamp, handle: RoomHandle, command: ShardCommand) {
        let room = match &command {
            ShardCommand::OpenTransport(_)
            | ShardCommand::SetDataPolicy(_)
            | ShardCommand::AdoptTransport { .. } => self.room(handle),
            _ => match self.room_keys.get(&handle) {
                Some(room) => *room,
                None => {
                    self.stats.commands_ignored += 1;
                    return;
                }
            },
        };
        let known = match command {
            ShardCommand::OpenTransport(params) => self.open_transport(now, room, params),
            ShardCommand::ConnectTransport { transport, remote } => {
                self.connect_transport(now, room, transport, &remote)
            }
            ShardCommand::RestartIce {
                transport, local, ..
            } => self.restart_ice(now, room, transport, local),
            ShardCommand::CloseTransport { transport } => self
                .transports
                .find(room, transport)
                .map(|key| self.close_transport(key)),
            ShardCommand::AddTrack {
                track,
                transport,
                participant,
                receiver,
            } => self.add_track(room, track, transport, participant, receiver),
            ShardCommand::UpdateTrack { track, receiver } => self
                .track_keys
                .get(&(room, track))
                .copied()
                .map(|key| self.update_track(now, key, receiver)),
            ShardCommand::SetTrackMuted { track, muted } => self
                .track_keys
                .get(&(room, track))
                .copied()
                .map(|key| self.set_muted(now, key, muted)),
            ShardCommand::RemoveTrack { track } => self
                .track_keys
                .get(&(room, track))
                .copied()
                .map(|key| self.remove_track(key)),
            ShardCommand::AddSubscription {
                subscription,
                track,
                sink: Sink::Transport(transport),
                sender,
                target,
            } => self.add_subscription(now, room, subscription, track, transport, sender, target),
            ShardCommand::SetSubscriptionTarget {
                subscription,
                target,
            } => self
                .subscription_keys
                .get(&(room, subscription))
                .copied()
                .map(|key| {
                    self.set_target(now, key, target);
                }),
            ShardCommand::UpdateSubscription {
                subscription,
                sender,
            } => self
                .subscription_keys
                .get(&(room, subscription))
                .copied()
                .and_then(|key| self.update_subscription(key, sender)),
            ShardCommand::RemoveSubscription { subscription } => self
                .subscription_keys
                .get(&(room, subscription))
                .copied()
                .map(|key| self.remove_subscription(key)),
            ShardCommand::SetBudget { transport, budget } => self
                .transports
                .find(room, transport)
                .and_then(|key| self.set_budget(now, key, budget)),
            ShardCommand::SetDataPolicy(policy) => {
                if let Some(known) = self.rooms.get_mut(room.index()) {
                    known.data.set_policy(policy);
                }
                self.send_all_waiting(now, room);
                Some(())
            }
            ShardCommand::SendData {
                audience,
                channel,
                packet,
            } => {
                self.send_server_data(now, room, &audience, channel, packet);
                Some(())
            }
            ShardCommand::ReplayData { participant, have } => {
                self.replay_data(now, room, participant, &have);
                Some(())
            }
            ShardCommand::SendRpc {
                rpc,
                request_id,
                to,
                packet,
            } => {
                self.send_rpc(now, room, rpc, request_id, to, packet);
                Some(())
            }
            ShardCommand::ForgetRpc { rpc } => self
                .rooms
                .get_mut(room.index())
                .map(|known| known.data.rpcs.forget(rpc)),
            ShardCommand::SetDataTrack {
                publisher,
                handle,
                subscribers,
            } => self
                .rooms
                .get_mut(room.index())
                .map(|known| known.data_tracks.set(publisher, handle, subscribers)),
            ShardCommand::RemoveDataTrack { publisher, handle } => self
                .rooms
                .get_mut(room.index())
                .map(|known| known.data_tracks.remove(publisher, handle)),
            ShardCommand::AdoptTransport { from, transport } => {
                self.adopt_transport(room, from, transport)
            }
            ShardCommand::Inspect {
                query,
                decisions_of,
            } => self.inspect(now, room, query, decisions_of),
            ShardCommand::CloseRoom => {
                self.close_room(room);
                Some(())
            }
            _ => None,
        };
        if known.is_none() {
            self.stats.commands_ignored += 1;
        }
    }

    fn room(&mut self, handle: RoomHandle) -> RoomKey {
        if let Some(key) = self.room_keys.get(&handle) {
            return *key;
        }
        let key = RoomKey::from_index(self.rooms.insert(Room::new(handle)));
        self.room_keys.insert(handle, key);
        key
    }

    fn open_transport(
        &mut self,
        now: Timestamp,
        room: RoomKey,
        params: TransportParams,
    ) -> Option<()> {
        let handle = self.rooms.get(room.index())?.handle;
        if self.transports.find(room, params.transport).is_some()
            || self.transports.entries.len() >= self.config.budgets.transports
        {
            return None;
        }
        let ufrag = params.local.ufrag.clone();
        let transport = Transport::new(TransportConfig {
            local: params.local,
            certificate: self.config.certificate.clone(),
            epoch: self.config.epoch,
        });
        let key = self.transports.insert(
            (room, handle),
            params.transport,
            params.participant,
            transport,
            now,
        );
        self.transports.add_ufrag(key, ufrag);
        self.rooms.get_mut(room.index())?.transports.push(key);
        self.pump(now, key);
        Some(())
    }

    fn connect_transport(
        &mut self,
        now: Timestamp,
        room: RoomKey,
        id: TransportId,
        remote: &RemoteParams,
    ) -> Option<()> {
        let key = self.transports.find(room, id)?;
        self.transports.get_mut(key)?.transport.connect(remote, now);
        self.pump(now, key);
        Some(())
    }

    fn restart_ice(
        &mut self,
        now: Timestamp,
        room: RoomKey,
        id: TransportId,
        local: IceCredentials,
    ) -> Option<()> {
        let key = self.transports.find(room, id)?;
        self.transports.add_ufrag(key, local.ufrag.clone());
        self.transports
            .get_mut(key)?
            .transport
            .restart_ice(local, now);
        self.pump(now, key);
        Some(())
    }

    fn close_transport(&mut self, key: TransportKey) {
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        let tracks = std::mem::take(&mut entry.tracks);
        let subscriptions = std::mem::take(&mut entry.subscriptions);
        entry.transport.close();
        self.send_control(key);
        for track in tracks {
            self.remove_track(track);
        }
        for subscription in subscriptions {
            self.remove_subscription(subscription);
        }
        if let Some(entry) = self.transports.remove(key)
            && let Some(room) = self.rooms.get_mut(entry.room.index())
        {
            room.transports.retain(|known| *known != key);
        }
        self.ready.retain(|known| *known != key);
    }

    fn close_room(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get(key.index()) else {
            return;
        };
        let handle = room.handle;
        for transport in room.transports.clone() {
            self.close_transport(transport);
        }
        self.rooms.try_remove(key.index());
        self.room_keys.remove(&handle);
        self.events.forget(handle);
    }

    fn add_track(
        &mut self,
        room: RoomKey,
        id: TrackId,
        transport: TransportId,
        participant: ParticipantId,
        params: ReceiverParams,
    ) -> Option<()> {
        let transport = self.transports.find(room, transport)?;
        if self.track_keys.contains_key(&(room, id))
            || self.transports.get(transport)?.tracks.len()
                >= self.config.budgets.tracks_per_transport
        {
            return None;
        }
        let key = TrackKey::from_index(self.tracks.insert(Track::new(
            room,
            id,
            transport,
            participant,
            params,
        )));
        self.track_keys.insert((room, id), key);
        let entry = self.transports.get_mut(transport)?;
        entry.tracks.push(key);
        entry.decisions.reserve();
        self.rooms.get_mut(room.index())?.tracks.push(key);
        self.learn_section(key);
        Some(())
    }

    /// Takes SSRCs and extension ids of a track's section into its Transport's tables.
    fn learn_section(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.get(key.index()) else {
            return;
        };
        let Some(entry) = self.transports.get_mut(track.transport) else {
            return;
        };
        let max_incoming = self.config.budgets.max_incoming();
        entry
            .extensions
            .get_or_insert_with(ExtensionTable::default)
            .add(&track.params.extensions);
        for (place, layer) in track.layers.iter().enumerate() {
            let known = [
                (layer.encoding.ssrc.or(layer.ssrc), false),
                (layer.encoding.rtx_ssrc, true),
            ];
            for (ssrc, retransmission) in known {
                // Another section's SSRC stays its own.
                if let Some(ssrc) = ssrc
                    && !entry.incoming.contains_key(&ssrc.0)
                    && entry.incoming.len() < max_incoming
                {
                    entry.incoming.insert(
                        ssrc.0,
                        Incoming {
                            track: key,
                            layer: place as u8,
                            retransmission,
                        },
                    );
                }
            }
        }
    }

    fn update_track(&mut self, now: Timestamp, key: TrackKey, params: ReceiverParams) {
        let Some(track) = self.tracks.get_mut(key.index()) else {
            return;
        };
        if track.params == params {
            return;
        }
        let moved = track
            .params
            .encodings
            .iter()
            .map(|encoding| (&encoding.rid, encoding.spatial))
            .ne(params
                .encodings
                .iter()
                .map(|encoding| (&encoding.rid, encoding.spatial)));
        track.update(params, &mut self.history_budget);
        let (transport, subscribers) = (track.transport, track.subscribers.clone());
        // Otherwise what was learned stays: clients name their sources only in the first packets.
        if moved && let Some(entry) = self.transports.get_mut(transport) {
            entry.incoming.retain(|_, source| source.track != key);
        }
        self.learn_section(key);
        for subscriber in subscribers {
            if moved && let Some(subscription) = self.subscriptions.get_mut(subscriber.index()) {
                subscription.forget_layers();
            }
            self.retarget(now, subscriber);
        }
        self.stale.push(key);
    }

    fn set_muted(&mut self, now: Timestamp, key: TrackKey, muted: bool) {
        let Some(track) = self.tracks.get_mut(key.index()) else {
            return;
        };
        if track.muted == muted {
            return;
        }
        track.muted = muted;
        let (transport, about) = (track.transport, Subject::Track(track.id));
        let what = if muted {
            DecisionKind::Paused
        } else {
            DecisionKind::Resumed
        };
        self.decide(now, transport, about, what);
        let Some(track) = self.tracks.get(key.index()) else {
            return;
        };
        for subscriber in track.subscribers.clone() {
            self.retarget(now, subscriber);
        }
    }

    pub(crate) fn remove_track(&mut self, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key.index()) else {
            return;
        };
        for subscriber in std::mem::take(&mut track.subscribers) {
            self.remove_subscription(subscriber);
        }
        let Some(mut track) = self.tracks.try_remove(key.index()) else {
            return;
        };
        for layer in &mut track.layers {
            layer.history.release(&mut self.history_budget);
        }
        self.track_keys.remove(&(track.room, track.id));
        if let Some(room) = self.rooms.get_mut(track.room.index()) {
            room.tracks.retain(|known| *known != key);
        }
        if let Some(entry) = self.transports.get_mut(track.transport) {
            entry.tracks.retain(|known| *known != key);
            entry.incoming.retain(|_, source| source.track != key);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one field of the command each")]
    fn add_subscription(
        &mut self,
        now: Timestamp,
        room: RoomKey,
        id: SubscriptionId,
        track: TrackId,
        transport: TransportId,
        params: SenderParams,
        target: LayerTarget,
    ) -> Option<()> {
        let transport = self.transports.find(room, transport)?;
        let track = *self.track_keys.get(&(room, track))?;
        let entry = self.transports.entries.get_mut(transport.index())?;
        if self.subscription_keys.contains_key(&(room, id))
            || entry.outgoing.contains_key(&params.ssrc.0)
            || entry.subscriptions.len() >= self.config.budgets.subscriptions_per_transport
            || entry.retired.len() >= MAX_RETIRED
        {
            return None;
        }
        let (ssrc, rtx_ssrc) = (params.ssrc, params.rtx_ssrc);
        let mut subscription =
            Subscription::new(entry.room_handle, id, track, transport, params, target);
        subscription.open = entry.connected;
        if entry.budget.is_some() {
            // More comes when it is known to fit.
            subscription.afforded = Afforded::UpTo(0);
        }
        subscription.continue_from(
            entry.retired.remove(&ssrc.0),
            rtx_ssrc.and_then(|ssrc| entry.retired.remove(&ssrc.0)),
        );
        let key = SubscriptionKey::from_index(self.subscriptions.insert(subscription));
        self.subscription_keys.insert((room, id), key);
        entry.decisions.reserve();
        entry.subscriptions.push(key);
        entry.outgoing.insert(ssrc.0, key);
        self.tracks.get_mut(track.index())?.subscribers.push(key);
        self.retarget(now, key);
        Some(())
    }

    /// The section was negotiated anew. Retransmissions may come or go with it; under each SSRC numbers go on.
    fn update_subscription(&mut self, key: SubscriptionKey, params: SenderParams) -> Option<()> {
        let known = self.subscriptions.get_mut(key.index())?;
        let entry = self.transports.get_mut(known.transport)?;
        if known.params.ssrc != params.ssrc {
            return None;
        }
        let (before, after) = (known.params.rtx_ssrc, params.rtx_ssrc);
        if before != after {
            if entry.retired.len() >= MAX_RETIRED {
                return None;
            }
            if let Some(before) = before {
                entry
                    .retired
                    .insert(before.0, Retired::repair(known.rtx_next));
            }
            known.restart_rtx(after.and_then(|after| entry.retired.remove(&after.0)));
        }
        known.set_params(params);
        Some(())
    }

    pub(crate) fn remove_subscription(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.try_remove(key.index()) else {
            return;
        };
        if let Some(entry) = self.transports.get_mut(subscription.transport) {
            entry.subscriptions.retain(|known| *known != key);
            entry.outgoing.remove(&subscription.params.ssrc.0);
            entry
                .retired
                .insert(subscription.params.ssrc.0, subscription.retire());
            if let Some(ssrc) = subscription.params.rtx_ssrc {
                let retired = Retired::repair(subscription.rtx_next);
                entry.retired.insert(ssrc.0, retired);
            }
            entry.egress.forget(key);
            let room = entry.room;
            self.subscription_keys.remove(&(room, subscription.id));
        }
        if let Some(track) = self.tracks.get_mut(subscription.track.index()) {
            track.subscribers.retain(|known| *known != key);
            for layer in &mut track.layers {
                layer.interested.retain(|known| *known != key);
            }
        }
    }

    fn set_target(&mut self, now: Timestamp, key: SubscriptionKey, target: LayerTarget) {
        let Some(known) = self.subscriptions.get_mut(key.index()) else {
            return;
        };
        let before = std::mem::replace(&mut known.target, target);
        let (transport, about) = (known.transport, Subject::Subscription(known.id));
        let what = match (before.paused, target.paused) {
            (false, true) => DecisionKind::Paused,
            (true, false) => DecisionKind::Resumed,
            _ => DecisionKind::Targeted {
                spatial: target.spatial,
                temporal: target.temporal,
                fps: target.fps,
            },
        };
        self.decide(now, transport, about, what);
        self.retarget(now, key);
    }

    /// Chooses a subscription's layer anew; asks for a key frame if it needs one.
    pub(crate) fn retarget(&mut self, now: Timestamp, key: SubscriptionKey) {
        self.retarget_before(now, key, None);
    }

    /// The same, while a key frame of the layer `arriving` is about to be forwarded.
    pub(crate) fn retarget_before(
        &mut self,
        now: Timestamp,
        key: SubscriptionKey,
        arriving: Option<u8>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(key.index()) else {
            return;
        };
        let track_key = subscription.track;
        let Some(track) = self.tracks.get(track_key.index()) else {
            return;
        };
        let target = subscription.limited_target();
        let wanted = if target.paused || track.muted || !subscription.open {
            None
        } else {
            // While no layer lives, what was sent before may go on.
            track.choose(target).or(subscription.wanted)
        };
        let is_news = wanted.is_some() && wanted != subscription.wanted;
        let needs_key_frame = subscription.want(wanted);
        let (transport, about) = (
            subscription.transport,
            Subject::Subscription(subscription.id),
        );
        if let Some(layer) = wanted.filter(|_| is_news) {
            let spatial = track.spatial(layer);
            self.decide(now, transport, about, DecisionKind::Chose(spatial));
        }
        self.mark_stale(track_key);
        if needs_key_frame
            && wanted != arriving
            && let Some(layer) = wanted
        {
            self.request_key_frame(now, track_key, layer, KeyFrameReason::Layer);
        }
    }
}

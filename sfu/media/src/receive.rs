//! What comes from clients: finding the Transport, and its news.

use plenum_transport::{
    DatagramKind, MAX_TRANSMIT, StunOutcome, TransportEvent, classify, ufrag_of,
};
use plenum_types::{DecisionKind, Path, ShardEvent, Subject, Timestamp, TransportState};

use crate::{keys::TransportKey, shard::Shard};

impl Shard {
    pub(crate) fn receive(&mut self, now: Timestamp, path: Path, datagram: &mut [u8]) {
        let kind = classify(datagram);
        let key = match kind {
            DatagramKind::Stun => ufrag_of(datagram)
                .and_then(|ufrag| self.transports.by_ufrag.get(ufrag))
                .or_else(|| self.transports.by_path.get(&path)),
            DatagramKind::Dtls | DatagramKind::Rtp | DatagramKind::Rtcp => {
                self.transports.by_path.get(&path)
            }
            DatagramKind::Unknown => None,
        };
        let Some(key) = key.copied() else {
            self.stats.unknown_datagrams += 1;
            return;
        };
        if kind == DatagramKind::Stun && self.transports.is_contested(key, path, now) {
            self.stats.contested_paths += 1;
            return;
        }
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        match kind {
            DatagramKind::Rtp => match entry.transport.open_rtp(path, datagram) {
                Ok(opened) => {
                    self.stats.rtp_received += 1;
                    self.stats.rtp_received_bytes += datagram.len() as u64;
                    let plain = datagram.get(..opened.len).unwrap_or_default();
                    self.receive_rtp(now, key, plain);
                }
                Err(_) => self.stats.unopened += 1,
            },
            DatagramKind::Rtcp => match entry.transport.open_rtcp(path, datagram) {
                Ok(len) => {
                    self.stats.rtcp_received += 1;
                    let plain = datagram.get(..len).unwrap_or_default();
                    self.receive_rtcp(now, key, plain);
                }
                Err(_) => self.stats.unopened += 1,
            },
            DatagramKind::Stun => {
                let outcome = entry.transport.handle_stun(path, datagram, now);
                self.pump(now, key);
                // Another Transport may have had it in the meantime.
                if outcome == StunOutcome::Valid {
                    self.transports.add_path(key, path);
                }
            }
            DatagramKind::Dtls => {
                entry.transport.handle_dtls(path, datagram, now);
                self.pump(now, key);
            }
            DatagramKind::Unknown => {}
        }
    }

    /// After a call that may have changed a Transport: takes its news and datagrams, sets its timer.
    pub(crate) fn pump(&mut self, now: Timestamp, key: TransportKey) {
        loop {
            let Some(entry) = self.transports.get_mut(key) else {
                return;
            };
            let Some(event) = entry.transport.poll_event() else {
                break;
            };
            self.on_transport_event(now, key, event);
        }
        self.send_control(key);
        self.transports.arm(key);
    }

    /// Moves a Transport's own datagrams to the outbox.
    pub(crate) fn send_control(&mut self, key: TransportKey) {
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        while self
            .outbox
            .write(MAX_TRANSMIT, |buffer| entry.transport.poll_transmit(buffer))
        {}
    }

    fn on_transport_event(&mut self, now: Timestamp, key: TransportKey, event: TransportEvent) {
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        let (room, id) = (entry.room_handle, entry.id);
        let state = match event {
            TransportEvent::Connected { srtp, dtls } => {
                if entry.negotiated.replace((srtp, dtls)).is_none() {
                    self.stats.handshakes.add(srtp, dtls);
                }
                if !std::mem::replace(&mut entry.connected, true) {
                    self.open_subscriptions(now, key);
                }
                self.decide(now, key, Subject::Transport, DecisionKind::Connected);
                TransportState::Connected { srtp, dtls }
            }
            TransportEvent::Disconnected => {
                self.decide(now, key, Subject::Transport, DecisionKind::Disconnected);
                TransportState::Disconnected
            }
            TransportEvent::Failed(cause) => {
                self.silence(key);
                self.decide(now, key, Subject::Transport, DecisionKind::Failed(cause));
                TransportState::Failed(cause)
            }
            TransportEvent::PathAdded(path) => return self.transports.add_path(key, path),
            TransportEvent::PathRemoved(path) => return self.transports.remove_path(key, path),
            TransportEvent::PathChanged(_) => {
                return self.decide(now, key, Subject::Transport, DecisionKind::PathChanged);
            }
            TransportEvent::UfragRetired(ufrag) => {
                return self.transports.remove_ufrag(key, &ufrag);
            }
            TransportEvent::ChannelOpen(channel) => {
                self.events.push(
                    room,
                    ShardEvent::DataChannelOpen {
                        transport: id,
                        channel,
                    },
                );
                return self.flush_waiting_data(now, key, channel);
            }
            TransportEvent::Data { channel, payload } => {
                return self.receive_data(now, key, channel, &payload);
            }
            TransportEvent::DataOverflow => {
                return self
                    .events
                    .push(room, ShardEvent::DataOverflow { transport: id });
            }
        };
        self.events.push(
            room,
            ShardEvent::TransportState {
                transport: id,
                state,
            },
        );
    }

    /// Subscriptions of a Transport may send from now on.
    fn open_subscriptions(&mut self, now: Timestamp, key: TransportKey) {
        let subscriptions = self
            .transports
            .get(key)
            .map(|entry| entry.subscriptions.clone())
            .unwrap_or_default();
        for key in subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(key.index()) {
                subscription.open = true;
            }
            self.retarget(now, key);
        }
    }

    /// A Transport failed: nothing is sent to it any more.
    fn silence(&mut self, key: TransportKey) {
        let Some(entry) = self.transports.get_mut(key) else {
            return;
        };
        entry.connected = false;
        for subscription in entry.subscriptions.clone() {
            if let Some(known) = self.subscriptions.get_mut(subscription.index()) {
                known.open = false;
                known.want(None);
                let track = known.track;
                self.mark_stale(track);
            }
        }
    }
}

//! What Shards report.

use livekit_protocol::DisconnectReason;
use plenum_types::{FailureCause, ShardEvent, ShardId, TransportId, TransportState};

use crate::{JoinStep, Room, RoomOutput, participant::Phase, timers::TimerKind};

impl Room {
    pub(crate) fn shard_event(&mut self, shard: ShardId, event: ShardEvent) {
        match event {
            ShardEvent::TransportState { transport, state } => {
                if !self.is_on(transport, shard) {
                    return;
                }
                match state {
                    TransportState::Connected { .. } => self.transport_connected(transport),
                    // The client sees it too, and restarts ICE.
                    TransportState::Disconnected => {}
                    TransportState::Failed(cause) => self.transport_failed(transport, cause),
                }
            }
            ShardEvent::SubscriptionStarted { subscription } => {
                self.subscription_started(subscription);
            }
            ShardEvent::StreamPaused {
                subscription,
                paused,
            } => self.stream_paused(subscription, paused),
            ShardEvent::Speakers(levels) => self.speakers_changed(&levels),
            ShardEvent::DataProgress {
                participant,
                last_sequence,
            } => {
                if let Some(participant) = self.participants.get_mut(&participant) {
                    participant.last_data_sequence = last_sequence;
                }
            }
            ShardEvent::LinkQuality { transport, quality } => {
                if let Some(participant) = self
                    .by_transport
                    .get(&transport)
                    .and_then(|id| self.participants.get_mut(id))
                {
                    participant.link.insert(transport, quality);
                }
            }
            ShardEvent::View(view) => self.shard_view(shard, *view),
            ShardEvent::DataOverflow { transport } => {
                if self.is_on(transport, shard)
                    && let Some(&id) = self.by_transport.get(&transport)
                {
                    self.lose(id, DisconnectReason::StateMismatch);
                }
            }
            ShardEvent::RpcAcknowledged { rpc } => self.rpc_acknowledged(rpc),
            ShardEvent::RpcAnswered { rpc, answer } => self.rpc_answered(rpc, answer),
            ShardEvent::LayerLive { track, .. } => self.source_live(track),
            // Layers concern the Shard, which picks among them; channels are the client's to open.
            ShardEvent::LayerSilent { .. } | ShardEvent::DataChannelOpen { .. } => {}
        }
    }

    fn is_on(&self, transport: TransportId, shard: ShardId) -> bool {
        self.by_transport
            .get(&transport)
            .and_then(|id| self.participants.get(id))
            .is_some_and(|participant| participant.shard == shard)
    }

    fn transport_connected(&mut self, transport: TransportId) {
        let Some(&id) = self.by_transport.get(&transport) else {
            return;
        };
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        participant.media_since.get_or_insert(now);
        let becomes_active = participant.peer.primary() == Some(transport);
        if let Phase::Joined(connection) = participant.phase
            && becomes_active
        {
            participant.phase = Phase::Active(connection);
            participant.was_active = true;
            let after = self.now.saturating_since(participant.joined);
            let sid = participant.sid.clone();
            let identity = participant.identity().clone();
            self.timers.clear(TimerKind::Join(id));
            self.participant_changed(id);
            self.push(RoomOutput::JoinStep {
                step: JoinStep::Connected,
                after,
            });
            self.push(RoomOutput::ParticipantActive { sid, identity });
        }
    }

    /// A failed Transport is gone from its Shard: the session can't go on, its client starts over.
    fn transport_failed(&mut self, transport: TransportId, cause: FailureCause) {
        let Some(&id) = self.by_transport.get(&transport) else {
            return;
        };
        if let Some(participant) = self.participants.get(&id) {
            tracing::info!(
                participant = %participant.identity(),
                participant_sid = %participant.sid,
                ?cause,
                "transport failed"
            );
        }
        match cause {
            FailureCause::IceTimeout | FailureCause::Dtls => self.media_failed(id),
            FailureCause::MediaTimeout => self.media_cut(id),
            FailureCause::Fingerprint | FailureCause::Closed => {}
        }
        match cause {
            FailureCause::Closed => self.media_closed(id),
            FailureCause::IceTimeout => self.lose(id, DisconnectReason::ConnectionTimeout),
            FailureCause::MediaTimeout | FailureCause::Dtls | FailureCause::Fingerprint => {
                self.lose(id, DisconnectReason::MediaFailure);
            }
        }
    }
}

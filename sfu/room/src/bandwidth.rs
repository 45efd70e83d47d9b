//! How much a subscriber can take: what a client asks to simulate of it, and what it is told of pictures that don't fit.

use livekit_protocol::{self as proto, StreamState, signal_response::Message};
use plenum_types::{Budget, ParticipantId, ShardCommand, SubscriptionId};

use crate::Room;

impl Room {
    /// `bits` a second at most are sent to this client from now on; 0 or less ends it (protocol.md 9.5).
    pub(crate) fn simulate_bandwidth(&mut self, id: ParticipantId, bits: i64) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let Some(transport) = participant.peer.downlink() else {
            return;
        };
        let shard = participant.shard;
        let budget = u64::try_from(bits)
            .ok()
            .filter(|bits| *bits > 0)
            .map(|bits| Budget {
                bits,
                may_pause: participant.settings.allow_pause,
            });
        self.command(shard, ShardCommand::SetBudget { transport, budget });
    }

    /// A subscriber's picture stops, or goes on, by its bandwidth: it shows that otherwise than a fault.
    pub(crate) fn stream_paused(&mut self, subscription: SubscriptionId, paused: bool) {
        let Some(subscription) = self.subscriptions.get(&subscription) else {
            return;
        };
        let Some(track) = self.tracks.get(&subscription.track) else {
            return;
        };
        let Some(publisher) = self.participants.get(&track.publisher) else {
            return;
        };
        let state = if paused {
            StreamState::Paused
        } else {
            StreamState::Active
        };
        let (to, info) = (
            subscription.subscriber,
            proto::StreamStateInfo {
                participant_sid: publisher.sid.to_string(),
                track_sid: track.sid.to_string(),
                state: state as i32,
            },
        );
        self.send(
            to,
            Message::StreamStateUpdate(proto::StreamStateUpdate {
                stream_states: vec![info],
            }),
        );
    }
}

//! Offers and answers: what `plenum-negotiation` decides is told to the Shard first, then to the client.
//!
//! A v1 client always offers; all we can do is ask it to (`media_sections_requirement`). Of a v0 client's two connections
//! it offers on one and we on the other.

use std::time::Duration;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_negotiation::{IceRestart, Sending};
use plenum_types::{
    Mid, ParticipantId, RemoteParams, ShardCommand, ShardId, TrackSid, TransportId,
};

use crate::{Room, participant::Peer, timers::TimerKind};

/// Changes that come together go out together.
const FIRST_DEBOUNCE: Duration = Duration::from_millis(10);
/// Clients are not asked more often than this.
const BUSY_DEBOUNCE: Duration = Duration::from_millis(150);
/// A v1 client offers all its sections anew each time, so the more it has, the longer it is left alone: a call of 100
/// tracks is renewed twice a second at most.
const DEBOUNCE_PER_SUBSCRIPTION: Duration = Duration::from_millis(3);
/// A client that leaves an offer without an answer for this long is told to start over.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

impl Room {
    /// The client offers. Every offer is answered, in order, at once.
    pub(crate) fn client_offer(&mut self, id: ParticipantId, offer: &proto::SessionDescription) {
        self.open_publisher(id);
        if offer.sdp.len() > self.config.limits.sdp_bytes {
            return self.negotiation_failed(id, "the offer is longer than the limit");
        }
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let shard = participant.shard;
        let Some(leg) = participant.peer.answerer() else {
            return;
        };
        let transport = leg.transport;
        let outcome = match leg.negotiation.accept_offer(&offer.sdp, offer.id) {
            Ok(outcome) => outcome,
            Err(error) => return self.negotiation_failed(id, &error.to_string()),
        };
        self.connect(shard, transport, outcome.remote, outcome.ice_restart);
        self.sections_removed(id, &outcome.removed);
        self.sections_changed(id, outcome.changed);
        self.sections_added(id, outcome.added);
        self.answer(id);
    }

    fn answer(&mut self, id: ParticipantId) {
        let Some(leg) = self
            .participants
            .get_mut(&id)
            .and_then(|p| p.peer.answerer())
        else {
            return;
        };
        let answer = match leg.negotiation.write_answer() {
            Ok(answer) => answer,
            Err(error) => return self.negotiation_failed(id, &error.to_string()),
        };
        self.sections_bound(answer.started, answer.updated);
        self.send(
            id,
            Message::Answer(description(
                "answer",
                answer.sdp,
                answer.id,
                answer.mid_to_track,
            )),
        );
        for subscription in answer.refused {
            self.subscription_refused(subscription, proto::SubscriptionError::SeCodecUnsupported);
        }
        // Sections may still be missing.
        self.schedule_if_needed(id);
    }

    fn schedule_if_needed(&mut self, id: ParticipantId) {
        let needed = self.participants.get(&id).is_some_and(|p| match &p.peer {
            Peer::Single(leg) => leg.negotiation.needs_offer(),
            Peer::Dual { subscriber, .. } => subscriber
                .as_ref()
                .is_some_and(|leg| leg.negotiation.needs_offer()),
        });
        if needed {
            self.schedule_negotiation(id);
        }
    }

    /// The client answers our offer.
    pub(crate) fn client_answer(&mut self, id: ParticipantId, answer: &proto::SessionDescription) {
        if answer.sdp.len() > self.config.limits.sdp_bytes {
            return self.negotiation_failed(id, "the answer is longer than the limit");
        }
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let shard = participant.shard;
        let Some(leg) = participant.peer.offerer() else {
            return;
        };
        let transport = leg.transport;
        if leg.negotiation.open_offer().is_none() {
            // Answers an offer of before a resume.
            return;
        }
        let outcome = match leg.negotiation.accept_answer(&answer.sdp, answer.id) {
            Ok(outcome) => outcome,
            // An answer to an earlier offer: that of the open one is still to come.
            Err(plenum_negotiation::NegotiationError::WrongId { .. }) => return,
            Err(error) => return self.negotiation_failed(id, &error.to_string()),
        };
        self.timers.clear(TimerKind::Answer(id));
        self.connect(shard, transport, outcome.remote, outcome.ice_restart);
        self.sections_bound(outcome.started, outcome.updated);
        for subscription in outcome.refused {
            self.subscription_refused(subscription, proto::SubscriptionError::SeCodecUnsupported);
        }
        if outcome.offer_again {
            self.schedule_negotiation(id);
        }
    }

    fn connect(
        &mut self,
        shard: ShardId,
        transport: TransportId,
        remote: Option<RemoteParams>,
        restart: Option<IceRestart>,
    ) {
        if let Some(remote) = remote {
            self.command(shard, ShardCommand::ConnectTransport { transport, remote });
        }
        if let Some(IceRestart { local, remote }) = restart {
            self.command(
                shard,
                ShardCommand::RestartIce {
                    transport,
                    local,
                    remote,
                },
            );
        }
    }

    /// Subscriptions have their sections, or other parameters in them.
    fn sections_bound(&mut self, started: Vec<Sending>, updated: Vec<Sending>) {
        for sending in started {
            self.start(sending.subscription, sending.params);
        }
        for sending in updated {
            self.update_sending(sending.subscription, sending.params);
        }
    }

    /// A client's description is out of date: it is renewed soon.
    pub(crate) fn schedule_negotiation(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        if participant.connection().is_none() {
            return;
        }
        let subscriptions = u32::try_from(participant.subscriptions.len()).unwrap_or(u32::MAX);
        let busy = BUSY_DEBOUNCE + DEBOUNCE_PER_SUBSCRIPTION.saturating_mul(subscriptions);
        let quiet_again = participant
            .last_negotiation
            .map_or(self.now, |last| last + busy);
        let at = quiet_again.max(self.now + FIRST_DEBOUNCE);
        self.timers.set_if_unset(TimerKind::Negotiate(id), at);
    }

    /// Renews a client's description now, if there is something to say.
    pub(crate) fn negotiate(&mut self, id: ParticipantId) {
        self.timers.clear(TimerKind::Negotiate(id));
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant.connection().is_none() {
            return;
        }
        match &mut participant.peer {
            Peer::Single(leg) => {
                if !leg.negotiation.needs_offer() {
                    return;
                }
                let requirement = leg.negotiation.take_requirement();
                participant.last_negotiation = Some(now);
                self.send(
                    id,
                    Message::MediaSectionsRequirement(proto::MediaSectionsRequirement {
                        num_audios: requirement.audios,
                        num_videos: requirement.videos,
                    }),
                );
            }
            Peer::Dual {
                subscriber: Some(leg),
                ..
            } => {
                if !leg.negotiation.needs_offer() {
                    return;
                }
                let Some(offer) = leg.negotiation.write_offer() else {
                    return;
                };
                participant.last_negotiation = Some(now);
                self.timers
                    .set(TimerKind::Answer(id), now + ANSWER_DEADLINE);
                self.send(
                    id,
                    Message::Offer(description(
                        "offer",
                        offer.sdp,
                        offer.id,
                        offer.mid_to_track,
                    )),
                );
            }
            Peer::Dual { .. } => {}
        }
    }

    /// An offer is open: its answer must come in time.
    pub(crate) fn expect_answer(&mut self, id: ParticipantId) {
        self.timers
            .set(TimerKind::Answer(id), self.now + ANSWER_DEADLINE);
    }

    fn negotiation_failed(&mut self, id: ParticipantId, why: &str) {
        if let Some(participant) = self.participants.get(&id) {
            tracing::warn!(
                participant = %participant.identity(),
                participant_sid = %participant.sid,
                "negotiation failed: {why}"
            );
        }
        self.lose(id, proto::DisconnectReason::StateMismatch);
    }
}

fn description(
    kind: &str,
    sdp: String,
    id: u32,
    mid_to_track: Vec<(Mid, TrackSid)>,
) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.to_owned(),
        sdp,
        id,
        mid_to_track_id: mid_to_track
            .into_iter()
            .map(|(mid, track)| (mid.to_string(), track.to_string()))
            .collect(),
    }
}

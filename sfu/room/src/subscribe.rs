//! Who gets which track.
//!
//! One function decides for a pair of participant and track, from what both sides want and may: [`Room::reconcile`]. All
//! that can change the outcome calls it.

use std::collections::BTreeSet;
use std::time::Duration;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_negotiation::OutgoingTrack;
use plenum_types::{
    LayerTarget, MediaKind, ParticipantId, SenderParams, ShardCommand, ShardId, Sink,
    SubscriptionId, TrackId, TrackSid,
};

use crate::{
    JoinStep, Place, Room, RoomOutput, client, participant::Peer, settings::target,
    timers::TimerKind,
};

/// A track that a client asked for and that isn't there after this time is reported.
const UNKNOWN_REPORTED: Duration = Duration::from_secs(15);
/// Tracks that don't exist and that one client may ask for at a time.
const MAX_UNKNOWN: usize = 200;
/// Tracks that one client may name in its wishes and settings: more than a room of 250 with camera and microphone has.
pub(crate) const MAX_NAMED_TRACKS: usize = 2000;

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscriptionState {
    /// It has no section yet, or the codec of its section is not published yet.
    Waiting,
    /// The Shard has it, and forwards as soon as the Transport is connected.
    Sending,
}

/// A track forwarded to one participant.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) track: TrackId,
    pub(crate) subscriber: ParticipantId,
    /// The subscriber's.
    pub(crate) shard: ShardId,
    pub(crate) state: SubscriptionState,
    pub(crate) target: LayerTarget,
    /// Its place on the member.
    _place: Place,
    /// How its packets look, once it has a section.
    pub(crate) sender: Option<SenderParams>,
}

impl Room {
    /// Brings one pair to what it should be.
    pub(crate) fn reconcile(&mut self, subscriber: ParticipantId, track: TrackId) {
        let Some((wanted, allowed)) = self.wanted_and_allowed(subscriber, track) else {
            return;
        };
        let Some(published) = self.tracks.get(&track) else {
            return;
        };
        let Some(participant) = self.participants.get(&subscriber) else {
            return;
        };
        let Some(publisher) = self.participants.get(&published.publisher) else {
            return;
        };
        let was_denied = participant.denied.contains(&track);
        let existing = participant.subscriptions.get(&track).copied();
        let is_short = participant.short.contains_key(&track);
        let publisher_sid = publisher.sid.to_string();
        let track_sid = published.sid.to_string();
        let is_denied = wanted && !allowed;

        if let Some(existing) = existing
            && !(wanted && allowed)
        {
            self.drop_subscription(existing);
        }
        if is_denied != was_denied {
            if let Some(participant) = self.participants.get_mut(&subscriber) {
                if is_denied {
                    participant.denied.insert(track);
                } else {
                    participant.denied.remove(&track);
                }
            }
            if is_denied || wanted {
                self.send(
                    subscriber,
                    Message::SubscriptionPermissionUpdate(proto::SubscriptionPermissionUpdate {
                        participant_sid: publisher_sid,
                        track_sid,
                        allowed: !is_denied,
                    }),
                );
            }
        }
        if is_short && !(wanted && allowed) {
            self.give_up_place(subscriber, track);
        }
        if wanted && allowed && existing.is_none() && !is_short {
            match self.place_for_subscription(subscriber) {
                Ok(place) => self.subscribe(subscriber, track, place),
                Err((short, text)) => self.refuse_subscription(subscriber, track, short, &text),
            }
        }
    }

    /// Whether a participant wants a track and could have it, and whether its publisher lets it.
    pub(crate) fn wanted_and_allowed(
        &self,
        subscriber: ParticipantId,
        track: TrackId,
    ) -> Option<(bool, bool)> {
        let published = self.tracks.get(&track)?;
        let participant = self.participants.get(&subscriber)?;
        let publisher = self.participants.get(&published.publisher)?;
        let wanted = subscriber != publisher.id
            && !participant.is_lost()
            && !publisher.hidden()
            && participant.grants.permissions.can_subscribe
            && participant.wants(&published.sid)
            && !participant.refused.contains(&track);
        let allowed =
            publisher
                .policy
                .allows(participant.identity(), &participant.sid, &published.sid);
        Some((wanted, allowed))
    }

    /// All tracks for one participant.
    pub(crate) fn reconcile_subscriber(&mut self, subscriber: ParticipantId) {
        let tracks: Vec<_> = self.tracks.keys().copied().collect();
        for track in tracks {
            self.reconcile(subscriber, track);
        }
    }

    /// One track for all participants.
    pub(crate) fn reconcile_track(&mut self, track: TrackId) {
        let participants: Vec<_> = self.participants.keys().copied().collect();
        for subscriber in participants {
            self.reconcile(subscriber, track);
        }
    }

    pub(crate) fn subscribe(&mut self, subscriber: ParticipantId, track: TrackId, place: Place) {
        self.open_subscriber(subscriber);
        let id = SubscriptionId(self.allocate_id());
        let Some(published) = self.tracks.get_mut(&track) else {
            return;
        };
        let Some(publisher_sid) = self
            .participants
            .get(&published.publisher)
            .map(|p| p.sid.clone())
        else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&subscriber) else {
            return;
        };
        // In the stream of a group, sound and picture stay in step. Clients of one connection learn the track from
        // `mid_to_track_id`; of the others some read its sid here.
        let grouped = match participant.peer {
            Peer::Single(_) => true,
            Peer::Dual { .. } => client::knows_tracks_in_grouped_streams(&participant.client),
        };
        let stream = if grouped && !published.info.stream.is_empty() {
            published.info.stream.as_str()
        } else {
            published.sid.as_str()
        };
        let outgoing = OutgoingTrack {
            subscription: id,
            codecs: published.codecs(),
            stream_id: format!("{publisher_sid}|{stream}"),
            track: published.sid.clone(),
            stereo: published.stereo(),
        };
        if let Err(error) = participant.peer.bind(outgoing) {
            tracing::warn!(
                participant = %participant.identity(),
                participant_sid = %participant.sid,
                track = %published.sid,
                "subscription not possible: {error}"
            );
            participant.refused.insert(track);
            let track_sid = published.sid.to_string();
            self.send_subscription_error(
                subscriber,
                track_sid,
                proto::SubscriptionError::SeUnknown,
            );
            return;
        }
        participant.subscriptions.insert(track, id);
        participant.untold_quality.insert(published.publisher);
        published.subscribers.insert(subscriber, id);
        self.demand_dirty.insert(track);
        let target = target(
            participant.track_settings.get(&published.sid),
            published,
            participant.settings.adaptive_stream,
        );
        self.subscriptions.insert(
            id,
            Subscription {
                track,
                subscriber,
                shard: participant.shard,
                state: SubscriptionState::Waiting,
                target,
                _place: place,
                sender: None,
            },
        );
        self.schedule_negotiation(subscriber);
    }

    /// Ends a subscription; the client's description follows.
    pub(crate) fn drop_subscription(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.remove(&id) else {
            return;
        };
        if let Some(track) = self.tracks.get_mut(&subscription.track) {
            track.subscribers.remove(&subscription.subscriber);
            self.demand_dirty.insert(subscription.track);
        }
        if subscription.state == SubscriptionState::Sending {
            self.command(
                subscription.shard,
                ShardCommand::RemoveSubscription { subscription: id },
            );
        }
        if let Some(participant) = self.participants.get_mut(&subscription.subscriber) {
            participant.subscriptions.remove(&subscription.track);
            self.places.note_freed(subscription.subscriber);
            if participant.peer.unbind(id) {
                self.schedule_negotiation(subscription.subscriber);
            }
        }
    }

    /// A subscription has its section: the Shard forwards.
    pub(crate) fn start(&mut self, id: SubscriptionId, sender: SenderParams) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let Some(downlink) = self
            .participants
            .get(&subscription.subscriber)
            .and_then(|p| p.peer.downlink())
        else {
            return;
        };
        let (track, shard, target) = (subscription.track, subscription.shard, subscription.target);
        let codec = sender.codec;
        subscription.sender = Some(sender.clone());
        subscription.state = SubscriptionState::Waiting;
        self.demand_changed(track);
        let Some(source) = self.source_of(track, codec) else {
            // The demand for it makes the publisher send it.
            return;
        };
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.state = SubscriptionState::Sending;
        }
        let command = ShardCommand::AddSubscription {
            subscription: id,
            track: source,
            sink: Sink::Transport(downlink),
            sender,
            target,
        };
        self.command(shard, command);
        self.tell_first_subscriber(track);
    }

    /// The publisher learns once that somebody gets its track.
    fn tell_first_subscriber(&mut self, track: TrackId) {
        let Some(published) = self.tracks.get_mut(&track) else {
            return;
        };
        if std::mem::replace(&mut published.told_subscribed, true) {
            return;
        }
        let (publisher, track_sid) = (published.publisher, published.sid.to_string());
        self.send(
            publisher,
            Message::TrackSubscribed(proto::TrackSubscribed { track_sid }),
        );
    }

    /// The client can't take a track.
    pub(crate) fn subscription_refused(
        &mut self,
        id: SubscriptionId,
        error: proto::SubscriptionError,
    ) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let (subscriber, track) = (subscription.subscriber, subscription.track);
        self.drop_subscription(id);
        if let Some(participant) = self.participants.get_mut(&subscriber) {
            participant.refused.insert(track);
        }
        if let Some(sid) = self.tracks.get(&track).map(|t| t.sid.to_string()) {
            self.send_subscription_error(subscriber, sid, error);
        }
    }

    pub(crate) fn send_subscription_error(
        &mut self,
        to: ParticipantId,
        track_sid: String,
        error: proto::SubscriptionError,
    ) {
        self.send(
            to,
            Message::SubscriptionResponse(proto::SubscriptionResponse {
                track_sid,
                err: error as i32,
            }),
        );
    }

    /// The client, or the server API for it, says which tracks it wants.
    pub(crate) fn update_subscription(
        &mut self,
        id: ParticipantId,
        request: &proto::UpdateSubscription,
    ) {
        let sids = request.track_sids.iter().chain(
            request
                .participant_tracks
                .iter()
                .flat_map(|tracks| &tracks.track_sids),
        );
        for sid in sids {
            self.set_interest(id, sid.as_str().into(), request.subscribe);
        }
    }

    fn set_interest(&mut self, id: ParticipantId, sid: TrackSid, wanted: bool) {
        let now = self.now;
        let track = self.track_by_sid.get(&sid).copied();
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant.interest.explicit.len() >= MAX_NAMED_TRACKS
            && !participant.interest.explicit.contains_key(&sid)
        {
            return;
        }
        match track {
            Some(track) => {
                participant.interest.explicit.insert(sid, wanted);
                if wanted {
                    // Asked for again: the client may have changed its mind about codecs.
                    participant.refused.remove(&track);
                    self.give_up_place(id, track);
                }
                self.reconcile(id, track);
            }
            None if wanted => {
                if participant.interest.unknown.len() < MAX_UNKNOWN {
                    participant.interest.explicit.insert(sid.clone(), true);
                    participant.interest.unknown.insert(sid, now);
                    self.timers
                        .set_if_unset(TimerKind::Unknown(id), now + UNKNOWN_REPORTED);
                }
            }
            None => {
                participant.interest.explicit.insert(sid.clone(), false);
                participant.interest.unknown.remove(&sid);
            }
        }
    }

    /// Tracks that never came.
    pub(crate) fn report_unknown(&mut self, id: ParticipantId) {
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let mut missing = Vec::new();
        let explicit = &mut participant.interest.explicit;
        participant.interest.unknown.retain(|sid, since| {
            let overdue = now.saturating_since(*since) >= UNKNOWN_REPORTED;
            if overdue {
                explicit.remove(sid);
                missing.push(sid.to_string());
            }
            !overdue
        });
        let next = participant.interest.unknown.values().min().copied();
        for sid in missing {
            self.send_subscription_error(id, sid, proto::SubscriptionError::SeTrackNotfound);
        }
        if let Some(since) = next {
            self.timers
                .set(TimerKind::Unknown(id), since + UNKNOWN_REPORTED);
        }
    }

    /// A track that clients may have asked for is there.
    pub(crate) fn forget_unknown(&mut self, sid: &TrackSid) {
        for participant in self.participants.values_mut() {
            participant.interest.unknown.remove(sid);
        }
    }

    /// Participants whose sound or picture `id` gets.
    pub(crate) fn publishers_for(&self, id: ParticipantId) -> BTreeSet<ParticipantId> {
        self.participants
            .get(&id)
            .into_iter()
            .flat_map(|p| p.subscriptions.keys())
            .filter_map(|track| self.tracks.get(track))
            .map(|track| track.publisher)
            .collect()
    }

    /// A first packet was forwarded: the newcomer learns who speaks.
    pub(crate) fn subscription_started(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let (to, track) = (subscription.subscriber, subscription.track);
        if let Some(participant) = self.participants.get_mut(&to)
            && !std::mem::replace(&mut participant.has_media, true)
        {
            let after = self.now.saturating_since(participant.joined);
            self.push(RoomOutput::JoinStep {
                step: JoinStep::FirstMedia,
                after,
            });
        }
        if let Some(track) = self.tracks.get(&track)
            && track.kind == MediaKind::Audio
        {
            let publisher = track.publisher;
            self.tell_speaker(to, publisher);
        }
    }
}

//! Subscriptions that a limit keeps out: their clients are told once, and they are tried again when a place becomes free.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use livekit_protocol as proto;
use plenum_types::{ParticipantId, TrackId};

use crate::{Place, Room, participant::Participant, timers::TimerKind};

/// Subscriptions of a room that wait for a place; one more is refused until its client asks again.
const MAX_WAITING: usize = 10_000;
/// A place of the member may become free in another room, of which nobody tells.
const TRIED_EVERY: Duration = Duration::from_secs(5);

/// Whose limit keeps a subscription out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// The participant's own: it is tried again when the participant gets less.
    Own,
    /// The room's or the member's: it is in the queue.
    Shared,
}

/// Who waits for a place, and who may have got one.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Longest waiting first.
    queue: VecDeque<(ParticipantId, TrackId)>,
    /// Subscriptions have ended since the last look, of these participants.
    freed: BTreeSet<ParticipantId>,
    /// Limits have changed, or it is time for another look.
    due: bool,
}

impl Places {
    /// A subscription of this participant has ended.
    pub(crate) fn note_freed(&mut self, subscriber: ParticipantId) {
        self.freed.insert(subscriber);
    }
}

impl Room {
    /// A place for one more subscription, or the limit that is reached.
    pub(crate) fn place_for_subscription(
        &self,
        subscriber: ParticipantId,
    ) -> Result<Place, (Short, String)> {
        let limits = &self.config.limits;
        let own = self
            .participants
            .get(&subscriber)
            .map_or(0, |participant| participant.subscriptions.len());
        if limits.subscriptions_per_participant != 0 && own >= limits.subscriptions_per_participant
        {
            return Err((
                Short::Own,
                format!(
                    "the participant gets {own} tracks, its limit (limits.subscriptions_per_participant)"
                ),
            ));
        }
        let room = self.subscriptions.len();
        if limits.subscriptions_per_room != 0 && room >= limits.subscriptions_per_room {
            return Err((
                Short::Shared,
                format!(
                    "the room has {room} subscriptions, its limit (limits.subscriptions_per_room)"
                ),
            ));
        }
        let member = &limits.member.subscriptions;
        member.take().ok_or_else(|| {
            (
                Short::Shared,
                format!(
                    "the server has {} subscriptions, its limit (limits.subscriptions)",
                    member.limit()
                ),
            )
        })
    }

    /// A limit is reached: the client hears of it once.
    pub(crate) fn refuse_subscription(
        &mut self,
        subscriber: ParticipantId,
        track: TrackId,
        short: Short,
        text: &str,
    ) {
        let Some(sid) = self.tracks.get(&track).map(|t| t.sid.to_string()) else {
            return;
        };
        self.wait_for_place(subscriber, track, short);
        let reason = proto::request_response::Reason::LimitExceeded;
        self.refuse_request(subscriber, 0, reason, text, None);
        self.send_subscription_error(subscriber, sid, proto::SubscriptionError::SeUnknown);
    }

    fn wait_for_place(&mut self, subscriber: ParticipantId, track: TrackId, short: Short) {
        let Some(participant) = self.participants.get_mut(&subscriber) else {
            return;
        };
        if short == Short::Shared {
            if self.places.queue.len() >= MAX_WAITING {
                participant.short.remove(&track);
                participant.refused.insert(track);
                return;
            }
            self.places.queue.push_back((subscriber, track));
            self.timers
                .set_if_unset(TimerKind::Places, self.now + TRIED_EVERY);
        }
        participant.short.insert(track, short);
    }

    /// A participant does not wait for this track any more, or not yet again.
    pub(crate) fn give_up_place(&mut self, subscriber: ParticipantId, track: TrackId) {
        let short = self
            .participants
            .get_mut(&subscriber)
            .and_then(|participant| participant.short.remove(&track));
        if short == Some(Short::Shared) {
            self.places.queue.retain(|one| *one != (subscriber, track));
        }
    }

    /// A participant that has left waits for nothing.
    pub(crate) fn give_up_all_places(&mut self, participant: &Participant) {
        if participant
            .short
            .values()
            .any(|short| *short == Short::Shared)
        {
            self.places.queue.retain(|(one, _)| *one != participant.id);
        }
    }

    /// A track that is gone is waited for by nobody.
    pub(crate) fn give_up_places_for(&mut self, track: TrackId) {
        self.places.queue.retain(|(_, one)| *one != track);
        for participant in self.participants.values_mut() {
            participant.short.remove(&track);
        }
    }

    /// Limits have changed.
    pub(crate) fn look_for_places(&mut self) {
        let waiting = self.participants.values().filter(|p| !p.short.is_empty());
        self.places.freed.extend(waiting.map(|p| p.id));
        self.places.due = true;
    }

    /// It is time to look whether the member has a place again.
    pub(crate) const fn places_due(&mut self) {
        self.places.due = true;
    }

    /// Subscribes those for whom there is a place now.
    pub(crate) fn fill_places(&mut self) {
        if self.places.freed.is_empty() && !self.places.due {
            return;
        }
        self.places.due = false;
        for subscriber in std::mem::take(&mut self.places.freed) {
            self.fill_own_places(subscriber);
        }
        while let Some((subscriber, track)) = self.places.queue.pop_front() {
            if let Some(participant) = self.participants.get_mut(&subscriber) {
                participant.short.remove(&track);
            }
            match self.place_for_subscription(subscriber) {
                Ok(place) => self.subscribe_late(subscriber, track, place),
                Err((Short::Own, _)) => self.wait_for_place(subscriber, track, Short::Own),
                Err((Short::Shared, _)) => {
                    if let Some(participant) = self.participants.get_mut(&subscriber) {
                        participant.short.insert(track, Short::Shared);
                    }
                    self.places.queue.push_front((subscriber, track));
                    self.timers
                        .set_if_unset(TimerKind::Places, self.now + TRIED_EVERY);
                    break;
                }
            }
        }
    }

    /// Those that only the participant's own limit kept out.
    fn fill_own_places(&mut self, subscriber: ParticipantId) {
        loop {
            let Some(participant) = self.participants.get_mut(&subscriber) else {
                return;
            };
            let mut waiting = participant.short.iter();
            let Some(track) =
                waiting.find_map(|(track, short)| (*short == Short::Own).then_some(*track))
            else {
                return;
            };
            participant.short.remove(&track);
            match self.place_for_subscription(subscriber) {
                Ok(place) => self.subscribe_late(subscriber, track, place),
                Err((short, _)) => {
                    self.wait_for_place(subscriber, track, short);
                    if short == Short::Own {
                        return;
                    }
                }
            }
        }
    }

    /// A place has become free: for what is still wanted.
    fn subscribe_late(&mut self, subscriber: ParticipantId, track: TrackId, place: Place) {
        if self.wanted_and_allowed(subscriber, track) == Some((true, true)) {
            self.subscribe(subscriber, track, place);
        }
    }
}

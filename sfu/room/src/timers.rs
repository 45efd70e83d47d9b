//! What a room does later. One entry per kind: setting it again moves it.

use std::collections::{BTreeMap, BTreeSet};

use plenum_types::{ParticipantId, RpcId, Timestamp, TrackId};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKind {
    /// Nobody came, or nobody came back: the room closes.
    Empty,
    /// Counts of the room go out.
    RoomUpdate,
    /// Gathered participant updates go out.
    Updates,
    /// Connection quality is judged.
    Quality,
    /// Shards have not shown in time what they see.
    Inspection,
    /// The member may have a place for a subscription again.
    Places,
    /// The participant's media path is not up in time.
    Join(ParticipantId),
    /// The participant's signal connection did not come back.
    Away(ParticipantId),
    /// The participant did not come back after a reconnecting Leave or the loss of its media path.
    Lost(ParticipantId),
    /// A new token for the participant.
    Token(ParticipantId),
    /// The participant's descriptions are out of date.
    Negotiate(ParticipantId),
    /// The participant has not answered our offer.
    Answer(ParticipantId),
    /// Sections that name no known track are given to requests by their kind.
    Match(ParticipantId),
    /// Tracks that the participant asked for don't exist.
    Unknown(ParticipantId),
    /// A simulated speaker falls silent.
    Speaker(ParticipantId),
    /// The participant has not said that it got a call of the server.
    RpcAck(RpcId),
    /// The participant has not answered a call of the server.
    Rpc(RpcId),
    /// Less is wanted of a track, for long enough to tell its publisher.
    Demand(TrackId),
}

impl TimerKind {
    const fn of_participant(id: ParticipantId) -> [Self; 9] {
        [
            Self::Join(id),
            Self::Away(id),
            Self::Lost(id),
            Self::Token(id),
            Self::Negotiate(id),
            Self::Answer(id),
            Self::Match(id),
            Self::Unknown(id),
            Self::Speaker(id),
        ]
    }
}

/// All that is set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Timestamp, TimerKind)>,
    by_kind: BTreeMap<TimerKind, Timestamp>,
}

impl Timers {
    /// Sets, or moves.
    pub(crate) fn set(&mut self, kind: TimerKind, at: Timestamp) {
        if let Some(before) = self.by_kind.insert(kind, at) {
            self.by_time.remove(&(before, kind));
        }
        self.by_time.insert((at, kind));
    }

    /// Sets, unless it is set already.
    pub(crate) fn set_if_unset(&mut self, kind: TimerKind, at: Timestamp) {
        if !self.by_kind.contains_key(&kind) {
            self.set(kind, at);
        }
    }

    pub(crate) fn clear(&mut self, kind: TimerKind) {
        if let Some(at) = self.by_kind.remove(&kind) {
            self.by_time.remove(&(at, kind));
        }
    }

    pub(crate) fn clear_participant(&mut self, id: ParticipantId) {
        for kind in TimerKind::of_participant(id) {
            self.clear(kind);
        }
    }

    pub(crate) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest that is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<TimerKind> {
        let (at, kind) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(kind);
        Some(kind)
    }
}

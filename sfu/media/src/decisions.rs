//! The last decisions about a client's media, for people who ask why a picture stands still.
//!
//! A fixed ring per Transport: written where something is decided, which no packet does by itself, and read on demand.

use std::time::Duration;

use plenum_types::{Decision, DecisionKind, DropReason, Queue, Subject, Timestamp};

use crate::{keys::TransportKey, shard::Shard};

/// Decisions that are kept: a minute of a client whose network comes and goes.
const KEPT: usize = 200;
/// Drops are a decision once in this time, lest a flood of them push out how it came to that.
const DROPS_NOTED_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    ring: Vec<Decision>,
    /// The oldest one, once the ring is full.
    oldest: usize,
    drops_noted: Option<Timestamp>,
}

impl Decisions {
    /// Takes all the memory it will ever need, so that none is looked for while packets are forwarded.
    pub(crate) fn reserve(&mut self) {
        self.ring.reserve_exact(KEPT - self.ring.len());
    }

    pub(crate) fn push(&mut self, decision: Decision) {
        if self.ring.len() < KEPT {
            self.ring.push(decision);
        } else if let Some(place) = self.ring.get_mut(self.oldest) {
            *place = decision;
            self.oldest = (self.oldest + 1) % KEPT;
        }
    }

    /// Whether a drop is to be noted now.
    pub(crate) fn drop_is_news(&mut self, now: Timestamp) -> bool {
        let news = self
            .drops_noted
            .is_none_or(|noted| now.saturating_since(noted) >= DROPS_NOTED_EVERY);
        if news {
            self.drops_noted = Some(now);
        }
        news
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Decision> {
        let (new, old) = self.ring.split_at(self.oldest.min(self.ring.len()));
        old.iter().chain(new)
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }
}

impl Shard {
    /// Notes a decision with the Transport that it concerns.
    pub(crate) fn decide(
        &mut self,
        now: Timestamp,
        transport: TransportKey,
        about: Subject,
        what: DecisionKind,
    ) {
        let at = self.wall.unix_nanos(now);
        if let Some(entry) = self.transports.get_mut(transport) {
            entry.decisions.push(Decision { at, about, what });
        }
    }

    /// Counts a packet that is dropped before it was sent.
    pub(crate) fn note_drop(
        &mut self,
        now: Timestamp,
        transport: TransportKey,
        about: Subject,
        (queue, why): (Queue, DropReason),
    ) {
        self.stats.dropped.add(queue, why);
        let at = self.wall.unix_nanos(now);
        if let Some(entry) = self.transports.get_mut(transport) {
            entry.dropped += 1;
            if entry.decisions.drop_is_news(now) {
                let what = DecisionKind::Dropped { queue, why };
                entry.decisions.push(Decision { at, about, what });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(at: u64) -> Decision {
        Decision {
            at,
            about: Subject::Transport,
            what: DecisionKind::PathChanged,
        }
    }

    #[test]
    fn the_last_two_hundred_are_kept_in_order_and_in_one_piece_of_memory() {
        let mut decisions = Decisions::default();
        decisions.reserve();
        let memory = decisions.ring.as_ptr();
        for at in 0..1_050 {
            decisions.push(decision(at));
        }
        let kept: Vec<_> = decisions.iter().map(|decision| decision.at).collect();
        assert_eq!(kept, (850..1_050).collect::<Vec<_>>());
        assert_eq!(decisions.ring.as_ptr(), memory);
        decisions.reserve();
        assert_eq!(decisions.ring.as_ptr(), memory);
    }

    #[test]
    fn a_flood_of_drops_is_one_decision_a_second() {
        let mut decisions = Decisions::default();
        let noted = (0..10_000)
            .filter(|ms| decisions.drop_is_news(Timestamp::from_millis(*ms)))
            .count();
        assert_eq!(noted, 10);
    }
}

//! Who is dead (claims.md rules 2, 4 and 9): a state machine over one judge's own clock.
//!
//! It is told what the judge sees (heartbeat counters in the Directory, answers to its pings, failed probes) and what
//! other members testify. It answers who is suspected, and who is dead beyond doubt. It never compares two clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::directory::{Holder, Members};
use crate::member_api::Silence;
use crate::timing::Timing;
use crate::{Incarnation, NodeId};

/// How a probe failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeFailure {
    /// Refused twice in a row, a pause apart: the host lives and the process does not.
    RefusedTwice,
    /// No answer, or no way there.
    Unanswered,
}

/// What made a member dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// More than half of the others were refused twice.
    Refused,
    /// Silent to the Directory, and to more than half of the others, whose fresh probes failed.
    Silent,
    /// Its NodeId answered with a newer incarnation.
    Replaced,
}

/// What the judge finds of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Tombstone it, then move its rooms.
    Dead {
        /// Who.
        holder: Holder,
        /// Why.
        evidence: Evidence,
    },
    /// It looks dead from here, but too few witnesses live to say so: its rooms stay until an operator decides.
    Frozen {
        /// Who.
        holder: Holder,
        /// Members, the judge included, that could testify.
        living: usize,
        /// How many must.
        needed: usize,
    },
}

/// How a member looks to the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Heard lately.
    Alive,
    /// Silent, or a probe failed. Gets no new rooms; joins to it are held.
    Suspect,
}

/// The judge.
#[derive(Debug)]
pub struct Detector {
    timing: Timing,
    members: BTreeMap<Incarnation, Watched>,
    /// When the last reading of the Directory that was answered had been sent.
    read_at: Option<Duration>,
    /// When the last own heartbeat that was acknowledged had been sent.
    wrote_at: Option<Duration>,
}

#[derive(Debug)]
struct Watched {
    holder: Holder,
    beats: u64,
    beat_at: Duration,
    heard_at: Duration,
    failed: Option<(Duration, ProbeFailure)>,
    replaced: bool,
    testimonies: BTreeMap<Incarnation, Testimony>,
}

#[derive(Debug)]
struct Testimony {
    at: Duration,
    silent_for: Duration,
    probe_failed: bool,
    refused: bool,
}

impl Detector {
    /// Knows nobody yet.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            members: BTreeMap::new(),
            read_at: None,
            wrote_at: None,
        }
    }

    /// An own heartbeat, sent at `sent`, was acknowledged. Without this nobody is judged (rule 9).
    pub fn directory_acknowledged(&mut self, sent: Duration) {
        self.wrote_at = self.wrote_at.max(Some(sent));
    }

    /// A reading of the Directory, asked for at `sent` and answered at `now`. `me` is left out of it.
    ///
    /// A member that is missing stays known until it has a tombstone: Redis may have lost it.
    pub fn observed(&mut self, sent: Duration, now: Duration, members: &Members, me: Incarnation) {
        self.read_at = self.read_at.max(Some(sent));
        for row in &members.rows {
            let holder = &row.record.holder;
            if holder.incarnation == me || members.tombstones.contains(&holder.incarnation) {
                continue;
            }
            let watched = self
                .members
                .entry(holder.incarnation)
                .or_insert_with(|| Watched {
                    holder: holder.clone(),
                    beats: row.beats,
                    beat_at: now,
                    heard_at: now,
                    failed: None,
                    replaced: false,
                    testimonies: BTreeMap::new(),
                });
            if watched.beats != row.beats {
                watched.beats = row.beats;
                watched.beat_at = now;
            }
        }
    }

    /// Forgets a member that has a tombstone. False if it was not known.
    pub fn bury(&mut self, dead: Incarnation) -> bool {
        for watched in self.members.values_mut() {
            watched.testimonies.remove(&dead);
        }
        self.members.remove(&dead).is_some()
    }

    /// The member answered a ping or sent one. False if it is not known.
    pub fn heard(&mut self, now: Duration, who: Incarnation) -> bool {
        let Some(watched) = self.members.get_mut(&who) else {
            return false;
        };
        watched.heard_at = watched.heard_at.max(now);
        watched.failed = None;
        true
    }

    /// A probe that was sent at `sent` failed.
    pub fn probe_failed(&mut self, sent: Duration, who: Incarnation, failure: ProbeFailure) {
        if let Some(watched) = self.members.get_mut(&who)
            && sent >= watched.heard_at
        {
            watched.failed = Some((sent, failure));
        }
    }

    /// The member's address answers with a newer incarnation of the same NodeId.
    pub fn replaced(&mut self, who: Incarnation) {
        if let Some(watched) = self.members.get_mut(&who) {
            watched.replaced = true;
        }
    }

    /// What a witness says of all others: who is not in its list has been heard by it.
    pub fn testified(&mut self, now: Duration, witness: Incarnation, silent: &[Silence]) {
        if !self.members.contains_key(&witness) {
            return;
        }
        for (incarnation, watched) in &mut self.members {
            match silent
                .iter()
                .find(|silence| silence.incarnation == *incarnation)
            {
                Some(silence) if *incarnation != witness => {
                    let testimony = Testimony {
                        at: now,
                        silent_for: Duration::from_millis(silence.millis),
                        probe_failed: silence.probe_failed,
                        refused: silence.refused,
                    };
                    watched.testimonies.insert(witness, testimony);
                }
                _ => {
                    watched.testimonies.remove(&witness);
                }
            }
        }
    }

    /// What this judge testifies: everybody it suspects.
    pub fn silences(&self, now: Duration) -> Vec<Silence> {
        let suspected = self
            .members
            .values()
            .filter(|watched| self.looks(watched, now) == Health::Suspect);
        let silence = |watched: &Watched| Silence {
            node: watched.holder.node.clone(),
            incarnation: watched.holder.incarnation,
            millis: u64::try_from(now.saturating_sub(watched.heard_at).as_millis())
                .unwrap_or(u64::MAX),
            probe_failed: self.fresh_failure(watched, now).is_some(),
            refused: self.fresh_failure(watched, now) == Some(ProbeFailure::RefusedTwice),
        };
        suspected.map(silence).collect()
    }

    /// How a member looks; `None` for one that is not known.
    pub fn health(&self, now: Duration, who: Incarnation) -> Option<Health> {
        self.members
            .get(&who)
            .map(|watched| self.looks(watched, now))
    }

    /// A probe of this member failed lately: another one is not urgent.
    pub fn has_failed(&self, now: Duration, who: Incarnation) -> bool {
        self.members
            .get(&who)
            .is_some_and(|watched| self.fresh_failure(watched, now).is_some())
    }

    /// When it was heard last.
    pub fn heard_at(&self, who: Incarnation) -> Option<Duration> {
        self.members.get(&who).map(|watched| watched.heard_at)
    }

    /// It was refused twice lately.
    pub fn is_refused(&self, now: Duration, who: Incarnation) -> bool {
        let failure = self
            .members
            .get(&who)
            .and_then(|watched| self.fresh_failure(watched, now));
        failure == Some(ProbeFailure::RefusedTwice)
    }

    /// Everybody who is known, the judge left out.
    pub fn known(&self) -> impl Iterator<Item = &Holder> {
        self.members.values().map(|watched| &watched.holder)
    }

    /// Judges all.
    pub fn verdicts(&self, now: Duration) -> Vec<Verdict> {
        let may_judge = self.is_within(self.wrote_at, now, self.timing.dead)
            && self.is_within(self.read_at, now, self.timing.fresh);
        if !may_judge {
            return Vec::new();
        }
        self.members
            .values()
            .filter_map(|watched| self.verdict(watched, now))
            .collect()
    }

    fn verdict(&self, watched: &Watched, now: Duration) -> Option<Verdict> {
        let holder = watched.holder.clone();
        if watched.replaced {
            return Some(Verdict::Dead {
                holder,
                evidence: Evidence::Replaced,
            });
        }
        let refused = self.fresh_failure(watched, now) == Some(ProbeFailure::RefusedTwice);
        let silent = now.saturating_sub(watched.heard_at) >= self.timing.dead
            && now.saturating_sub(watched.beat_at) >= self.timing.dead
            && self.fresh_failure(watched, now).is_some();
        if !refused && !silent {
            return None;
        }
        let witnesses: Vec<(Incarnation, &Watched)> = self
            .members
            .iter()
            .filter(|(other, w)| {
                **other != watched.holder.incarnation && self.looks(w, now) == Health::Alive
            })
            .map(|(other, w)| (*other, w))
            .collect();
        let living = witnesses.len() + 1;
        // The others are everybody registered but the accused, the judge included: as many as the judge knows.
        let needed = self.members.len() / 2 + 1;
        let testify = |test: &dyn Fn(&Testimony) -> bool| {
            1 + witnesses
                .iter()
                .filter_map(|(witness, _)| watched.testimonies.get(witness))
                .filter(|t| now.saturating_sub(t.at) <= self.timing.fresh && test(t))
                .count()
        };
        let dead = self.timing.dead;
        if refused && testify(&|t| t.refused) >= needed {
            return Some(Verdict::Dead {
                holder,
                evidence: Evidence::Refused,
            });
        }
        if silent && testify(&|t| t.probe_failed && t.silent_for >= dead) >= needed {
            return Some(Verdict::Dead {
                holder,
                evidence: Evidence::Silent,
            });
        }
        (living < needed).then_some(Verdict::Frozen {
            holder,
            living,
            needed,
        })
    }

    fn looks(&self, watched: &Watched, now: Duration) -> Health {
        let silent = now.saturating_sub(watched.heard_at) >= self.timing.suspect;
        let refused = matches!(watched.failed, Some((_, ProbeFailure::RefusedTwice)));
        if silent || refused {
            Health::Suspect
        } else {
            Health::Alive
        }
    }

    fn fresh_failure(&self, watched: &Watched, now: Duration) -> Option<ProbeFailure> {
        watched
            .failed
            .filter(|(sent, _)| now.saturating_sub(*sent) <= self.timing.fresh)
            .map(|(_, failure)| failure)
    }

    fn is_within(&self, at: Option<Duration>, now: Duration, bound: Duration) -> bool {
        at.is_some_and(|at| now.saturating_sub(at) <= bound)
    }
}

/// The lowest living NodeId sweeps; the others wait their turn (claims.md rule 5).
pub fn turn(me: &NodeId, living: impl IntoIterator<Item = NodeId>) -> usize {
    living.into_iter().filter(|node| node < me).count()
}

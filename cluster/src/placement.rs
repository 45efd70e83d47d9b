//! Which member a room without a home goes to. One pure function for members and operator.
//!
//! Weighted rendezvous hashing ranks the serving members for a room; of the best two the less loaded one gets it. The
//! ranking depends on the room and the candidate only, so that the loss of a member changes nothing for rooms that did
//! not rank it, and spreads its own over all others. A room that has a healthy home stays there.

use crate::RoomKey;
use crate::directory::{Capacity, Holder, MemberRecord};
use crate::ids::stable_hash;
use crate::member_api::{Load, MemberState};

/// Participants that a room is expected to bring before its member's next report: the median meeting is small, and a
/// guess that is too high only spreads more.
const EXPECTED_PARTICIPANTS_PER_ROOM: u32 = 4;
/// Tracks that each of them is sent: camera and microphone of the others.
const EXPECTED_SUBSCRIPTIONS_PER_ROOM: u32 =
    EXPECTED_PARTICIPANTS_PER_ROOM * (EXPECTED_PARTICIPANTS_PER_ROOM - 1) * 2;
/// Rooms ask for two candidates: with two choices the fullest of n bins is above the mean by log log n only.
const CHOICES: usize = 2;

/// A member as placement sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Who.
    pub holder: Holder,
    /// Only `Serving` ones get new rooms; a home that is `Cordoned` keeps its own.
    pub state: MemberState,
    /// Relative share; 0 counts as 1.
    pub weight: u32,
    /// What it reported last.
    pub load: Load,
    /// Rooms that were placed on it since that report.
    pub placed_since: u32,
    /// Hard bounds.
    pub capacity: Capacity,
}

impl Candidate {
    /// From a member's record; `placed_since` as the caller has counted.
    pub fn of(record: &MemberRecord, placed_since: u32) -> Self {
        Self {
            holder: record.holder.clone(),
            state: record.state,
            weight: record.weight,
            load: record.load,
            placed_since,
            capacity: record.capacity,
        }
    }

    fn weight(&self) -> f64 {
        f64::from(self.weight.max(1))
    }

    fn corrected(&self) -> Load {
        let more = self.placed_since;
        Load {
            rooms: self.load.rooms.saturating_add(more),
            participants: self
                .load
                .participants
                .saturating_add(more.saturating_mul(EXPECTED_PARTICIPANTS_PER_ROOM)),
            subscriptions: self
                .load
                .subscriptions
                .saturating_add(more.saturating_mul(EXPECTED_SUBSCRIPTIONS_PER_ROOM)),
            ..self.load
        }
    }

    /// Another room fits by the member's own bounds, judged by what is there and not by what may come.
    fn has_room(&self) -> bool {
        let below = |used: u32, bound: u32| bound == 0 || used < bound;
        below(
            self.load.rooms.saturating_add(self.placed_since),
            self.capacity.rooms,
        ) && below(self.load.participants, self.capacity.participants)
            && below(self.load.subscriptions, self.capacity.subscriptions)
    }

    /// Forwarding is what costs, a participant has its own share, an empty room almost none.
    fn cost(&self) -> f64 {
        let load = self.corrected();
        (f64::from(load.subscriptions) + f64::from(load.participants) + f64::from(load.rooms))
            / self.weight()
    }

    /// Weighted rendezvous score (Schindelhauer and Schomaker): -weight / ln(u), the highest wins.
    fn score(&self, room: &RoomKey) -> f64 {
        let hash = stable_hash(&[room.name().as_bytes(), self.holder.node.as_str().as_bytes()]);
        // The 53 high bits plus a half lie strictly between 0 and 1.
        let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -self.weight() / unit.ln()
    }
}

/// Why no member gets the room, with the numbers that a person wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// Nobody serves.
    #[error("none of the pool's {members} members is serving; wait for one, or scale the pool up")]
    NobodyServes {
        /// Members of any state.
        members: usize,
    },
    /// All are at their bounds.
    #[error(
        "all {serving} serving members are at capacity; raise the capacity or scale the pool up"
    )]
    AtCapacity {
        /// Serving ones.
        serving: usize,
    },
}

/// Places rooms one after the other, counting what it has placed.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    candidates: Vec<Candidate>,
}

impl Placement {
    /// Over these members. Leave out members that are suspected.
    pub fn new(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        Self {
            candidates: candidates.into_iter().collect(),
        }
    }

    /// The home for a room: `present` if it is among the candidates and keeps its rooms, else one chosen anew.
    pub fn place(&mut self, room: &RoomKey, present: Option<&Holder>) -> Result<Holder, NoPlace> {
        let stays = present.and_then(|home| self.candidates.iter().find(|c| c.holder == *home));
        if let Some(home) = stays
            && matches!(home.state, MemberState::Serving | MemberState::Cordoned)
        {
            return Ok(home.holder.clone());
        }
        let mut best: [Option<(f64, usize)>; CHOICES] = [None; CHOICES];
        let mut serving = 0;
        for (index, candidate) in self.candidates.iter().enumerate() {
            if candidate.state != MemberState::Serving {
                continue;
            }
            serving += 1;
            if candidate.has_room() {
                let mut entry = Some((candidate.score(room), index));
                for slot in &mut best {
                    if self.ranks_before(entry, *slot) {
                        std::mem::swap(slot, &mut entry);
                    }
                }
            }
        }
        let cost = |index: usize| {
            self.candidates
                .get(index)
                .map_or(f64::INFINITY, Candidate::cost)
        };
        // min_by keeps the first of equals, which is the one that ranks higher.
        let chosen = best
            .iter()
            .flatten()
            .map(|(_, index)| *index)
            .min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        match chosen.and_then(|index| self.candidates.get_mut(index)) {
            Some(home) => {
                home.placed_since = home.placed_since.saturating_add(1);
                Ok(home.holder.clone())
            }
            None if serving == 0 => Err(NoPlace::NobodyServes {
                members: self.candidates.len(),
            }),
            None => Err(NoPlace::AtCapacity { serving }),
        }
    }

    fn ranks_before(&self, entry: Option<(f64, usize)>, slot: Option<(f64, usize)>) -> bool {
        let node = |index: usize| self.candidates.get(index).map(|c| &c.holder.node);
        match (entry, slot) {
            (Some(_), None) => true,
            (Some((a, i)), Some((b, j))) => {
                a.total_cmp(&b).then_with(|| node(j).cmp(&node(i))).is_gt()
            }
            (None, _) => false,
        }
    }
}

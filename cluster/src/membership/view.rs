//! What a member knows of its pool, as one immutable value that is replaced when something changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::detector::Health;
use crate::directory::{Holder, MemberRecord};
use crate::member_api::{MemberState, Silence};
use crate::placement::{Candidate, Placement};
use crate::{Incarnation, NodeId};

/// How the Directory looks from this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DirectoryHealth {
    /// It answers.
    Up,
    /// It answers again, or has lost history: unknown rooms are asked for at the peers first (claims.md rule 8).
    Recovering,
    /// The last heartbeat was not answered.
    Down,
}

/// One member.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberView {
    /// What it said of itself last.
    pub record: MemberRecord,
    /// Its heartbeat counter at that time.
    pub beats: u64,
    /// How it looks from here.
    pub health: Health,
    /// When this member heard it last, on [`crate::clock::boottime`].
    pub heard_at: Duration,
}

/// The pool as this member sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MembersView {
    /// This member; a new incarnation after every fencing.
    pub me: Holder,
    /// Where it stands.
    pub state: MemberState,
    /// It may be sent clients: registered or heard by a peer, and neither draining nor fenced.
    pub ready: bool,
    /// Why the Directory refused to register it, for a person to read.
    pub registration_refused: Option<String>,
    /// How the Directory looks.
    pub directory: DirectoryHealth,
    /// All members with this one, by NodeId. Kept while the Directory is away.
    pub members: BTreeMap<NodeId, MemberView>,
    /// Members that look dead but have too few living witnesses to say so (claims.md rule 4): an operator has to decide.
    pub frozen: BTreeSet<NodeId>,
    /// What this member testifies to its peers.
    pub silences: Vec<Silence>,
}

impl MembersView {
    /// All members but this one.
    pub fn peers(&self) -> impl Iterator<Item = &MemberView> {
        self.members
            .values()
            .filter(|member| member.record.holder.node != self.me.node)
    }

    /// The member that lives this life.
    pub fn by_incarnation(&self, incarnation: Incarnation) -> Option<&MemberView> {
        self.members
            .values()
            .find(|member| member.record.holder.incarnation == incarnation)
    }

    /// Placement over the members that are alive, with `placed_since` rooms added to each.
    pub(crate) fn placement(
        &self,
        placed_since: impl Fn(&MemberView) -> u32,
        without: Option<Incarnation>,
    ) -> Placement {
        let living = self.members.values().filter(|member| {
            member.health == Health::Alive && Some(member.record.holder.incarnation) != without
        });
        Placement::new(living.map(|member| Candidate::of(&member.record, placed_since(member))))
    }

    /// Whether others should hear of the difference: members, states, addresses and health, but not load and counters.
    pub(crate) fn differs_from(&self, before: &Self) -> bool {
        let outline = |view: &Self| -> Vec<(Holder, String, MemberState, Health)> {
            let of = |m: &MemberView| {
                (
                    m.record.holder.clone(),
                    m.record.internal_address.clone(),
                    m.record.state,
                    m.health,
                )
            };
            view.members.values().map(of).collect()
        };
        self.frozen != before.frozen || outline(self) != outline(before)
    }
}

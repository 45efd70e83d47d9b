//! This process as a member: who it is, and whether it takes clients.

use std::sync::atomic::{AtomicU8, Ordering};

use plenum_cluster::{Incarnation, NodeId, directory::Holder, member_api::MemberState};

/// Who this process is and where it stands in its life.
#[derive(Debug)]
pub struct Member {
    holder: Holder,
    state: AtomicU8,
}

const STATES: [MemberState; 5] = [
    MemberState::Starting,
    MemberState::Serving,
    MemberState::Cordoned,
    MemberState::Draining,
    MemberState::Fenced,
];

impl Member {
    /// A starting member with a new incarnation.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            holder: Holder {
                node,
                incarnation: Incarnation::fresh(),
            },
            state: AtomicU8::new(0),
        }
    }

    /// As claims name it.
    #[must_use]
    pub const fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> MemberState {
        STATES
            .get(usize::from(self.state.load(Ordering::Acquire)))
            .copied()
            .unwrap_or(MemberState::Starting)
    }

    /// Goes on to another state. Draining is final.
    pub fn set_state(&self, state: MemberState) {
        let index = STATES.iter().position(|known| *known == state).unwrap_or(0) as u8;
        let draining =
            |current: u8| STATES.get(usize::from(current)) == Some(&MemberState::Draining);
        let _ = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |current| {
                (!draining(current)).then_some(index)
            });
    }

    /// A new client may come.
    #[must_use]
    pub fn takes_clients(&self) -> bool {
        matches!(self.state(), MemberState::Serving | MemberState::Cordoned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_final() {
        let member = Member::new(NodeId::new("a").unwrap());
        assert!(!member.takes_clients());
        member.set_state(MemberState::Serving);
        assert!(member.takes_clients());
        member.set_state(MemberState::Draining);
        member.set_state(MemberState::Serving);
        assert_eq!(member.state(), MemberState::Draining);
        assert!(!member.takes_clients());
    }
}

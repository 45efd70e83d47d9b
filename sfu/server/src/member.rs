//! This process as a member: who it is, and whether it takes clients.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use plenum_cluster::{Membership, directory::Holder, member_api::MemberState};

/// Who this process is and where it stands in its life.
pub struct Member {
    membership: Membership,
    /// The state that was wanted last.
    wanted: Mutex<MemberState>,
    has_addresses: AtomicBool,
}

impl Member {
    /// A starting member.
    #[must_use]
    pub const fn new(membership: Membership) -> Self {
        Self {
            membership,
            wanted: Mutex::new(MemberState::Starting),
            has_addresses: AtomicBool::new(false),
        }
    }

    /// As claims name it; another incarnation after every fencing.
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.membership.me()
    }

    /// Where it stands: its own will, unless it is not registered yet or fenced.
    #[must_use]
    pub fn state(&self) -> MemberState {
        let wanted = *self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        match (wanted, self.membership.view().state) {
            (MemberState::Draining, _) => MemberState::Draining,
            (_, state) => state,
        }
    }

    /// Goes on to another state. Draining is final.
    pub fn set_state(&self, state: MemberState) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if next(*wanted, state) {
            *wanted = state;
            self.membership.set_state(state);
        }
    }

    /// It is known where clients reach the media sockets.
    pub fn addresses_are_set(&self) {
        self.has_addresses.store(true, Ordering::Release);
    }

    /// Whether that is known.
    #[must_use]
    pub fn has_addresses(&self) -> bool {
        self.has_addresses.load(Ordering::Acquire)
    }

    /// Balancers may send clients here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let wanted = *self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted != MemberState::Draining && self.membership.ready()
    }

    /// A client that came is let in. A draining member takes no clients of balancers, but carries those that reach it all
    /// the same to where their rooms are.
    #[must_use]
    pub fn takes_clients(&self) -> bool {
        self.is_ready() || self.state() == MemberState::Draining
    }
}

fn next(current: MemberState, wanted: MemberState) -> bool {
    current != MemberState::Draining && current != wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_final() {
        assert!(next(MemberState::Starting, MemberState::Serving));
        assert!(next(MemberState::Serving, MemberState::Draining));
        assert!(!next(MemberState::Draining, MemberState::Serving));
    }
}

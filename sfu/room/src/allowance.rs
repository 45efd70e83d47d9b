//! What all rooms of a member may hold together: counted in one place, taken and given back by the rooms themselves.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A number of things of one kind that all rooms share. Clones share it, too.
#[derive(Debug, Clone, Default)]
pub struct Allowance(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    used: AtomicUsize,
    /// 0 means no limit.
    limit: AtomicUsize,
}

/// One of them; given back when this is dropped.
#[derive(Debug)]
pub struct Place(Arc<Count>);

impl Allowance {
    /// At most so many; 0 means no limit.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let allowance = Self::default();
        allowance.set_limit(limit);
        allowance
    }

    /// From now on at most so many; who is in stays.
    pub fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit; 0 means none.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// One more, or `None` if that is more than the limit.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        let limit = self.limit();
        self.0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (limit == 0 || used < limit).then_some(used + 1)
            })
            .ok()
            .map(|_| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one member may hold, over all its rooms. Without limits by default.
#[derive(Debug, Clone, Default)]
pub struct MemberAllowances {
    /// Participants.
    pub participants: Allowance,
    /// Published tracks, and those that wait for their media.
    pub tracks: Allowance,
    /// Tracks forwarded to participants.
    pub subscriptions: Allowance,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let allowance = Allowance::new(2);
        let shared = allowance.clone();
        let first = allowance.take().unwrap();
        let _second = shared.take().unwrap();
        assert!(allowance.take().is_none());
        drop(first);
        let _third = shared.take().unwrap();
        assert!(allowance.take().is_none());
        // A lower limit ends nothing, a higher one lets more in.
        allowance.set_limit(1);
        assert!(allowance.take().is_none());
        allowance.set_limit(0);
        assert!(allowance.take().is_some());
    }
}

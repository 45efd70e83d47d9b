//! What a room keeps of identities for a while, whether or not they are there.

use std::{collections::BTreeMap, time::Duration};

use plenum_types::{ParticipantIdentity, Timestamp};

/// Identities of which one kind of thing is kept; the oldest makes room.
const MAX: usize = 256;

/// Something by identity, each for a while from when it was set.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    kept: Duration,
    of: BTreeMap<ParticipantIdentity, (T, Timestamp)>,
}

impl<T: Copy> Recent<T> {
    pub(crate) const fn new(kept: Duration) -> Self {
        Self {
            kept,
            of: BTreeMap::new(),
        }
    }

    pub(crate) fn set(&mut self, identity: ParticipantIdentity, thing: T, now: Timestamp) {
        let kept = self.kept;
        self.of.retain(|_, (_, since)| now - *since < kept);
        if self.of.len() >= MAX && !self.of.contains_key(&identity) {
            let oldest = self.of.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(identity, _)| identity.clone()) {
                self.of.remove(&oldest);
            }
        }
        self.of.insert(identity, (thing, now));
    }

    pub(crate) fn get(&self, identity: &ParticipantIdentity, now: Timestamp) -> Option<T> {
        self.of
            .get(identity)
            .filter(|(_, since)| now - *since < self.kept)
            .map(|(thing, _)| *thing)
    }

    /// Gives it, and keeps it no longer.
    pub(crate) fn take(&mut self, identity: &ParticipantIdentity, now: Timestamp) -> Option<T> {
        let found = self.get(identity, now);
        self.of.remove(identity);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_ends() {
        let kept = Duration::from_secs(300);
        let mut recent = Recent::new(kept);
        let identity = |n: u64| ParticipantIdentity::from(n.to_string());
        let last = 2 * MAX as u64;
        for n in 0..=last {
            recent.set(identity(n), n, Timestamp::from_millis(n));
        }
        assert_eq!(recent.of.len(), MAX);
        let now = Timestamp::from_millis(last);
        assert_eq!(recent.get(&identity(0), now), None);
        assert_eq!(recent.get(&identity(last), now), Some(last));
        assert_eq!(recent.get(&identity(last), now + kept), None);
        assert_eq!(recent.take(&identity(last), now), Some(last));
        assert_eq!(recent.take(&identity(last), now), None);
    }
}

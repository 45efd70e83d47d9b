//! Tokens that a room takes no more, by RemoveParticipant with `revoke_token_ts`.

use std::collections::BTreeMap;

use plenum_types::ParticipantIdentity;
use serde::{Deserialize, Serialize};

/// Identities that are remembered: more than a room removes for good, and with identities as services make them, of some
/// forty bytes, a tenth of what its snapshot has for all but metadata.
const MAX_REVOKED: usize = 1000;
/// No token of a longer identity is let in.
const MAX_IDENTITY_BYTES: usize = 256;

/// By identity the Unix second before which its tokens must not begin to count (`nbf`). They travel in the room's snapshot and
/// end with the room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revocations(BTreeMap<ParticipantIdentity, i64>);

impl Revocations {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tokens of this identity from before this second count no more. An earlier second changes nothing. Beyond
    /// [`MAX_REVOKED`] identities the one with the earliest second is forgotten.
    pub(crate) fn add(&mut self, identity: ParticipantIdentity, before: i64) {
        if identity.as_str().len() > MAX_IDENTITY_BYTES {
            return;
        }
        let kept = self.0.entry(identity).or_insert(before);
        *kept = before.max(*kept);
        while self.0.len() > MAX_REVOKED {
            let earliest = self.0.iter().min_by_key(|(_, before)| **before);
            let Some(earliest) = earliest.map(|(identity, _)| identity.clone()) else {
                return;
            };
            self.0.remove(&earliest);
        }
    }

    /// Whether a token of this identity, good from this second on, counts no more.
    pub(crate) fn cover(&self, identity: &ParticipantIdentity, not_before: i64) -> bool {
        self.0
            .get(identity)
            .is_some_and(|before| not_before < *before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_second_counts_and_the_earliest_identity_is_forgotten() {
        let mut revoked = Revocations::default();
        let identity = |n: usize| ParticipantIdentity::from(n.to_string());
        for n in 0..MAX_REVOKED {
            revoked.add(identity(n), 100 + n as i64);
        }
        revoked.add(identity(1), 50);
        assert!(revoked.cover(&identity(1), 100));
        assert!(!revoked.cover(&identity(1), 101));
        revoked.add(identity(MAX_REVOKED), 5_000);
        assert!(!revoked.cover(&identity(0), 0));
        assert!(revoked.cover(&identity(1), 100));
        assert!(revoked.cover(&identity(MAX_REVOKED), 4_999));
        let long = ParticipantIdentity::from("i".repeat(MAX_IDENTITY_BYTES + 1));
        revoked.add(long.clone(), 5_000);
        assert!(!revoked.cover(&long, 0));
    }
}

//! What the operator wants of this member.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use plenum_cluster::member_api::{AdvertisedAddress, DesiredState, MemberState};

use plenum_types::{Candidate, CandidateProtocol};

use super::Cluster;
use crate::config;

/// An operator of an older lease term speaks: another one has taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lease term {given} is over, a command of term {seen} was seen; read the Lease again")]
pub struct StaleTerm {
    /// The term of the command.
    pub given: u64,
    /// The highest one seen.
    pub seen: u64,
}

/// The operator's wishes, as last heard.
#[derive(Debug, Default)]
pub struct Desired(Mutex<Wishes>);

#[derive(Debug, Default)]
struct Wishes {
    term: u64,
    cordoned: bool,
}

impl Desired {
    /// Takes note of the term of a command.
    ///
    /// # Errors
    /// A higher one was seen.
    pub fn check_term(&self, term: u64) -> Result<(), StaleTerm> {
        let mut wishes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if term < wishes.term {
            return Err(StaleTerm {
                given: term,
                seen: wishes.term,
            });
        }
        wishes.term = term;
        Ok(())
    }
}

impl Cluster {
    /// Where clients reach the media sockets; empty until it is known.
    pub(crate) fn advertised(&self) -> Vec<AdvertisedAddress> {
        if !self.member.has_addresses() {
            return Vec::new();
        }
        // TCP is on the same addresses, at one port for all Shards: it is not told.
        let of_shard = |(shard, candidates): (u16, Vec<Candidate>)| {
            candidates
                .into_iter()
                .filter(|candidate| candidate.protocol == CandidateProtocol::Udp)
                .map(move |candidate| AdvertisedAddress {
                    ip: candidate.address.ip(),
                    port: candidate.address.port(),
                    shard,
                })
        };
        (0u16..)
            .zip(self.rooms.all_candidates())
            .flat_map(of_shard)
            .collect()
    }

    /// Carries out what the operator wants. `Active` after `Draining` changes nothing: a drain is final.
    pub(crate) fn set_desired(&self, state: DesiredState) {
        let cordoned = match state {
            DesiredState::Draining => return self.request_drain(),
            DesiredState::Cordoned => true,
            DesiredState::Active => false,
        };
        self.desired
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cordoned = cordoned;
        if self.member.has_addresses() {
            self.member.set_state(if cordoned {
                MemberState::Cordoned
            } else {
                MemberState::Serving
            });
        }
    }

    /// New advertised addresses; the first ones make the member register.
    ///
    /// # Errors
    /// A Shard is left without an address.
    pub(crate) fn set_addresses(&self, addresses: Vec<AdvertisedAddress>) -> Result<(), String> {
        let shards = self.rooms.all_candidates().len();
        let mut candidates: Vec<Vec<SocketAddr>> = vec![Vec::new(); shards];
        for address in addresses {
            let shard = usize::from(address.shard);
            let list = candidates.get_mut(shard).ok_or_else(|| {
                format!("there is no shard {shard}; this member has {shards} (PLENUM_SHARDS)")
            })?;
            list.push(SocketAddr::new(address.ip, address.port));
        }
        if let Some(shard) = candidates.iter().position(Vec::is_empty) {
            return Err(format!(
                "shard {shard} has no address; each of the {shards} shards needs at least one"
            ));
        }
        let tcp_port = self.rooms.tcp_port();
        self.rooms
            .set_candidates(config::candidates(candidates, tcp_port));
        let cordoned = self
            .desired
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .cordoned;
        self.member.addresses_are_set();
        self.member.set_state(if cordoned {
            MemberState::Cordoned
        } else {
            MemberState::Serving
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_term_is_refused_and_the_same_one_is_not() {
        let desired = Desired::default();
        assert!(desired.check_term(3).is_ok());
        assert!(desired.check_term(3).is_ok());
        assert_eq!(desired.check_term(2), Err(StaleTerm { given: 2, seen: 3 }));
        assert!(desired.check_term(4).is_ok());
    }
}

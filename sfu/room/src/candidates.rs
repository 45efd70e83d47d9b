//! How clients are told to reach their Shard: by which protocol, if they asked for one (protocol.md 9.5).

use std::{collections::BTreeMap, time::Duration};

use livekit_protocol as proto;
use plenum_types::{Candidate, CandidateProtocol, ParticipantId, ParticipantIdentity, Timestamp};

use crate::{Room, participant::Peer};

/// A wish holds for the sessions that an identity begins within this time: clients leave and come back at once.
const KEPT: Duration = Duration::from_secs(300);
/// Wishes that a room keeps; the oldest makes room.
const MAX_WISHES: usize = 256;

/// Who wants one protocol alone.
#[derive(Debug, Default)]
pub(crate) struct Wishes(BTreeMap<ParticipantIdentity, (CandidateProtocol, Timestamp)>);

impl Wishes {
    fn set(&mut self, identity: ParticipantIdentity, protocol: CandidateProtocol, now: Timestamp) {
        self.0.retain(|_, (_, since)| now - *since < KEPT);
        if self.0.len() >= MAX_WISHES {
            let oldest = self.0.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(identity, _)| identity.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(identity, (protocol, now));
    }

    fn get(&self, identity: &ParticipantIdentity, now: Timestamp) -> Option<CandidateProtocol> {
        self.0
            .get(identity)
            .filter(|(_, since)| now - *since < KEPT)
            .map(|(protocol, _)| *protocol)
    }
}

impl Room {
    /// Those of the candidates that a client is told. Where none is left by its wish, all are.
    pub(crate) fn candidates_for(
        &self,
        identity: &ParticipantIdentity,
        all: &[Candidate],
    ) -> Vec<Candidate> {
        let wish = self.wishes.get(identity, self.now);
        let wished = |one: &&Candidate| wish.is_none_or(|protocol| one.protocol == protocol);
        let mut chosen: Vec<_> = all.iter().filter(wished).copied().collect();
        if chosen.is_empty() {
            chosen = all.to_vec();
        }
        chosen
    }

    /// Tells a participant's descriptions the candidates that it may use now.
    pub(crate) fn refresh_candidates(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let chosen = self.candidates_for(participant.identity(), &participant.candidates);
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.peer.set_candidates(&chosen);
        }
    }

    /// The client wants to be reached by one protocol. Browsers' SDK starts over after it asked, so the wish outlives the
    /// session; a connection on which the server offers is restarted at once. There is no TLS of ours to switch to.
    pub(crate) fn switch_candidate_protocol(&mut self, id: ParticipantId, protocol: i32) {
        let protocol = match proto::CandidateProtocol::try_from(protocol) {
            Ok(proto::CandidateProtocol::Udp) => CandidateProtocol::Udp,
            Ok(proto::CandidateProtocol::Tcp) => CandidateProtocol::Tcp,
            Ok(proto::CandidateProtocol::Tls) | Err(_) => return,
        };
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let identity = participant.identity().clone();
        self.wishes.set(identity, protocol, self.now);
        self.refresh_candidates(id);
        if let Some(Peer::Dual {
            subscriber: Some(leg),
            ..
        }) = self.participants.get_mut(&id).map(|p| &mut p.peer)
        {
            leg.negotiation.restart_ice();
            self.schedule_negotiation(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_bounded_and_end() {
        let mut wishes = Wishes::default();
        let identity = |n: u64| ParticipantIdentity::from(n.to_string());
        let last = 2 * MAX_WISHES as u64;
        for n in 0..=last {
            let at = Timestamp::from_millis(n);
            wishes.set(identity(n), CandidateProtocol::Tcp, at);
        }
        assert_eq!(wishes.0.len(), MAX_WISHES);
        let now = Timestamp::from_millis(last);
        assert_eq!(wishes.get(&identity(0), now), None);
        let wanted = Some(CandidateProtocol::Tcp);
        assert_eq!(wishes.get(&identity(last), now), wanted);
        assert_eq!(wishes.get(&identity(last), now + KEPT), None);
    }
}

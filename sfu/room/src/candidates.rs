//! How clients are told to reach their Shard: by which protocol, if they asked for one (protocol.md 9.5).

use std::time::Duration;

use livekit_protocol as proto;
use plenum_types::{Candidate, CandidateProtocol, ParticipantId, ParticipantIdentity};

use crate::{Room, participant::Peer};

/// A wish holds for the sessions that an identity begins within this time: clients leave and come back at once.
pub(crate) const WISH_KEPT: Duration = Duration::from_secs(300);

/// One protocol alone that an identity is to be reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The client asked for it.
    Client(CandidateProtocol),
    /// TCP: its connections over UDP fail.
    FallBack,
}

impl Wish {
    const fn protocol(self) -> CandidateProtocol {
        match self {
            Self::Client(protocol) => protocol,
            Self::FallBack => CandidateProtocol::Tcp,
        }
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
        let wished = |one: &&Candidate| wish.is_none_or(|wish| one.protocol == wish.protocol());
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
        self.wishes.set(identity, Wish::Client(protocol), self.now);
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

//! Who can't hold a connection over UDP is told to come by TCP (protocol.md 4d).
//!
//! A client that has candidates of both takes UDP as long as its checks pass, and some networks let those pass and cut what
//! follows. So after two short connections, one soon after the other, its identity is told the TCP candidates alone, in its
//! next description. A connection that ends because nothing but its checks passes is enough by itself. If TCP fails too, it is
//! told all again.

use std::time::Duration;

use livekit_protocol::{ReconnectReason, client_info::Sdk};
use plenum_types::{CandidateProtocol, ParticipantId};

use crate::{
    Room,
    candidates::Wish,
    participant::{Participant, Phase},
};

/// A connection that has worked for this long was no failure of its protocol (the reference's figure).
const SHORT: Duration = Duration::from_secs(90);
/// The second failure counts if it comes this soon after the first: as long as a short connection, until its loss is
/// noticed after 15 s, and until the client is back.
pub(crate) const FAILURE_KEPT: Duration = Duration::from_secs(120);
/// A session that ends without ever having had its media, after this time, has failed: clients give up after 15 s.
const NEVER_CONNECTED: Duration = Duration::from_secs(10);

impl Room {
    /// The media of a session has failed.
    pub(crate) fn media_failed(&mut self, id: ParticipantId) {
        self.judge_failure(id, false);
    }

    /// Checks of a session pass, and its media does not: however long it did before, no connection over UDP will do better.
    pub(crate) fn media_cut(&mut self, id: ParticipantId) {
        self.judge_failure(id, true);
    }

    fn judge_failure(&mut self, id: ParticipantId, is_cut: bool) {
        let now = self.now;
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        if participant.is_lost() || !can_use_tcp(participant) {
            return;
        }
        let (identity, sid) = (participant.identity().clone(), participant.sid.clone());
        let was_short = participant
            .media_since
            .is_none_or(|since| now.saturating_since(since) < SHORT);
        // Without its signal connection it is the client's network that is away, whatever the protocol.
        let says = match self.wishes.get(&identity, now) {
            _ if participant.connection().is_none() || !(was_short || is_cut) => {
                self.failures.take(&identity, now);
                return;
            }
            Some(Wish::Client(_)) => return,
            Some(Wish::FallBack) => {
                self.wishes.take(&identity, now);
                "media failed over TCP too: all candidates are told again"
            }
            None if self.failures.take(&identity, now).is_some() || is_cut => {
                self.wishes.set(identity.clone(), Wish::FallBack, now);
                "media failed twice, or was cut: only TCP candidates are told from now on"
            }
            None => return self.failures.set(identity, (), now),
        };
        tracing::info!(participant = %identity, participant_sid = %sid, "{says}");
        self.refresh_candidates(id);
    }

    /// A client resumes since its media has failed.
    pub(crate) fn resumes_for(&mut self, id: ParticipantId, reason: i32) {
        if !matches!(
            ReconnectReason::try_from(reason),
            Ok(ReconnectReason::RrPublisherFailed | ReconnectReason::RrSubscriberFailed)
        ) {
            return;
        }
        self.media_failed(id);
        let now = self.now;
        if let Some(participant) = self.participants.get_mut(&id) {
            // What comes now is a new connection.
            participant.media_since = Some(now);
        }
    }

    /// A session ends: if it never had its media, in a time in which it should, that has failed.
    pub(crate) fn note_unconnected_end(&mut self, id: ParticipantId) {
        let now = self.now;
        let never_connected = self.participants.get(&id).is_some_and(|participant| {
            matches!(participant.phase, Phase::Joined(_))
                && now.saturating_since(participant.joined) >= NEVER_CONNECTED
        });
        if never_connected {
            self.media_failed(id);
        }
    }
}

/// There is a TCP candidate, and the client can connect to it.
fn can_use_tcp(participant: &Participant) -> bool {
    let is_told = participant
        .candidates
        .iter()
        .any(|candidate| candidate.protocol == CandidateProtocol::Tcp);
    // The Go SDK only listens on TCP.
    is_told && Sdk::try_from(participant.client.sdk) != Ok(Sdk::Go)
}

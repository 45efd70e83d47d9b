//! We offer, the client answers.

use plenum_types::{IceCredentials, SubscriptionId};
use std::net::SocketAddr;

use crate::{AnswerOutcome, LocalParams, NegotiationError, Offer, OutgoingTrack};

/// Negotiation of the subscriber's connection of a v0 client: we only send.
#[derive(Debug)]
pub struct Offerer {}

impl Offerer {
    /// Starts with a data section.
    #[must_use]
    pub fn subscriber(local: LocalParams) -> Self {
        let _ = local;
        Self {}
    }

    /// Our current ICE credentials, for `OpenTransport`.
    #[must_use]
    pub fn local_ice(&self) -> &IceCredentials {
        unreachable!()
    }

    /// The addresses of the Shard changed; the next offer has them.
    pub fn set_addresses(&mut self, addresses: &[SocketAddr]) {
        let _ = addresses;
    }

    /// Wants a track to be sent: it is in the next offer, and starts with the answer to it. A second call for the same
    /// subscription replaces the first.
    ///
    /// # Errors
    /// If too many are bound.
    pub fn bind(&mut self, track: OutgoingTrack) -> Result<(), NegotiationError> {
        let _ = track;
        Ok(())
    }

    /// Stops sending a track. Its section is inactive in the next offer, and free for another track.
    pub fn unbind(&mut self, subscription: SubscriptionId) -> bool {
        let _ = subscription;
        false
    }

    /// The next offer restarts ICE (a resume, protocol.md 9.1).
    pub fn restart_ice(&mut self) {}

    /// Whether an offer has something to say that the last one had not.
    #[must_use]
    pub fn needs_offer(&self) -> bool {
        false
    }

    /// Id of the offer that waits for its answer.
    #[must_use]
    pub fn open_offer(&self) -> Option<u32> {
        None
    }

    /// Writes an offer; `None` while one is open, whose answer will say `offer_again`.
    pub fn write_offer(&mut self) -> Option<Offer> {
        None
    }

    /// Takes the answer to the open offer. Its id may be 0 (the Rust SDK).
    ///
    /// # Errors
    /// If the description can't be used; the offer stays open then.
    pub fn accept_answer(&mut self, sdp: &str, id: u32) -> Result<AnswerOutcome, NegotiationError> {
        let _ = (sdp, id);
        Ok(AnswerOutcome::default())
    }
}

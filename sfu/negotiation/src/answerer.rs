//! The client offers, we answer.

use plenum_types::{IceCredentials, Mid, SubscriptionId};
use std::net::SocketAddr;

use crate::{
    Answer, AudioPolicy, LocalParams, NegotiationError, OfferOutcome, OutgoingTrack,
    SectionsRequirement,
};

/// Negotiation of a connection on which the client offers.
#[derive(Debug)]
pub struct Answerer {}

impl Answerer {
    /// The only connection of a v1 client: both directions.
    #[must_use]
    pub fn single(local: LocalParams) -> Self {
        let _ = local;
        Self {}
    }

    /// The publisher's connection of a v0 client: we only receive; recvonly sections are answered inactive.
    #[must_use]
    pub fn publisher(local: LocalParams) -> Self {
        let _ = local;
        Self {}
    }

    /// Our current ICE credentials, for `OpenTransport`.
    #[must_use]
    pub fn local_ice(&self) -> &IceCredentials {
        unreachable!()
    }

    /// The addresses of the Shard changed; the next answer has them.
    pub fn set_addresses(&mut self, addresses: &[SocketAddr]) {
        let _ = addresses;
    }

    /// Takes an offer. [`Self::write_answer`] must follow before the next one.
    ///
    /// # Errors
    /// If the description can't be used; nothing has changed then.
    pub fn accept_offer(&mut self, sdp: &str, id: u32) -> Result<OfferOutcome, NegotiationError> {
        let _ = (sdp, id);
        Ok(OfferOutcome::default())
    }

    /// How a published Opus track shall be encoded; from the next answer on. Unknown mids are ignored.
    pub fn set_audio_policy(&mut self, mid: &Mid, policy: AudioPolicy) {
        let _ = (mid, policy);
    }

    /// Answers the offer that was accepted last. Bound tracks get free recvonly sections here.
    ///
    /// # Errors
    /// If no offer is open.
    pub fn write_answer(&mut self) -> Result<Answer, NegotiationError> {
        Ok(Answer::default())
    }

    /// Wants a track to be sent: it gets a section in the next answer that has one free. A second call for the same
    /// subscription replaces the first.
    ///
    /// # Errors
    /// If too many are bound, or if this is a publisher's connection.
    pub fn bind(&mut self, track: OutgoingTrack) -> Result<(), NegotiationError> {
        let _ = track;
        Ok(())
    }

    /// Stops sending a track. Its section is inactive in the next answer and may carry another track in the same one.
    /// Returns whether the client must be made to offer (the track was in an answer).
    pub fn unbind(&mut self, subscription: SubscriptionId) -> bool {
        let _ = subscription;
        false
    }

    /// Whether bound tracks wait for an offer, or unbound ones still stand in the last answer: send a
    /// `media_sections_requirement`.
    #[must_use]
    pub fn needs_offer(&self) -> bool {
        false
    }

    /// Sections that bound tracks lack, less those asked for before and not yet offered. Counts as asked for from now on.
    pub fn take_requirement(&mut self) -> SectionsRequirement {
        SectionsRequirement::default()
    }
}

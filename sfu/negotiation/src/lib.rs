//! SDP of one peer connection with a LiveKit client: what it says becomes typed deltas for a Shard, and back.
//!
//! A Transport has one negotiation. [`Answerer`] is for connections on which the client offers: the only one of
//! single-PC mode (protocol v1) and the publisher's of dual-PC mode. [`Offerer`] is the subscriber's of dual-PC mode, on
//! which we offer. Both give and take the same values: [`OutgoingTrack`] in, [`Sending`] out.
//!
//! Nothing here owns a socket, a clock or a task, and nothing that a peer writes may panic or cost unbounded memory:
//! each limit is a named constant in [`limits`].
//!
//! How a room uses an [`Answerer`]: [`Answerer::accept_offer`], tell the Shard about receivers, [`Answerer::write_answer`],
//! tell the Shard about subscriptions, send the answer. Between offers: [`Answerer::bind`] and [`Answerer::unbind`]; while
//! [`Answerer::needs_offer`] says so, what [`Answerer::take_requirement`] returns goes out as
//! `media_sections_requirement`, even when it is zeros.
#![forbid(unsafe_code)]

mod answerer;
mod codecs;
mod error;
mod h264;
pub mod limits;
mod local;
mod offerer;
mod outcome;
mod outgoing;
mod requirement;
mod sdp;
mod section;

pub use answerer::Answerer;
pub use error::NegotiationError;
pub use local::LocalParams;
pub use offerer::Offerer;
pub use outcome::{
    Answer, AnswerOutcome, AudioPolicy, IceRestart, Offer, OfferOutcome, OutgoingTrack, Receiver,
    SectionsRequirement, Sending,
};

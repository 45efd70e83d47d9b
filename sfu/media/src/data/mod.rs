//! Data messages between participants: the Shard reads only the envelope.

mod envelope;
mod rate;
mod router;
mod rpc;
mod shard;
mod tracks;

#[cfg(fuzzing)]
pub(crate) use envelope::Envelope;
pub(crate) use router::DataRouter;
pub(crate) use tracks::DataTracks;

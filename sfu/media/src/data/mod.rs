//! Data messages between participants: the Shard reads only the envelope.

mod envelope;
mod rate;
mod router;
mod rpc;
mod shard;
mod tracks;

pub(crate) use router::DataRouter;
pub(crate) use tracks::DataTracks;

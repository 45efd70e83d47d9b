//! Data messages between participants: the Shard reads only the envelope.

mod envelope;
mod rate;
mod router;
mod shard;

pub(crate) use router::DataRouter;

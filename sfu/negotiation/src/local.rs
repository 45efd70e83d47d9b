//! Our side of a connection.

use plenum_types::{Codec, Fingerprint, ShardId};
use std::net::SocketAddr;

/// What a negotiation must know of the member.
#[derive(Debug, Clone)]
pub struct LocalParams {
    /// Which Shard the connection will be on; our ufrag names it.
    pub shard: ShardId,
    /// Of the process's DTLS certificate.
    pub fingerprint: Fingerprint,
    /// UDP addresses at which clients reach the Shard, best first.
    pub addresses: Vec<SocketAddr>,
    /// Codecs that may be negotiated, best first.
    pub codecs: Vec<Codec>,
    /// Seed of SSRCs and ICE credentials; must be unguessable.
    pub seed: u64,
}

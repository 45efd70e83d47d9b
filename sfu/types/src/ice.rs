//! ICE vocabulary: credentials whose ufrag names the Shard, and paths.

use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

use crate::{ShardId, StreamId};

/// Username fragment and password of one side (RFC 8445 section 5.3). `Debug` keeps the password to itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceCredentials {
    /// 4 to 256 characters.
    pub ufrag: String,
    /// 22 to 256 characters.
    pub pwd: String,
}

/// Characters of ICE credentials: `ice-char` without `+` and `/`, which some tools escape.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Random characters after the shard in our ufrag: 71 bits, so a stranger can't guess one.
const UFRAG_RANDOM: usize = 12;
/// Characters of our password: 142 bits; RFC 8445 asks for 128.
const PWD_LENGTH: usize = 24;
/// Hex digits that name the Shard.
const SHARD_DIGITS: usize = 4;

impl IceCredentials {
    /// Credentials of our side, whose ufrag names the Shard: `<4 hex digits of the shard><12 random characters>`.
    /// `random` gives 64 random bits a call.
    pub fn for_shard(shard: ShardId, mut random: impl FnMut() -> u64) -> Self {
        let mut ufrag = format!("{:04x}", shard.0);
        let mut character = || {
            let index = (random() % ALPHABET.len() as u64) as usize;
            char::from(ALPHABET.get(index).copied().unwrap_or(b'A'))
        };
        ufrag.extend((0..UFRAG_RANDOM).map(|_| character()));
        Self {
            ufrag,
            pwd: (0..PWD_LENGTH).map(|_| character()).collect(),
        }
    }

    /// The Shard that a ufrag of ours names; `None` if it can't be one of ours.
    #[must_use]
    pub fn shard_of(ufrag: &str) -> Option<ShardId> {
        if ufrag.len() != SHARD_DIGITS + UFRAG_RANDOM {
            return None;
        }
        u16::from_str_radix(ufrag.get(..SHARD_DIGITS)?, 16)
            .ok()
            .map(ShardId)
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceCredentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

/// How a candidate of ours is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CandidateProtocol {
    /// Datagrams.
    Udp,
    /// A connection that the client opens (`tcptype passive`, RFC 6544).
    Tcp,
}

/// A host candidate of ours: where clients reach a Shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// By datagrams or by a connection.
    pub protocol: CandidateProtocol,
    /// As clients see it.
    pub address: SocketAddr,
}

impl Candidate {
    /// Reached by datagrams.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self {
            protocol: CandidateProtocol::Udp,
            address,
        }
    }

    /// Reached by a connection.
    #[must_use]
    pub const fn tcp(address: SocketAddr) -> Self {
        Self {
            protocol: CandidateProtocol::Tcp,
            address,
        }
    }
}

/// One way packets reach a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Path {
    /// A pair of UDP addresses. `local` is the address that the client's packet hit: answers leave from there.
    Udp {
        /// Our address and port.
        local: SocketAddr,
        /// The client's address and port.
        remote: SocketAddr,
    },
    /// A TCP connection that the client opened (RFC 6544), with frames of RFC 4571. The path ends with it.
    Tcp {
        /// Which one.
        stream: StreamId,
        /// The client's address and port.
        remote: SocketAddr,
    },
}

impl Path {
    /// Where the client is.
    #[must_use]
    pub const fn remote(self) -> SocketAddr {
        match self {
            Self::Udp { remote, .. } | Self::Tcp { remote, .. } => remote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ufrag_names_its_shard() {
        let mut seed = 1u64;
        let credentials = IceCredentials::for_shard(ShardId(0x2a), || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 3
        });
        assert_eq!(
            IceCredentials::shard_of(&credentials.ufrag),
            Some(ShardId(0x2a))
        );
        assert_eq!(credentials.pwd.len(), PWD_LENGTH);
        assert_eq!(IceCredentials::shard_of("stranger"), None);
        assert!(!format!("{credentials:?}").contains(&credentials.pwd));
    }
}

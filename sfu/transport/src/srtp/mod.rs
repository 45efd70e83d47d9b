//! SRTP and SRTCP: AEAD_AES_256_GCM and AEAD_AES_128_GCM (RFC 7714), AES_CM_128_HMAC_SHA1_80 (RFC 3711).
//!
//! Packets are sealed and opened in place. Nothing here allocates per packet.

mod cipher;
mod header;
mod keys;
mod receiver;
mod replay;
mod sender;
#[cfg(test)]
mod tests;
mod used;

pub use keys::{KeyError, MasterKey};
pub use receiver::{OpenError, OpenedRtp, SrtpReceiver};
pub use sender::{SealError, SrtpSender};

/// Most bytes that sealing adds to an RTP packet: the tag of GCM.
pub const MAX_SRTP_OVERHEAD: usize = 16;
/// Most bytes that sealing adds to an RTCP packet: tag and index.
pub const MAX_SRTCP_OVERHEAD: usize = 20;

/// Packets per key and SSRC: rollover counter and sequence number together have 48 bits (RFC 3711 section 3.3.1).
const MAX_PACKET_INDEX: u64 = 1 << 48;
/// Reports per key: the SRTCP index has 31 bits (RFC 3711 section 3.4).
const MAX_REPORT_INDEX: u32 = 1 << 31;
/// Bytes of an RTCP header with the sender's SSRC, which stay readable.
const RTCP_HEADER: usize = 8;
/// Bytes of an RTP header without CSRCs and extension.
const MIN_RTP_HEADER: usize = 12;

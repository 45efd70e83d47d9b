//! SRTP and SRTCP.

use plenum_types::{SrtpProfile, Ssrc};

/// Most bytes that sealing adds to an RTP packet: the tag of GCM.
pub const MAX_SRTP_OVERHEAD: usize = 16;
/// Most bytes that sealing adds to an RTCP packet: tag and index.
pub const MAX_SRTCP_OVERHEAD: usize = 20;

/// An RTP packet after authentication and decryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedRtp {
    /// Bytes of the plain packet, header included, from the start of the buffer.
    pub len: usize,
    /// Bytes of the header with CSRCs and extension; the payload (with padding) follows.
    pub header_len: usize,
    /// Whose packet.
    pub ssrc: Ssrc,
    /// ROC << 16 | sequence number.
    pub extended_sequence: u64,
}

/// Why a packet was not opened. All of these only count the packet as dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// The Transport has no keys yet.
    #[error("the DTLS handshake is not done")]
    NotConnected,
    /// The path has not been validated by a connectivity check.
    #[error("the path is not validated")]
    UnknownPath,
    /// Too short, or lengths past its end.
    #[error("malformed packet")]
    Malformed,
    /// The tag does not match.
    #[error("authentication failed")]
    Authentication,
    /// Seen before, or too old to tell.
    #[error("replayed packet")]
    Replayed,
    /// The Transport already has the most SSRCs it may have.
    #[error("too many SSRCs")]
    TooManySsrcs,
}

/// Why a packet was not sealed. Each is a fault of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SealError {
    /// The buffer has no room for the tag.
    #[error("no room for the SRTP tag: the buffer needs {needed} bytes")]
    NoRoom {
        /// Bytes needed in all.
        needed: usize,
    },
    /// Header longer than the packet, or no RTP packet at all.
    #[error("malformed packet")]
    Malformed,
    /// The index has run out (2^48 packets, 2^31 reports); the key may not be used further.
    #[error("the key is used up")]
    KeyExhausted,
}

/// Seals what we send. Keeps no table of SSRCs: the caller knows each stream's extended sequence number.
pub struct SrtpSender {
    profile: SrtpProfile,
}

impl SrtpSender {
    /// Negotiated profile.
    #[must_use]
    pub const fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Seals an RTP packet in place and returns its new length. `buffer` begins with the plain packet of `len` bytes and has
    /// room for [`MAX_SRTP_OVERHEAD`] more; `header_len` counts fixed header, CSRCs and extension, which stay readable.
    /// `extended_sequence` is ROC << 16 | sequence number and may not be used twice with different packets of one SSRC.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal_rtp(
        &mut self,
        extended_sequence: u64,
        header_len: usize,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<usize, SealError> {
        let _ = (extended_sequence, header_len, buffer, len);
        Err(SealError::Malformed)
    }

    /// Seals a compound RTCP packet of `len` bytes at the start of `buffer`, which has room for [`MAX_SRTCP_OVERHEAD`] more,
    /// and returns its new length.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SealError> {
        let _ = (buffer, len);
        Err(SealError::Malformed)
    }
}

/// Opens what we receive; keeps rollover counters and replay windows.
pub struct SrtpReceiver {}

impl SrtpReceiver {
    /// Opens an RTP packet in place.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<OpenedRtp, OpenError> {
        let _ = packet;
        Err(OpenError::Malformed)
    }

    /// Opens a compound RTCP packet in place and returns its plain length.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let _ = packet;
        Err(OpenError::Malformed)
    }
}

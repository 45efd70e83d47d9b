//! Sealing what we send.

use plenum_types::SrtpProfile;

use super::{
    MAX_PACKET_INDEX, MAX_REPORT_INDEX, MIN_RTP_HEADER, RTCP_HEADER,
    cipher::{Cipher, Covered, PacketId, Protocol},
    header::{RtpHeader, rtcp_ssrc},
    keys::{KeyError, MasterKey},
    used::UsedIndices,
};

/// Why a packet was not sealed. Each is a fault of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SealError {
    /// The buffer has no room for the tag.
    #[error("no room for the SRTP tag: the buffer needs {needed} bytes")]
    NoRoom {
        /// Bytes needed in all.
        needed: usize,
    },
    /// Header longer than the packet, or no RTP or RTCP packet at all.
    #[error("malformed packet")]
    Malformed,
    /// The index has run out (2^48 packets, 2^31 reports); the key may not be used further.
    #[error("the SRTP key is used up")]
    KeyExhausted,
    /// A packet of this SSRC was sealed under this index before, or may have been: once more would break the key.
    #[error("a packet was sealed under this index before")]
    IndexUsed,
}

/// Seals what we send. The caller knows each stream's extended sequence number; that none is used twice is guarded here, too.
pub struct SrtpSender {
    profile: SrtpProfile,
    pub(super) rtp: Cipher,
    pub(super) rtcp: Cipher,
    used: UsedIndices,
    /// One counter for all our SSRCs: an index is never used twice.
    pub(super) report_index: u32,
}

impl SrtpSender {
    /// With the master key of our direction.
    ///
    /// # Errors
    /// If the crypto library refuses a key.
    pub fn new(master: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self {
            profile: master.profile(),
            rtp: Cipher::new(master, Protocol::Rtp)?,
            rtcp: Cipher::new(master, Protocol::Rtcp)?,
            used: UsedIndices::default(),
            report_index: 0,
        })
    }

    /// Negotiated profile.
    #[must_use]
    pub const fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Bytes that sealing adds to an RTP packet: 16 for GCM, 10 for AES-CM with HMAC.
    #[must_use]
    pub const fn rtp_overhead(&self) -> usize {
        self.rtp.tag_len()
    }

    /// Seals an RTP packet in place and returns its new length. `buffer` begins with the plain packet of `len` bytes and
    /// has room for [`rtp_overhead`](Self::rtp_overhead) more; `header_len` counts fixed header, CSRCs and extension, which
    /// stay readable. `extended_sequence` is ROC << 16 | sequence number (its low 16 bits are those in the header) and may
    /// not be used twice with one SSRC; streams are sealed about in order.
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
        if extended_sequence >= MAX_PACKET_INDEX {
            return Err(SealError::KeyExhausted);
        }
        let needed = len + self.rtp.tag_len();
        let packet = buffer
            .get_mut(..needed)
            .ok_or(SealError::NoRoom { needed })?;
        let parsed =
            RtpHeader::parse(packet).filter(|_| (MIN_RTP_HEADER..=len).contains(&header_len));
        let Some(RtpHeader { ssrc, .. }) = parsed else {
            return Err(SealError::Malformed);
        };
        let free = self
            .used
            .free(ssrc, extended_sequence)
            .ok_or(SealError::IndexUsed)?;
        let (header, rest) = packet.split_at_mut(header_len);
        let (body, tag) = rest.split_at_mut(len - header_len);
        let covered = Covered {
            aad: header,
            header,
            trailer: rollover(extended_sequence),
        };
        let id = PacketId {
            ssrc,
            index: extended_sequence,
        };
        self.rtp
            .seal(id, &covered, body, tag)
            .map_err(|_| SealError::Malformed)?;
        free.mark();
        Ok(needed)
    }

    /// Seals a compound RTCP packet of `len` bytes at the start of `buffer`, which has room for
    /// [`MAX_SRTCP_OVERHEAD`](crate::MAX_SRTCP_OVERHEAD) more, and returns its new length.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SealError> {
        if self.report_index >= MAX_REPORT_INDEX {
            return Err(SealError::KeyExhausted);
        }
        let needed = len + self.rtcp.tag_len() + 4;
        let packet = buffer
            .get_mut(..needed)
            .ok_or(SealError::NoRoom { needed })?;
        let ssrc = packet
            .get(..len)
            .and_then(rtcp_ssrc)
            .ok_or(SealError::Malformed)?;
        let id = PacketId {
            ssrc,
            index: self.report_index.into(),
        };
        // The top bit says that the packet is encrypted.
        let index = (self.report_index | MAX_REPORT_INDEX).to_be_bytes();
        let (header, rest) = packet.split_at_mut(RTCP_HEADER);
        let (body, trailer) = rest.split_at_mut(len - RTCP_HEADER);
        let aad = rtcp_aad(header, index);
        // GCM puts the tag before the index, HMAC after it (RFC 7714 section 9.1, RFC 3711 section 3.4).
        let (tag, index_field) = match self.rtcp {
            Cipher::Gcm { .. } => trailer.split_at_mut(trailer.len() - 4),
            Cipher::CmHmac(_) => {
                let (index_field, tag) = trailer.split_at_mut(4);
                (tag, index_field)
            }
        };
        index_field.copy_from_slice(&index);
        let covered = Covered {
            aad: &aad,
            header,
            trailer: index,
        };
        self.rtcp
            .seal(id, &covered, body, tag)
            .map_err(|_| SealError::Malformed)?;
        self.report_index += 1;
        Ok(needed)
    }
}

/// What GCM authenticates of an SRTCP packet besides its body (RFC 7714 section 9.2).
pub(super) fn rtcp_aad(header: &[u8], index: [u8; 4]) -> [u8; RTCP_HEADER + 4] {
    let mut aad = [0; RTCP_HEADER + 4];
    for (to, from) in aad.iter_mut().zip(header.iter().chain(&index)) {
        *to = *from;
    }
    aad
}

/// What HMAC covers after an RTP packet (RFC 3711 section 4.2).
pub(super) fn rollover(extended_sequence: u64) -> [u8; 4] {
    let [_, _, a, b, c, d, _, _] = extended_sequence.to_be_bytes();
    [a, b, c, d]
}

//! Opening what we receive.

use plenum_types::Ssrc;

use super::{
    MAX_PACKET_INDEX, MAX_REPORT_INDEX, RTCP_HEADER,
    cipher::{Cipher, Covered, PacketId, Protocol},
    header::{RtpHeader, rtcp_ssrc},
    keys::{KeyError, MasterKey},
    replay::ReplayWindow,
    sender::{rollover, rtcp_aad},
};

/// Most SSRCs that are followed, for RTP and for RTCP. 64 tracks, which is what media takes of a client, of three simulcast
/// layers with their retransmission streams are 384; beyond, the one that was silent for longest is forgotten.
const MAX_SSRCS: usize = 512;

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

/// Why a packet was not opened. It is dropped and counted, nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// The Transport has no keys yet.
    #[error("the DTLS handshake is not done")]
    NotConnected,
    /// The path has not been validated by a connectivity check.
    #[error("the path is not validated")]
    UnknownPath,
    /// Too short, lengths past its end, or not encrypted.
    #[error("malformed packet")]
    Malformed,
    /// The tag does not match.
    #[error("authentication failed")]
    Authentication,
    /// Seen before, or too old to tell.
    #[error("replayed packet")]
    Replayed,
}

/// Opens what we receive; keeps rollover counters and replay windows.
pub struct SrtpReceiver {
    pub(super) rtp: Cipher,
    pub(super) rtcp: Cipher,
    rtp_streams: Streams,
    rtcp_streams: Streams,
}

impl SrtpReceiver {
    /// With the master key of the client's direction.
    ///
    /// # Errors
    /// If the crypto library refuses a key.
    pub fn new(master: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: Cipher::new(master, Protocol::Rtp)?,
            rtcp: Cipher::new(master, Protocol::Rtcp)?,
            rtp_streams: Streams::default(),
            rtcp_streams: Streams::default(),
        })
    }

    /// Opens an RTP packet in place. After an error the packet's content is not to be used.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<OpenedRtp, OpenError> {
        let header = RtpHeader::parse(packet).ok_or(OpenError::Malformed)?;
        let body_len = packet
            .len()
            .checked_sub(header.len + self.rtp.tag_len())
            .ok_or(OpenError::Malformed)?;
        let position = self.rtp_streams.find(header.ssrc);
        let index = match self.rtp_streams.window(position) {
            Some(window) => {
                let index = window.estimate(header.sequence);
                if !window.is_new(index) {
                    return Err(OpenError::Replayed);
                }
                index
            }
            None => header.sequence.into(),
        };
        if index >= MAX_PACKET_INDEX {
            return Err(OpenError::Malformed);
        }
        let (head, rest) = packet.split_at_mut(header.len);
        let (body, tag) = rest.split_at_mut(body_len);
        let covered = Covered {
            aad: head,
            header: head,
            trailer: rollover(index),
        };
        let id = PacketId {
            ssrc: header.ssrc,
            index,
        };
        self.rtp
            .open(id, &covered, body, tag)
            .map_err(|_| OpenError::Authentication)?;
        self.rtp_streams.mark(position, header.ssrc, index);
        Ok(OpenedRtp {
            len: header.len + body_len,
            header_len: header.len,
            ssrc: header.ssrc,
            extended_sequence: index,
        })
    }

    /// Opens a compound RTCP packet in place and returns its plain length. After an error the packet's content is not to
    /// be used.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, OpenError> {
        let ssrc = rtcp_ssrc(packet).ok_or(OpenError::Malformed)?;
        let tag_len = self.rtcp.tag_len();
        let body_len = packet
            .len()
            .checked_sub(RTCP_HEADER + tag_len + 4)
            .ok_or(OpenError::Malformed)?;
        let (head, rest) = packet.split_at_mut(RTCP_HEADER);
        let (body, trailer) = rest.split_at_mut(body_len);
        // GCM puts the tag before the index, HMAC after it.
        let (tag, index_field) = match self.rtcp {
            Cipher::Gcm { .. } => trailer.split_at(tag_len),
            Cipher::CmHmac(_) => {
                let (index_field, tag) = trailer.split_at(4);
                (tag, index_field)
            }
        };
        let index_field = *index_field.first_chunk::<4>().ok_or(OpenError::Malformed)?;
        let word = u32::from_be_bytes(index_field);
        if word & MAX_REPORT_INDEX == 0 {
            // Not encrypted: no WebRTC client does that.
            return Err(OpenError::Malformed);
        }
        let index = u64::from(word & !MAX_REPORT_INDEX);
        let position = self.rtcp_streams.find(ssrc);
        if self
            .rtcp_streams
            .window(position)
            .is_some_and(|window| !window.is_new(index))
        {
            return Err(OpenError::Replayed);
        }
        let aad = rtcp_aad(head, index_field);
        let covered = Covered {
            aad: &aad,
            header: head,
            trailer: index_field,
        };
        self.rtcp
            .open(PacketId { ssrc, index }, &covered, body, tag)
            .map_err(|_| OpenError::Authentication)?;
        self.rtcp_streams.mark(position, ssrc, index);
        Ok(RTCP_HEADER + body_len)
    }
}

/// Replay windows by SSRC, sorted. Made only by authentic packets.
#[derive(Default)]
struct Streams {
    ssrcs: Vec<Ssrc>,
    states: Vec<Stream>,
    /// Counts packets, to know which stream is silent for longest.
    clock: u64,
}

struct Stream {
    window: ReplayWindow,
    last_used: u64,
}

/// Where an SSRC is, or where it belongs.
type Position = Result<usize, usize>;

impl Streams {
    fn find(&self, ssrc: Ssrc) -> Position {
        self.ssrcs.binary_search(&ssrc)
    }

    fn window(&self, position: Position) -> Option<&ReplayWindow> {
        self.states.get(position.ok()?).map(|stream| &stream.window)
    }

    fn mark(&mut self, position: Position, ssrc: Ssrc, index: u64) {
        self.clock += 1;
        match position {
            Ok(at) => {
                if let Some(stream) = self.states.get_mut(at) {
                    stream.window.mark(index);
                    stream.last_used = self.clock;
                }
            }
            Err(mut at) => {
                if self.ssrcs.len() >= MAX_SSRCS {
                    let stalest = self
                        .states
                        .iter()
                        .enumerate()
                        .min_by_key(|(_, stream)| stream.last_used)
                        .map_or(0, |(stalest, _)| stalest);
                    self.ssrcs.remove(stalest);
                    self.states.remove(stalest);
                    if stalest < at {
                        at -= 1;
                    }
                }
                self.ssrcs.insert(at, ssrc);
                self.states.insert(
                    at,
                    Stream {
                        window: ReplayWindow::starting_at(index),
                        last_used: self.clock,
                    },
                );
            }
        }
    }
}

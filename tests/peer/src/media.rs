//! Media that can be recognised: sound and pictures whose payload says which frame of whom it is.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use rtc::{
    rtp::{self, codec::vp8::Vp8Packet, packetizer::Depacketizer as _},
    rtp_transceiver::{
        RTCRtpSenderId,
        rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters},
    },
};

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Opus, 50 frames a second.
    Audio,
    /// VP8, 30 frames a second; a key frame first, three times a second, and when asked for.
    Video,
}

/// Payload types, as browsers number them.
const OPUS: u8 = 111;
const VP8: u8 = 96;
/// Pictures from one key frame to the next, when none is asked for: the library keeps some requests to itself.
const KEY_EVERY: u32 = 10;
/// Bytes of a frame after its number.
const FILLING: usize = 200;

impl Kind {
    pub(crate) const fn of(payload_type: u8) -> Option<Self> {
        match payload_type {
            OPUS => Some(Self::Audio),
            VP8 => Some(Self::Video),
            _ => None,
        }
    }

    pub(crate) fn codec(self) -> RTCRtpCodecParameters {
        let feedback = |typ: &str, parameter: &str| RTCPFeedback {
            typ: typ.to_owned(),
            parameter: parameter.to_owned(),
        };
        match self {
            Self::Audio => RTCRtpCodecParameters {
                rtp_codec: RTCRtpCodec {
                    mime_type: "audio/opus".to_owned(),
                    clock_rate: 48_000,
                    channels: 2,
                    sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
                    rtcp_feedback: vec![],
                },
                payload_type: OPUS,
            },
            Self::Video => RTCRtpCodecParameters {
                rtp_codec: RTCRtpCodec {
                    mime_type: "video/VP8".to_owned(),
                    clock_rate: 90_000,
                    channels: 0,
                    sdp_fmtp_line: String::new(),
                    rtcp_feedback: vec![
                        feedback("ccm", "fir"),
                        feedback("nack", ""),
                        feedback("nack", "pli"),
                    ],
                },
                payload_type: VP8,
            },
        }
    }

    const fn interval(self) -> Duration {
        match self {
            Self::Audio => Duration::from_millis(20),
            Self::Video => Duration::from_nanos(33_333_333),
        }
    }

    const fn ticks(self) -> u32 {
        match self {
            Self::Audio => 960,
            Self::Video => 3_000,
        }
    }
}

/// A frame that arrived, depacketised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Sound or picture.
    pub kind: Kind,
    /// Which one of its publisher's.
    pub frame: u32,
    /// When.
    pub at: Instant,
}

/// A published track.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) sender: RTCRtpSenderId,
    pub(crate) kind: Kind,
    pub(crate) ssrc: u32,
    pub(crate) next_at: Option<Instant>,
    pub(crate) key_wanted: bool,
    sequence: u16,
    frame: u32,
}

impl Source {
    pub(crate) fn new(sender: RTCRtpSenderId, kind: Kind, ssrc: u32) -> Self {
        Self {
            sender,
            kind,
            ssrc,
            next_at: None,
            key_wanted: true,
            sequence: fastrand::u16(..),
            frame: 0,
        }
    }

    /// The frame that is due.
    pub(crate) fn next_frame(&mut self, now: Instant) -> rtp::Packet {
        self.next_at = Some(self.next_at.unwrap_or(now) + self.kind.interval());
        self.sequence = self.sequence.wrapping_add(1);
        self.frame += 1;
        let mut payload = BytesMut::new();
        if self.kind == Kind::Video {
            let wanted = std::mem::take(&mut self.key_wanted);
            let key = wanted || self.frame.is_multiple_of(KEY_EVERY);
            // Descriptor (RFC 7741): start of a partition, nothing else. Frame tag: bit 0 is clear in key frames.
            payload.put_u8(0x10);
            payload.put_slice(&[u8::from(!key), 0, 0]);
            if key {
                // Start code, 64 by 64.
                payload.put_slice(&[0x9d, 0x01, 0x2a, 64, 0, 64, 0]);
            }
        }
        payload.put_u32(self.frame);
        payload.put_bytes(0x5a, FILLING);
        rtp::Packet {
            header: rtp::Header {
                version: 2,
                marker: self.kind == Kind::Video,
                payload_type: self.kind.codec().payload_type,
                sequence_number: self.sequence,
                timestamp: self.frame.wrapping_mul(self.kind.ticks()),
                ssrc: self.ssrc,
                ..rtp::Header::default()
            },
            payload: payload.freeze(),
        }
    }
}

/// What a packet carries; `None` if it is not one that a [`Source`] made, and wholly so.
pub(crate) fn depacketise(packet: &rtp::Packet, at: Instant) -> Option<Seen> {
    let kind = Kind::of(packet.header.payload_type)?;
    let frame: Bytes = match kind {
        Kind::Audio => packet.payload.clone(),
        Kind::Video => Vp8Packet::default().depacketize(&packet.payload).ok()?,
    };
    let filling = frame.len().checked_sub(FILLING)?;
    let (front, filled) = frame.split_at_checked(filling)?;
    let number = front.last_chunk::<4>()?;
    filled.iter().all(|byte| *byte == 0x5a).then_some(Seen {
        kind,
        frame: u32::from_be_bytes(*number),
        at,
    })
}

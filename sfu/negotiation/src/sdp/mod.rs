//! The subset of SDP (RFC 8866) that WebRTC endpoints need from each other, read without copies and written with few.
//!
//! Attributes that a forwarding ICE-lite server has no use for (candidates, RTCP ports, bandwidth) are passed over.

mod formats;
mod parse;
mod write;

pub(crate) use formats::Formats;
pub(crate) use write::{
    CodecLines, FormatText, MediaText, RefusedText, SendText, push_number, write_data,
    write_rejected,
};

use plenum_types::{Codec, ExtensionIds, MediaKind, Ssrc};
use std::rc::Rc;

/// A description as it was received.
#[derive(Debug)]
pub(crate) struct Description<'a> {
    /// Transport attributes before the first section: they hold for all.
    pub(crate) transport: TransportLines<'a>,
    /// Mids of `a=group:BUNDLE`, separated by spaces.
    pub(crate) bundle: Option<&'a str>,
    /// `a=extmap-allow-mixed` (RFC 8285 section 6).
    pub(crate) allow_mixed: bool,
    /// In order.
    pub(crate) media: Vec<Media<'a>>,
}

/// Attributes of the transport, at either level.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TransportLines<'a> {
    /// `a=ice-ufrag`
    pub(crate) ufrag: Option<&'a str>,
    /// `a=ice-pwd`
    pub(crate) pwd: Option<&'a str>,
    /// Value of `a=fingerprint:sha-256`.
    pub(crate) fingerprint: Option<&'a str>,
    /// `a=setup`
    pub(crate) setup: Option<Setup>,
}

/// `a=setup` (RFC 4145 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    Active,
    Passive,
    ActPass,
}

/// What a section is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SectionKind {
    Media(MediaKind),
    Data,
    Other,
}

/// Who sends, seen by the author of the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(crate) const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub(crate) const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// A section as it was received.
#[derive(Debug)]
pub(crate) struct Media<'a> {
    pub(crate) kind: SectionKind,
    /// Media type as written.
    pub(crate) kind_text: &'a str,
    pub(crate) port: u16,
    pub(crate) protocol: &'a str,
    /// Formats as written, separated by spaces.
    pub(crate) format_text: &'a str,
    pub(crate) mid: Option<&'a str>,
    pub(crate) direction: Direction,
    pub(crate) transport: TransportLines<'a>,
    /// Sections that say the same of the same formats share what they say.
    pub(crate) formats: Rc<Formats<'a>>,
    pub(crate) extensions: ExtensionIds,
    /// Stream and track of `a=msid`, or of `a=ssrc:… msid:`.
    pub(crate) msid: Option<(&'a str, &'a str)>,
    /// Distinct, in order.
    pub(crate) ssrcs: Vec<Ssrc>,
    /// Media and repair SSRC of each `a=ssrc-group:FID`.
    pub(crate) repair: Vec<(Ssrc, Ssrc)>,
    /// Rids with direction `send`.
    pub(crate) send_rids: Vec<&'a str>,
    /// Streams of `a=simulcast:send`, as written.
    pub(crate) simulcast_send: Option<&'a str>,
    pub(crate) bundle_only: bool,
    pub(crate) sctp_port: Option<u16>,
    pub(crate) max_message_size: Option<u32>,
}

impl Media<'_> {
    /// Port 0 means rejected, unless the section just has no transport of its own (RFC 9143 section 6).
    pub(crate) const fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }
}

/// What a payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Codec(Codec),
    /// Retransmissions (RFC 4588).
    Rtx,
}

/// Encodings with their `a=rtpmap`.
const ENCODINGS: [(Encoding, &str); 8] = [
    (Encoding::Codec(Codec::Opus), "opus/48000/2"),
    (Encoding::Codec(Codec::Red), "red/48000/2"),
    (Encoding::Codec(Codec::Vp8), "VP8/90000"),
    (Encoding::Codec(Codec::Vp9), "VP9/90000"),
    // Which of the two it is, `a=fmtp` says.
    (Encoding::Codec(Codec::H264), "H264/90000"),
    (Encoding::Codec(Codec::H264High), "H264/90000"),
    (Encoding::Codec(Codec::Av1), "AV1/90000"),
    (Encoding::Rtx, "rtx/90000"),
];

impl Encoding {
    fn of(rtpmap: &str) -> Option<Self> {
        ENCODINGS
            .into_iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(rtpmap))
            .map(|(encoding, _)| encoding)
    }

    /// Value of `a=rtpmap`.
    pub(crate) fn rtpmap(self) -> &'static str {
        ENCODINGS
            .into_iter()
            .find(|(encoding, _)| *encoding == self)
            .map_or("", |(_, name)| name)
    }
}

/// RTCP feedback of a payload type: a set of [`FEEDBACK`] entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Feedback(u8);

/// What `a=rtcp-fb` may say, as far as we use it.
pub(crate) const FEEDBACK: [(Feedback, &str); 4] = [
    (Feedback::TRANSPORT_CC, "transport-cc"),
    (Feedback::FIR, "ccm fir"),
    (Feedback::NACK, "nack"),
    (Feedback::PLI, "nack pli"),
];

impl Feedback {
    pub(crate) const TRANSPORT_CC: Self = Self(1);
    /// RFC 5104
    pub(crate) const FIR: Self = Self(2);
    /// RFC 4585
    pub(crate) const NACK: Self = Self(4);
    /// RFC 4585
    pub(crate) const PLI: Self = Self(8);

    /// Nothing of the sort.
    pub(crate) const fn none() -> Self {
        Self(0)
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn of(text: &str) -> Self {
        FEEDBACK
            .into_iter()
            .find(|(_, name)| *name == text)
            .map_or(Self::none(), |(feedback, _)| feedback)
    }
}

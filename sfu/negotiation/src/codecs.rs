//! Which codecs, feedback and header extensions are negotiated.

use plenum_types::{Codec, ExtensionIds, MediaKind, PayloadType, ReceiverCodec, RtpExtension};
use smallvec::SmallVec;
use std::rc::Rc;

use crate::{
    h264::Profile,
    sdp::{Encoding, Feedback, Formats, Media},
};

/// A codec of a section with its payload types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NegotiatedCodec {
    pub(crate) codec: Codec,
    pub(crate) payload_type: PayloadType,
    pub(crate) rtx: Option<PayloadType>,
    pub(crate) feedback: Feedback,
    pub(crate) parameters: Parameters,
}

/// What `a=fmtp` says of a format that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameters {
    /// Nothing of interest.
    Plain,
    /// Payload type of the blocks.
    Red(PayloadType),
    /// `profile-id=0`, whether said or not (RFC 9628 section 7).
    Vp9,
    /// `profile-level-id`, with packetization mode 1 (RFC 6184 section 8.1).
    H264(u32),
    /// `level-idx` and `tier` of profile 0, if they are said.
    Av1(Option<(u8, u8)>),
}

/// Constrained baseline of level 3.1.
const H264_CONSTRAINED_BASELINE: u32 = 0x42_e01f;
/// High profile in our own offers: clients know it by different names, and take a format only if they know its name. Each
/// with its payload type and that of its retransmissions.
const OFFERED_HIGH: [(u8, u8, u32); 3] = [
    (112, 113, 0x64_001f),
    (114, 115, 0x64_0c1f),
    (116, 117, 0xf4_001f),
];

impl Parameters {
    /// Reads `a=fmtp` of a codec; `None` if it is a variant that we don't take. It also says which codec it is, by what a
    /// decoder must have. `is_sent_to_us` says that the client sends in it.
    fn read(codec: Codec, text: &str, is_sent_to_us: bool) -> Option<(Codec, Self)> {
        let value = |name: &str| {
            text.split(';').find_map(|parameter| {
                let (own, value) = parameter.trim().split_once('=')?;
                own.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let number = |name| value(name).map(str::parse::<u8>);
        let parameters = match codec {
            Codec::Red => {
                let mut blocks = text.split('/');
                let first: u8 = blocks.next()?.trim().parse().ok()?;
                blocks
                    .all(|block| block.trim().parse() == Ok(first))
                    .then_some(Self::Red(PayloadType(first)))?
            }
            Codec::Vp9 => {
                matches!(number("profile-id"), None | Some(Ok(0))).then_some(Self::Vp9)?
            }
            Codec::H264 => {
                let profile_level = u32::from_str_radix(value("profile-level-id")?, 16).ok()?;
                if number("packetization-mode") != Some(Ok(1)) {
                    return None;
                }
                let codec = Profile::of(profile_level)?.codec(is_sent_to_us)?;
                return Some((codec, Self::H264(profile_level)));
            }
            Codec::Av1 => {
                if !matches!(number("profile"), None | Some(Ok(0))) {
                    return None;
                }
                Self::Av1(match (number("level-idx"), number("tier")) {
                    (Some(Ok(level)), Some(Ok(tier))) => Some((level, tier)),
                    _ => None,
                })
            }
            _ => Self::Plain,
        };
        Some((codec, parameters))
    }

    /// Of two variants of a codec this one is the better.
    fn beats(self, other: Self) -> bool {
        let exact =
            |this| matches!(this, Self::H264(id) if Profile::of(id).is_some_and(Profile::is_exact));
        exact(self) && !exact(other)
    }
}

/// There are four codecs of video, one of them in two profiles.
pub(crate) type NegotiatedCodecs = SmallVec<[NegotiatedCodec; 5]>;

/// Opus in our own offers.
const OFFERED_OPUS: PayloadType = PayloadType(111);

impl NegotiatedCodec {
    pub(crate) fn receiver(&self) -> ReceiverCodec {
        ReceiverCodec {
            payload_type: self.payload_type,
            codec: self.codec,
            rtx: self.rtx,
            nack: self.feedback.has(Feedback::NACK),
            transport_cc: self.feedback.has(Feedback::TRANSPORT_CC),
        }
    }

    /// High profile as we offer it, where a track is in it.
    pub(crate) fn offered_high() -> impl Iterator<Item = Self> {
        let of = |(payload_type, rtx, profile_level)| Self {
            codec: Codec::H264High,
            payload_type: PayloadType(payload_type),
            rtx: Some(PayloadType(rtx)),
            feedback: feedback(MediaKind::Video),
            parameters: Parameters::H264(profile_level),
        };
        OFFERED_HIGH.into_iter().map(of)
    }

    /// The codec as we offer it: one fixed payload type for each, since all sections are in one BUNDLE group.
    pub(crate) fn offered(codec: Codec) -> Self {
        // As browsers number them.
        let (payload_type, rtx, parameters) = match codec {
            Codec::Vp8 => (96, Some(97), Parameters::Plain),
            Codec::Vp9 => (98, Some(99), Parameters::Vp9),
            Codec::H264 => (108, Some(109), Parameters::H264(H264_CONSTRAINED_BASELINE)),
            Codec::Av1 => (45, Some(46), Parameters::Av1(None)),
            Codec::Red => (63, None, Parameters::Red(OFFERED_OPUS)),
            _ => (OFFERED_OPUS.0, None, Parameters::Plain),
        };
        Self {
            codec,
            payload_type: PayloadType(payload_type),
            rtx: rtx.map(PayloadType),
            feedback: feedback(codec.kind()),
            parameters,
        }
    }
}

/// Feedback that we understand (protocol.md 4c).
const fn feedback(kind: MediaKind) -> Feedback {
    let both = Feedback::NACK.with(Feedback::TRANSPORT_CC);
    match kind {
        MediaKind::Audio => both,
        MediaKind::Video => both.with(Feedback::PLI).with(Feedback::FIR),
    }
}

/// What was found last: sections of a description share their formats (see `sdp::formats`), and those of both kinds alternate.
const FOUND: usize = 4;

/// What of the formats of one section after the other we take, payload types as the client numbers them.
pub(crate) struct CommonCodecs<'m, 'a> {
    enabled: &'m [Codec],
    found: SmallVec<[Found<'m, 'a>; FOUND]>,
}

/// What sections of a kind and a direction have.
struct Found<'m, 'a> {
    formats: &'m Rc<Formats<'a>>,
    kind: MediaKind,
    is_sent_to_us: bool,
    codecs: NegotiatedCodecs,
}

impl<'m, 'a> CommonCodecs<'m, 'a> {
    /// `enabled` are those that may be negotiated.
    pub(crate) fn new(enabled: &'m [Codec]) -> Self {
        Self {
            enabled,
            found: SmallVec::new(),
        }
    }

    /// Those of a section, in the client's order of preference.
    pub(crate) fn of(&mut self, media: &'m Media<'a>, kind: MediaKind) -> NegotiatedCodecs {
        let is_sent_to_us = media.direction.sends();
        let known = self.found.iter().find(|found| {
            Rc::ptr_eq(found.formats, &media.formats)
                && found.kind == kind
                && found.is_sent_to_us == is_sent_to_us
        });
        if let Some(known) = known {
            return known.codecs.clone();
        }
        let codecs = common_codecs(&media.formats, kind, is_sent_to_us, self.enabled);
        if self.found.len() < FOUND {
            self.found.push(Found {
                formats: &media.formats,
                kind,
                is_sent_to_us,
                codecs: codecs.clone(),
            });
        }
        codecs
    }
}

fn common_codecs(
    formats: &Formats<'_>,
    kind: MediaKind,
    is_sent_to_us: bool,
    enabled: &[Codec],
) -> NegotiatedCodecs {
    let mut common = NegotiatedCodecs::new();
    for format in &formats.known {
        let Encoding::Codec(codec) = format.encoding else {
            continue;
        };
        if codec.kind() != kind || !enabled.contains(&codec) {
            continue;
        }
        let Some((codec, parameters)) = Parameters::read(codec, format.parameters, is_sent_to_us)
        else {
            continue;
        };
        let known = common.iter().position(|other| other.codec == codec);
        if let Some(known) = known.and_then(|known| common.get(known))
            && !parameters.beats(known.parameters)
        {
            continue;
        }
        let negotiated = NegotiatedCodec {
            codec,
            payload_type: format.payload_type,
            rtx: formats
                .known
                .iter()
                .find(|other| {
                    other.encoding == Encoding::Rtx
                        && associated(other.parameters) == Some(format.payload_type)
                })
                .map(|other| other.payload_type),
            feedback: format.feedback.intersection(feedback(kind)),
            parameters,
        };
        match known.and_then(|known| common.get_mut(known)) {
            Some(known) => *known = negotiated,
            None => common.push(negotiated),
        }
    }
    let opus = common
        .iter()
        .find(|known| known.codec == Codec::Opus)
        .map(|known| known.payload_type);
    common.retain(|negotiated| match negotiated.parameters {
        Parameters::Red(blocks) => opus == Some(blocks),
        _ => true,
    });
    common
}

/// `apt` of retransmissions (RFC 4588 section 8.6).
fn associated(parameters: &str) -> Option<PayloadType> {
    parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("apt="))
        .and_then(|payload_type| payload_type.parse().ok())
        .map(PayloadType)
}

/// The extensions that we answer, of those that are there. A section that does not need one today answers it too: Chromium
/// 156 offers no extension on new sections that was refused on another one of the kind, and then can't simulcast.
pub(crate) fn answered_extensions(
    offered: &ExtensionIds,
    kind: MediaKind,
    allow_mixed: bool,
) -> ExtensionIds {
    let congestion = offered.get(RtpExtension::TransportWideCc).is_some();
    filter(offered, |extension| match extension {
        RtpExtension::Mid
        | RtpExtension::Rid
        | RtpExtension::RepairedRid
        | RtpExtension::TransportWideCc
        | RtpExtension::AbsCaptureTime => true,
        RtpExtension::AudioLevel => kind == MediaKind::Audio,
        // It says less than transport-wide numbers do, and both cost bytes in each packet.
        RtpExtension::AbsSendTime => !congestion,
        // Its structure fits only the two-byte form, which must not come beside the other without `allow_mixed`.
        RtpExtension::DependencyDescriptor => kind == MediaKind::Video && allow_mixed,
    })
}

/// Those of the negotiated extensions that are answered where `first`, the first of the answer's codecs, is to be sent to us.
/// Chromium offers the dependency descriptor for every codec, and where it has that, it writes VP8 payloads without picture
/// ids and temporal layers, which are all that VP8 is forwarded by.
pub(crate) fn received_extensions(negotiated: &ExtensionIds, first: Option<Codec>) -> ExtensionIds {
    filter(negotiated, |extension| {
        extension != RtpExtension::DependencyDescriptor || first != Some(Codec::Vp8)
    })
}

/// Those of the negotiated extensions that are of use on what we send: one encoding per section, so no rids.
pub(crate) fn sent_extensions(negotiated: &ExtensionIds) -> ExtensionIds {
    filter(negotiated, |extension| {
        !matches!(
            extension,
            RtpExtension::Rid | RtpExtension::RepairedRid | RtpExtension::AudioLevel
        )
    })
}

fn filter(ids: &ExtensionIds, keep: impl Fn(RtpExtension) -> bool) -> ExtensionIds {
    let mut kept = ExtensionIds::default();
    for extension in RtpExtension::ALL {
        if let Some(id) = ids.get(extension)
            && keep(extension)
        {
            kept.set(extension, id);
        }
    }
    kept
}

/// What an answer took of [`offered_extensions`].
pub(crate) fn taken_extensions(answered: &ExtensionIds, allow_mixed: bool) -> ExtensionIds {
    let offered = offered_extensions(MediaKind::Video);
    filter(answered, |extension| {
        offered.get(extension).is_some()
            && (allow_mixed || extension != RtpExtension::DependencyDescriptor)
    })
}

/// The extensions of our own offers; the same ids in all sections, since they share one BUNDLE group.
pub(crate) fn offered_extensions(kind: MediaKind) -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for (extension, id) in [
        (RtpExtension::TransportWideCc, 3),
        (RtpExtension::Mid, 4),
        (RtpExtension::AbsCaptureTime, 5),
    ] {
        ids.set(extension, id);
    }
    if kind == MediaKind::Video {
        ids.set(RtpExtension::DependencyDescriptor, 12);
    }
    ids
}

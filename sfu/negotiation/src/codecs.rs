//! Which codecs, feedback and header extensions are negotiated.

use plenum_types::{Codec, ExtensionIds, MediaKind, PayloadType, ReceiverCodec, RtpExtension};
use smallvec::SmallVec;

use crate::{
    AudioPolicy,
    sdp::{Encoding, Feedback, Media},
};

/// A codec of a section with its payload types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NegotiatedCodec {
    pub(crate) codec: Codec,
    pub(crate) payload_type: PayloadType,
    pub(crate) rtx: Option<PayloadType>,
    pub(crate) feedback: Feedback,
}

/// Sections rarely have more than one codec that we take.
pub(crate) type NegotiatedCodecs = SmallVec<[NegotiatedCodec; 2]>;

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

    /// The codec as we offer it: one fixed payload type for each, since all sections are in one BUNDLE group.
    pub(crate) fn offered(codec: Codec) -> Self {
        let (payload_type, rtx) = match codec {
            Codec::Vp8 => (96, Some(97)),
            // Opus, and whatever audio codec comes: browsers call it 111.
            _ => (111, None),
        };
        Self {
            codec,
            payload_type: PayloadType(payload_type),
            rtx: rtx.map(PayloadType),
            feedback: feedback(codec.kind()),
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

/// What of a section's formats we take, in the client's order of preference, payload types as the client numbers them.
pub(crate) fn common_codecs(
    media: &Media<'_>,
    kind: MediaKind,
    enabled: &[Codec],
) -> NegotiatedCodecs {
    let mut common = NegotiatedCodecs::new();
    for format in &media.formats {
        let Encoding::Codec(codec) = format.encoding else {
            continue;
        };
        let known = common.iter().any(|other| other.codec == codec);
        if known || codec.kind() != kind || !enabled.contains(&codec) {
            continue;
        }
        common.push(NegotiatedCodec {
            codec,
            payload_type: format.payload_type,
            rtx: media
                .formats
                .iter()
                .find(|other| {
                    other.encoding == Encoding::Rtx
                        && associated(other.parameters) == Some(format.payload_type)
                })
                .map(|other| other.payload_type),
            feedback: format.feedback.intersection(feedback(kind)),
        });
    }
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
pub(crate) fn answered_extensions(offered: &ExtensionIds, kind: MediaKind) -> ExtensionIds {
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
        // Needed by codecs with spatial layers in one stream, of which there is none yet.
        RtpExtension::DependencyDescriptor => false,
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
pub(crate) fn taken_extensions(answered: &ExtensionIds) -> ExtensionIds {
    let offered = offered_extensions();
    filter(answered, |extension| offered.get(extension).is_some())
}

/// The extensions of our own offers; the same ids in all sections, since they share one BUNDLE group.
pub(crate) fn offered_extensions() -> ExtensionIds {
    let mut ids = ExtensionIds::default();
    for (extension, id) in [
        (RtpExtension::TransportWideCc, 3),
        (RtpExtension::Mid, 4),
        (RtpExtension::AbsCaptureTime, 5),
    ] {
        ids.set(extension, id);
    }
    ids
}

/// `a=fmtp` of Opus that we receive (RFC 7587 section 6.1, protocol.md 4c).
pub(crate) const fn opus_to_receive(policy: AudioPolicy) -> &'static str {
    match (policy.stereo, policy.dtx) {
        (false, true) => "minptime=10;useinbandfec=1;usedtx=1",
        (false, false) => "minptime=10;useinbandfec=1",
        (true, true) => "minptime=10;useinbandfec=1;usedtx=1;stereo=1;maxaveragebitrate=510000",
        (true, false) => "minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=510000",
    }
}

/// `a=fmtp` of Opus that we send.
pub(crate) const fn opus_to_send(stereo: bool) -> &'static str {
    if stereo {
        "minptime=10;useinbandfec=1;sprop-stereo=1"
    } else {
        "minptime=10;useinbandfec=1"
    }
}

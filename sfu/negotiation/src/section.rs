//! A section of a client's offer, as it is remembered until the next one.

use plenum_types::{
    Codec, EncodingParams, ExtensionIds, MediaKind, Mid, ReceiverParams, Rid, RtpExtension, Ssrc,
};
use smallvec::SmallVec;

use crate::{
    AudioPolicy, NegotiationError, Receiver,
    codecs::{CommonCodecs, NegotiatedCodec, NegotiatedCodecs, answered_extensions},
    sdp::{Direction, Media, RefusedText, SectionKind},
};

/// Transports of media over DTLS-SRTP that may be offered (RFC 9429 section 5.1.2); the answer repeats the one it got.
const MEDIA_PROTOCOLS: [&str; 4] = [
    "UDP/TLS/RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "RTP/SAVPF",
    "RTP/SAVP",
];
/// Transport of data channels (RFC 8841 section 4).
const DATA_PROTOCOL: &str = "UDP/DTLS/SCTP";
/// Layer names from the smallest up: what LiveKit's SDKs use, and what some browsers do (protocol.md 4c).
const LAYER_NAMES: [[&str; 3]; 2] = [["q", "h", "f"], ["2", "1", "0"]];

/// A section of an offer.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) mid: Mid,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Media(Box<MediaSection>),
    Data,
    /// Media in codecs that we don't know.
    Refused {
        kind: MediaKind,
        /// The client's.
        direction: Direction,
        text: RefusedText,
    },
    /// Stopped by the client, or of no use to us.
    Rejected(Rejected),
}

/// What the `m=` line of a rejected section must repeat.
#[derive(Debug)]
pub(crate) struct Rejected {
    pub(crate) kind: String,
    pub(crate) protocol: String,
    pub(crate) format: String,
}

/// A section with a codec that we take.
#[derive(Debug)]
pub(crate) struct MediaSection {
    pub(crate) kind: MediaKind,
    pub(crate) protocol: &'static str,
    /// The client's.
    pub(crate) direction: Direction,
    pub(crate) codecs: NegotiatedCodecs,
    /// Those that we answer.
    pub(crate) extensions: ExtensionIds,
    /// Whatever SSRCs the client names here; ours must differ.
    pub(crate) ssrcs: SmallVec<[Ssrc; 2]>,
    /// What the client sends, if we take it.
    pub(crate) receiver: Option<Receiver>,
    /// Layers in the order in which they were offered.
    pub(crate) rids: SmallVec<[Rid; 3]>,
    /// How Opus is to be sent to us.
    pub(crate) audio_policy: AudioPolicy,
    /// What is to be sent to us, if the client can.
    pub(crate) preferred: Option<Codec>,
    /// A track of ours was taken out: the next answer must show the section inactive, or browsers would not announce the
    /// next track in it (they do so only when a section starts to send).
    pub(crate) resting: bool,
}

impl Section {
    /// Reads a section. `bundled` says whether it shares the transport.
    pub(crate) fn read<'m, 'a>(
        media: &'m Media<'a>,
        index: usize,
        bundled: bool,
        common: &mut CommonCodecs<'m, 'a>,
        allow_mixed: bool,
    ) -> Result<Self, NegotiationError> {
        let fault = |what| NegotiationError::Section { index, what };
        let mid = Mid::from(media.mid.ok_or_else(|| fault("it has no mid"))?);
        let usable = bundled && !media.is_rejected();
        let body = match media.kind {
            SectionKind::Media(kind) if usable => {
                let protocol = MEDIA_PROTOCOLS
                    .into_iter()
                    .find(|protocol| *protocol == media.protocol);
                let codecs = common.of(media, kind);
                protocol.map(|protocol| {
                    if codecs.is_empty() {
                        Body::Refused {
                            kind,
                            direction: media.direction,
                            text: RefusedText {
                                kind: media.kind_text.into(),
                                protocol: protocol.into(),
                                format: first_format(media),
                                rtpmap: media.formats.first.0.into(),
                                parameters: media.formats.first.1.into(),
                            },
                        }
                    } else {
                        let section =
                            MediaSection::read(media, &mid, kind, protocol, codecs, allow_mixed);
                        Body::Media(Box::new(section))
                    }
                })
            }
            SectionKind::Data if usable && media.protocol == DATA_PROTOCOL => Some(Body::Data),
            _ => None,
        };
        Ok(Self {
            mid,
            body: body.unwrap_or_else(|| {
                Body::Rejected(Rejected {
                    kind: media.kind_text.into(),
                    protocol: media.protocol.into(),
                    format: first_format(media),
                })
            }),
        })
    }

    /// It has a part in the transport.
    pub(crate) const fn is_in_use(&self) -> bool {
        !matches!(self.body, Body::Rejected(_))
    }

    /// What the client would receive here, in codecs that we know or not.
    pub(crate) const fn waits_for(&self) -> Option<MediaKind> {
        let (kind, direction) = match &self.body {
            Body::Media(media) => (media.kind, media.direction),
            Body::Refused {
                kind, direction, ..
            } => (*kind, *direction),
            Body::Data | Body::Rejected(_) => return None,
        };
        match direction {
            Direction::RecvOnly => Some(kind),
            _ => None,
        }
    }

    pub(crate) fn media(&self) -> Option<&MediaSection> {
        match &self.body {
            Body::Media(media) => Some(media),
            _ => None,
        }
    }

    pub(crate) fn media_mut(&mut self) -> Option<&mut MediaSection> {
        match &mut self.body {
            Body::Media(media) => Some(media),
            _ => None,
        }
    }
}

impl MediaSection {
    fn read(
        media: &Media<'_>,
        mid: &Mid,
        kind: MediaKind,
        protocol: &'static str,
        codecs: NegotiatedCodecs,
        allow_mixed: bool,
    ) -> Self {
        let rids = simulcast_rids(media);
        let extensions = answered_extensions(&media.extensions, kind, allow_mixed);
        let receiver = media.direction.sends().then(|| Receiver {
            params: ReceiverParams {
                mid: mid.clone(),
                kind,
                codecs: codecs.iter().map(NegotiatedCodec::receiver).collect(),
                extensions,
                encodings: encodings(media, &rids),
            },
            stream_id: named(media.msid.map(|(stream, _)| stream)),
            cid: named(media.msid.map(|(_, track)| track)),
        });
        Self {
            kind,
            protocol,
            direction: media.direction,
            codecs,
            extensions,
            ssrcs: media.ssrcs.iter().copied().collect(),
            receiver,
            rids,
            audio_policy: AudioPolicy::default(),
            preferred: None,
            resting: false,
        }
    }

    /// The codecs as we answer them: what is sent to us follows the order of the answer. `carried` are those of a track of
    /// ours in the section.
    pub(crate) fn answered_codecs(&self, carried: &[Codec]) -> NegotiatedCodecs {
        let mut codecs = self.codecs.clone();
        if self.receiver.is_none() {
            // Clients that are answered high profile for nothing may stumble over it, as the reference found.
            if !carried.contains(&Codec::H264High)
                && codecs.iter().any(|known| known.codec != Codec::H264High)
            {
                codecs.retain(|known| known.codec != Codec::H264High);
            }
            return codecs;
        }
        let mut preferred = self.preferred;
        if self.kind == MediaKind::Audio {
            if self.audio_policy.red && !self.audio_policy.stereo {
                preferred = Some(Codec::Red);
            } else {
                codecs.retain(|known| known.codec != Codec::Red);
            }
        }
        codecs.sort_by_key(|known| Some(known.codec) != preferred);
        // With both profiles of H.264 in the answer a client could go over to the other one, which not all may decode that
        // get the track.
        if let Some(first) = codecs.first().map(|known| known.codec)
            && Some(first) == preferred
        {
            codecs.retain(|known| known.codec == first || known.codec.name() != first.name());
        }
        codecs
    }

    /// The client only waits for something here: what we may fill with a track.
    pub(crate) fn is_for_sending(&self) -> bool {
        self.direction == Direction::RecvOnly
    }
}

fn first_format(media: &Media<'_>) -> String {
    media.format_text.split(' ').next().unwrap_or("0").into()
}

/// The `-` of RFC 8830 means no stream.
fn named(part: Option<&str>) -> Option<String> {
    part.filter(|part| !part.is_empty() && *part != "-")
        .map(String::from)
}

/// Rids that the client sends. Without the extension that names them in packets they are of no use.
fn simulcast_rids(media: &Media<'_>) -> SmallVec<[Rid; 3]> {
    let mut rids = SmallVec::new();
    let Some(streams) = media.simulcast_send else {
        return rids;
    };
    if !media.direction.sends() || media.extensions.get(RtpExtension::Rid).is_none() {
        return rids;
    }
    for stream in streams.split(';') {
        // The first of the alternatives; `~` says that it starts paused (RFC 8853 section 5.1).
        let rid = stream.split(',').next().unwrap_or_default();
        let rid = rid.strip_prefix('~').unwrap_or(rid);
        if media.send_rids.contains(&rid) && !rids.iter().any(|known: &Rid| known.as_str() == rid) {
            rids.push(Rid::from(rid));
        }
    }
    rids
}

fn encodings(media: &Media<'_>, rids: &[Rid]) -> SmallVec<[EncodingParams; 3]> {
    if rids.is_empty() {
        let ssrc = media
            .ssrcs
            .iter()
            .copied()
            .find(|ssrc| !media.repair.iter().any(|(_, repair)| repair == ssrc));
        let rtx_ssrc = media
            .repair
            .iter()
            .find(|(primary, _)| Some(*primary) == ssrc)
            .map(|(_, repair)| *repair);
        return SmallVec::from_iter([EncodingParams {
            rid: None,
            ssrc,
            rtx_ssrc,
            spatial: 0,
        }]);
    }
    let known = LAYER_NAMES
        .into_iter()
        .find(|names| rids.iter().all(|rid| names.contains(&rid.as_str())));
    let mut ordered: SmallVec<[&Rid; 3]> = rids.iter().collect();
    if let Some(names) = known {
        ordered.sort_by_key(|rid| names.iter().position(|name| *name == rid.as_str()));
    }
    (0u8..)
        .zip(ordered)
        .map(|(spatial, rid)| EncodingParams {
            rid: Some(rid.clone()),
            ssrc: None,
            rtx_ssrc: None,
            spatial,
        })
        .collect()
}

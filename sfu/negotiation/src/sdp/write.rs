//! Writes media sections.

use plenum_types::{Codec, ExtensionIds, MediaKind, Mid, PayloadType, RtpExtension, Ssrc};

use std::fmt::Write;

use super::{Direction, Encoding, FEEDBACK};
use crate::codecs::{NegotiatedCodec, NegotiatedCodecs, Parameters};

/// Port of a section whose address comes by candidates (RFC 8840 section 4.1.1).
const DISCARD: &str = " 9 ";
/// Address of such a section.
const NO_ADDRESS: &str = "c=IN IP4 0.0.0.0\r\n";
/// Usrsctp's default, which all browsers use (RFC 8841 section 5.1).
const SCTP_PORT: &str = "a=sctp-port:5000\r\n";
/// Bytes of a message that we take; SDKs keep below 64,000 (protocol.md 6.1).
const MAX_MESSAGE_SIZE: &str = "a=max-message-size:262144\r\n";

/// An audio or video section to be written.
pub(crate) struct MediaText<'a> {
    pub(crate) kind: MediaKind,
    pub(crate) protocol: &'a str,
    pub(crate) mid: &'a Mid,
    pub(crate) direction: Direction,
    pub(crate) codecs: &'a [NegotiatedCodec],
    pub(crate) extensions: ExtensionIds,
    /// How the codecs shall be sent, by us or to us.
    pub(crate) format: FormatText,
    /// What we send here.
    pub(crate) send: Option<SendText<'a>>,
    /// Rids that we receive, in the order in which they were offered.
    pub(crate) receive_rids: &'a [plenum_types::Rid],
}

/// What `a=fmtp` says beyond a codec's own parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatText {
    /// We receive (RFC 7587 section 6.1, protocol.md 4c).
    Receive {
        /// Opus may stop in silence.
        dtx: bool,
        /// Opus has two channels, and so many bits per second for them.
        stereo: Option<u32>,
        /// Bits per second at which video begins, unless 0.
        initial: u32,
        /// Bits per second below which video does not go, unless 0.
        min: u32,
    },
    /// We send.
    Send {
        /// Opus has two channels.
        stereo: bool,
    },
}

/// A stream of ours.
pub(crate) struct SendText<'a> {
    pub(crate) stream_id: &'a str,
    pub(crate) track: &'a str,
    pub(crate) ssrc: Ssrc,
    pub(crate) repair: Option<Ssrc>,
}

/// The lines about codecs that were written last, for audio and video: most sections repeat those of the one before of
/// their kind.
#[derive(Debug, Default)]
pub(crate) struct CodecLines {
    audio: Option<Lines>,
    video: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    codecs: NegotiatedCodecs,
    format: FormatText,
    text: String,
}

impl MediaText<'_> {
    /// Appends the section. `transport` is the block of ICE and DTLS lines; `known` serves one description.
    pub(crate) fn write(&self, out: &mut String, transport: &str, known: &mut CodecLines) {
        out.push_str(match self.kind {
            MediaKind::Audio => "m=audio",
            MediaKind::Video => "m=video",
        });
        out.push_str(DISCARD);
        out.push_str(self.protocol);
        for codec in self.codecs {
            for payload_type in [Some(codec.payload_type), codec.rtx].into_iter().flatten() {
                out.push(' ');
                push_number(out, u32::from(payload_type.0));
            }
        }
        out.push_str("\r\n");
        out.push_str(NO_ADDRESS);
        out.push_str(transport);
        mid(out, self.mid);
        for extension in RtpExtension::ALL {
            if let Some(id) = self.extensions.get(extension) {
                out.push_str("a=extmap:");
                push_number(out, u32::from(id));
                out.push(' ');
                line(out, &[extension.uri()]);
            }
        }
        line(out, &["a=", self.direction.name()]);
        if let Some(send) = &self.send {
            line(out, &["a=msid:", send.stream_id, " ", send.track]);
        }
        out.push_str("a=rtcp-mux\r\na=rtcp-rsize\r\n");
        self.codec_lines(out, known);
        if let Some(send) = &self.send {
            stream(out, send);
        }
        if !self.receive_rids.is_empty() {
            for rid in self.receive_rids {
                line(out, &["a=rid:", rid.as_str(), " recv"]);
            }
            out.push_str("a=simulcast:recv ");
            for (index, rid) in self.receive_rids.iter().enumerate() {
                if index > 0 {
                    out.push(';');
                }
                out.push_str(rid.as_str());
            }
            out.push_str("\r\n");
        }
    }

    fn codec_lines(&self, out: &mut String, known: &mut CodecLines) {
        let known = match self.kind {
            MediaKind::Audio => &mut known.audio,
            MediaKind::Video => &mut known.video,
        };
        if let Some(known) = known
            && known.format == self.format
            && known.codecs.as_slice() == self.codecs
        {
            out.push_str(&known.text);
            return;
        }
        let start = out.len();
        for codec in self.codecs {
            self.codec(out, codec);
        }
        *known = Some(Lines {
            codecs: self.codecs.into(),
            format: self.format,
            text: out.get(start..).unwrap_or_default().into(),
        });
    }

    fn codec(&self, out: &mut String, codec: &NegotiatedCodec) {
        rtpmap(out, codec.payload_type, Encoding::Codec(codec.codec));
        for (feedback, name) in FEEDBACK {
            if codec.feedback.has(feedback) {
                out.push_str("a=rtcp-fb:");
                push_number(out, u32::from(codec.payload_type.0));
                line(out, &[" ", name]);
            }
        }
        let start = out.len();
        out.push_str("a=fmtp:");
        push_number(out, u32::from(codec.payload_type.0));
        out.push(' ');
        let before = out.len();
        parameters(out, codec.parameters);
        match codec.codec {
            Codec::Opus => self.format.opus(out, before),
            codec if codec.kind() == MediaKind::Video => self.format.video(out, before),
            _ => {}
        }
        if out.len() == before {
            out.truncate(start);
        } else {
            out.push_str("\r\n");
        }
        if let Some(rtx) = codec.rtx {
            rtpmap(out, rtx, Encoding::Rtx);
            out.push_str("a=fmtp:");
            push_number(out, u32::from(rtx.0));
            out.push_str(" apt=");
            push_number(out, u32::from(codec.payload_type.0));
            out.push_str("\r\n");
        }
    }
}

impl FormatText {
    fn opus(self, out: &mut String, start: usize) {
        parameter(out, start, "minptime=", Some(10));
        parameter(out, start, "useinbandfec=", Some(1));
        match self {
            Self::Receive { dtx, stereo, .. } => {
                if dtx {
                    parameter(out, start, "usedtx=", Some(1));
                }
                if let Some(bitrate) = stereo {
                    parameter(out, start, "stereo=", Some(1));
                    parameter(out, start, "maxaveragebitrate=", Some(bitrate));
                }
            }
            Self::Send { stereo: true } => parameter(out, start, "sprop-stereo=", Some(1)),
            Self::Send { stereo: false } => {}
        }
    }

    fn video(self, out: &mut String, start: usize) {
        let Self::Receive { initial, min, .. } = self else {
            return;
        };
        for (name, bitrate) in [
            ("x-google-start-bitrate=", initial),
            ("x-google-min-bitrate=", min),
        ] {
            if bitrate > 0 {
                // In kbit/s.
                parameter(out, start, name, Some(bitrate / 1000));
            }
        }
    }
}

/// A codec's own parameters.
fn parameters(out: &mut String, parameters: Parameters) {
    let start = out.len();
    match parameters {
        Parameters::Plain | Parameters::Av1(None) => {}
        Parameters::Red(blocks) => {
            push_number(out, u32::from(blocks.0));
            out.push('/');
            push_number(out, u32::from(blocks.0));
        }
        Parameters::Vp9 => parameter(out, start, "profile-id=", Some(0)),
        Parameters::H264(profile_level) => {
            parameter(out, start, "level-asymmetry-allowed=", Some(1));
            parameter(out, start, "packetization-mode=", Some(1));
            parameter(out, start, "profile-level-id=", None);
            // Writing to a String can't fail.
            let _ = write!(out, "{profile_level:06x}");
        }
        Parameters::Av1(Some((level, tier))) => {
            parameter(out, start, "level-idx=", Some(u32::from(level)));
            parameter(out, start, "profile=", Some(0));
            parameter(out, start, "tier=", Some(u32::from(tier)));
        }
    }
}

/// Appends a parameter to those since `start`.
fn parameter(out: &mut String, start: usize, name: &str, value: Option<u32>) {
    if out.len() > start {
        out.push(';');
    }
    out.push_str(name);
    if let Some(value) = value {
        push_number(out, value);
    }
}

/// Appends a data section.
pub(crate) fn write_data(out: &mut String, section_mid: &Mid, transport: &str) {
    out.push_str("m=application");
    out.push_str(DISCARD);
    out.push_str("UDP/DTLS/SCTP webrtc-datachannel\r\n");
    out.push_str(NO_ADDRESS);
    out.push_str(transport);
    mid(out, section_mid);
    out.push_str(SCTP_PORT);
    out.push_str(MAX_MESSAGE_SIZE);
}

/// A section whose codecs we don't know.
#[derive(Debug)]
pub(crate) struct RefusedText {
    pub(crate) kind: String,
    pub(crate) protocol: String,
    /// The first one that was offered.
    pub(crate) format: String,
    pub(crate) rtpmap: String,
    pub(crate) parameters: String,
}

impl RefusedText {
    /// Appends the section as inactive, with the client's first format to have one. Port 0 would be the plain way to say
    /// no, but libwebrtc gives up the whole BUNDLE group when the section that carries its transport is refused so.
    pub(crate) fn write(&self, out: &mut String, section_mid: &Mid, transport: &str) {
        let Self {
            kind,
            protocol,
            format,
            ..
        } = self;
        line(out, &["m=", kind, DISCARD, protocol, " ", format]);
        out.push_str(NO_ADDRESS);
        out.push_str(transport);
        mid(out, section_mid);
        out.push_str("a=inactive\r\na=rtcp-mux\r\n");
        if !self.rtpmap.is_empty() {
            line(out, &["a=rtpmap:", format, " ", &self.rtpmap]);
        }
        if !self.parameters.is_empty() {
            line(out, &["a=fmtp:", format, " ", &self.parameters]);
        }
    }
}

/// Appends a section that is not in use: port 0 (RFC 3264 section 6).
pub(crate) fn write_rejected(
    out: &mut String,
    kind: &str,
    protocol: &str,
    format: &str,
    section_mid: &Mid,
) {
    line(out, &["m=", kind, " 0 ", protocol, " ", format]);
    out.push_str(NO_ADDRESS);
    mid(out, section_mid);
    out.push_str("a=inactive\r\n");
}

fn mid(out: &mut String, mid: &Mid) {
    line(out, &["a=mid:", mid.as_str()]);
}

fn rtpmap(out: &mut String, payload_type: PayloadType, encoding: Encoding) {
    out.push_str("a=rtpmap:");
    push_number(out, u32::from(payload_type.0));
    line(out, &[" ", encoding.rtpmap()]);
}

fn stream(out: &mut String, send: &SendText<'_>) {
    if let Some(repair) = send.repair {
        out.push_str("a=ssrc-group:FID ");
        push_number(out, send.ssrc.0);
        out.push(' ');
        push_number(out, repair.0);
        out.push_str("\r\n");
    }
    for ssrc in [Some(send.ssrc), send.repair].into_iter().flatten() {
        out.push_str("a=ssrc:");
        push_number(out, ssrc.0);
        line(out, &[" cname:", send.stream_id]);
        out.push_str("a=ssrc:");
        push_number(out, ssrc.0);
        line(out, &[" msid:", send.stream_id, " ", send.track]);
    }
}

fn line(out: &mut String, parts: &[&str]) {
    for part in parts {
        out.push_str(part);
    }
    out.push_str("\r\n");
}

/// Appends a number; a tenth of the cost of `format!`, which a description has thousands of.
pub(crate) fn push_number(out: &mut String, mut number: u32) {
    /// Digits of `u32::MAX`.
    const DIGITS: usize = 10;
    let mut digits = [0u8; DIGITS];
    let mut start = DIGITS;
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0'.wrapping_add((number % 10) as u8);
        number /= 10;
        start = index;
        if number == 0 {
            break;
        }
    }
    // Digits are text.
    let text = digits.get(start..).map(std::str::from_utf8);
    out.push_str(text.and_then(Result::ok).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 7, 10, 255, 65_535, 1_000_000_000, u32::MAX] {
            let mut out = String::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string());
        }
    }
}

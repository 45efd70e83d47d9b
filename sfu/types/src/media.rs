//! Media vocabulary: kinds, codecs, SSRCs, header extensions, SRTP profiles.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaKind {
    /// One sound.
    Audio,
    /// Pictures, perhaps in several layers.
    Video,
}

/// A codec that the server forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Codec {
    /// RFC 7587, 48 kHz, two channels in SDP.
    Opus,
    /// RFC 2198: each packet repeats the Opus frames before it.
    Red,
    /// RFC 7741, 90 kHz.
    Vp8,
    /// RFC 9628, 90 kHz, profile 0.
    Vp9,
    /// RFC 6184, 90 kHz, packetization mode 1, baseline profiles: every decoder of H.264 in a client has them.
    H264,
    /// The same in high profile, which some decoders lack. It goes by the name of [`H264`](Self::H264): signaling doesn't
    /// tell them apart, only descriptions do.
    H264High,
    /// The AV1 RTP specification of the Alliance for Open Media, 90 kHz, main profile.
    Av1,
}

impl Codec {
    /// All that have a name of their own, in the order in which a server prefers them that is told nothing else: what every
    /// client has comes first of its kind.
    pub const ALL: [Self; 6] = [
        Self::Vp8,
        Self::H264,
        Self::Vp9,
        Self::Av1,
        Self::Opus,
        Self::Red,
    ];

    /// What it carries.
    #[must_use]
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Red => MediaKind::Audio,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H264High | Self::Av1 => MediaKind::Video,
        }
    }

    /// RTP clock rate in Hz.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self.kind() {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        }
    }

    /// Media type as the signaling protocol writes it, for example `video/VP8`.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Red => "audio/red",
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 | Self::H264High => "video/H264",
            Self::Av1 => "video/AV1",
        }
    }

    /// Subtype of [`mime`](Self::mime) in lower case: how configuration, dynacast messages and metric labels name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Red => "red",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::H264 | Self::H264High => "h264",
            Self::Av1 => "av1",
        }
    }

    /// The codec with this [`name`](Self::name) or [`mime`](Self::mime), in any case.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| {
            codec.name().eq_ignore_ascii_case(text) || codec.mime().eq_ignore_ascii_case(text)
        })
    }

    /// Several spatial layers may share one stream.
    #[must_use]
    pub const fn is_svc(self) -> bool {
        matches!(self, Self::Vp9 | Self::Av1)
    }
}

/// What an operator says about media: part of every room's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPolicy {
    /// Codecs that clients may publish and receive, best first.
    pub codecs: Vec<Codec>,
    /// Bits per second at which an encoder of video begins; 0 leaves it to the client.
    pub initial_video_bitrate_bps: u32,
    /// Bits per second below which an encoder of video does not go; 0 leaves it to the client.
    pub min_video_bitrate_bps: u32,
    /// Bits per second that stereo sound may take.
    pub stereo_bitrate_bps: u32,
    /// Clients may stop sending while there is silence.
    pub dtx: bool,
}

impl Default for MediaPolicy {
    fn default() -> Self {
        Self {
            codecs: Codec::ALL.to_vec(),
            // A camera of 720p begins sharp instead of after some seconds.
            initial_video_bitrate_bps: 2_500_000,
            min_video_bitrate_bps: 1_500_000,
            // The most that Opus can use (RFC 7587 section 6.1).
            stereo_bitrate_bps: 510_000,
            dtx: true,
        }
    }
}

/// Synchronisation source of an RTP stream (RFC 3550).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RTP payload type, 0 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PayloadType(pub u8);

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An RTP header extension that the server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RtpExtension {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid` (RFC 8843)
    Mid,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id` (RFC 8852)
    Rid,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id` (RFC 8852)
    RepairedRid,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level` (RFC 6464)
    AudioLevel,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`
    AbsSendTime,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`
    TransportWideCc,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time`
    AbsCaptureTime,
    /// `https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension`
    DependencyDescriptor,
}

impl RtpExtension {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 8] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::AbsSendTime,
        Self::TransportWideCc,
        Self::AbsCaptureTime,
        Self::DependencyDescriptor,
    ];

    /// URI in `a=extmap`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportWideCc => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }
}

/// Which id stands for which header extension on one media section.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionIds {
    ids: [Option<u8>; RtpExtension::ALL.len()],
}

impl ExtensionIds {
    /// The id of an extension, 1 to 255, if it was negotiated.
    #[must_use]
    pub fn get(&self, extension: RtpExtension) -> Option<u8> {
        self.ids.get(extension as usize).copied().flatten()
    }

    /// Sets the id of an extension.
    pub fn set(&mut self, extension: RtpExtension, id: u8) {
        if let Some(slot) = self.ids.get_mut(extension as usize) {
            *slot = Some(id);
        }
    }

    /// The extension behind an id.
    #[must_use]
    pub fn find(&self, id: u8) -> Option<RtpExtension> {
        RtpExtension::ALL
            .into_iter()
            .find(|extension| self.get(*extension) == Some(id))
    }
}

/// SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SrtpProfile {
    /// What Chromium gets from us.
    AeadAes256Gcm,
    /// RFC 7714.
    AeadAes128Gcm,
    /// RFC 3711; 700 ns dearer per packet, for peers that know nothing else.
    Aes128CmHmacSha1_80,
}

impl SrtpProfile {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 3] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes128CmHmacSha1_80,
    ];

    /// Name in logs and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes128CmHmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
        }
    }
}

/// Negotiated version of DTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DtlsVersion {
    /// RFC 6347.
    V1_2,
    /// RFC 9147.
    V1_3,
}

impl DtlsVersion {
    /// All of them, in order of their discriminants.
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    /// Name in logs and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// Our side of the DTLS handshake (`a=setup`, RFC 5763).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DtlsRole {
    /// DTLS client, `a=setup:active`.
    Active,
    /// DTLS server, `a=setup:passive`.
    Passive,
}

/// SHA-256 fingerprint of a DTLS certificate (RFC 8122).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 32]);

//! Sids: a prefix that clients parse, and random characters.

use livekit_protocol as proto;
use plenum_types::{MediaKind, ParticipantSid, TrackSid};
use rand_chacha::{ChaCha12Rng, rand_core::Rng};

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 71 bits: sids of a room's life never meet.
const RANDOM_CHARACTERS: usize = 12;

fn random_text(rng: &mut ChaCha12Rng) -> String {
    std::iter::repeat_with(|| {
        let index = rng.next_u32() as usize % ALPHABET.len();
        char::from(ALPHABET.get(index).copied().unwrap_or(b'A'))
    })
    .take(RANDOM_CHARACTERS)
    .collect()
}

/// `DTR_...`: a data track.
pub(crate) fn data_track_sid(rng: &mut ChaCha12Rng) -> TrackSid {
    format!("DTR_{}", random_text(rng)).into()
}

/// What a participant knows a call of the server by.
pub(crate) fn rpc_request_id(rng: &mut ChaCha12Rng) -> String {
    format!("server-rpc-{}", random_text(rng))
}

/// `PA_...`
pub(crate) fn participant_sid(rng: &mut ChaCha12Rng) -> ParticipantSid {
    format!("PA_{}", random_text(rng)).into()
}

/// `TR_` with the kind (A, V) and the source (C camera, M microphone, S screen, s its sound), as people read it in logs.
pub(crate) fn track_sid(
    rng: &mut ChaCha12Rng,
    kind: MediaKind,
    source: proto::TrackSource,
) -> TrackSid {
    let kind = match kind {
        MediaKind::Audio => 'A',
        MediaKind::Video => 'V',
    };
    let source = match source {
        proto::TrackSource::Camera => "C",
        proto::TrackSource::Microphone => "M",
        proto::TrackSource::ScreenShare => "S",
        proto::TrackSource::ScreenShareAudio => "s",
        proto::TrackSource::Unknown => "",
    };
    format!("TR_{kind}{source}{}", random_text(rng)).into()
}

//! What a peer may make us hold. Values come from offers of real clients in large rooms, with room to spare.

use crate::NegotiationError;

/// Bytes of a description. Chromium 156 writes 1.5 KB per audio and 4.6 KB per video section, so [`MAX_SECTIONS`] of both
/// kinds fit; a signal message has at most 2 MiB.
pub const MAX_SDP_BYTES: usize = 2 * 1024 * 1024;
/// Media sections of a description: 250 participants with camera and microphone.
pub const MAX_SECTIONS: usize = 512;
/// Bytes of a mid: what a one-byte header extension carries (RFC 8285 section 4.2).
pub const MAX_MID_BYTES: usize = 16;
/// Bytes of a rid, for the same reason.
pub const MAX_RID_BYTES: usize = 16;
/// Encodings of a section. Browsers make three layers; libwebrtc stops at eight.
pub const MAX_ENCODINGS: usize = 8;
/// SSRCs named in a section: media and repair of each encoding, twice over.
pub const MAX_SSRCS: usize = 4 * MAX_ENCODINGS;
/// Bytes of an msid part: RFC 8830 section 2 says 64, SDKs that put names there more.
pub const MAX_MSID_BYTES: usize = 256;
/// Tracks bound to one connection, with or without a section.
pub const MAX_OUTGOING: usize = MAX_SECTIONS;

pub(crate) fn check(
    what: &'static str,
    count: usize,
    limit: usize,
) -> Result<(), NegotiationError> {
    if count > limit {
        return Err(NegotiationError::TooMuch { what, count, limit });
    }
    Ok(())
}

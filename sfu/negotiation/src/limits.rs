//! What a peer may make us hold. Values come from offers of real clients in large rooms, with room to spare.

/// Bytes of a description. A signal message has at most 2 MiB; Chromium writes 5 KB per video section.
pub const MAX_SDP_BYTES: usize = 2 * 1024 * 1024;
/// Media sections of a description: 250 participants with camera and microphone.
pub const MAX_SECTIONS: usize = 512;
/// Bytes of a mid. Sections are named in every packet (RFC 8843 section 15): one-byte header extensions carry 16.
pub const MAX_MID_BYTES: usize = 16;
/// Bytes of an msid part; RFC 8830 section 2 has 64, Firefox 40, clients that name tracks after labels more.
pub const MAX_MSID_BYTES: usize = 256;
/// Tracks bound to one connection, with or without a section.
pub const MAX_OUTGOING: usize = MAX_SECTIONS;

//! Packet formats of the media path: RTP, RTCP, header extensions, payload descriptors.
//!
//! [`RtpPacket`] is a checked view of a packet; [`rtcp::Compound`] walks the reports of a datagram; [`rtcp::RtcpWriter`] and
//! [`packet::HeaderWriter`] write into buffers of the caller. Nothing here allocates, decides or keeps state other than the
//! number maps of [`sequence`], and nothing a peer sends makes it panic.
#![forbid(unsafe_code)]

pub mod av1;
mod bytes;
pub mod dependency;
pub mod extensions;
pub mod h264;
pub mod packet;
pub mod payload;
pub mod red;
pub mod rtcp;
pub mod rtx;
pub mod sequence;
pub mod vp8;
pub mod vp9;

pub use extensions::{AbsCaptureTime, AudioLevel, Extensions};
pub use packet::{HeaderWriter, RtpError, RtpHeader, RtpPacket};
pub use payload::Payload;
pub use sequence::{SequenceExtender, TimestampExtender};
pub use vp8::Vp8Descriptor;
pub use vp9::Vp9Descriptor;

//! Packet formats of the media path: RTP, RTCP, header extensions, payload descriptors.
//!
//! [`RtpPacket`] is a checked view of a packet; [`rtcp::Compound`] walks the reports of a datagram; [`rtcp::RtcpWriter`] and
//! [`packet::HeaderWriter`] write into buffers of the caller. Nothing here allocates, decides or keeps state other than the
//! number maps of [`sequence`], and nothing a peer sends makes it panic.
#![forbid(unsafe_code)]

mod bytes;
pub mod extensions;
pub mod packet;
pub mod rtcp;
pub mod rtx;
pub mod sequence;
pub mod vp8;

pub use extensions::{AbsCaptureTime, AudioLevel, Extensions};
pub use packet::{HeaderWriter, RtpError, RtpHeader, RtpPacket};
pub use sequence::{SequenceExtender, TimestampExtender};
pub use vp8::Vp8Descriptor;

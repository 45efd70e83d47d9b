//! ICE, DTLS, SRTP and SCTP of one peer connection, without sockets or clocks.
//!
//! [`Transport`] is one association with a client: datagrams and [`Timestamp`](plenum_types::Timestamp)s go in, datagrams
//! come out of [`Transport::poll_transmit`] and news out of [`Transport::poll_event`]. [`Certificate`] is the identity that
//! all Transports of a process share. [`SrtpSender`] and [`SrtpReceiver`] protect media; they work on the caller's buffers
//! and never allocate per packet. [`FrameReader`] finds the same packets on a TCP connection.
//!
//! A Transport does bounded work per datagram and holds bounded memory whatever the peer sends. It never feeds DTLS from an
//! address that has not proved, by a connectivity check, that it knows the session's password; it never uses keys before
//! the peer's certificate matched the signaled fingerprint; and it never seals with a key that another owner also uses.
//!
//! A shard looks at a datagram with [`classify`]; finds the Transport by address, or for STUN by [`ufrag_of`]; and hands
//! the datagram over. After any call it drains `poll_transmit` and `poll_event`, and asks `next_timeout`.
#![forbid(unsafe_code)]

mod certificate;
mod clock;
mod dcep;
mod demux;
mod dtls;
mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod ice;
mod sctp;
mod send_queue;
mod silence;
mod srtp;
mod stun;
mod transport;

pub use certificate::{Certificate, CertificateError};
pub use clock::EpochInstant;
pub use demux::{DatagramKind, classify};
pub use framing::{FRAME_HEADER, FrameReader, FrameTooLong, MAX_FRAME, frame_header};
pub use srtp::{
    KeyError, MAX_SRTCP_OVERHEAD, MAX_SRTP_OVERHEAD, MasterKey, OpenError, OpenedRtp, SealError,
    SrtpReceiver, SrtpSender,
};
pub use stun::{ConnectivityCheck, ufrag_of};
pub use transport::{
    DataError, MAX_TRANSMIT, StunOutcome, Transport, TransportConfig, TransportEvent,
};

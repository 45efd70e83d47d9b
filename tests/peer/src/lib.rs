//! A client for tests of transport, on the `rtc` crate: another implementation of ICE, DTLS, SRTP and SCTP than the
//! server's, without a browser around it.
//!
//! [`Member`] is a server process; [`Peer`] joins it over a WebSocket, publishes counted media, and notes what
//! it receives after depacketising. [`Settings`] choose what a test is about: one connection or two, UDP or TCP, roles and
//! protection profiles.
//!
//! A Peer never waits without a bound: [`Peer::until`] ends with an error that names what was awaited.
#![forbid(unsafe_code)]

mod connection;
mod link;
mod media;
mod member;
mod peer;
mod signal;

pub use connection::ConnectionState;
pub use link::Network;
pub use media::{Kind, Seen};
pub use member::Member;
pub use peer::{Mode, Peer, Settings};
pub use rtc::{
    dtls::extension::extension_use_srtp::SrtpProtectionProfile,
    peer_connection::transport::RTCDtlsRole,
};

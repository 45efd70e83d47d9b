//! ICE, DTLS, SRTP and SCTP of one peer connection, without sockets or clocks.

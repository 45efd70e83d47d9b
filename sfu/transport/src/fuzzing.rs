//! What tests/fuzz feeds with bytes of strangers. Not there in any other build.

use std::net::{Ipv6Addr, SocketAddr};

use crate::{
    dcep::DcepMessage,
    stun::{self, BindingRequest, IntegrityKey, Refusal},
    ufrag_of,
};

/// A datagram that claims to be a connectivity check.
pub fn stun(datagram: &[u8]) {
    let Some(request) = BindingRequest::parse(datagram) else {
        assert!(ufrag_of(datagram).is_none());
        return;
    };
    assert_eq!(ufrag_of(datagram), request.receiver_ufrag);
    let key = IntegrityKey::new("a password that nobody knows");
    assert!(!request.verify(&key));
    let from = SocketAddr::from((Ipv6Addr::LOCALHOST, 1));
    let answer = stun::success(request.transaction, from, &key);
    assert!(answer.len() <= 128);
    for refusal in [
        Refusal::BadRequest,
        Refusal::Unauthenticated,
        Refusal::UnknownAttribute,
        Refusal::RoleConflict,
    ] {
        assert!(stun::error(&request, refusal, Some(&key)).len() <= 128);
    }
}

/// The same attributes with the length and the checksum that they should have.
pub fn with_checksum(attributes: &[u8]) -> Vec<u8> {
    stun::request_of(attributes)
}

/// A message of the protocol that opens data channels.
pub fn dcep(message: &[u8]) {
    if let Some(DcepMessage::Open { label, .. }) = DcepMessage::parse(message) {
        assert!(label.len() < message.len());
    }
}

//! STUN.

/// Our ufrag in a binding request's USERNAME (`<ours>:<theirs>`), for finding a Transport before any path is known.
/// `None` if the datagram is no well-formed binding request with a USERNAME. Nothing is authenticated here.
#[must_use]
pub fn ufrag_of(datagram: &[u8]) -> Option<&str> {
    let _ = datagram;
    None
}

//! Datagrams that can wait: STUN and DTLS. Media comes first in a pass, and a storm of handshakes may not delay it.

use std::collections::VecDeque;

use plenum_types::Path;

/// Most datagrams that wait: a reconnect storm of 1,000 clients sends two checks and two ClientHello datagrams each.
const MAX_DATAGRAMS: usize = 4096;
/// Most bytes that wait, so that large data messages can't hold the memory of [`MAX_DATAGRAMS`] full ones.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A datagram that waits.
pub(crate) struct Waiting {
    pub(crate) path: Path,
    pub(crate) datagram: Box<[u8]>,
}

/// First in, first out; at its bound the new one is dropped, since its sender repeats it.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Backlog {
    /// `false` if it was dropped.
    pub(crate) fn push(&mut self, path: Path, datagram: &[u8]) -> bool {
        if self.waiting.len() >= MAX_DATAGRAMS || self.bytes + datagram.len() > MAX_BYTES {
            return false;
        }
        self.bytes += datagram.len();
        self.waiting.push_back(Waiting {
            path,
            datagram: datagram.into(),
        });
        true
    }

    pub(crate) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes -= waiting.datagram.len();
        Some(waiting)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_types::StreamId;

    #[test]
    fn a_flood_is_bounded_and_order_is_kept() {
        let mut backlog = Backlog::default();
        let path = Path::Tcp {
            stream: StreamId(1),
            remote: "127.0.0.1:1".parse().unwrap(),
        };
        let taken = (0..2 * MAX_DATAGRAMS)
            .filter(|i| backlog.push(path, &[*i as u8]))
            .count();
        assert_eq!(taken, MAX_DATAGRAMS);
        assert_eq!(*backlog.pop().unwrap().datagram, [0]);
        assert_eq!(*backlog.pop().unwrap().datagram, [1]);
        assert!(!backlog.push(path, &vec![0; MAX_BYTES]));
        while backlog.pop().is_some() {}
        assert!(backlog.is_empty() && backlog.bytes == 0);
    }
}

//! Datagrams other than media (STUN, DTLS, SCTP, RTCP), ready to leave.

use plenum_types::Path;

use crate::sink::{Run, TransmitSink, Transmitted};

/// Bytes that may wait; more are dropped, since their protocols repeat what is lost.
const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Clone, Copy)]
struct Entry {
    path: Path,
    start: usize,
    len: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    sent: usize,
}

impl Outbox {
    /// Writes a datagram of at most `room` bytes in place: `write` says where it goes and how long it is.
    pub(crate) fn write(
        &mut self,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Option<(Path, usize)>,
    ) -> bool {
        let start = self.bytes.len();
        if start + room > MAX_BYTES {
            return false;
        }
        self.bytes.resize(start + room, 0);
        let written = self.bytes.get_mut(start..).and_then(write);
        let len = written.map_or(0, |(_, len)| len.min(room));
        self.bytes.truncate(start + len);
        if let Some((path, _)) = written
            && len > 0
        {
            self.entries.push(Entry { path, start, len });
        }
        written.is_some()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.entries.len()
    }

    /// Sends all; `false` if the sink is full.
    pub(crate) fn flush(&mut self, sink: &mut impl TransmitSink) -> bool {
        while let Some(entry) = self.entries.get(self.sent) {
            if let Some(contents) = self.bytes.get(entry.start..entry.start + entry.len) {
                let run = Run {
                    path: entry.path,
                    contents,
                    segment_size: entry.len,
                };
                if sink.transmit(run) == Transmitted::WouldBlock {
                    return false;
                }
            }
            self.sent += 1;
        }
        self.bytes.clear();
        self.entries.clear();
        self.sent = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};

    struct Full;

    impl TransmitSink for Full {
        fn transmit(&mut self, _: Run<'_>) -> Transmitted {
            Transmitted::WouldBlock
        }
    }

    #[test]
    fn a_socket_that_takes_nothing_makes_a_bounded_number_of_datagrams_wait() {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let path = Path::Udp {
            local: anywhere,
            remote: anywhere,
        };
        let mut outbox = Outbox::default();
        let write = |outbox: &mut Outbox| outbox.write(1_000, |_| Some((path, 1_000)));
        let mut waiting = 0;
        while write(&mut outbox) {
            waiting += 1;
            assert!(!outbox.flush(&mut Full));
        }
        assert_eq!(waiting, MAX_BYTES / 1_000);
        assert!(!write(&mut outbox));
    }
}

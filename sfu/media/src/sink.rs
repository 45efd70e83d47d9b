//! Where a Shard's datagrams go.

use plenum_types::Path;

/// Datagrams for one path, to be sent at once if the system can (UDP GSO).
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Where to.
    pub path: Path,
    /// The datagrams, one after the other.
    pub contents: &'a [u8],
    /// Length of each datagram but the last, which may be shorter.
    pub segment_size: usize,
}

impl Run<'_> {
    /// How many datagrams there are.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.contents.len().div_ceil(self.segment_size.max(1))
    }
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transmitted {
    /// Taken, wholly. Errors other than a full socket count as taken: the network may lose anything.
    Sent,
    /// The socket is full: the Shard keeps the run for its next flush, at most 5 ms.
    WouldBlock,
}

/// Takes what a Shard sends.
pub trait TransmitSink {
    /// Sends a run. At most 64 datagrams and 60,000 bytes.
    fn transmit(&mut self, run: Run<'_>) -> Transmitted;
}

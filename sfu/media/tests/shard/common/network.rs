//! What leaves the Shard.

use std::net::SocketAddr;

use plenum_media::{Run, TransmitSink, Transmitted};

/// What the Shard sends, and whether the socket takes it.
#[derive(Default)]
pub struct Network {
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub runs: Vec<usize>,
    pub full: bool,
}

impl TransmitSink for Network {
    fn transmit(&mut self, run: Run<'_>) -> Transmitted {
        if self.full {
            return Transmitted::WouldBlock;
        }
        self.runs.push(run.segments());
        for datagram in run.contents.chunks(run.segment_size) {
            self.datagrams.push((run.path.remote(), datagram.to_vec()));
        }
        Transmitted::Sent
    }
}

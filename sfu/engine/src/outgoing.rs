//! From a Shard's runs to send calls.

use std::{io, net::SocketAddr};

use plenum_media::{Run, TransmitSink, Transmitted};
use plenum_types::Path;
use quinn_udp::{Transmit, UdpSockRef};

use crate::{sockets::MediaSocket, status::IoStats, streams::Streams};

/// Sends runs on the sockets of a Shard. Answers leave from the address that the client's packets hit.
pub(crate) struct Outgoing<'a> {
    pub(crate) sockets: &'a mut [MediaSocket],
    pub(crate) streams: &'a mut Streams,
    pub(crate) stats: &'a mut IoStats,
    /// Set when a socket was full.
    pub(crate) blocked: bool,
}

impl TransmitSink for Outgoing<'_> {
    fn transmit(&mut self, run: Run<'_>) -> Transmitted {
        let (local, remote) = match run.path {
            Path::Udp { local, remote } => (local, remote),
            // A client that doesn't keep up on TCP has a queue of its own: it never stops the others.
            Path::Tcp { stream, .. } => {
                self.streams.send(stream, run, self.stats);
                return Transmitted::Sent;
            }
            _ => return Transmitted::Sent,
        };
        let Some(socket) = self.sockets.iter_mut().find(|socket| serves(socket, local)) else {
            self.stats.send_errors += run.segments() as u64;
            return Transmitted::Sent;
        };
        let segment = run.segment_size.max(1);
        let mut rest = run.contents;
        while !rest.is_empty() {
            let most = socket.state.max_gso_segments().max(1);
            let (now, later) = rest.split_at(rest.len().min(segment.saturating_mul(most)));
            self.stats.send_calls += 1;
            let sent = socket.state.try_send(
                UdpSockRef::from(&socket.io),
                &Transmit {
                    destination: remote,
                    ecn: None,
                    contents: now,
                    segment_size: (now.len() > segment).then_some(segment),
                    src_ip: Some(local.ip()),
                },
            );
            let datagrams = now.len().div_ceil(segment) as u64;
            match sent {
                Ok(()) => {
                    self.stats.datagrams_sent += datagrams;
                    rest = later;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stats.send_blocked += 1;
                    self.blocked = true;
                    if rest.len() == run.contents.len() {
                        return Transmitted::WouldBlock;
                    }
                    // Part of the run is out: sending it again as a whole would repeat packets.
                    self.stats.send_errors += rest.len().div_ceil(segment) as u64;
                    return Transmitted::Sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel refused segmentation and the state has switched it off: go on one by one.
                Err(_) if socket.state.max_gso_segments() < most => {}
                Err(_) => {
                    self.stats.send_errors += datagrams;
                    rest = later;
                }
            }
        }
        Transmitted::Sent
    }
}

fn serves(socket: &MediaSocket, local: SocketAddr) -> bool {
    let bound = socket.local.ip();
    bound == local.ip() || (bound.is_unspecified() && bound.is_ipv4() == local.is_ipv4())
}

/// Takes everything and sends nothing: for a member that may not serve.
pub(crate) struct Nowhere;

impl TransmitSink for Nowhere {
    fn transmit(&mut self, _: Run<'_>) -> Transmitted {
        Transmitted::Sent
    }
}

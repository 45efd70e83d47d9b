//! TCP connections of a Shard (RFC 6544): read frame by frame, written through a bounded queue each.

use std::{collections::HashMap, io, io::Read};

use mio::{Interest, Registry, Token, net::TcpStream};
use plenum_media::Run;
use plenum_transport::FrameReader;
use plenum_types::{Path, StreamId};
use slab::Slab;

use crate::{status::IoStats, stream_queue::StreamQueue};

/// Connections of one Shard; more are closed and counted. Each holds some 10 KB.
const MAX_STREAMS: usize = 4_096;
/// Read calls per connection and pass before others get their turn, of up to 8 KB each.
const READ_CALLS: usize = 4;
/// First token of connections, above those of sockets.
const FIRST_TOKEN: usize = 1_024;

/// A connection whose first frame named this Shard.
#[derive(Debug)]
pub(crate) struct NewStream {
    pub(crate) io: TcpStream,
    pub(crate) path: Path,
    pub(crate) id: StreamId,
    /// The frame that named the Shard.
    pub(crate) first: Vec<u8>,
    /// What came after it.
    pub(crate) reader: FrameReader,
}

#[derive(Debug)]
struct Stream {
    id: StreamId,
    io: TcpStream,
    path: Path,
    reader: FrameReader,
    queue: StreamQueue,
    /// Listed as having something to read.
    ready: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    entries: Slab<Stream>,
    by_id: HashMap<StreamId, usize>,
    ready: Vec<usize>,
    /// Memory of the list that is being read.
    reading: Vec<usize>,
}

impl Streams {
    /// Takes a connection; `false` if there is no room for it.
    pub(crate) fn adopt(&mut self, registry: &Registry, new: NewStream) -> bool {
        if self.entries.len() >= MAX_STREAMS {
            return false;
        }
        let NewStream {
            mut io,
            path,
            id,
            reader,
            ..
        } = new;
        let entry = self.entries.vacant_entry();
        let index = entry.key();
        // Watched for both at once: epoll tells of edges only.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if registry
            .register(&mut io, Token(FIRST_TOKEN + index), interest)
            .is_err()
        {
            return false;
        }
        entry.insert(Stream {
            id,
            io,
            path,
            reader,
            queue: StreamQueue::default(),
            ready: true,
        });
        self.by_id.insert(id, index);
        self.ready.push(index);
        true
    }

    /// What epoll says.
    pub(crate) fn notice(&mut self, event: &mio::event::Event) {
        let Some(index) = event.token().0.checked_sub(FIRST_TOKEN) else {
            return;
        };
        let Some(stream) = self.entries.get_mut(index) else {
            return;
        };
        let mut broken = event.is_error();
        if event.is_writable() {
            broken |= stream.queue.flush(&mut stream.io).is_err();
        }
        // Reading tells how it broke.
        if (event.is_readable() || event.is_read_closed() || broken) && !stream.ready {
            stream.ready = true;
            self.ready.push(index);
        }
    }

    /// Something can be read at once.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Reads what has come and gives each frame with its path to `frame`, the path of each connection that has ended to
    /// `ended`. `false` if there was nothing.
    pub(crate) fn read(
        &mut self,
        mut frame: impl FnMut(Path, &mut [u8]),
        mut ended: impl FnMut(Path),
    ) -> bool {
        std::mem::swap(&mut self.ready, &mut self.reading);
        let any = !self.reading.is_empty();
        while let Some(index) = self.reading.pop() {
            let Some(stream) = self.entries.get_mut(index) else {
                continue;
            };
            stream.ready = false;
            match read_some(stream, &mut frame) {
                Ok(false) => {}
                Ok(true) => {
                    stream.ready = true;
                    self.ready.push(index);
                }
                Err(_) => {
                    let path = stream.path;
                    self.remove(index);
                    ended(path);
                }
            }
        }
        any
    }

    /// Sends a run, each packet as a frame. What finds no room is dropped and counted.
    pub(crate) fn send(&mut self, id: StreamId, run: Run<'_>, stats: &mut IoStats) {
        let packets = run.segments() as u64;
        let Some(stream) = self
            .by_id
            .get(&id)
            .and_then(|index| self.entries.get_mut(*index))
        else {
            stats.send_errors += packets;
            return;
        };
        match stream
            .queue
            .send(&mut stream.io, run.contents, run.segment_size)
        {
            Ok(queued) => {
                stats.send_calls += queued.calls;
                stats.datagrams_sent += queued.taken;
                stats.stream_dropped += queued.dropped;
            }
            // Epoll tells of it, and reading ends it.
            Err(_) => stats.send_errors += packets,
        }
    }

    /// Closes a connection.
    pub(crate) fn close(&mut self, id: StreamId) {
        if let Some(index) = self.by_id.get(&id).copied() {
            self.remove(index);
        }
    }

    /// Closes all that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(Path) -> bool) {
        let by_id = &mut self.by_id;
        self.entries.retain(|_, stream| {
            let wanted = keep(stream.path);
            if !wanted {
                by_id.remove(&stream.id);
            }
            wanted
        });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, index: usize) {
        // The kernel forgets a descriptor's registration as it is closed.
        if let Some(stream) = self.entries.try_remove(index) {
            self.by_id.remove(&stream.id);
        }
    }
}

/// `true` if there may be more; an error ends the connection.
fn read_some(stream: &mut Stream, frame: &mut impl FnMut(Path, &mut [u8])) -> io::Result<bool> {
    for _ in 0..READ_CALLS {
        loop {
            match stream.reader.next_frame() {
                Ok(Some(packet)) => frame(stream.path, packet),
                Ok(None) => break,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        match stream.io.read(stream.reader.space()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => stream.reader.filled(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

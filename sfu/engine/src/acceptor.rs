//! The port for ICE over TCP, shared by all Shards: the first frame of a connection says which one it is for.

use std::{
    collections::VecDeque,
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use plenum_transport::{DatagramKind, FrameReader, classify, ufrag_of};
use plenum_types::{IceCredentials, Path, StreamId, Timestamp};
use slab::Slab;
use socket2::SockRef;

use crate::{
    BindError, Clock, listen,
    queue::{Command, ShardQueue},
    sockets::family_missing,
    streams::NewStream,
};

/// Time for the first frame. A client sends its check as soon as the connection stands.
const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(5);
/// Connections that may wait for their first frame: a storm of 500 clients. At the bound the one that has waited longest
/// makes room, since honest ones wait least.
const MAX_WAITING: usize = 512;
/// Connections that are accepted before others are looked at.
const ACCEPTS: usize = 64;
/// Connections that the kernel may hold for us.
const LISTEN_BACKLOG: i32 = 1024;
/// When the process has no descriptor left, a new one is tried for after this.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Bytes that the kernel holds before it takes no more: what waits is better kept where media can still be dropped.
const UNSENT: u32 = 32 * 1024;
/// Events of epoll per wait.
const POLL_EVENTS: usize = 256;
/// First token of connections; listeners have their indices.
const FIRST_TOKEN: usize = 1_024;
const WAKER: Token = Token(usize::MAX - 1);

/// What happened on the port since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptorStats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections whose first frame named a Shard, which got them.
    pub handed_over: u64,
    /// Connections that said nothing in time.
    pub timed_out: u64,
    /// Connections that had to make room for newer ones.
    pub displaced: u64,
    /// Connections whose first frame was no check with a ufrag of ours, or that ended before it.
    pub refused: u64,
}

/// Counters that others read.
#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicU64,
    handed_over: AtomicU64,
    timed_out: AtomicU64,
    displaced: AtomicU64,
    refused: AtomicU64,
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct AcceptorHandle {
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    waker: mio::Waker,
    thread: std::thread::JoinHandle<()>,
}

impl AcceptorHandle {
    pub(crate) fn stats(&self) -> AcceptorStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AcceptorStats {
            accepted: read(&self.counters.accepted),
            handed_over: read(&self.counters.handed_over),
            timed_out: read(&self.counters.timed_out),
            displaced: read(&self.counters.displaced),
            refused: read(&self.counters.refused),
        }
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        if self.waker.wake().is_ok() {
            let _ = self.thread.join();
        }
    }
}

/// A connection that has not said for whom it is.
struct Waiting {
    io: TcpStream,
    remote: SocketAddr,
    reader: FrameReader,
    id: StreamId,
}

struct Acceptor {
    clock: Clock,
    poll: Poll,
    listeners: Vec<TcpListener>,
    /// Per listener: connections may be waiting (epoll is edge-triggered).
    acceptable: Vec<bool>,
    waiting: Slab<Waiting>,
    /// Longest waiting first; some are gone by now.
    order: VecDeque<(usize, StreamId, Timestamp)>,
    shards: Vec<ShardQueue>,
    next_stream: u64,
    /// No descriptor was left.
    retry_at: Option<Timestamp>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
}

/// Binds the port on all addresses. A wildcard address whose family the machine lacks is left out.
pub(crate) fn bind(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::new();
    for address in addresses {
        match listen(SocketAddr::new(*address, port), LISTEN_BACKLOG) {
            Ok(listener) => listeners.push(TcpListener::from_std(listener)),
            Err(error) if address.is_unspecified() && family_missing(&error) => {}
            Err(source) => return Err(BindError::TcpPort { port, source }),
        }
    }
    Ok(listeners)
}

/// Starts the thread.
pub(crate) fn start(
    mut listeners: Vec<TcpListener>,
    shards: Vec<ShardQueue>,
    clock: Clock,
) -> io::Result<AcceptorHandle> {
    let poll = Poll::new()?;
    let waker = mio::Waker::new(poll.registry(), WAKER)?;
    for (index, listener) in listeners.iter_mut().enumerate() {
        poll.registry()
            .register(listener, Token(index), Interest::READABLE)?;
    }
    let counters = Arc::new(Counters::default());
    let stop = Arc::new(AtomicBool::new(false));
    let acceptor = Acceptor {
        clock,
        poll,
        acceptable: vec![true; listeners.len()],
        listeners,
        waiting: Slab::new(),
        order: VecDeque::new(),
        shards,
        next_stream: 1,
        retry_at: None,
        counters: counters.clone(),
        stop: stop.clone(),
    };
    let thread = std::thread::Builder::new()
        .name("ice-tcp".to_owned())
        .spawn(move || {
            if let Err(error) = acceptor.run() {
                tracing::error!(%error, "the thread of the media TCP port can't wait for connections; clients get UDP only");
            }
        })?;
    Ok(AcceptorHandle {
        counters,
        stop,
        waker,
        thread,
    })
}

impl Acceptor {
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(POLL_EVENTS);
        while !self.stop.load(Ordering::Acquire) {
            let wait = self.wait();
            match self.poll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &events {
                let token = event.token().0;
                if let Some(acceptable) = self.acceptable.get_mut(token) {
                    *acceptable = true;
                } else if let Some(index) = token.checked_sub(FIRST_TOKEN) {
                    self.read(index);
                }
            }
            let now = self.clock.now();
            self.expire(now);
            if self.retry_at.is_none_or(|at| at <= now) {
                self.retry_at = None;
                for index in 0..self.listeners.len() {
                    self.accept(index, now);
                }
            }
        }
        Ok(())
    }

    fn wait(&self) -> Option<Duration> {
        let now = self.clock.now();
        if self.retry_at.is_none() && self.acceptable.contains(&true) {
            return Some(Duration::ZERO);
        }
        let silence = self
            .order
            .front()
            .map(|(_, _, since)| *since + FIRST_FRAME_WITHIN);
        silence
            .into_iter()
            .chain(self.retry_at)
            .min()
            .map(|at| at - now)
    }

    fn accept(&mut self, index: usize, now: Timestamp) {
        for _ in 0..ACCEPTS {
            let (Some(listener), Some(acceptable)) =
                (self.listeners.get(index), self.acceptable.get_mut(index))
            else {
                return;
            };
            if !*acceptable {
                return;
            }
            match listener.accept() {
                Ok((io, remote)) => {
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    self.take(io, remote, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => *acceptable = false,
                Err(error) if out_of_descriptors(&error) => {
                    tracing::warn!(%error, "no connection can be accepted on the media TCP port; raise the limit of open files");
                    self.retry_at = Some(now + ACCEPT_RETRY);
                    return;
                }
                // It ended before it was accepted.
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, mut io: TcpStream, remote: SocketAddr, now: Timestamp) {
        while self.waiting.len() >= MAX_WAITING {
            let Some((index, id, _)) = self.order.pop_front() else {
                break;
            };
            if self.drop_waiting(index, id) {
                self.counters.displaced.fetch_add(1, Ordering::Relaxed);
            }
        }
        let entry = self.waiting.vacant_entry();
        let index = entry.key();
        let token = Token(FIRST_TOKEN + index);
        let prepared = io.set_nodelay(true).and_then(|()| {
            SockRef::from(&io).set_tcp_notsent_lowat(UNSENT)?;
            self.poll
                .registry()
                .register(&mut io, token, Interest::READABLE)
        });
        if prepared.is_err() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        entry.insert(Waiting {
            io,
            // As UDP sockets see it: a mapped address would look like another client.
            remote: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
            reader: FrameReader::default(),
            id,
        });
        self.order.push_back((index, id, now));
        // The first frame may have come along.
        self.read(index);
    }

    fn drop_waiting(&mut self, index: usize, id: StreamId) -> bool {
        if self.waiting.get(index).is_some_and(|one| one.id == id) {
            self.waiting.remove(index);
            return true;
        }
        false
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((index, id, since)) = self.order.front().copied() {
            let gone = self.waiting.get(index).is_none_or(|one| one.id != id);
            if !gone && now - since < FIRST_FRAME_WITHIN {
                return;
            }
            self.order.pop_front();
            if self.drop_waiting(index, id) {
                self.counters.timed_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn read(&mut self, index: usize) {
        let Some(waiting) = self.waiting.get_mut(index) else {
            return;
        };
        let first = match first_frame(waiting) {
            Ok(Some(first)) => Some(first),
            Ok(None) => return,
            Err(_) => None,
        };
        let waiting = self.waiting.remove(index);
        let given = first.is_some_and(|first| self.hand_over(waiting, first));
        let counter = if given {
            &self.counters.handed_over
        } else {
            &self.counters.refused
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// `false` if no Shard takes it.
    fn hand_over(&self, waiting: Waiting, first: Vec<u8>) -> bool {
        let Waiting {
            mut io,
            remote,
            reader,
            id,
        } = waiting;
        let shard = ufrag_of(&first)
            .filter(|_| classify(&first) == DatagramKind::Stun)
            .and_then(IceCredentials::shard_of)
            .and_then(|shard| self.shards.get(usize::from(shard.0)));
        let Some(shard) = shard else {
            return false;
        };
        if self.poll.registry().deregister(&mut io).is_err() {
            return false;
        }
        let stream = NewStream {
            io,
            path: Path::Tcp { stream: id, remote },
            id,
            first,
            reader,
        };
        shard.send(Command::Stream(Box::new(stream))).is_ok()
    }
}

fn first_frame(waiting: &mut Waiting) -> io::Result<Option<Vec<u8>>> {
    loop {
        match waiting.io.read(waiting.reader.space()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => waiting.reader.filled(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match waiting.reader.next_frame() {
            Ok(Some(frame)) => return Ok(Some(frame.to_vec())),
            Ok(None) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

//! The loop of a Shard's thread.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError},
    },
    time::Duration,
};

use mio::{Events, Interest, Poll, Token};
use plenum_media::ShardConfig;
use plenum_transport::{DatagramKind, classify};
use plenum_types::{Path, Timestamp};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef};
use smallvec::SmallVec;
use tokio::sync::mpsc;

use crate::{
    Clock, Driven, ServeUntil, ShardNews,
    backlog::Backlog,
    clock::arrival,
    drops::receive_drops,
    outgoing::{Nowhere, Outgoing},
    queue::Command,
    sockets::MediaSocket,
    status::{IoStats, SharedStatus},
    streams::{NewStream, Streams},
};

/// One receive buffer: the most that the kernel joins into one (UDP GRO).
const BUFFER_BYTES: usize = 65_536;
/// Receive calls per pass and socket before others get their turn; each brings up to 32 buffers.
const RECEIVE_CALLS: usize = 4;
/// Time for waiting STUN and DTLS datagrams per pass: eight handshake steps, a tenth of a video frame's time.
const BACKLOG_BUDGET: Duration = Duration::from_millis(2);
/// Time for commands per pass.
const COMMAND_BUDGET: Duration = Duration::from_millis(1);
/// An idle Shard still shows that it lives.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A full socket is tried again even if the kernel says nothing: runs are kept for 5 ms at most.
const BLOCKED_RETRY: Duration = Duration::from_millis(1);
/// Events that found no room are tried again after this.
const EVENT_RETRY: Duration = Duration::from_millis(10);
/// How often counters are published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// After which time segmentation offload is tried again if the kernel had refused it.
const OFFLOAD_RETRY: Duration = Duration::from_secs(60);
/// Events of epoll per wait: sockets, waker, connections.
const POLL_EVENTS: usize = 256;

/// Makes a Shard, at the start and after a panic.
pub(crate) type MakeShard<S> = Arc<dyn Fn(ShardConfig, Timestamp) -> S + Send + Sync>;

/// What a Shard's thread is started with. The Shard itself is made on the thread and never leaves it.
pub(crate) struct Start<S> {
    pub(crate) shard: ShardConfig,
    pub(crate) make: MakeShard<S>,
    pub(crate) clock: Clock,
    pub(crate) sockets: Vec<MediaSocket>,
    pub(crate) poll: Poll,
    pub(crate) commands: Receiver<Command>,
    pub(crate) events: mpsc::Sender<ShardNews>,
    /// See [`Driver::pass`].
    pub(crate) awake: Arc<AtomicBool>,
    pub(crate) status: Arc<SharedStatus>,
    pub(crate) serve_until: ServeUntil,
}

/// Token of the waker; sockets have their indices.
pub(crate) const WAKER: Token = Token(usize::MAX - 1);

/// A Shard with its thread's belongings.
pub(crate) struct Driver<S> {
    shard: S,
    config: ShardConfig,
    make: MakeShard<S>,
    clock: Clock,
    sockets: Vec<MediaSocket>,
    /// Per socket: data may be waiting (epoll is edge-triggered).
    readable: Vec<bool>,
    /// Sockets are watched for being writable.
    watching_writable: bool,
    poll: Poll,
    commands: Receiver<Command>,
    events: mpsc::Sender<ShardNews>,
    awake: Arc<AtomicBool>,
    status: Arc<SharedStatus>,
    serve_until: ServeUntil,
    buffer: Vec<u8>,
    backlog: Backlog,
    streams: Streams,
    /// Said before anything else: the Shard before this one is gone.
    failed: bool,
    io: IoStats,
    published: Timestamp,
    offload_tried: Timestamp,
}

/// What a pass leaves to do.
#[derive(Default)]
struct Leftover {
    now: bool,
    blocked: bool,
    events: bool,
    stop: bool,
}

impl<S: Driven> Driver<S> {
    pub(crate) fn new(start: Start<S>) -> io::Result<Self> {
        let Start {
            shard: config,
            make,
            clock,
            mut sockets,
            poll,
            commands,
            events,
            awake,
            status,
            serve_until,
        } = start;
        for (index, socket) in sockets.iter_mut().enumerate() {
            poll.registry()
                .register(&mut socket.io, Token(index), Interest::READABLE)?;
        }
        let now = clock.now();
        Ok(Self {
            shard: make(config.clone(), now),
            config,
            make,
            clock,
            readable: vec![true; sockets.len()],
            sockets,
            watching_writable: false,
            poll,
            commands,
            events,
            awake,
            status,
            serve_until,
            buffer: vec![0; BUFFER_BYTES * BATCH_SIZE],
            backlog: Backlog::default(),
            streams: Streams::default(),
            failed: false,
            io: IoStats::default(),
            published: now,
            offload_tried: now,
        })
    }

    /// A fresh Shard on the same sockets. What the old one left behind is in no state to be used, not even to be dropped
    /// in order. Nothing that was queued for it is for the new one. `false` if the thread shall end.
    pub(crate) fn renew(&mut self) -> bool {
        let fresh = (self.make)(self.config.clone(), self.clock.now());
        let broken = std::mem::replace(&mut self.shard, fresh);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        self.backlog = Backlog::default();
        self.streams = Streams::default();
        self.readable.fill(true);
        self.failed = true;
        loop {
            match self.commands.try_recv() {
                Ok(Command::Room(_) | Command::Stream(_)) => {}
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Until told to stop.
    pub(crate) fn passes(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(POLL_EVENTS);
        let mut left = Leftover::default();
        loop {
            let wait = self.wait(&left);
            match self.poll.poll(&mut events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &events {
                match self.readable.get_mut(event.token().0) {
                    Some(readable) => *readable |= event.is_readable() || event.is_error(),
                    None => self.streams.notice(event),
                }
            }
            let start = self.clock.now();
            left = self.pass();
            if left.stop {
                return Ok(());
            }
            self.watch_writable(left.blocked)?;
            let end = self.clock.now();
            self.io.passes += 1;
            self.io.busy_nanos += end.as_nanos() - start.as_nanos();
            self.status.passed(end);
            if end - self.published >= PUBLISH_EVERY {
                self.published = end;
                self.io.receive_dropped = self
                    .sockets
                    .iter()
                    .filter_map(|socket| receive_drops(&socket.io))
                    .map(u64::from)
                    .sum();
                // Connections whose Transport is gone, or went elsewhere.
                let shard = &self.shard;
                self.streams.retain(|path| shard.has_path(path));
                self.io.streams = self.streams.len() as u64;
                self.status.publish(self.shard.stats(), &self.io);
                self.renew_offload(end);
            }
        }
    }

    fn wait(&self, left: &Leftover) -> Duration {
        if left.now || self.readable.contains(&true) || self.streams.is_ready() {
            return Duration::ZERO;
        }
        let mut wait = HEARTBEAT.min(self.shard.next_timeout() - self.clock.now());
        if left.blocked {
            wait = wait.min(BLOCKED_RETRY);
        }
        if left.events {
            wait = wait.min(EVENT_RETRY);
        }
        wait
    }

    fn pass(&mut self) -> Leftover {
        let mut left = Leftover::default();
        // One look per pass (claims.md rule 6).
        let serving = self.serve_until.allows();
        for _ in 0..RECEIVE_CALLS {
            let mut received = false;
            for index in 0..self.sockets.len() {
                received |= self.receive(index, serving);
            }
            if !received {
                break;
            }
            left.blocked |= self.flush(serving);
        }
        if self.read_streams(serving) {
            left.blocked |= self.flush(serving);
        }
        let mut now = self.clock.now();
        let commands_until = now + COMMAND_BUDGET;
        // Cleared before the queue is read: whoever queues later wakes the thread again.
        self.awake.store(false, Ordering::Release);
        loop {
            match self.commands.try_recv() {
                Ok(Command::Room(command)) => self.shard.handle_command(now, command),
                Ok(Command::Stream(stream)) => self.adopt(now, *stream),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => {
                    self.flush(serving);
                    left.stop = true;
                    return left;
                }
                Err(TryRecvError::Empty) => break,
            }
            now = self.clock.now();
            if now >= commands_until {
                left.now = true;
                break;
            }
        }
        let backlog_until = now + BACKLOG_BUDGET;
        while let Some(mut waiting) = self.backlog.pop() {
            self.shard
                .handle_packet(now, waiting.path, &mut waiting.datagram);
            now = self.clock.now();
            if now >= backlog_until {
                break;
            }
        }
        left.now |= !self.backlog.is_empty();
        if self.shard.next_timeout() <= now {
            self.shard.handle_timeout(now);
        }
        left.blocked |= self.flush(serving);
        left.events = self.hand_over_events();
        left
    }

    /// One receive call. Media is handled at once, the rest waits in the backlog. `false` if there was nothing.
    fn receive(&mut self, index: usize, serving: bool) -> bool {
        let (Some(socket), Some(readable)) =
            (self.sockets.get(index), self.readable.get_mut(index))
        else {
            return false;
        };
        if !*readable {
            return false;
        }
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut buffers = self.buffer.chunks_exact_mut(BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        let count = match socket
            .state
            .recv(UdpSockRef::from(&socket.io), &mut slices, &mut metas)
        {
            Ok(count) => count,
            Err(error) => {
                // An ICMP error of an earlier send is reported once; anything else is seen again at the next event.
                *readable = error.kind() != io::ErrorKind::WouldBlock;
                return false;
            }
        };
        self.io.receive_calls += 1;
        let port = socket.local.port();
        let bound = socket.local.ip();
        let now = self.clock.now();
        let system_now = Clock::system_unix();
        for (meta, buffer) in metas
            .iter()
            .zip(self.buffer.chunks_exact_mut(BUFFER_BYTES))
            .take(count)
        {
            let local = SocketAddr::new(meta.dst_ip.unwrap_or(bound), port);
            let arrived = arrival(now, system_now, meta.timestamp);
            let filled = buffer.get_mut(..meta.len).unwrap_or_default();
            for datagram in filled.chunks_mut(meta.stride.max(1)) {
                self.io.datagrams_received += 1;
                if !serving {
                    self.io.fenced += 1;
                    continue;
                }
                let path = Path::Udp {
                    local,
                    remote: meta.addr,
                };
                if waits(datagram) {
                    if !self.backlog.push(path, datagram) {
                        self.io.backlog_dropped += 1;
                    }
                } else {
                    self.shard.handle_packet(arrived, path, datagram);
                }
            }
        }
        true
    }

    /// A TCP connection whose first frame named this Shard. Unless that frame is a valid check, it is closed.
    fn adopt(&mut self, now: Timestamp, mut stream: NewStream) {
        let (id, path) = (stream.id, stream.path);
        let mut first = std::mem::take(&mut stream.first);
        if !self.streams.adopt(self.poll.registry(), stream) {
            self.io.streams_refused += 1;
            return;
        }
        self.shard.handle_packet(now, path, &mut first);
        if !self.shard.has_path(path) {
            self.streams.close(id);
            self.io.streams_refused += 1;
        }
    }

    /// Reads the connections that have something, as [`receive`](Self::receive) does sockets. `false` if none has.
    fn read_streams(&mut self, serving: bool) -> bool {
        let now = self.clock.now();
        let Self {
            streams,
            shard,
            backlog,
            io,
            ..
        } = self;
        let mut lost = SmallVec::<[Path; 8]>::new();
        let any = streams.read(
            |path, packet| {
                io.datagrams_received += 1;
                if !serving {
                    io.fenced += 1;
                } else if !waits(packet) {
                    shard.handle_packet(now, path, packet);
                } else if !backlog.push(path, packet) {
                    io.backlog_dropped += 1;
                }
            },
            |path| lost.push(path),
        );
        for path in lost {
            shard.handle_path_lost(now, path);
        }
        any
    }

    /// `true` if a socket was full.
    fn flush(&mut self, serving: bool) -> bool {
        let now = self.clock.now();
        let wall = self.clock.wall();
        if !serving {
            self.shard.flush(now, wall, &mut Nowhere);
            return false;
        }
        let mut outgoing = Outgoing {
            sockets: &mut self.sockets,
            streams: &mut self.streams,
            stats: &mut self.io,
            blocked: false,
        };
        self.shard.flush(now, wall, &mut outgoing);
        outgoing.blocked
    }

    /// `true` if events stay with the Shard since the queue is full.
    fn hand_over_events(&mut self) -> bool {
        loop {
            match self.events.try_reserve() {
                Ok(place) if std::mem::take(&mut self.failed) => {
                    place.send(ShardNews::Failed(self.config.shard));
                }
                Ok(place) => match self.shard.poll_event() {
                    Some(event) => place.send(ShardNews::Room(event)),
                    None => return false,
                },
                Err(mpsc::error::TrySendError::Full(())) => {
                    self.io.events_held += 1;
                    return true;
                }
                Err(mpsc::error::TrySendError::Closed(())) => return false,
            }
        }
    }

    /// Being writable is watched only while a socket is full: each packet that leaves would wake the thread otherwise.
    fn watch_writable(&mut self, blocked: bool) -> io::Result<()> {
        if blocked == self.watching_writable {
            return Ok(());
        }
        self.watching_writable = blocked;
        let interest = if blocked {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            self.poll
                .registry()
                .reregister(&mut socket.io, Token(index), interest)?;
        }
        Ok(())
    }

    fn renew_offload(&mut self, now: Timestamp) {
        if now - self.offload_tried < OFFLOAD_RETRY {
            return;
        }
        self.offload_tried = now;
        for socket in &mut self.sockets {
            if socket.state.max_gso_segments() <= 1 {
                socket.renew_offload();
            }
        }
    }
}

/// STUN and DTLS wait in the backlog: media comes first.
fn waits(packet: &[u8]) -> bool {
    matches!(classify(packet), DatagramKind::Stun | DatagramKind::Dtls)
}

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
use plenum_media::{Shard, ShardConfig};
use plenum_transport::{DatagramKind, classify};
use plenum_types::{RoomToShard, Timestamp};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef};
use tokio::sync::mpsc;

use crate::{
    Clock, ServeUntil, ShardNews,
    backlog::Backlog,
    clock::arrival,
    drops::receive_drops,
    outgoing::{Nowhere, Outgoing},
    sockets::MediaSocket,
    status::{IoStats, SharedStatus},
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
/// Events of epoll per wait: sockets and waker.
const POLL_EVENTS: usize = 16;

/// What the queue of a Shard's thread carries.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "all but one are of the large kind"
)]
pub(crate) enum Command {
    /// For the Shard.
    Room(RoomToShard),
    /// End the thread.
    Stop,
}

/// What a Shard's thread is started with. The Shard itself is made on the thread and never leaves it.
pub(crate) struct Start {
    pub(crate) shard: ShardConfig,
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

/// Runs a Shard until told to stop, or until it panics: then its state is dropped and the rooms hear of it.
pub(crate) fn run(start: Start) {
    let (events, status, id) = (
        start.events.clone(),
        start.status.clone(),
        start.shard.shard,
    );
    let ended = catch_unwind(AssertUnwindSafe(|| Driver::new(start)?.passes()));
    match ended {
        Ok(Ok(())) => return,
        Ok(Err(error)) => {
            tracing::error!(shard = %id, %error, "the media thread can't wait for its sockets");
        }
        Err(_) => tracing::error!(shard = %id, "the shard panicked; its rooms reconnect"),
    }
    status.fail();
    // The thread has nothing else to do: wait until the news is taken. An error means that the process ends.
    let _ = events.blocking_send(ShardNews::Failed(id));
}

/// A Shard with its thread's belongings.
struct Driver {
    shard: Shard,
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

impl Driver {
    fn new(start: Start) -> io::Result<Self> {
        let Start {
            shard,
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
            shard: Shard::new(shard, now),
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
            io: IoStats::default(),
            published: now,
            offload_tried: now,
        })
    }

    fn passes(mut self) -> io::Result<()> {
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
                if let Some(readable) = self.readable.get_mut(event.token().0) {
                    *readable |= event.is_readable() || event.is_error();
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
                self.status.publish(self.shard.stats(), &self.io);
                self.renew_offload(end);
            }
        }
    }

    fn wait(&self, left: &Leftover) -> Duration {
        if left.now || self.readable.contains(&true) {
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
        let mut now = self.clock.now();
        let commands_until = now + COMMAND_BUDGET;
        // Cleared before the queue is read: whoever queues later wakes the thread again.
        self.awake.store(false, Ordering::Release);
        loop {
            match self.commands.try_recv() {
                Ok(Command::Room(command)) => self.shard.handle_command(now, command),
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
                .handle_datagram(now, waiting.local, waiting.remote, &mut waiting.datagram);
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
                match classify(datagram) {
                    DatagramKind::Stun | DatagramKind::Dtls => {
                        if !self.backlog.push(local, meta.addr, datagram) {
                            self.io.backlog_dropped += 1;
                        }
                    }
                    DatagramKind::Rtp | DatagramKind::Rtcp | DatagramKind::Unknown => {
                        self.shard
                            .handle_datagram(arrived, local, meta.addr, datagram);
                    }
                }
            }
        }
        true
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

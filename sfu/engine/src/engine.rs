//! The engine as the control plane sees it.

use std::{io, net::IpAddr, ops::RangeInclusive, sync::Arc, thread};

use plenum_media::{Budgets, Shard, ShardConfig};
use plenum_transport::{Certificate, CertificateError};
use plenum_types::{Fingerprint, RoomToShard, ShardId, ShardToRoom, Timestamp};
use tokio::sync::mpsc;

use crate::{
    AcceptorStats, BindError, Clock, Driven, ServeUntil, ShardStatus,
    acceptor::{self, AcceptorHandle},
    driver::{self, MakeShard},
    queue::{COMMAND_QUEUE, Command, ShardQueue},
    restart,
    sockets::{MediaSocket, bind_port},
    status::SharedStatus,
};

/// Events that may wait for the rooms of one Shard. What does not fit stays with the Shard, coalesced.
const EVENT_QUEUE: usize = 4096;

/// What the engine needs to start.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Number of Shards, at least 1.
    pub shards: u16,
    /// Addresses to bind.
    pub bind: Vec<IpAddr>,
    /// UDP ports to choose from, one per Shard.
    pub ports: RangeInclusive<u16>,
    /// TCP port for clients without UDP, shared by all Shards; 0 for none.
    pub tcp_port: u16,
    /// Bounds of each Shard's memory.
    pub budgets: Budgets,
    /// The fence.
    pub serve_until: ServeUntil,
}

/// The engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A media port is not free.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No DTLS certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The system refuses a thread or epoll.
    #[error("a media thread can't be started: {0}")]
    Thread(#[from] io::Error),
}

/// A command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The Shard does not keep up: treat it as lost.
    #[error("shard {0} does not take commands: its queue of {COMMAND_QUEUE} is full")]
    Full(ShardId),
    /// The Shard has failed, or never was.
    #[error("shard {0} is not running")]
    Gone(ShardId),
}

/// What a Shard has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum ShardNews {
    /// For a room.
    Room(ShardToRoom),
    /// The Shard panicked, and all it held is gone. A fresh one has taken its place, unless it panicked too often.
    Failed(ShardId),
}

/// Number of Shards that suits this process: one less than the cores it may use (affinity mask and cgroup quota), so that
/// signaling has one; at least 1.
#[must_use]
pub fn default_shards() -> u16 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(cores.saturating_sub(1).max(1)).unwrap_or(u16::MAX)
}

struct ShardHandle {
    port: u16,
    queue: ShardQueue,
}

/// All Shards of this process.
pub struct Engine {
    clock: Clock,
    fingerprint: Fingerprint,
    shards: Vec<ShardHandle>,
    acceptor: Option<AcceptorHandle>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Engine {
    /// Binds the ports and starts the threads. News of Shard `i` come from receiver `i`; read them all the time.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn start(
        config: &EngineConfig,
        clock: Clock,
    ) -> Result<(Self, Vec<mpsc::Receiver<ShardNews>>), EngineError> {
        Self::start_with(config, clock, Shard::new)
    }

    /// As [`start`](Self::start), with Shards of the caller's making: at the start, and again after a panic.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn start_with<S: Driven>(
        config: &EngineConfig,
        clock: Clock,
        make: impl Fn(ShardConfig, Timestamp) -> S + Send + Sync + 'static,
    ) -> Result<(Self, Vec<mpsc::Receiver<ShardNews>>), EngineError> {
        let make: MakeShard<S> = Arc::new(make);
        let listeners = match config.tcp_port {
            0 => Vec::new(),
            port => acceptor::bind(&config.bind, port)?,
        };
        let certificate = Arc::new(Certificate::generate()?);
        let fingerprint = certificate.fingerprint();
        let mut engine = Self {
            clock,
            fingerprint,
            shards: Vec::new(),
            acceptor: None,
            threads: Vec::new(),
        };
        let mut news = Vec::new();
        let mut next_port = *config.ports.start();
        for shard in (0..config.shards.max(1)).map(ShardId) {
            let (port, sockets) = bind_port(&config.bind, next_port..=*config.ports.end())?;
            next_port = port.saturating_add(1);
            let sockets = sockets
                .into_iter()
                .map(MediaSocket::new)
                .collect::<io::Result<Vec<_>>>()?;
            let now = clock.now();
            let poll = mio::Poll::new()?;
            let waker = Arc::new(mio::Waker::new(poll.registry(), driver::WAKER)?);
            let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
            let status = Arc::new(SharedStatus::new(now));
            let (queue, commands, awake) = ShardQueue::new(shard, waker, status.clone());
            let start = driver::Start {
                shard: ShardConfig {
                    shard,
                    certificate: certificate.clone(),
                    epoch: clock.epoch(),
                    wall: clock.wall(),
                    budgets: config.budgets,
                },
                make: make.clone(),
                clock,
                sockets,
                poll,
                commands,
                events,
                awake,
                status,
                serve_until: config.serve_until.clone(),
            };
            engine.threads.push(
                thread::Builder::new()
                    .name(format!("shard-{shard}"))
                    .spawn(move || restart::run(start))?,
            );
            engine.shards.push(ShardHandle { port, queue });
            news.push(event_queue);
        }
        if !listeners.is_empty() {
            let queues = engine.shards.iter().map(|shard| shard.queue.clone());
            engine.acceptor = Some(acceptor::start(listeners, queues.collect(), clock)?);
        }
        Ok((engine, news))
    }

    /// SHA-256 of the DTLS certificate of all Transports.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The UDP port of each Shard.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.shards.iter().map(|shard| shard.port).collect()
    }

    /// Queues a command. Never waits.
    ///
    /// # Errors
    /// The Shard does not keep up, or is gone.
    pub fn send(&self, shard: ShardId, command: RoomToShard) -> Result<(), CommandError> {
        let Some(handle) = self.shards.get(usize::from(shard.0)) else {
            return Err(CommandError::Gone(shard));
        };
        handle.queue.send(Command::Room(command))
    }

    /// How all Shards do.
    #[must_use]
    pub fn status(&self) -> Vec<ShardStatus> {
        let now = self.clock.now();
        self.shards
            .iter()
            .zip(0u16..)
            .map(|(handle, index)| handle.queue.status.status(ShardId(index), handle.port, now))
            .collect()
    }

    /// What happened on the TCP port.
    #[must_use]
    pub fn acceptor_stats(&self) -> AcceptorStats {
        self.acceptor
            .as_ref()
            .map_or_else(AcceptorStats::default, AcceptorHandle::stats)
    }

    /// Ends the threads after what was queued before. A thread that hangs is left to the end of the process.
    pub fn stop(self) {
        if let Some(acceptor) = self.acceptor {
            acceptor.stop();
        }
        for (shard, thread) in self.shards.iter().zip(self.threads) {
            let told = shard.queue.send(Command::Stop).is_ok();
            if told || shard.queue.status.failed() {
                // A panic was caught and reported when it happened.
                let _ = thread.join();
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("ports", &self.ports())
            .finish_non_exhaustive()
    }
}

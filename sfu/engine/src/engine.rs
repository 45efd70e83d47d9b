//! The engine as the control plane sees it.

use std::{
    io,
    net::IpAddr,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use plenum_media::{Budgets, ShardConfig};
use plenum_transport::{Certificate, CertificateError};
use plenum_types::{Fingerprint, RoomToShard, ShardId, ShardToRoom};
use tokio::sync::mpsc;

use crate::{
    BindError, Clock, ServeUntil, ShardStatus,
    driver::{self, Command},
    sockets::{MediaSocket, bind_port},
    status::SharedStatus,
};

/// Commands that may wait for a Shard. A join needs about ten, so this is a storm of 800 at once.
const COMMAND_QUEUE: usize = 8192;
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
    /// The Shard panicked and is gone with all it held.
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
    commands: SyncSender<Command>,
    waker: Arc<mio::Waker>,
    /// Set while the thread is certain to look at its queue again.
    awake: Arc<AtomicBool>,
    status: Arc<SharedStatus>,
}

/// All Shards of this process.
pub struct Engine {
    clock: Clock,
    fingerprint: Fingerprint,
    shards: Vec<ShardHandle>,
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
        let certificate = Arc::new(Certificate::generate()?);
        let fingerprint = certificate.fingerprint();
        let mut engine = Self {
            clock,
            fingerprint,
            shards: Vec::new(),
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
            let (commands, command_queue) = sync_channel(COMMAND_QUEUE);
            let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
            let status = Arc::new(SharedStatus::new(now));
            let awake = Arc::new(AtomicBool::new(false));
            let start = driver::Start {
                shard: ShardConfig {
                    shard,
                    certificate: certificate.clone(),
                    epoch: clock.epoch(),
                    wall: clock.wall(),
                    budgets: config.budgets,
                },
                clock,
                sockets,
                poll,
                commands: command_queue,
                events,
                awake: awake.clone(),
                status: status.clone(),
                serve_until: config.serve_until.clone(),
            };
            engine.threads.push(
                thread::Builder::new()
                    .name(format!("shard-{shard}"))
                    .spawn(move || driver::run(start))?,
            );
            engine.shards.push(ShardHandle {
                port,
                commands,
                waker,
                awake,
                status,
            });
            news.push(event_queue);
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
        if handle.status.failed() {
            return Err(CommandError::Gone(shard));
        }
        match handle.commands.try_send(Command::Room(command)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                handle.status.refuse_command();
                return Err(CommandError::Full(shard));
            }
            Err(TrySendError::Disconnected(_)) => return Err(CommandError::Gone(shard)),
        }
        if !handle.awake.swap(true, Ordering::AcqRel) {
            // A waker that fails finds the thread anyway, at its next pass.
            let _ = handle.waker.wake();
        }
        Ok(())
    }

    /// How all Shards do.
    #[must_use]
    pub fn status(&self) -> Vec<ShardStatus> {
        let now = self.clock.now();
        self.shards
            .iter()
            .zip(0u16..)
            .map(|(handle, index)| handle.status.status(ShardId(index), handle.port, now))
            .collect()
    }

    /// Ends the threads after what was queued before. A thread that hangs is left to the end of the process.
    pub fn stop(self) {
        for (shard, thread) in self.shards.iter().zip(self.threads) {
            let told = shard.commands.try_send(Command::Stop).is_ok();
            let woken = shard.waker.wake().is_ok();
            if (told && woken) || shard.status.failed() {
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

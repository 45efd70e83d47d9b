//! What other threads may know of a Shard.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use plenum_media::ShardStats;
use plenum_types::{ShardId, Timestamp};

/// A Shard that has not finished a pass for this long is stuck: its loop wakes twice a second at least.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// What the sockets of a Shard did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Receive calls that brought something.
    pub receive_calls: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams that the kernel dropped since a receive buffer was full.
    pub receive_dropped: u64,
    /// Send calls.
    pub send_calls: u64,
    /// Datagrams handed to the kernel.
    pub datagrams_sent: u64,
    /// Send calls that found the socket full.
    pub send_blocked: u64,
    /// Datagrams lost to other errors of send calls.
    pub send_errors: u64,
    /// Datagrams of STUN and DTLS that were dropped since too many waited.
    pub backlog_dropped: u64,
    /// TCP connections that clients have now.
    pub streams: u64,
    /// TCP connections that were closed since there were too many, or since their first check named nobody here.
    pub streams_refused: u64,
    /// Packets that were dropped since their TCP connection did not keep up.
    pub stream_dropped: u64,
    /// Datagrams that were not handled since this member may not serve.
    pub fenced: u64,
    /// Passes that left events with the Shard since the queue to the rooms was full.
    pub events_held: u64,
    /// Passes of the loop.
    pub passes: u64,
    /// Nanoseconds spent in passes, without waiting.
    pub busy_nanos: u64,
}

/// How a Shard does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardHealth {
    /// It finishes its passes.
    Running,
    /// It has not finished a pass for seconds.
    Stuck,
    /// It panicked too often and stays down.
    Failed,
}

/// State of a Shard as seen from outside.
#[derive(Debug, Clone, Copy)]
pub struct ShardStatus {
    /// Which one.
    pub shard: ShardId,
    /// Its UDP port.
    pub port: u16,
    /// How it does.
    pub health: ShardHealth,
    /// Time since its last pass; half a second is normal for an idle one.
    pub since_last_pass: Duration,
    /// Commands that found its queue full.
    pub commands_refused: u64,
    /// How often it panicked and was made anew.
    pub restarts: u64,
    /// Its counters, at most a second old.
    pub stats: ShardStats,
    /// Counters of its sockets, as old.
    pub io: IoStats,
}

/// Shared between a Shard's thread and the rest.
#[derive(Debug)]
pub(crate) struct SharedStatus {
    last_pass: AtomicU64,
    failed: AtomicBool,
    commands_refused: AtomicU64,
    restarts: AtomicU64,
    published: Mutex<(ShardStats, IoStats)>,
}

impl SharedStatus {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            last_pass: AtomicU64::new(now.as_nanos()),
            failed: AtomicBool::new(false),
            commands_refused: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            published: Mutex::default(),
        }
    }

    pub(crate) fn passed(&self, now: Timestamp) {
        self.last_pass.store(now.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refuse_command(&self) {
        self.commands_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Leaves a copy for others; skipped when one of them is reading.
    pub(crate) fn publish(&self, stats: &ShardStats, io: &IoStats) {
        if let Ok(mut published) = self.published.try_lock() {
            *published = (*stats, *io);
        }
    }

    pub(crate) fn status(&self, shard: ShardId, port: u16, now: Timestamp) -> ShardStatus {
        let since_last_pass = now - Timestamp::from_nanos(self.last_pass.load(Ordering::Relaxed));
        let (stats, io) = *self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ShardStatus {
            shard,
            port,
            health: if self.failed() {
                ShardHealth::Failed
            } else if since_last_pass > STUCK_AFTER {
                ShardHealth::Stuck
            } else {
                ShardHealth::Running
            },
            since_last_pass,
            commands_refused: self.commands_refused.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            stats,
            io,
        }
    }
}

//! The queue to a Shard's thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use plenum_types::{RoomToShard, ShardId};

use crate::{CommandError, status::SharedStatus, streams::NewStream};

/// Commands that may wait for a Shard. A join needs about ten, so this is a storm of 800 at once.
pub(crate) const COMMAND_QUEUE: usize = 8192;

/// What the queue carries.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "all but a few are of the large kind"
)]
pub(crate) enum Command {
    /// For the Shard.
    Room(RoomToShard),
    /// A TCP connection of one of its clients.
    Stream(Box<NewStream>),
    /// End the thread.
    Stop,
}

/// The sending end.
#[derive(Debug, Clone)]
pub(crate) struct ShardQueue {
    pub(crate) shard: ShardId,
    commands: SyncSender<Command>,
    waker: Arc<mio::Waker>,
    /// Set while the thread is certain to look at its queue again.
    awake: Arc<AtomicBool>,
    pub(crate) status: Arc<SharedStatus>,
}

impl ShardQueue {
    /// The sending end, the receiving end, and the mark that the thread clears before it reads.
    pub(crate) fn new(
        shard: ShardId,
        waker: Arc<mio::Waker>,
        status: Arc<SharedStatus>,
    ) -> (Self, Receiver<Command>, Arc<AtomicBool>) {
        let (commands, queue) = sync_channel(COMMAND_QUEUE);
        let awake = Arc::new(AtomicBool::new(false));
        let sender = Self {
            shard,
            commands,
            waker,
            awake: awake.clone(),
            status,
        };
        (sender, queue, awake)
    }

    /// Queues and wakes the thread. Never waits.
    pub(crate) fn send(&self, command: Command) -> Result<(), CommandError> {
        if self.status.failed() {
            return Err(CommandError::Gone(self.shard));
        }
        match self.commands.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.status.refuse_command();
                return Err(CommandError::Full(self.shard));
            }
            Err(TrySendError::Disconnected(_)) => return Err(CommandError::Gone(self.shard)),
        }
        if !self.awake.swap(true, Ordering::AcqRel) {
            // A waker that fails finds the thread anyway, at its next pass.
            let _ = self.waker.wake();
        }
        Ok(())
    }
}

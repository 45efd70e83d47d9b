//! How a room opens: check the claim, restore, start its task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use plenum_cluster::{
    Epoch, IdError, RoomKey, directory::EndReason as ClaimEnd, membership::CallError,
};
use plenum_room::{DispatchSnapshot, Room, RoomConfig, RoomSnapshot};
use plenum_types::{RoomHandle, RoomName, ShardId};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::timeout,
};

use super::{
    NewRoom, RoomSummary, Rooms,
    registry::{RoomRef, new_room_sid},
    task::{RoomTask, TaskInputs, saving::fault_of},
    waiting::Waiting,
};
use crate::{agents::OpenedWith, signal::JoinError};

/// Events of one room's Shards that may wait for its task. Beyond, the room's media is made anew.
const EVENT_QUEUE: usize = 4096;
/// How long a room that is ending is waited for before its name is taken again.
const END_WAIT: Duration = Duration::from_secs(3);

/// A claim of this member: what it opens a room by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its epoch.
    pub epoch: Epoch,
    /// What a home before has left.
    pub snapshot: Option<Bytes>,
}

/// Why a room did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its name is no name.
    #[error(transparent)]
    Name(#[from] IdError),
    /// This member is not the room's home, or not any more: locate it again.
    #[error("this member is not the room's home; try again")]
    NotHeld,
    /// A limit of this member.
    #[error("this member serves {limit} rooms already, which is its limit (room.max_rooms)")]
    TooManyRooms {
        /// The limit.
        limit: usize,
    },
    /// No Shard runs.
    #[error("no media shard is running on this member")]
    NoShard,
    /// The room of this name is ending and takes too long.
    #[error("the room of this name is ending; try again")]
    Ending,
}

impl From<OpenError> for JoinError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Name(error) => Self::Malformed(error.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// A name's place in the registry: held while the room opens, so that it opens once.
#[derive(Debug, Default)]
pub(super) struct Slot {
    room: Mutex<Option<RoomRef>>,
    handle: AtomicU64,
}

impl Slot {
    pub(super) fn holds(&self, handle: RoomHandle) -> bool {
        self.handle.load(Ordering::Acquire) == handle.0
    }
}

impl RoomRef {
    /// Waits until the room's task is done.
    pub(super) async fn ended(&self) -> bool {
        let mut summary = self.summary.clone();
        timeout(
            END_WAIT,
            async move { while summary.changed().await.is_ok() {} },
        )
        .await
        .is_ok()
    }
}

impl Rooms {
    /// The room of this name, if it is here; waits while it opens.
    pub(super) async fn find(&self, name: &RoomName) -> Option<RoomRef> {
        let slot = self.slots().get(name).cloned()?;
        let room = slot.room.lock().await.clone();
        room.filter(|room| !room.messages.is_closed())
    }

    /// The room of this name, opened if it is not open. `new` is for a room that nobody has left a snapshot of.
    pub(super) async fn open(
        self: &Arc<Self>,
        name: &RoomName,
        new: NewRoom,
        held: Held,
    ) -> Result<RoomRef, OpenError> {
        let key = RoomKey::new(name.as_str())?;
        loop {
            let slot = self.slots().entry(name.clone()).or_default().clone();
            let mut room = slot.room.lock().await;
            // The slot may have been given up while this task waited for it.
            if !self
                .slots()
                .get(name)
                .is_some_and(|current| Arc::ptr_eq(current, &slot))
            {
                continue;
            }
            if let Some(room) = room.as_ref().filter(|room| !room.messages.is_closed()) {
                return Ok(room.clone());
            }
            let opened = self.open_held(name, &key, new, held).await;
            match opened {
                Ok(opened) => {
                    slot.handle.store(opened.handle.0, Ordering::Release);
                    *room = Some(opened.clone());
                    return Ok(opened);
                }
                Err(error) => {
                    let mut slots = self.slots();
                    if slots
                        .get(name)
                        .is_some_and(|current| Arc::ptr_eq(current, &slot))
                    {
                        slots.remove(name);
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn open_held(
        self: &Arc<Self>,
        name: &RoomName,
        key: &RoomKey,
        new: NewRoom,
        held: Held,
    ) -> Result<RoomRef, OpenError> {
        let membership = &self.config.membership;
        // A room of this name that was here has given its claim back before its place became free.
        let epoch = membership.epoch(key).ok_or(OpenError::NotHeld)?;
        let room = self.can_open();
        // A room that was elsewhere before stays claimed: it opens as soon as there is a place for it.
        if room.is_err() && held.snapshot.is_none() {
            membership.room_ended(key, ClaimEnd::Expired).await;
        }
        let shard = room?;
        let snapshot = held.snapshot.and_then(|bytes| {
            RoomSnapshot::parse(&bytes)
                .inspect_err(
                    |error| tracing::warn!(room = %name, %error, "the room's snapshot is not used"),
                )
                .ok()
        });
        let handle = self.new_handle();
        let clock = self.config.clock;
        let now = clock.now();
        let config = RoomConfig {
            name: name.clone(),
            sid: new_room_sid(),
            handle,
            created_at_unix_ms: clock.wall().unix_millis(now),
            settings: new.settings,
            wall: clock.wall(),
            server: self.config.server.clone(),
            keep_alive: self.config.keep_alive,
            fingerprint: self.config.engine.fingerprint(),
            media: self.config.settings.load().media.policy(),
            ice_servers: Vec::new(),
            remote_unmute: false,
            data_tracks: self.defaults().data_tracks,
            limits: self.limits(),
        };
        let rng = crate::entropy::secure_rng();
        let restored = snapshot.and_then(|snapshot| {
            let room = Room::restore(config.clone(), &snapshot, rng.clone(), now)
                .inspect_err(
                    |error| tracing::warn!(room = %name, %error, "the room's snapshot is not used"),
                )
                .ok()?;
            Some((room, OpenedWith::Kept(snapshot.agents)))
        });
        let (room, agents) = match restored {
            Some(restored) => restored,
            None => {
                let room = Room::new(config, rng, now);
                let first = self.config.agents.first(&new.agents);
                self.save_first(key, &room, first.clone()).await?;
                (room, OpenedWith::First(first))
            }
        };
        let (messages, messages_read) = mpsc::unbounded_channel();
        let (frames, frames_read) = mpsc::unbounded_channel();
        let (news, news_read) = mpsc::channel(EVENT_QUEUE);
        let (summary, summary_read) = watch::channel(RoomSummary {
            info: room.info(),
            stats: room.stats(),
            epoch: epoch.get(),
        });
        let opened = RoomRef {
            handle,
            shard,
            messages,
            waiting: Waiting::new(),
            frames,
            news,
            summary: summary_read,
        };
        // Before the task runs: its first commands may bring events.
        self.add_route(opened.clone());
        let task = RoomTask::new(
            self.clone(),
            name.clone(),
            handle,
            shard,
            key.clone(),
            room,
            TaskInputs {
                messages: messages_read,
                frames: frames_read,
                news: news_read,
            },
            summary,
        );
        self.config.runtime.spawn(task.run(epoch, agents));
        Ok(opened)
    }

    /// A Shard for one more room, if the limits allow it.
    fn can_open(&self) -> Result<ShardId, OpenError> {
        let limit = self.defaults().max_rooms;
        if limit > 0 && self.count() >= limit {
            return Err(OpenError::TooManyRooms { limit });
        }
        self.choose_shard().ok_or(OpenError::NoShard)
    }

    /// A new room's sid must survive this member from the moment that anyone hears it; so must the agents that it wants.
    async fn save_first(
        &self,
        key: &RoomKey,
        room: &Room,
        agents: Vec<DispatchSnapshot>,
    ) -> Result<(), OpenError> {
        let Some(bytes) = room
            .snapshot()
            .and_then(|snapshot| serde_json::to_vec(&snapshot.with_agents(agents)).ok())
        else {
            return Ok(());
        };
        let membership = &self.config.membership;
        match membership.save_snapshot(key, bytes.into()).await {
            Ok(()) => Ok(()),
            Err(CallError::HeldBy(_) | CallError::NotHome(_)) => Err(OpenError::NotHeld),
            Err(error) => {
                // It is kept here, and written when the Directory answers again.
                self.config.metrics.snapshot_fault(fault_of(&error));
                tracing::warn!(room = %key.escaped(), room_sid = %room.sid(), %error, "a new room's snapshot is not stored yet");
                Ok(())
            }
        }
    }
}

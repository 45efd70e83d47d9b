//! This member among the others: which member a client or a call is served by, and what happens when that changes.
//!
//! [`Cluster`] takes every join and every server API call. It asks [`Membership`] where the room lives and serves it here,
//! or carries it to the home: a client by a [`hop`](crate::hop), a call by one HTTP request. A standalone process goes the
//! same way with a Directory in memory and no peers.
//!
//! All its work runs on the runtime of the rooms, because connections (to Redis, to peers) are driven by the runtime that
//! opened them. A running room never waits for anything in here.

mod calls;
mod desired;
mod events;
mod joins;
mod moves;
mod peers;
mod specs;

pub(crate) use calls::{INCARNATION_HEADER, MISDIRECTED, Outcome, RawCall};
pub use desired::{Desired, StaleTerm};
pub use events::follow;
pub(crate) use moves::{FinishMove, PrepareMove};
pub use moves::{Prepared, UnknownMove};
pub(crate) use peers::read_io_error;
pub use peers::{CONNECT_TIMEOUT, PeerClient, PeerReply};

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plenum_cluster::{
    Epoch, IdError, Membership, RoomKey,
    member_api::{Load, RoomReport},
    membership::{CallError, IfAbsent, Located, PeerRooms},
};
use plenum_types::RoomName;
use tokio::{runtime::Handle, sync::Notify};

use crate::{hop::Hops, member::Member, metrics::Metrics, rooms::Rooms, signal::JoinError};

/// A join to a home that is suspected is held this long (claims.md rule 12).
pub const HOLD: Duration = Duration::from_secs(4);
/// A room that moved while it was looked for is looked for again after this pause.
const AGAIN: Duration = Duration::from_millis(20);

/// What the cluster needs of the rest of the process.
pub struct ClusterParts {
    /// The runtime of the rooms.
    pub runtime: Handle,
    /// This member's place in the pool.
    pub membership: Membership,
    /// Requests to other members.
    pub peers: Arc<PeerClient>,
    /// The rooms that are here.
    pub rooms: Arc<Rooms>,
    /// This process.
    pub member: Arc<Member>,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// There is no other member, and never will be.
    pub alone: bool,
}

/// See the module.
pub struct Cluster {
    pub(crate) runtime: Handle,
    pub(crate) membership: Membership,
    pub(crate) peers: Arc<PeerClient>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) member: Arc<Member>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) hops: Arc<Hops>,
    pub(crate) alone: bool,
    pub(crate) desired: Desired,
    pub(crate) prepared: Prepared,
    specs: specs::Specs,
    drain: Notify,
    leaving: AtomicBool,
}

impl Cluster {
    /// Ready to take joins and calls.
    #[must_use]
    pub fn new(parts: ClusterParts) -> Arc<Self> {
        let ClusterParts {
            runtime,
            membership,
            peers,
            rooms,
            member,
            metrics,
            alone,
        } = parts;
        Arc::new(Self {
            hops: Arc::new(Hops::new(metrics.clone())),
            runtime,
            membership,
            peers,
            rooms,
            member,
            metrics,
            alone,
            desired: Desired::default(),
            prepared: Prepared::default(),
            specs: specs::Specs::default(),
            drain: Notify::new(),
            leaving: AtomicBool::new(false),
        })
    }

    /// This member's place in the pool.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The client sockets that end here and whose rooms live elsewhere.
    #[must_use]
    pub fn proxied_sockets(&self) -> usize {
        self.hops.count()
    }

    /// Runs work of the cluster where its connections live. `None` if that runtime is ending.
    pub(crate) async fn on_rooms_runtime<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.runtime.spawn(work).await.ok()
    }

    /// Asks for the drain to begin; it is final.
    pub fn request_drain(&self) {
        self.drain.notify_one();
    }

    /// Waits until somebody asks for the drain.
    pub async fn drain_requested(&self) {
        self.drain.notified().await;
    }

    /// Says goodbye to the pool. What is still here is placed elsewhere.
    pub async fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.membership.leave().await;
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    pub(crate) async fn locate(
        &self,
        room: &RoomKey,
        if_absent: IfAbsent,
        patience: Duration,
    ) -> Result<Located, CallError> {
        let peers: &dyn PeerRooms = self.peers.as_ref();
        self.membership
            .locate(room, if_absent, peers, patience)
            .await
    }

    /// What this member carries, for placement and the operator.
    #[must_use]
    pub fn load(&self) -> Load {
        let mut load = Load {
            proxied_sockets: narrow(self.hops.count()),
            ..Load::default()
        };
        for room in self.rooms.list() {
            load.rooms = load.rooms.saturating_add(1);
            load.participants = load
                .participants
                .saturating_add(narrow(room.stats.participants));
            load.publishers = load
                .publishers
                .saturating_add(narrow(room.stats.publishers));
            load.subscriptions = load
                .subscriptions
                .saturating_add(narrow(room.stats.subscriptions));
        }
        load
    }

    /// The rooms whose home this member is, by name.
    #[must_use]
    pub fn reports(&self) -> Vec<RoomReport> {
        let mut reports: Vec<RoomReport> = self
            .rooms
            .list()
            .into_iter()
            .map(|room| self.report_of(room))
            .collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    /// One of them.
    #[must_use]
    pub fn report(&self, name: &str) -> Option<RoomReport> {
        let room = self
            .rooms
            .list()
            .into_iter()
            .find(|room| room.info.name == name)?;
        Some(self.report_of(room))
    }

    pub(crate) fn report_of(&self, room: crate::rooms::RoomSummary) -> RoomReport {
        let epoch = RoomKey::new(room.info.name.as_str())
            .ok()
            .and_then(|key| self.membership.epoch(&key))
            .unwrap_or_else(|| Epoch::new(room.epoch));
        RoomReport {
            epoch,
            participants: narrow(room.stats.participants),
            publishers: narrow(room.stats.publishers),
            started_at_ms: room.info.creation_time_ms,
            name: room.info.name,
            sid: room.info.sid,
        }
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A room's name as claims know it.
fn key_of(room: &RoomName) -> Result<RoomKey, IdError> {
    RoomKey::new(room.as_str())
}

impl From<CallError> for JoinError {
    /// Never 401 or 403, after which clients give up for good (protocol.md 9.3).
    fn from(error: CallError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

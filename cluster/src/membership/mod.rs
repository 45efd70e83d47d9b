//! A member among members: the driver of heartbeats, pings, judging and takeovers, and the calls that the server makes.
//!
//! The driver runs on a thread of its own with its own runtime (claims.md rule 3), so that a busy server does not look
//! like a dead one. [`Membership`] is a cheap handle to it.

mod asking;
mod calls;
mod driver;
mod judging;
mod pinging;
mod rooms;
mod view;

pub use asking::{Asked, Found, find_by_asking};
pub use calls::{CallError, Fate, IfAbsent, Located};
pub use view::{DirectoryHealth, MemberView, MembersView};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::detector::{Evidence, Health};
use crate::directory::{Capacity, Claim, Directory, Holder, MemberRecord, Taken};
use crate::member_api::{INTERNAL_PROTOCOL, Load, MemberState, Ping, Pong, RoomReport};
use crate::timing::Timing;
use crate::{Incarnation, NodeId, RoomKey};
use rooms::OwnRooms;

/// Events wait in a queue of this length; when the server is slower, they wait in order in the driver, where changes of
/// the member list are merged into one and the rest is bounded by the number of rooms and members.
const EVENT_QUEUE: usize = 256;
/// Pings and wishes on their way to the driver; a ping that finds it full is dropped, the next one says the same.
const COMMAND_QUEUE: usize = 1024;

/// What a member is.
#[derive(Debug, Clone)]
pub struct MembershipConfig {
    /// Stable identity.
    pub node: NodeId,
    /// Where peers and operator reach its internal port, `ip:port`. The listener must be bound before [`Membership::start`]:
    /// two refused connections tell peers that the process is dead.
    pub internal_address: String,
    /// Internal addresses to ask who is there while the Directory is away (headless Service, `cluster.peers`).
    pub seeds: Vec<String>,
    /// Hard bounds for placement, at the start; see [`Membership::set_capacity`].
    pub capacity: Capacity,
    /// Share of rooms relative to other members, e.g. the number of Shards.
    pub weight: u32,
    /// Version of the build, for people.
    pub version: String,
    /// The rules' times.
    pub timing: Timing,
}

/// The Directory, twice: a Redis connection is driven by the runtime that made it, and heartbeats must not wait for the
/// server's runtime.
pub struct Directories {
    /// For the driver's thread.
    pub driver: Arc<dyn Directory>,
    /// For calls of the server ([`Membership::locate`] and its like).
    pub calls: Arc<dyn Directory>,
}

impl Directories {
    /// For a Directory without connections ([`crate::directory::MemoryDirectory`]).
    pub fn same(directory: Arc<dyn Directory>) -> Self {
        Self {
            driver: Arc::clone(&directory),
            calls: directory,
        }
    }
}

/// How a request to a peer failed. Which of these it is decides how fast the peer is judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The connection was refused: nothing listens there.
    #[error("connection refused")]
    Refused,
    /// An existing connection broke.
    #[error("connection reset")]
    Reset,
    /// No route to the host or network.
    #[error("host unreachable")]
    Unreachable,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// It answered something else than a pong, e.g. that the cluster secret is wrong.
    #[error("{0}")]
    Other(String),
}

/// Sends pings; the server implements it with its HTTP client, one made for the driver's thread.
#[async_trait]
pub trait Peers: Send + Sync {
    /// `POST /internal/v1/ping` at that internal address. It is cut off after [`Timing::ping_timeout`].
    async fn ping(&self, address: &str, ping: &Ping) -> Result<Pong, PeerError>;
}

/// Asks peers for rooms; the server implements it with its HTTP client.
#[async_trait]
pub trait PeerRooms: Send + Sync {
    /// `GET /internal/v1/rooms/{room}` at that internal address: `None` for 404. It is cut off after [`Timing::ask`].
    async fn holds(&self, address: &str, room: &RoomKey) -> Result<Option<RoomReport>, PeerError>;
}

/// Why a member fenced itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FenceReason {
    /// It was judged dead: its rooms are elsewhere.
    Tombstoned,
    /// Another life of the same NodeId took its place.
    Replaced,
    /// It reached neither the Directory nor half of the other members for [`Timing::fence`].
    Isolated,
}

/// What the server hears of the cluster. All rooms in an event were claimed by this member's present incarnation.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// These rooms came here, from a dead member or from the operator: open those that are not open.
    RoomsTaken(Vec<Taken>),
    /// Close every room with `Leave{RECONNECT}`, drop all state, then call [`Membership::rejoin`].
    Fenced(FenceReason),
    /// Another member is the home of this room now: close it with `Leave{RECONNECT}`.
    ClaimLost {
        /// The room.
        room: RoomKey,
        /// Its home.
        to: Claim,
    },
    /// This life of a member is over; its rooms are being moved. Sockets that hop to it get
    /// `Leave{STATE_MISMATCH, RECONNECT}` once their room is located anew.
    MemberDead {
        /// Who.
        dead: Holder,
        /// What this member knows of the why; `None` if others judged, or if it left by itself.
        evidence: Option<Evidence>,
    },
    /// See [`Membership::view`].
    MembersChanged,
    /// The Directory answers.
    DirectoryUp,
    /// It does not; running rooms do not care.
    DirectoryDown,
    /// The Directory had lost history. All own claims with their last snapshots are re-asserted by the driver; what the
    /// server keeps there beside them has to be written again.
    HistoryLost,
}

/// Why the driver could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "the membership thread could not be started: {0}; see the limits on threads and open files"
)]
pub struct StartError(#[from] std::io::Error);

/// Handle to this member's place in the pool. Cloning is cheap. When the last one is dropped, the thread ends without a
/// word, which looks like a crash to the others; [`Membership::leave`] is the polite way.
#[derive(Clone)]
pub struct Membership {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    directory: Arc<dyn Directory>,
}

/// What handle and driver share.
pub(crate) struct Shared {
    config: MembershipConfig,
    view: ArcSwap<MembersView>,
    serve_until: Arc<AtomicU64>,
    wishes: Mutex<Wishes>,
    own: Mutex<OwnRooms>,
    placed: Mutex<BTreeMap<Incarnation, Placed>>,
}

/// What the server wants its record to say.
#[derive(Debug, Clone, Copy)]
struct Wishes {
    state: MemberState,
    load: Load,
    capacity: Capacity,
}

/// Rooms placed on a member since its counter stood there.
#[derive(Debug, Clone, Copy)]
struct Placed {
    beats: u64,
    rooms: u32,
}

enum Command {
    Pinged(Ping),
    Suspected(NodeId),
    RecordChanged,
    Reconcile,
    Rejoin,
    Leave(oneshot::Sender<()>),
}

impl Membership {
    /// Starts the driver. It registers once [`Membership::set_state`] has said anything but `Starting`.
    ///
    /// If the receiver ends although nobody left, the thread has died and the process should end too.
    pub fn start(
        config: MembershipConfig,
        directories: Directories,
        peers: Arc<dyn Peers>,
    ) -> Result<(Self, mpsc::Receiver<Event>), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (events, event_receiver) = mpsc::channel(EVENT_QUEUE);
        let (commands, command_receiver) = mpsc::channel(COMMAND_QUEUE);
        let me = Holder {
            node: config.node.clone(),
            incarnation: Incarnation::fresh(),
        };
        let wishes = Wishes {
            state: MemberState::Starting,
            load: Load::default(),
            capacity: config.capacity,
        };
        let view = MembersView {
            me,
            state: MemberState::Starting,
            ready: false,
            registration_refused: None,
            directory: DirectoryHealth::Recovering,
            members: BTreeMap::new(),
            frozen: std::collections::BTreeSet::new(),
            silences: Vec::new(),
        };
        let shared = Arc::new(Shared {
            config,
            view: ArcSwap::from_pointee(view),
            serve_until: Arc::new(AtomicU64::new(0)),
            wishes: Mutex::new(wishes),
            own: Mutex::default(),
            placed: Mutex::default(),
        });
        let driver = driver::Parts {
            shared: Arc::clone(&shared),
            directory: directories.driver,
            peers,
            events,
        };
        std::thread::Builder::new()
            .name("membership".to_owned())
            .spawn(move || driver::run(&runtime, driver, command_receiver))?;
        Ok((
            Self {
                shared,
                commands,
                directory: directories.calls,
            },
            event_receiver,
        ))
    }

    /// The pool as this member sees it now.
    pub fn view(&self) -> Arc<MembersView> {
        self.shared.view.load_full()
    }

    /// This member and its present life.
    pub fn me(&self) -> Holder {
        self.shared.view.load().me.clone()
    }

    /// May be sent clients; `/health/ready`.
    pub fn ready(&self) -> bool {
        self.shared.view.load().ready
    }

    /// Nanoseconds on `CLOCK_BOOTTIME` ([`crate::clock::boottime`]) until which rooms may be served: 0 not at all,
    /// `u64::MAX` without a bound. Each Shard reads it once per batch (claims.md rule 6).
    pub fn serve_until(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.serve_until)
    }

    /// The Directory, for room specs and lists. Claims go through this handle.
    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// Where the member stands by its own will: `Serving`, `Cordoned` or `Draining`. Told to the pool at once.
    pub fn set_state(&self, state: MemberState) {
        self.shared.wishes().state = state;
        self.tell(Command::RecordChanged);
    }

    /// Hard bounds for placement from now on. Told to the pool at once; what is there already stays.
    pub fn set_capacity(&self, capacity: Capacity) {
        let before = std::mem::replace(&mut self.shared.wishes().capacity, capacity);
        if before != capacity {
            self.tell(Command::RecordChanged);
        }
    }

    /// What it carries; told with the next heartbeat. `rooms` is counted here.
    pub fn set_load(&self, load: Load) {
        self.shared.wishes().load = load;
    }

    /// Answers `POST /internal/v1/ping`. Never waits.
    pub fn answer_ping(&self, ping: Ping) -> Pong {
        self.tell(Command::Pinged(ping));
        let view = self.shared.view.load();
        Pong {
            node: view.me.node.clone(),
            incarnation: view.me.incarnation,
            state: view.state,
            silent: view.silences.clone(),
        }
    }

    /// A connection to this member broke: probe it now. [`Membership::fate`] waits for what comes of it.
    pub fn suspect(&self, node: &NodeId) {
        self.tell(Command::Suspected(node.clone()));
    }

    /// After [`Event::Fenced`], when all rooms are closed: registers anew with a new incarnation.
    pub fn rejoin(&self) {
        self.tell(Command::Rejoin);
    }

    /// Leaves the pool: no rooms come here any more, those that are still here are placed elsewhere, the thread ends.
    /// Takes at most a few seconds, also when the Directory is away.
    pub async fn leave(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Leave(done)).await.is_ok() {
            // An error means that the thread has ended already, which is what was asked for.
            let _ = wait.await;
        }
    }

    fn tell(&self, command: Command) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.commands.try_send(command) {
            tracing::warn!("the membership thread does not keep up, a message to it is dropped");
        }
    }
}

impl Shared {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> MutexGuard<'_, OwnRooms> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn placed(&self) -> MutexGuard<'_, BTreeMap<Incarnation, Placed>> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a room that was placed on a member, until its own report covers it.
    fn note_placed(&self, on: &Holder) {
        let beats = self
            .view
            .load()
            .by_incarnation(on.incarnation)
            .map_or(0, |member| member.beats);
        let mut placed = self.placed();
        let entry = placed
            .entry(on.incarnation)
            .or_insert(Placed { beats, rooms: 0 });
        if reported(*entry, beats) {
            entry.rooms = 0;
        }
        *entry = Placed {
            beats,
            rooms: entry.rooms.saturating_add(1),
        };
    }

    fn placement(&self, without: Option<Incarnation>) -> crate::placement::Placement {
        let view = self.view.load();
        let mut placed = self.placed();
        placed.retain(|incarnation, _| view.by_incarnation(*incarnation).is_some());
        let since = |member: &MemberView| match placed.get(&member.record.holder.incarnation) {
            Some(entry) if !reported(*entry, member.beats) => entry.rooms,
            _ => 0,
        };
        view.placement(since, without)
    }

    fn set_serve_until(&self, nanos: u64) {
        self.serve_until.store(nanos, Ordering::Release);
    }

    fn record(&self, me: &Holder, state: MemberState) -> MemberRecord {
        let wishes = *self.wishes();
        let rooms = u32::try_from(self.own().count()).unwrap_or(u32::MAX);
        MemberRecord {
            holder: me.clone(),
            internal_address: self.config.internal_address.clone(),
            state,
            load: Load {
                rooms: rooms.max(wishes.load.rooms),
                ..wishes.load
            },
            capacity: wishes.capacity,
            weight: self.config.weight,
            protocol: INTERNAL_PROTOCOL,
            version: self.config.version.clone(),
        }
    }

    fn itself(&self, me: &Holder, state: MemberState, beats: u64) -> MemberView {
        MemberView {
            record: self.record(me, state),
            beats,
            health: Health::Alive,
            heard_at: crate::clock::boottime(),
        }
    }
}

/// A heartbeat that was begun after the placing has been stored: the second one after it for sure.
fn reported(placed: Placed, beats: u64) -> bool {
    beats.saturating_sub(placed.beats) >= 2
}

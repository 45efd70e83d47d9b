//! Which rooms are here, and how they are reached.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use livekit_protocol as proto;
use plenum_cluster::{Membership, directory::EndReason as ClaimEnd};
use plenum_engine::{Clock, Engine, ShardHealth, ShardNews};
use plenum_room::{
    ApiError, ApiErrorCode, ApiRequest, ApiResponse, ConnectionId, EndReason, KeepAlive, Limits,
    MAX_RPC_TIMEOUT, MemberAllowances, RoomInput, RoomStats, ServerIdentity, SignalMessage,
    rpc_timeout,
};
use plenum_types::{Candidate, RoomHandle, RoomName, RoomSid, ShardId};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    MoveError, Mover, NewRoom, OpenError, RoomDefaults,
    grants::join_of,
    open::{Held, Slot},
    task::{NewConnection, RoomMessage},
    waiting::Waiting,
};
use crate::{
    agents::Agents,
    auth::{Keys, TokenError},
    config::Live,
    metrics::Metrics,
    signal::{Connection, FrameRoute, FrameSink, JoinContext, JoinError, Outgoing, outbox},
};

/// How long a room may take for its first answer. Clients wait 5 s for it (protocol.md 1.5).
const FIRST_ANSWER: Duration = Duration::from_secs(4);
/// How long a room may take for a server API call.
pub(crate) const API_ANSWER: Duration = Duration::from_secs(5);

/// How long a room may take for PerformRpc: it waits for a participant as long as the caller says.
pub(crate) fn rpc_answer(response_timeout_ms: u32) -> Duration {
    API_ANSWER + rpc_timeout(response_timeout_ms).min(MAX_RPC_TIMEOUT)
}

/// What rooms need of the rest of the process.
pub struct RoomsConfig {
    /// Where room tasks run: a multi-thread runtime, never a worker of the HTTP server.
    pub runtime: Handle,
    /// The clock.
    pub clock: Clock,
    /// The media plane.
    pub engine: Arc<Engine>,
    /// This member's place in the pool: it holds the rooms' claims and keeps their snapshots.
    pub membership: Membership,
    /// How often clients ping.
    pub keep_alive: KeepAlive,
    /// Keys that sign refreshed tokens.
    pub keys: Keys,
    /// What clients read about the server.
    pub server: ServerIdentity,
    /// The settings that are in force.
    pub settings: Live,
    /// TCP port of the media sockets; 0 for none.
    pub tcp_port: u16,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// Hears what happens in rooms, and brings agents into them.
    pub agents: Arc<Agents>,
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomSummary {
    /// As the protocol describes it, not older than its last message.
    pub info: proto::Room,
    /// How much there is in it.
    pub stats: RoomStats,
    /// Epoch of its claim.
    pub epoch: u64,
}

/// A way to a room's task.
#[derive(Debug, Clone)]
pub(super) struct RoomRef {
    pub(super) handle: RoomHandle,
    pub(super) shard: ShardId,
    pub(super) messages: mpsc::UnboundedSender<RoomMessage>,
    pub(super) waiting: Waiting,
    pub(super) frames: mpsc::UnboundedSender<(ConnectionId, crate::signal::Inbound)>,
    pub(super) news: mpsc::Sender<(ShardId, plenum_types::ShardEvent)>,
    pub(super) summary: watch::Receiver<RoomSummary>,
}

/// All rooms of this member.
pub struct Rooms {
    pub(super) config: RoomsConfig,
    slots: Mutex<HashMap<RoomName, Arc<Slot>>>,
    /// Where events of Shards go.
    routes: RwLock<HashMap<RoomHandle, RoomRef>>,
    /// Per Shard, as clients reach it; changes at run time.
    candidates: RwLock<Vec<Vec<Candidate>>>,
    /// What all rooms hold together.
    allowances: MemberAllowances,
    next_handle: AtomicU64,
    next_connection: AtomicU64,
}

impl Rooms {
    /// An empty registry. `candidates` are those of each Shard, `news` its receivers from the engine.
    pub fn start(
        config: RoomsConfig,
        candidates: Vec<Vec<Candidate>>,
        news: Vec<mpsc::Receiver<ShardNews>>,
    ) -> Arc<Self> {
        let runtime = config.runtime.clone();
        let rooms = Arc::new(Self {
            config,
            slots: Mutex::default(),
            routes: RwLock::default(),
            candidates: RwLock::new(candidates),
            allowances: MemberAllowances::default(),
            next_handle: AtomicU64::new(1),
            next_connection: AtomicU64::new(1),
        });
        for receiver in news {
            runtime.spawn(rooms.clone().route(receiver));
        }
        rooms
    }

    /// Lets a client into a room whose home is here: opens it if need be, and waits for the room's first answer. `None` if
    /// the room has just ended or went elsewhere: locate it again.
    ///
    /// # Errors
    /// What the client gets as an HTTP status.
    pub async fn connect(
        self: &Arc<Self>,
        context: &JoinContext,
        new: NewRoom,
        held: Held,
    ) -> Option<Result<Connection, JoinError>> {
        let room = match self.open(&context.room, new, held).await {
            Ok(room) => room,
            Err(OpenError::NotHeld | OpenError::Ending) => return None,
            Err(error) => return Some(Err(error.into())),
        };
        let joined = self.join(&room, context).await;
        if joined.is_none() {
            room.ended().await;
        }
        joined
    }

    /// `None` if the room has just ended.
    async fn join(
        &self,
        room: &RoomRef,
        context: &JoinContext,
    ) -> Option<Result<Connection, JoinError>> {
        let place = match room.waiting.take() {
            Ok(place) => place,
            Err(busy) => return Some(Err(JoinError::Unavailable(busy.to_string()))),
        };
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let (sender, mut from_room) = outbox();
        let (refuse, mut refused) = oneshot::channel();
        let route = FrameRoute::new(room.frames.clone());
        let sink = FrameSink::new(connection, route.clone());
        room.messages
            .send(RoomMessage::Connect(Box::new(NewConnection {
                join: join_of(context, connection, room.shard, self.candidates(room.shard)),
                outbox: sender,
                route,
                claims: context.claims.clone(),
                refuse,
                place,
            })))
            .ok()?;
        let first = timeout(FIRST_ANSWER, async {
            tokio::select! {
                biased;
                Ok(refusal) = &mut refused => Err(refusal),
                outgoing = from_room.next() => Ok(outgoing),
            }
        })
        .await;
        Some(match first {
            Ok(Ok(Outgoing::Frame(first))) => Ok(Connection {
                to_room: sink,
                first,
                from_room,
            }),
            Ok(Ok(Outgoing::Close(_) | Outgoing::Cut)) => return None,
            Ok(Err(refusal)) => match refusal {
                plenum_room::JoinRefusal::Full => Err(JoinError::Unavailable(
                    "the room is full: its max_participants is reached".to_owned(),
                )),
                plenum_room::JoinRefusal::MemberFull { limit } => {
                    Err(JoinError::Unavailable(format!(
                        "this member serves {limit} participants already, which is its limit (limits.participants)"
                    )))
                }
                plenum_room::JoinRefusal::TokenRevoked => Err(TokenError::Revoked.into()),
                plenum_room::JoinRefusal::Ending => return None,
            },
            Err(_) => Err(JoinError::Unavailable(format!(
                "the room did not answer within {} s",
                FIRST_ANSWER.as_secs()
            ))),
        })
    }

    /// A server API call about a room that is here. `None` if it is not, or went elsewhere before it heard of the call.
    ///
    /// # Errors
    /// Those of the room.
    pub async fn call(
        &self,
        name: &RoomName,
        request: ApiRequest,
    ) -> Option<Result<ApiResponse, ApiError>> {
        let room = self.find(name).await?;
        self.call_with(&room, request, None).await
    }

    /// The same, on a room that was found; with the room to which a participant may go.
    pub(super) async fn call_with(
        &self,
        room: &RoomRef,
        request: ApiRequest,
        target: Option<RoomRef>,
    ) -> Option<Result<ApiResponse, ApiError>> {
        let patience = match &request {
            ApiRequest::PerformRpc(request) => rpc_answer(request.response_timeout_ms),
            _ => API_ANSWER,
        };
        let place = match room.waiting.take() {
            Ok(place) => place,
            Err(busy) => {
                return Some(Err(ApiError {
                    code: ApiErrorCode::Unavailable,
                    message: busy.to_string(),
                }));
            }
        };
        let (answer, answered) = oneshot::channel();
        let request = Box::new(request);
        let message = match target {
            None => RoomMessage::Call(request, answer, place),
            Some(target) => RoomMessage::Send(request, answer, place, Box::new(target)),
        };
        room.messages.send(message).ok()?;
        match timeout(patience, answered).await {
            Ok(result) => result.ok(),
            Err(_) => Some(Err(ApiError {
                code: ApiErrorCode::Unavailable,
                message: format!("the room did not answer within {} s", patience.as_secs()),
            })),
        }
    }

    /// Stores what of a room must not be lost before anyone hears of it (claims.md rule 15). `false` if the room has ended or
    /// went elsewhere, without it.
    pub(crate) async fn save(&self, name: &RoomName) -> bool {
        let Some(room) = self.find(name).await else {
            return false;
        };
        let (done, saved) = oneshot::channel();
        let _ = room.messages.send(RoomMessage::Save(done));
        // A room that takes so long is there, and stores it later.
        !matches!(timeout(API_ANSWER, saved).await, Ok(Err(_)))
    }

    /// Opens a room that this member holds, if it is not open.
    ///
    /// # Errors
    /// The claim is gone, or a limit is reached.
    pub async fn create(
        self: &Arc<Self>,
        name: &RoomName,
        new: impl Into<NewRoom>,
        held: Held,
    ) -> Result<RoomSummary, OpenError> {
        let room = self.open(name, new.into(), held).await?;
        let summary = room.summary.borrow().clone();
        Ok(summary)
    }

    /// Moves a room away: `mover` gets its last snapshot and makes another member its home; then all its participants are
    /// sent there. Nothing changes in the room meanwhile; its media goes on.
    ///
    /// # Errors
    /// The room is not here, or stays here.
    pub async fn move_out(&self, name: &RoomName, mover: Mover) -> Result<(), MoveError> {
        let room = self.find(name).await.ok_or(MoveError::NotHere)?;
        let (done, moved) = oneshot::channel();
        room.messages
            .send(RoomMessage::Move(mover, done))
            .map_err(|_| MoveError::NotHere)?;
        moved.await.unwrap_or(Err(MoveError::NotHere))
    }

    /// Ends one room, if it is here. `recorded` is what its claim's end says for a day.
    pub async fn end(&self, name: &RoomName, reason: EndReason, recorded: ClaimEnd) {
        if let Some(room) = self.find(name).await {
            let _ = room.messages.send(RoomMessage::End(reason, recorded));
        }
    }

    /// Lets go of a room that lives elsewhere now.
    pub async fn let_go(&self, name: &RoomName) {
        if let Some(room) = self.find(name).await {
            let end = RoomInput::End(EndReason::Fenced);
            let _ = room.messages.send(RoomMessage::Input(Box::new(end)));
        }
    }

    /// TCP port of the media sockets; 0 for none.
    pub(crate) const fn tcp_port(&self) -> u16 {
        self.config.tcp_port
    }

    /// What the rooms were told of the rest of the process.
    #[must_use]
    pub const fn config(&self) -> &RoomsConfig {
        &self.config
    }

    /// Settings of new rooms.
    #[must_use]
    pub fn defaults(&self) -> RoomDefaults {
        RoomDefaults::from(&self.config.settings.load().room)
    }

    /// Limits of new rooms.
    pub(super) fn limits(&self) -> Limits {
        let settings = self.config.settings.load();
        let configured = &settings.limits;
        self.allowances
            .participants
            .set_limit(configured.participants as usize);
        self.allowances.tracks.set_limit(configured.tracks as usize);
        self.allowances
            .subscriptions
            .set_limit(configured.subscriptions as usize);
        Limits {
            tracks_per_participant: configured.tracks_per_participant as usize,
            tracks_per_room: configured.tracks_per_room as usize,
            subscriptions_per_participant: configured.subscriptions_per_participant as usize,
            subscriptions_per_room: configured.subscriptions_per_room as usize,
            member: self.allowances.clone(),
            ..Limits::default()
        }
    }

    /// The limits in force have changed.
    pub fn limits_changed(&self) {
        let limits = self.limits();
        self.config
            .membership
            .set_capacity(self.defaults().capacity());
        self.tell_all(|| RoomInput::LimitsChanged(Box::new(limits.clone())));
    }

    /// All participants get a new token: those that they have may be of a key that is gone.
    pub fn refresh_tokens(&self) {
        self.tell_all(|| RoomInput::RefreshTokens);
    }

    fn tell_all(&self, input: impl Fn() -> RoomInput) {
        for room in self
            .routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            let _ = room.messages.send(RoomMessage::Input(Box::new(input())));
        }
    }

    /// The rooms that are here.
    #[must_use]
    pub fn list(&self) -> Vec<RoomSummary> {
        self.routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|room| room.summary.borrow().clone())
            .collect()
    }

    /// How many rooms are here.
    #[must_use]
    pub fn count(&self) -> usize {
        self.routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Gives all rooms this input. They end by themselves.
    pub fn end_all(&self, reason: EndReason) {
        self.tell_all(|| RoomInput::End(reason));
    }

    /// New candidates, per Shard; rooms use them in descriptions from now on.
    pub fn set_candidates(&self, candidates: Vec<Vec<Candidate>>) {
        for room in self
            .routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            for (shard, addresses) in (0u16..).map(ShardId).zip(&candidates) {
                let _ = room.messages.send(RoomMessage::Input(Box::new(
                    RoomInput::CandidatesChanged {
                        shard,
                        candidates: addresses.clone(),
                    },
                )));
            }
        }
        *self
            .candidates
            .write()
            .unwrap_or_else(PoisonError::into_inner) = candidates;
    }

    /// As clients reach each Shard.
    #[must_use]
    pub fn all_candidates(&self) -> Vec<Vec<Candidate>> {
        self.candidates
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As clients reach a Shard.
    fn candidates(&self, shard: ShardId) -> Vec<Candidate> {
        self.candidates
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(usize::from(shard.0))
            .cloned()
            .unwrap_or_default()
    }

    /// The Shard for a new room: a running one with the fewest rooms.
    pub(super) fn choose_shard(&self) -> Option<ShardId> {
        let mut rooms: HashMap<ShardId, usize> = HashMap::new();
        for room in self
            .routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            *rooms.entry(room.shard).or_default() += 1 + room.summary.borrow().stats.participants;
        }
        self.config
            .engine
            .status()
            .into_iter()
            .filter(|status| status.health == ShardHealth::Running)
            .map(|status| status.shard)
            .min_by_key(|shard| (rooms.get(shard).copied().unwrap_or_default(), shard.0))
    }

    pub(super) fn new_handle(&self) -> RoomHandle {
        RoomHandle(self.next_handle.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, HashMap<RoomName, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_route(&self, room: RoomRef) {
        self.routes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(room.handle, room);
    }

    /// A room has ended; a newer one of the same name stays.
    pub(super) fn forget(&self, name: &RoomName, handle: RoomHandle) {
        self.routes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&handle);
        let mut slots = self.slots();
        if slots.get(name).is_some_and(|slot| slot.holds(handle)) {
            slots.remove(name);
        }
    }

    async fn route(self: Arc<Self>, mut news: mpsc::Receiver<ShardNews>) {
        while let Some(item) = news.recv().await {
            match item {
                ShardNews::Room(event) => {
                    let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
                    let Some(room) = routes.get(&event.room) else {
                        continue;
                    };
                    if room.news.try_send((event.shard, event.event)).is_err() {
                        // The room is thousands of events behind. What it knows of its media is wrong from here on, so
                        // that is made anew.
                        self.config.metrics.room_events_lost.inc();
                        let lost = RoomInput::ShardLost { shard: event.shard };
                        let _ = room.messages.send(RoomMessage::Input(Box::new(lost)));
                    }
                }
                ShardNews::Failed(shard) => {
                    let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
                    for room in routes.values().filter(|room| room.shard == shard) {
                        let lost = RoomInput::ShardLost { shard };
                        let _ = room.messages.send(RoomMessage::Input(Box::new(lost)));
                    }
                }
            }
        }
    }
}

/// The answer to a client that wants to go on with a session that is not here.
pub(crate) fn state_mismatch() -> Connection {
    let leave = SignalMessage::new(proto::signal_response::Message::Leave(
        proto::LeaveRequest {
            can_reconnect: true,
            reason: proto::DisconnectReason::StateMismatch as i32,
            action: proto::leave_request::Action::Reconnect as i32,
            regions: None,
        },
    ));
    let first: Bytes = leave.binary();
    let (sender, from_room) = outbox();
    sender.close("the session is not here");
    // Nobody reads what the client still says.
    let (frames, _) = mpsc::unbounded_channel();
    Connection {
        to_room: FrameSink::new(ConnectionId(0), FrameRoute::new(frames)),
        first,
        from_room,
    }
}

/// A sid in the shape of the reference: prefix and 12 characters.
pub(super) fn new_room_sid() -> RoomSid {
    const ALPHABET: &[u8; 54] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456";
    let random = std::iter::repeat_with(|| {
        char::from(
            ALPHABET
                .get(fastrand::usize(..ALPHABET.len()))
                .copied()
                .unwrap_or(b'A'),
        )
    });
    format!("RM_{}", random.take(12).collect::<String>()).into()
}

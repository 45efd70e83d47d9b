//! The task of one room: feeds inputs to the room and carries out what it wants.

mod handing_over;
pub(super) mod saving;
mod tokens;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use plenum_cluster::{Epoch, RoomKey, directory};
use plenum_room::{
    ApiCallId, ApiError, ApiErrorCode, ApiRequest, ApiResponse, ConnectionId, EndReason, Join,
    JoinRefusal, LeftOut, Room, RoomInput, RoomOutput, SignalMessage,
};
use plenum_types::{
    RoomHandle, RoomName, RoomToShard, ShardCommand, ShardEvent, ShardId, Timestamp,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use tracing::Instrument as _;

use self::tokens::refresh_message;
use super::{
    MoveError, Mover, RoomSummary, Rooms, registry::RoomRef, travel::Handover, waiting::Place,
};
use crate::{
    agents::OpenedWith,
    auth::Claims,
    signal::{FrameRoute, Inbound, Outbox},
};

/// Storing a snapshot or giving a claim back takes no longer.
const DIRECTORY_WAIT: Duration = Duration::from_secs(2);
/// Events or messages that are taken before the others get their turn.
const BATCH: usize = 64;

/// A message to a room's task.
#[derive(Debug)]
pub(super) enum RoomMessage {
    Connect(Box<NewConnection>),
    Call(
        Box<ApiRequest>,
        oneshot::Sender<Result<ApiResponse, ApiError>>,
        Place,
    ),
    Input(Box<RoomInput>),
    /// MoveParticipant, with the room to which the participant may go as it is.
    Send(
        Box<ApiRequest>,
        oneshot::Sender<Result<ApiResponse, ApiError>>,
        Place,
        Box<RoomRef>,
    ),
    /// A participant comes from another room.
    Arrive(Box<Handover>),
    /// Stores what must not be lost, and says when that is done.
    Save(oneshot::Sender<()>),
    /// It ends, and its claim's end says this.
    End(EndReason, directory::EndReason),
    /// Another member is to become the room's home.
    Move(Mover, oneshot::Sender<Result<(), MoveError>>),
}

/// A client that wants in.
#[derive(Debug)]
pub(super) struct NewConnection {
    pub(super) join: Join,
    pub(super) outbox: Outbox,
    /// Turned when the client goes to another room.
    pub(super) route: FrameRoute,
    pub(super) claims: Claims,
    pub(super) refuse: oneshot::Sender<JoinRefusal>,
    /// Its place among those who wait.
    pub(super) place: Place,
}

/// Where a task's inputs come from.
pub(super) struct TaskInputs {
    pub(super) messages: mpsc::UnboundedReceiver<RoomMessage>,
    pub(super) frames: mpsc::UnboundedReceiver<(ConnectionId, Inbound)>,
    pub(super) news: mpsc::Receiver<(ShardId, ShardEvent)>,
}

#[derive(Debug)]
pub(super) struct Client {
    outbox: Outbox,
    route: FrameRoute,
    claims: Claims,
    refuse: Option<oneshot::Sender<JoinRefusal>>,
}

/// Everything of a running room.
pub(super) struct RoomTask {
    rooms: Arc<Rooms>,
    name: RoomName,
    handle: RoomHandle,
    shard: ShardId,
    key: RoomKey,
    room: Room,
    inputs: TaskInputs,
    summary: watch::Sender<RoomSummary>,
    clients: HashMap<ConnectionId, Client>,
    calls: HashMap<ApiCallId, oneshot::Sender<Result<ApiResponse, ApiError>>>,
    next_call: u64,
    /// Where the participants of MoveParticipant calls go.
    targets: HashMap<ApiCallId, RoomRef>,
    /// Connections that went to other rooms: frames that were already on their way here follow them.
    departed: HashMap<ConnectionId, FrameRoute>,
    /// Told when the agents that the room wants or has are others than before.
    agents_changed: Arc<Notify>,
    save_at: Option<Timestamp>,
    /// The snapshot that is being stored: one at a time, so that none overtakes a later one.
    saving: Option<JoinHandle<()>>,
    /// The most that its snapshots had no place for.
    left_out: LeftOut,
    /// Why its claim ends, if the reason of the room's end does not say it.
    recorded: Option<directory::EndReason>,
    /// Reused between inputs.
    outputs: Vec<RoomOutput>,
    /// Inputs that came out of carrying out outputs.
    pending: Vec<RoomInput>,
}

/// The room's logic panicked: its state can't be trusted.
struct Panicked;

impl RoomTask {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, each is another thing"
    )]
    pub(super) fn new(
        rooms: Arc<Rooms>,
        name: RoomName,
        handle: RoomHandle,
        shard: ShardId,
        key: RoomKey,
        room: Room,
        inputs: TaskInputs,
        summary: watch::Sender<RoomSummary>,
    ) -> Self {
        Self {
            rooms,
            name,
            handle,
            shard,
            key,
            room,
            inputs,
            summary,
            clients: HashMap::new(),
            calls: HashMap::new(),
            next_call: 0,
            targets: HashMap::new(),
            departed: HashMap::new(),
            agents_changed: Arc::default(),
            save_at: None,
            saving: None,
            left_out: LeftOut::default(),
            recorded: None,
            outputs: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Runs until the room ends. Every line of the log that comes of it names the room, by its sid too.
    pub(super) async fn run(self, epoch: Epoch, agents: OpenedWith) {
        let span = tracing::info_span!("room", room = %self.name, room_sid = %self.room.sid());
        self.steps(epoch, &agents).instrument(span).await;
    }

    async fn steps(mut self, epoch: Epoch, agents: &OpenedWith) {
        tracing::info!(shard = %self.shard, %epoch, "room opened");
        self.rooms.config.metrics.rooms_opened.inc();
        let changed = self.agents_changed.clone();
        let (info, of_member) = (self.room.info(), &self.rooms.config.agents);
        of_member.room_opened(info, agents, changed);
        let reason = loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(reason)) => break Some(reason),
                Err(Panicked) => {
                    tracing::error!("the room's task panicked; its clients reconnect");
                    self.rooms.config.metrics.rooms_panicked.inc();
                    break None;
                }
            }
        };
        self.end(reason).await;
    }

    /// Takes what is there, or waits for it. `Some` when the room has ended.
    async fn step(&mut self) -> Result<Option<EndReason>, Panicked> {
        let wake = self.wake_at();
        let (inputs, agents_changed) = (&mut self.inputs, &self.agents_changed);
        tokio::select! {
            biased;
            Some((shard, event)) = inputs.news.recv() => {
                if let Some(reason) = self.input(RoomInput::Shard { shard, event }).await? {
                    return Ok(Some(reason));
                }
                for _ in 0..BATCH {
                    let Ok((shard, event)) = self.inputs.news.try_recv() else { break };
                    if let Some(reason) = self.input(RoomInput::Shard { shard, event }).await? {
                        return Ok(Some(reason));
                    }
                }
            }
            Some(message) = inputs.messages.recv() => {
                if let Some(reason) = self.message(message).await? {
                    return Ok(Some(reason));
                }
            }
            Some((connection, inbound)) = inputs.frames.recv() => {
                if let Some(reason) = self.frame(connection, inbound).await? {
                    return Ok(Some(reason));
                }
            }
            () = agents_changed.notified() => self.save_soon(),
            () = sleep_until(wake) => {}
        }
        let now = self.now();
        if self.room.next_timer().is_some_and(|at| at <= now)
            && let Some(reason) = self.input(RoomInput::Timer).await?
        {
            return Ok(Some(reason));
        }
        self.save_if_due();
        self.publish();
        Ok(None)
    }

    fn now(&self) -> Timestamp {
        self.rooms.config.clock.now()
    }

    #[allow(clippy::disallowed_methods)] // tokio's timers count in its own clock
    fn wake_at(&self) -> Instant {
        /// Nothing waits: look again now and then.
        const IDLE: Duration = Duration::from_secs(60);
        let now = self.now();
        let wait = [self.room.next_timer(), self.save_at]
            .into_iter()
            .flatten()
            .map(|at| at.saturating_since(now))
            .min()
            .unwrap_or(IDLE);
        Instant::now() + wait
    }

    async fn message(&mut self, message: RoomMessage) -> Result<Option<EndReason>, Panicked> {
        match message {
            RoomMessage::Connect(new) => {
                let NewConnection {
                    join,
                    outbox,
                    route,
                    claims,
                    refuse,
                    place: _place,
                } = *new;
                // Who asked has waited too long and has told its client so.
                if refuse.is_closed() {
                    return Ok(None);
                }
                self.clients.insert(
                    join.connection,
                    Client {
                        outbox,
                        route,
                        claims,
                        refuse: Some(refuse),
                    },
                );
                self.input(RoomInput::Join(Box::new(join))).await
            }
            RoomMessage::Call(_, answer, _) if answer.is_closed() => Ok(None),
            RoomMessage::Call(request, answer, _place) => {
                let call = self.new_call(answer);
                self.input(RoomInput::Api { call, request }).await
            }
            RoomMessage::Send(_, answer, _, _) if answer.is_closed() => Ok(None),
            RoomMessage::Send(request, answer, _place, target) => {
                let call = self.new_call(answer);
                self.targets.insert(call, *target);
                let ended = self.input(RoomInput::Api { call, request }).await;
                self.targets.remove(&call);
                ended
            }
            RoomMessage::Arrive(handover) => {
                let Handover { traveller, client } = *handover;
                self.clients.insert(traveller.connection(), client);
                self.input(RoomInput::Arrive(traveller)).await
            }
            RoomMessage::Input(input) => self.input(*input).await,
            RoomMessage::Save(done) => {
                self.save_now().await;
                let _ = done.send(());
                Ok(None)
            }
            RoomMessage::End(reason, recorded) => {
                self.recorded = Some(recorded);
                self.input(RoomInput::End(reason)).await
            }
            RoomMessage::Move(mover, done) => {
                let moved = self.move_out(mover).await;
                let leaves = moved.is_ok();
                let _ = done.send(moved);
                if leaves {
                    self.input(RoomInput::Move).await
                } else {
                    Ok(None)
                }
            }
        }
    }

    fn new_call(&mut self, answer: oneshot::Sender<Result<ApiResponse, ApiError>>) -> ApiCallId {
        let call = ApiCallId(self.next_call);
        self.next_call += 1;
        self.calls.insert(call, answer);
        call
    }

    async fn frame(
        &mut self,
        connection: ConnectionId,
        inbound: Inbound,
    ) -> Result<Option<EndReason>, Panicked> {
        let Some(inbound) = self.follow(connection, inbound) else {
            return Ok(None);
        };
        match inbound {
            Inbound::Message(request, quota) => {
                // After a close the room knows the connection no more.
                if !self.clients.contains_key(&connection) {
                    return Ok(None);
                }
                let ended = self
                    .input(RoomInput::Signal {
                        connection,
                        request,
                    })
                    .await;
                drop(quota);
                ended
            }
            Inbound::Closed => {
                if self.clients.remove(&connection).is_none() {
                    return Ok(None);
                }
                self.input(RoomInput::ConnectionClosed { connection }).await
            }
        }
    }

    /// One input, what it brings about, and the inputs that follow from that.
    async fn input(&mut self, input: RoomInput) -> Result<Option<EndReason>, Panicked> {
        self.pending.push(input);
        while let Some(input) = self.pending.pop() {
            let now = self.now();
            let (room, outputs) = (&mut self.room, &mut self.outputs);
            catch_unwind(AssertUnwindSafe(|| {
                room.handle(now, input);
                outputs.extend(room.drain());
            }))
            .map_err(|_| Panicked)?;
            let mut outputs = std::mem::take(&mut self.outputs);
            let mut ended = None;
            for output in outputs.drain(..) {
                ended = ended.or(self.carry_out(output).await);
            }
            self.outputs = outputs;
            if ended.is_some() {
                return Ok(ended);
            }
        }
        Ok(None)
    }

    async fn carry_out(&mut self, output: RoomOutput) -> Option<EndReason> {
        match output {
            RoomOutput::Send {
                connection,
                message,
            } => self.send(connection, &message),
            RoomOutput::Close { connection, reason } => {
                if let Some(client) = self.clients.remove(&connection) {
                    client.outbox.close(reason);
                }
            }
            RoomOutput::Refuse {
                connection,
                refusal,
            } => {
                if let Some(refuse) = self
                    .clients
                    .remove(&connection)
                    .and_then(|client| client.refuse)
                {
                    let _ = refuse.send(refusal);
                }
            }
            RoomOutput::RefreshToken { connection, grants } => {
                self.refresh_token(connection, &grants);
            }
            RoomOutput::TokenFor {
                connection,
                grants,
                room,
            } => {
                if let Some(token) = self.token(connection, &grants, &room) {
                    self.send(connection, &refresh_message(token));
                }
            }
            RoomOutput::Departed { call, traveller } => self.hand_over(call, traveller),
            RoomOutput::Arrived {
                connection,
                grants,
                moved,
            } => {
                let name = self.name.clone();
                if let Some(token) = self.token(connection, &grants, &name) {
                    let message = SignalMessage::new(plenum_room::room_moved(*moved, token));
                    self.send(connection, &message);
                }
            }
            RoomOutput::Shard { shard, command } => self.command(shard, command),
            RoomOutput::Api { call, result } => {
                if let Some(answer) = self.calls.remove(&call) {
                    let _ = answer.send(result);
                }
            }
            RoomOutput::SnapshotChanged { before_next } => {
                if before_next {
                    self.save_now().await;
                } else {
                    self.save_soon();
                }
            }
            RoomOutput::ParticipantActive { sid, identity } => {
                self.rooms.config.metrics.participants_active.inc();
                if let Some(info) = self.room.participant(&identity) {
                    self.rooms.config.agents.participant_came(&self.name, &info);
                }
                tracing::info!(participant = %identity, participant_sid = %sid, "participant active");
            }
            RoomOutput::ParticipantPublishes { identity, .. } => {
                if let Some(info) = self.room.participant(&identity) {
                    let agents = &self.rooms.config.agents;
                    agents.participant_publishes(&self.name, &info);
                }
            }
            RoomOutput::ParticipantLeft {
                sid,
                identity,
                reason,
                was_active,
            } => {
                self.rooms.config.metrics.left(reason);
                let agents = &self.rooms.config.agents;
                agents.participant_left(&self.name, identity.as_str());
                tracing::info!(participant = %identity, participant_sid = %sid, reason = reason.as_str_name(), was_active, "participant left");
            }
            RoomOutput::JoinStep { step, after } => {
                self.rooms.config.metrics.join_durations.step(step, after);
            }
            RoomOutput::Ended(reason) => return Some(reason),
        }
        None
    }

    fn send(&mut self, connection: ConnectionId, message: &SignalMessage) {
        let Some(client) = self.clients.get(&connection) else {
            return;
        };
        if !client.outbox.send(message.binary()) {
            self.rooms.config.metrics.slow_clients.inc();
            self.clients.remove(&connection);
            self.pending
                .push(RoomInput::ConnectionClosed { connection });
        }
    }

    fn command(&mut self, shard: ShardId, command: ShardCommand) {
        let command = RoomToShard {
            room: self.handle,
            command,
        };
        if let Err(error) = self.rooms.config.engine.send(shard, command) {
            // What the Shard holds of this room differs from what the room thinks: made anew, once.
            tracing::error!(%error, "a command to a shard is lost");
            if !self
                .pending
                .iter()
                .any(|input| matches!(input, RoomInput::ShardLost { .. }))
            {
                self.pending.push(RoomInput::ShardLost { shard });
            }
        }
    }

    fn publish(&self) {
        let (info, stats) = (self.room.info(), self.room.stats());
        self.summary.send_if_modified(|summary| {
            let changed = summary.info != info || summary.stats != stats;
            summary.info = info;
            summary.stats = stats;
            changed
        });
    }

    async fn end(mut self, reason: Option<EndReason>) {
        while let Ok((connection, inbound)) = self.inputs.frames.try_recv() {
            let _ = self.follow(connection, inbound);
        }
        // What a Shard still holds of the room, whatever state the room was in.
        self.command(self.shard, ShardCommand::CloseRoom);
        if matches!(reason, Some(EndReason::Deleted | EndReason::Closed)) {
            for (_, answer) in self.calls.drain() {
                let _ = answer.send(Err(ApiError {
                    code: ApiErrorCode::NotFound,
                    message: "requested room does not exist".to_owned(),
                }));
            }
        }
        // Of a room that lives elsewhere now, callers without an answer ask its home.
        self.calls.clear();
        // A room without a reason panicked: its sockets are cut, its clients resume and are told to join anew.
        self.clients.clear();
        let why = match reason {
            Some(EndReason::Deleted) => {
                Some(self.recorded.unwrap_or(directory::EndReason::EndedByApi))
            }
            Some(EndReason::Closed) => Some(directory::EndReason::Expired),
            Some(EndReason::Moved | EndReason::Fenced | EndReason::Shutdown) | None => None,
        };
        if let Some(why) = why {
            let membership = &self.rooms.config.membership;
            if timeout(DIRECTORY_WAIT, membership.room_ended(&self.key, why))
                .await
                .is_err()
            {
                tracing::warn!("the room's claim is given back later");
            }
        }
        let for_good = matches!(reason, Some(EndReason::Deleted | EndReason::Closed));
        self.rooms.config.agents.room_ended(&self.name, for_good);
        tracing::info!(?reason, "room ended");
        self.rooms.forget(&self.name, self.handle);
        self.inputs.messages.close();
        while let Ok(message) = self.inputs.messages.try_recv() {
            if let RoomMessage::Arrive(lost) = message {
                self.abandon(&lost);
            }
        }
    }
}

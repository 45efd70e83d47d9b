//! The thread: beats, pings and timers, and the state that they change. Nothing here holds a borrow across an await.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::{Command, DirectoryHealth, Event, FenceReason, MemberView, MembersView, Peers, Shared};
use crate::clock::boottime;
use crate::detector::{Detector, Health};
use crate::directory::{Beat, Directory, DirectoryError, Holder, MemberRow, Members, Registered};
use crate::fence::{Fence, ServeUntil};
use crate::member_api::MemberState;
use crate::timing::Timing;
use crate::{Incarnation, NodeId};

/// How often the deadline is looked at; a Shard looks at it with every batch by itself.
const FENCE_TICK: Duration = Duration::from_millis(100);

/// What the thread is given.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) events: mpsc::Sender<Event>,
}

pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) directory: Arc<dyn Directory>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) core: RefCell<Core>,
    pub(super) beat_now: Notify,
}

/// All that changes.
pub(super) struct Core {
    pub(super) me: Holder,
    pub(super) detector: Detector,
    pub(super) fence: Fence,
    /// The Directory has accepted this incarnation.
    pub(super) registered: bool,
    /// Waiting for the server to drop its rooms.
    fenced: bool,
    /// A tombstone of ours is wanted: no beat may come after it.
    leaving: bool,
    refusal: Option<String>,
    counter: u64,
    /// The last counter that was acknowledged.
    acknowledged: u64,
    /// Records as read last, kept while the Directory is away or has lost them.
    pub(super) rows: BTreeMap<Incarnation, MemberRow>,
    /// Peers that answered at a seed address and have no record here.
    pub(super) seeded: BTreeMap<NodeId, MemberView>,
    pub(super) probing: BTreeMap<Incarnation, u8>,
    pub(super) taking_over: BTreeSet<Incarnation>,
    pub(super) swept: Vec<(Duration, Incarnation)>,
    pub(super) frozen: BTreeSet<NodeId>,
    pub(super) orphans: BTreeMap<Incarnation, Duration>,
    /// `None` until it was asked once.
    pub(super) directory_answers: Option<bool>,
    recovering_until: Duration,
    reconciled_at: Duration,
    pub(super) reconciling: bool,
    pub(super) reconcile_again: bool,
    flushing: bool,
    outbox: VecDeque<Event>,
    events: mpsc::Sender<Event>,
}

/// Runs until somebody leaves or the last handle is gone.
pub(super) fn run(
    runtime: &tokio::runtime::Runtime,
    parts: Parts,
    commands: mpsc::Receiver<Command>,
) {
    let _stop = StopServing(Arc::clone(&parts.shared));
    let timing = parts.shared.config.timing;
    let core = Core {
        me: parts.shared.view.load().me.clone(),
        detector: Detector::new(timing),
        fence: Fence::new(timing),
        registered: false,
        fenced: false,
        leaving: false,
        refusal: None,
        counter: 0,
        acknowledged: 0,
        rows: BTreeMap::new(),
        seeded: BTreeMap::new(),
        probing: BTreeMap::new(),
        taking_over: BTreeSet::new(),
        swept: Vec::new(),
        frozen: BTreeSet::new(),
        orphans: BTreeMap::new(),
        directory_answers: None,
        // A new process can't know whether the Directory lost its history a moment ago.
        recovering_until: boottime() + timing.recovering,
        reconciled_at: Duration::ZERO,
        reconciling: false,
        reconcile_again: false,
        flushing: false,
        outbox: VecDeque::new(),
        events: parts.events,
    };
    let driver = Rc::new(Driver {
        shared: parts.shared,
        directory: parts.directory,
        peers: parts.peers,
        core: RefCell::new(core),
        beat_now: Notify::new(),
    });
    LocalSet::new().block_on(runtime, driver.main(commands));
}

/// However the thread ends, no Shard serves on without it.
struct StopServing(Arc<Shared>);

impl Drop for StopServing {
    fn drop(&mut self) {
        self.0.set_serve_until(0);
        let view = self.0.view.load();
        self.0.view.store(Arc::new(MembersView {
            ready: false,
            ..MembersView::clone(&view)
        }));
    }
}

pub(super) fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl Driver {
    pub(super) fn timing(&self) -> Timing {
        self.shared.config.timing
    }

    async fn main(self: Rc<Self>, mut commands: mpsc::Receiver<Command>) {
        spawn_local(Rc::clone(&self).beats());
        spawn_local(Rc::clone(&self).pings());
        spawn_local(Rc::clone(&self).fence_ticks());
        while let Some(command) = commands.recv().await {
            match command {
                Command::Pinged(ping) => self.pinged(&ping),
                Command::Suspected(node) => self.suspected(&node),
                Command::RecordChanged => self.beat_now.notify_one(),
                Command::Reconcile => self.start_reconcile(),
                Command::Rejoin => self.rejoin(),
                Command::Leave(done) => {
                    self.core.borrow_mut().leaving = true;
                    self.leave().await;
                    // The asker may have stopped waiting.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    async fn beats(self: Rc<Self>) {
        let mut ticks = every(self.timing().beat);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.beat_now.notified() => {}
            }
            if self.core.borrow().leaving {
                return;
            }
            match self.beat().await {
                Ok(()) => self.directory_answered(),
                Err(error) => self.directory_failed(&error),
            }
            self.judge();
            self.publish();
        }
    }

    async fn beat(self: &Rc<Self>) -> Result<(), DirectoryError> {
        let (registered, fenced) = {
            let core = self.core.borrow();
            (core.registered, core.fenced)
        };
        if registered {
            self.heartbeat().await?;
        } else if !fenced && self.shared.wishes().state != MemberState::Starting {
            self.register().await?;
        }
        self.read_members().await
    }

    async fn register(self: &Rc<Self>) -> Result<(), DirectoryError> {
        let me = self.core.borrow().me.clone();
        let wanted = self.shared.wishes().state;
        let sent = boottime();
        let answer = self
            .directory
            .register(&self.shared.record(&me, wanted))
            .await?;
        let mut core = self.core.borrow_mut();
        core.detector.directory_acknowledged(sent);
        match answer {
            Registered::Accepted { replaced } => {
                info!(node = %me.node, incarnation = %me.incarnation, "registered");
                core.registered = true;
                core.refusal = None;
                (core.counter, core.acknowledged) = (0, 0);
                core.fence.registered(sent);
                drop(core);
                self.publish();
                if let Some(before) = replaced {
                    self.start_takeover(
                        Holder {
                            node: me.node,
                            incarnation: before,
                        },
                        None,
                        Duration::ZERO,
                    );
                }
            }
            Registered::NameTaken { by } => {
                let why = format!(
                    "the node id {} belongs to a living member at {} (incarnation {}), this one is at {}: give it another \
                     SERVER_INSTANCE_ID, or wait until the other is judged dead",
                    me.node,
                    by.internal_address,
                    by.holder.incarnation,
                    self.shared.config.internal_address
                );
                if core.refusal.as_ref() != Some(&why) {
                    error!("{why}");
                }
                core.refusal = Some(why);
            }
            Registered::Tombstoned => {
                drop(core);
                self.fence(FenceReason::Tombstoned);
            }
        }
        Ok(())
    }

    async fn heartbeat(self: &Rc<Self>) -> Result<(), DirectoryError> {
        let (me, counter) = {
            let mut core = self.core.borrow_mut();
            core.counter += 1;
            (core.me.clone(), core.counter)
        };
        let state = self.shared.wishes().state;
        let sent = boottime();
        let beat = self
            .directory
            .heartbeat(&self.shared.record(&me, state), counter)
            .await?;
        match beat {
            Beat::Accepted { previous } => {
                let mut core = self.core.borrow_mut();
                core.detector.directory_acknowledged(sent);
                core.fence.directory_acknowledged(sent);
                // Beats whose answers were lost may have been stored.
                let expected = core.acknowledged..counter;
                core.acknowledged = counter;
                if !expected.contains(&previous) {
                    drop(core);
                    self.history_lost(&format!(
                        "the last heartbeat it has is {previous}, not {}",
                        expected.start
                    ));
                }
            }
            Beat::Unknown => {
                self.core.borrow_mut().registered = false;
                self.register().await?;
                self.history_lost("this member was not known");
            }
            Beat::Replaced { by } => {
                warn!(%by, "another life of this member has registered");
                self.fence(FenceReason::Replaced);
            }
            Beat::Tombstoned => self.fence(FenceReason::Tombstoned),
        }
        Ok(())
    }

    async fn read_members(self: &Rc<Self>) -> Result<(), DirectoryError> {
        let sent = boottime();
        let members = self.directory.members().await?;
        self.observed(sent, members);
        Ok(())
    }

    fn observed(self: &Rc<Self>, sent: Duration, members: Members) {
        let now = boottime();
        let buried: Vec<Holder> = {
            let mut core = self.core.borrow_mut();
            let me = core.me.incarnation;
            core.detector.observed(sent, now, &members, me);
            for row in members.rows {
                core.seeded.remove(&row.record.holder.node);
                core.rows.insert(row.record.holder.incarnation, row);
            }
            core.detector
                .known()
                .filter(|known| members.tombstones.contains(&known.incarnation))
                .cloned()
                .collect()
        };
        for holder in buried {
            self.buried(&holder, None);
            if self.turn(now) == 0 {
                // Whoever wrote the tombstone, an operator perhaps, may not have moved the rooms.
                self.start_takeover(holder, None, Duration::ZERO);
            }
        }
    }

    fn directory_answered(self: &Rc<Self>) {
        let now = boottime();
        let timing = self.timing();
        let was = {
            let mut core = self.core.borrow_mut();
            let was = core.directory_answers.replace(true);
            if was == Some(false) {
                core.recovering_until = now + timing.recovering;
            }
            was
        };
        if was != Some(true) {
            self.emit(Event::DirectoryUp);
        }
        if !self.core.borrow().registered {
            return;
        }
        self.start_flush();
        let due = now.saturating_sub(self.core.borrow().reconciled_at) >= timing.reconcile;
        if due || was == Some(false) {
            self.core.borrow_mut().reconciled_at = now;
            self.start_reconcile();
            self.start_orphans();
        }
    }

    fn directory_failed(self: &Rc<Self>, error: &DirectoryError) {
        if self.core.borrow_mut().directory_answers.replace(false) != Some(false) {
            warn!(%error, "the directory does not answer; running rooms go on");
            self.emit(Event::DirectoryDown);
        }
    }

    fn history_lost(&self, how: &str) {
        let rooms = self.shared.own().count();
        warn!(
            how,
            rooms, "the directory has lost history; own claims are asserted again"
        );
        self.core.borrow_mut().recovering_until = boottime() + self.timing().recovering;
        self.shared.own().nothing_is_written();
        self.emit(Event::HistoryLost);
    }

    fn start_flush(self: &Rc<Self>) {
        if !std::mem::replace(&mut self.core.borrow_mut().flushing, true) {
            let driver = Rc::clone(self);
            spawn_local(async move {
                driver.flush().await;
                driver.core.borrow_mut().flushing = false;
            });
        }
    }

    async fn fence_ticks(self: Rc<Self>) {
        let mut ticks = every(FENCE_TICK);
        loop {
            ticks.tick().await;
            self.publish();
        }
    }

    fn fence(self: &Rc<Self>, reason: FenceReason) {
        self.shared.set_serve_until(0);
        {
            let mut core = self.core.borrow_mut();
            if core.fenced {
                return;
            }
            core.fenced = true;
            core.registered = false;
            core.fence = Fence::new(self.timing());
        }
        let rooms = self.shared.own().count();
        warn!(?reason, rooms, "fenced: this member lets go of its rooms");
        self.publish();
        self.shared.own().clear();
        self.emit(Event::Fenced(reason));
    }

    fn rejoin(self: &Rc<Self>) {
        {
            let mut core = self.core.borrow_mut();
            if !core.fenced {
                return;
            }
            core.fenced = false;
            core.me.incarnation = Incarnation::fresh();
            core.taking_over.clear();
        }
        self.publish();
        self.beat_now.notify_one();
    }

    pub(super) fn state(&self, core: &Core) -> MemberState {
        match self.shared.wishes().state {
            _ if core.fenced => MemberState::Fenced,
            _ if !core.registered => MemberState::Starting,
            state => state,
        }
    }

    pub(super) fn directory_health(&self, core: &Core) -> DirectoryHealth {
        match core.directory_answers {
            Some(false) => DirectoryHealth::Down,
            _ if boottime() < core.recovering_until => DirectoryHealth::Recovering,
            _ => DirectoryHealth::Up,
        }
    }

    /// Replaces the view and the deadline. Fences when the deadline has passed.
    pub(super) fn publish(self: &Rc<Self>) {
        let now = boottime();
        let expired = {
            let mut core = self.core.borrow_mut();
            let others: Vec<Incarnation> = core
                .detector
                .known()
                .map(|holder| holder.incarnation)
                .collect();
            let until = if core.fenced {
                ServeUntil::Never
            } else {
                core.fence.serve_until(&others)
            };
            let nanos = match until {
                ServeUntil::Never => 0,
                ServeUntil::Instant(at) => u64::try_from(at.as_nanos()).unwrap_or(u64::MAX),
                ServeUntil::Unlimited => u64::MAX,
            };
            self.shared.set_serve_until(nanos);
            let view = self.build_view(&core, now);
            if view.differs_from(&self.shared.view.load()) {
                core.outbox.retain(|event| *event != Event::MembersChanged);
                core.outbox.push_back(Event::MembersChanged);
            }
            self.shared.view.store(Arc::new(view));
            matches!(until, ServeUntil::Instant(at) if at <= now)
        };
        if expired {
            self.fence(FenceReason::Isolated);
        }
        self.deliver();
    }

    fn build_view(&self, core: &Core, now: Duration) -> MembersView {
        let state = self.state(core);
        let mut members = core.seeded.clone();
        for holder in core.detector.known() {
            if let Some(row) = core.rows.get(&holder.incarnation) {
                let health = core
                    .detector
                    .health(now, holder.incarnation)
                    .unwrap_or(Health::Suspect);
                let heard_at = core
                    .detector
                    .heard_at(holder.incarnation)
                    .unwrap_or_default();
                let member = MemberView {
                    record: row.record.clone(),
                    beats: row.beats,
                    health,
                    heard_at,
                };
                members.insert(holder.node.clone(), member);
            }
        }
        if core.registered {
            members.insert(
                core.me.node.clone(),
                self.shared.itself(&core.me, state, core.acknowledged),
            );
        }
        let willing = matches!(
            self.shared.wishes().state,
            MemberState::Serving | MemberState::Cordoned
        );
        MembersView {
            me: core.me.clone(),
            state,
            ready: willing && !core.fenced && (core.registered || !core.seeded.is_empty()),
            registration_refused: core.refusal.clone(),
            directory: self.directory_health(core),
            members,
            frozen: core.frozen.clone(),
            silences: core.detector.silences(now),
        }
    }

    pub(super) fn emit(&self, event: Event) {
        self.core.borrow_mut().outbox.push_back(event);
        self.deliver();
    }

    fn deliver(&self) {
        let mut core = self.core.borrow_mut();
        while let Some(event) = core.outbox.pop_front() {
            if let Err(error) = core.events.try_send(event) {
                match error {
                    mpsc::error::TrySendError::Full(event) => core.outbox.push_front(event),
                    // The server is gone; the handles follow it.
                    mpsc::error::TrySendError::Closed(_) => core.outbox.clear(),
                }
                return;
            }
        }
    }
}

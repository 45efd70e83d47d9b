//! The public entry: what a Shard owns, and where calls go from here.

use std::{collections::VecDeque, net::SocketAddr};

use hashbrown::HashMap;
use plenum_rtp::rtcp::{ReportBlock, SenderInfo};
use plenum_transport::{KeyError, MasterKey};
use plenum_types::{
    Path, RoomHandle, RoomToShard, ShardToRoom, SubscriptionId, Timestamp, TrackId, TransportId,
    WallClock,
};
use slab::Slab;

use crate::{
    ShardConfig, ShardStats, TransmitSink,
    budget::Allocation,
    events::Events,
    flush::SendBuffer,
    history::HistoryBudget,
    keys::{RoomKey, SubscriptionKey, TrackKey, TransportKey},
    outbox::Outbox,
    rooms::Room,
    subscription::Subscription,
    tick,
    track::Track,
    transports::Transports,
};

/// One media thread's Transports, Tracks and Subscriptions.
pub struct Shard {
    pub(crate) config: ShardConfig,
    pub(crate) wall: WallClock,
    pub(crate) stats: ShardStats,
    pub(crate) rooms: Slab<Room>,
    pub(crate) room_keys: HashMap<RoomHandle, RoomKey>,
    pub(crate) transports: Transports,
    pub(crate) tracks: Slab<Track>,
    pub(crate) track_keys: HashMap<(RoomKey, TrackId), TrackKey>,
    pub(crate) subscriptions: Slab<Subscription>,
    pub(crate) subscription_keys: HashMap<(RoomKey, SubscriptionId), SubscriptionKey>,
    pub(crate) history_budget: HistoryBudget,
    pub(crate) events: Events,
    pub(crate) outbox: Outbox,
    /// Transports with something in their egress.
    pub(crate) ready: VecDeque<TransportKey>,
    pub(crate) send: SendBuffer,
    /// Tracks whose lists of interested subscriptions are out of date.
    pub(crate) stale: Vec<TrackKey>,
    /// Transports that were given data and have not been asked for datagrams and news since.
    pub(crate) touched: Vec<TransportKey>,
    pub(crate) next_tick: Timestamp,
    pub(crate) scratch: Scratch,
}

/// Memory that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) sequences: Vec<u16>,
    pub(crate) indices: VecDeque<usize>,
    pub(crate) begun: Vec<SubscriptionKey>,
    pub(crate) blocks: Vec<ReportBlock>,
    pub(crate) reports: Vec<SenderInfo>,
    pub(crate) allocation: Allocation,
}

impl Shard {
    /// An empty Shard.
    #[must_use]
    pub fn new(config: ShardConfig, now: Timestamp) -> Self {
        Self {
            wall: config.wall,
            stats: ShardStats::default(),
            rooms: Slab::new(),
            room_keys: HashMap::new(),
            transports: Transports::default(),
            tracks: Slab::new(),
            track_keys: HashMap::new(),
            subscriptions: Slab::new(),
            subscription_keys: HashMap::new(),
            history_budget: HistoryBudget::new(config.budgets.history_bytes),
            events: Events::new(config.shard),
            outbox: Outbox::default(),
            ready: VecDeque::new(),
            send: SendBuffer::new(),
            stale: Vec::new(),
            touched: Vec::new(),
            next_tick: now + tick::IDLE,
            scratch: Scratch::default(),
            config,
        }
    }

    /// Does what a room wants. Commands about unknown ids are ignored and counted.
    pub fn handle_command(&mut self, now: Timestamp, command: RoomToShard) {
        self.apply(now, command.room, command.command);
        self.settle(now);
        self.update_gauges();
    }

    /// Takes a datagram that came to `local` from `remote`. It is opened in place.
    pub fn handle_datagram(
        &mut self,
        now: Timestamp,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &mut [u8],
    ) {
        self.handle_packet(now, Path::Udp { local, remote }, datagram);
    }

    /// Takes a packet that came by any path. It is opened in place.
    pub fn handle_packet(&mut self, now: Timestamp, path: Path, packet: &mut [u8]) {
        self.receive(now, path, packet);
        self.settle(now);
    }

    /// A path has ended: its TCP connection is closed.
    pub fn handle_path_lost(&mut self, now: Timestamp, path: Path) {
        if let Some(key) = self.transports.by_path.get(&path).copied() {
            if let Some(entry) = self.transports.get_mut(key) {
                entry.transport.lose_path(path);
            }
            self.pump(now, key);
            self.settle(now);
        }
    }

    /// Whether a Transport has this path, by a valid check. A TCP connection without one is of no use.
    #[must_use]
    pub fn has_path(&self, path: Path) -> bool {
        self.transports.by_path.contains_key(&path)
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest; [`Timestamp::FAR_FUTURE`] if nothing
    /// waits. Ask after each call that takes a time.
    #[must_use]
    pub fn next_timeout(&self) -> Timestamp {
        let mut next = Timestamp::FAR_FUTURE;
        if !self.transports.entries.is_empty() {
            next = self.next_tick;
        }
        if let Some(timer) = self.transports.timers.next() {
            next = next.min(timer);
        }
        if let Some(deadline) = self.send.deadline() {
            next = next.min(deadline);
        }
        next
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        // A Transport that wants more at once gets it in the next call: others have their turn.
        for _ in 0..=self.transports.entries.len() {
            let Some(key) = self.transports.pop_due(now) else {
                break;
            };
            if let Some(entry) = self.transports.get_mut(key) {
                entry.transport.handle_timeout(now);
            }
            self.pump(now, key);
        }
        if now >= self.next_tick {
            self.tick(now);
        }
        self.settle(now);
    }

    /// Sends all that waits: call it at the end of each pass, and when a full socket is writable again.
    pub fn flush(&mut self, now: Timestamp, wall: WallClock, sink: &mut impl TransmitSink) {
        self.wall = wall;
        if self.flush_media(now, sink) {
            self.outbox.flush(sink);
        }
    }

    /// Something waits for a full socket to be writable.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.ready.is_empty() || self.send.deadline().is_some() || !self.outbox.is_empty()
    }

    /// The next event for a room. State is coalesced per id while it waits, so a slow reader costs no memory.
    pub fn poll_event(&mut self) -> Option<ShardToRoom> {
        self.events.pop()
    }

    /// Counters and gauges as they are now.
    #[must_use]
    pub fn stats(&self) -> &ShardStats {
        &self.stats
    }

    /// Connects a Transport with given media keys instead of a handshake, for simulations and measurements: `local` seals,
    /// `remote` opens. A connectivity check must still validate its path. Unknown ids are ignored and counted.
    ///
    /// # Errors
    /// If the crypto library refuses a key.
    pub fn connect_with_keys(
        &mut self,
        now: Timestamp,
        room: RoomHandle,
        transport: TransportId,
        local: &MasterKey,
        remote: &MasterKey,
    ) -> Result<(), KeyError> {
        let key = self
            .room_keys
            .get(&room)
            .and_then(|room| self.transports.find(*room, transport));
        if let Some(key) = key {
            if let Some(entry) = self.transports.get_mut(key) {
                entry.transport.connect_with_keys(local, remote, now)?;
            }
            self.pump(now, key);
            self.settle(now);
        } else {
            self.stats.commands_ignored += 1;
        }
        Ok(())
    }

    /// Brings in order what a call left for its end.
    fn settle(&mut self, now: Timestamp) {
        while let Some(key) = self.touched.pop() {
            self.pump(now, key);
        }
        self.gather_stale_interest();
    }

    /// Tells layers anew who may want their packets, where that changed.
    pub(crate) fn gather_stale_interest(&mut self) {
        while let Some(key) = self.stale.pop() {
            if let Some(track) = self.tracks.get_mut(key.index())
                && track.interest_stale
            {
                track.gather_interest(&self.subscriptions);
            }
        }
    }

    pub(crate) fn mark_stale(&mut self, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key.index())
            && !track.interest_stale
        {
            track.interest_stale = true;
            self.stale.push(key);
        }
    }

    pub(crate) fn update_gauges(&mut self) {
        self.stats.history_bytes = self.history_budget.used();
        self.stats.transports = self.transports.entries.len();
        self.stats.tracks = self.tracks.len();
        self.stats.subscriptions = self.subscriptions.len();
    }
}

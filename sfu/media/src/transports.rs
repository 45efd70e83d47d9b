//! The clients' associations and how datagrams find them.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use hashbrown::HashMap;
use plenum_transport::Transport;
use plenum_types::{
    Budget, DtlsVersion, ParticipantId, Path, RoomHandle, RtpExtension, SrtpProfile, Timestamp,
    TransportId,
};
use slab::Slab;

use crate::{
    arrivals::Arrivals,
    bucket::{Bucket, Limit},
    decisions::Decisions,
    egress::Egress,
    keys::{RoomKey, SubscriptionKey, TrackKey, TransportKey},
    quality::LinkMeter,
    subscription::Retired,
};

/// SSRCs that a client may use for each track that it may have: 3 layers with retransmissions.
pub(crate) const SSRCS_PER_TRACK: usize = 6;

/// SSRCs of ours that a Transport may have had: one for each of 16 subscriptions a second for an hour.
pub(crate) const MAX_RETIRED: usize = 1 << 16;

/// Bytes of media a second that a client may send in all: 128 Mbit/s, a camera and screens with all their layers.
pub(crate) const UPLINK: Limit = Limit::a_second(16 << 20);

/// A path belongs to the Transport that checks it until this long after its last check: browsers check the path in use every
/// 2.5 to 5 s, and a port that a NAT gives to someone else should not be lost for longer.
const PATH_HELD: Duration = Duration::from_secs(10);

/// What packets with an SSRC of the client are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) track: TrackKey,
    pub(crate) layer: u8,
    pub(crate) retransmission: bool,
}

/// Meaning of header extension ids on one Transport: ids mean the same in all sections of a bundle (RFC 8843 section 8).
#[derive(Debug, Clone)]
pub(crate) struct ExtensionTable(Box<[Option<RtpExtension>; 256]>);

impl Default for ExtensionTable {
    fn default() -> Self {
        Self(Box::new([None; 256]))
    }
}

impl ExtensionTable {
    pub(crate) fn add(&mut self, ids: &plenum_types::ExtensionIds) {
        for extension in RtpExtension::ALL {
            if let Some(id) = ids.get(extension)
                && let Some(entry) = self.0.get_mut(usize::from(id))
            {
                *entry = Some(extension);
            }
        }
    }

    pub(crate) fn get(&self, id: u8) -> Option<RtpExtension> {
        self.0.get(usize::from(id)).copied().flatten()
    }
}

/// A Transport with what hangs on it.
pub(crate) struct TransportEntry {
    pub(crate) room: RoomKey,
    pub(crate) room_handle: RoomHandle,
    pub(crate) id: TransportId,
    pub(crate) participant: ParticipantId,
    pub(crate) transport: Transport,
    pub(crate) connected: bool,
    /// Distinguishes it from others that had its key.
    pub(crate) generation: u32,
    /// When its timer is set, see [`Timers`].
    armed: Option<Timestamp>,
    pub(crate) tracks: Vec<TrackKey>,
    pub(crate) subscriptions: Vec<SubscriptionKey>,
    pub(crate) incoming: HashMap<u32, Incoming>,
    pub(crate) outgoing: HashMap<u32, SubscriptionKey>,
    /// SSRCs whose subscriptions are gone.
    pub(crate) retired: HashMap<u32, Retired>,
    pub(crate) extensions: Option<ExtensionTable>,
    pub(crate) paths: Vec<Path>,
    pub(crate) ufrags: Vec<String>,
    pub(crate) egress: Egress,
    pub(crate) arrivals: Arrivals,
    /// What of [`UPLINK`] is left.
    pub(crate) uplink: Bucket,
    pub(crate) transport_sequence: u16,
    pub(crate) next_report: Timestamp,
    pub(crate) link: LinkMeter,
    /// What the handshake brought.
    pub(crate) negotiated: Option<(SrtpProfile, DtlsVersion)>,
    pub(crate) decisions: Decisions,
    /// Packets that were dropped before they were sent.
    pub(crate) dropped: u64,
    /// How much may be sent to the client, if somebody knows.
    pub(crate) budget: Option<Budget>,
}

impl TransportEntry {
    /// Round trip to the client, as its reports show it.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.link.rtt()
    }
}

/// All Transports of a Shard.
#[derive(Default)]
pub(crate) struct Transports {
    pub(crate) entries: Slab<TransportEntry>,
    by_id: HashMap<(RoomKey, TransportId), TransportKey>,
    pub(crate) by_path: HashMap<Path, TransportKey>,
    pub(crate) by_ufrag: HashMap<String, TransportKey>,
    pub(crate) timers: Timers,
    generation: u32,
}

impl Transports {
    pub(crate) fn get(&self, key: TransportKey) -> Option<&TransportEntry> {
        self.entries.get(key.index())
    }

    pub(crate) fn get_mut(&mut self, key: TransportKey) -> Option<&mut TransportEntry> {
        self.entries.get_mut(key.index())
    }

    pub(crate) fn find(&self, room: RoomKey, id: TransportId) -> Option<TransportKey> {
        self.by_id.get(&(room, id)).copied()
    }

    pub(crate) fn insert(
        &mut self,
        room: (RoomKey, RoomHandle),
        id: TransportId,
        participant: ParticipantId,
        transport: Transport,
        now: Timestamp,
    ) -> TransportKey {
        self.generation = self.generation.wrapping_add(1);
        let key = TransportKey::from_index(self.entries.insert(TransportEntry {
            room: room.0,
            room_handle: room.1,
            id,
            participant,
            transport,
            connected: false,
            generation: self.generation,
            armed: None,
            tracks: Vec::new(),
            subscriptions: Vec::new(),
            incoming: HashMap::new(),
            outgoing: HashMap::new(),
            retired: HashMap::new(),
            extensions: None,
            paths: Vec::new(),
            ufrags: Vec::new(),
            egress: Egress::default(),
            arrivals: Arrivals::default(),
            uplink: Bucket::full(UPLINK, now),
            transport_sequence: 0,
            next_report: now,
            link: LinkMeter::new(now),
            negotiated: None,
            decisions: Decisions::default(),
            dropped: 0,
            budget: None,
        }));
        self.by_id.insert((room.0, id), key);
        key
    }

    /// A Transport is another room's from now on.
    pub(crate) fn rehome(&mut self, key: TransportKey, room: RoomKey, handle: RoomHandle) {
        let Some(entry) = self.entries.get_mut(key.index()) else {
            return;
        };
        self.by_id.remove(&(entry.room, entry.id));
        entry.room = room;
        entry.room_handle = handle;
        self.by_id.insert((room, entry.id), key);
    }

    pub(crate) fn remove(&mut self, key: TransportKey) -> Option<TransportEntry> {
        let entry = self.entries.try_remove(key.index())?;
        self.by_id.remove(&(entry.room, entry.id));
        for path in &entry.paths {
            if self.by_path.get(path) == Some(&key) {
                self.by_path.remove(path);
            }
        }
        for ufrag in &entry.ufrags {
            if self.by_ufrag.get(ufrag) == Some(&key) {
                self.by_ufrag.remove(ufrag);
            }
        }
        Some(entry)
    }

    pub(crate) fn add_ufrag(&mut self, key: TransportKey, ufrag: String) {
        if let Some(entry) = self.entries.get_mut(key.index()) {
            entry.ufrags.push(ufrag.clone());
            self.by_ufrag.insert(ufrag, key);
        }
    }

    pub(crate) fn remove_ufrag(&mut self, key: TransportKey, ufrag: &str) {
        if let Some(entry) = self.entries.get_mut(key.index()) {
            entry.ufrags.retain(|known| known != ufrag);
            if self.by_ufrag.get(ufrag) == Some(&key) {
                self.by_ufrag.remove(ufrag);
            }
        }
    }

    /// Whether a check from this path would take it from a Transport that uses it. An address is a claim of whoever sends a
    /// datagram; only the same participant's next Transport, which may come from the same socket, is believed at once.
    pub(crate) fn is_contested(&self, key: TransportKey, path: Path, now: Timestamp) -> bool {
        let owner = self.by_path.get(&path).filter(|owner| **owner != key);
        let Some((owner, claimant)) = owner.and_then(|owner| self.get(*owner)).zip(self.get(key))
        else {
            return false;
        };
        (owner.room, owner.participant) != (claimant.room, claimant.participant)
            && owner
                .transport
                .uses_path(path, now.saturating_sub(PATH_HELD))
    }

    /// One address may belong to different Transports over time: the one that checks it has it.
    pub(crate) fn add_path(&mut self, key: TransportKey, path: Path) {
        if let Some(entry) = self.entries.get_mut(key.index()) {
            if !entry.paths.contains(&path) {
                entry.paths.push(path);
            }
            self.by_path.insert(path, key);
        }
    }

    pub(crate) fn remove_path(&mut self, key: TransportKey, path: Path) {
        if let Some(entry) = self.entries.get_mut(key.index()) {
            entry.paths.retain(|known| *known != path);
            if self.by_path.get(&path) == Some(&key) {
                self.by_path.remove(&path);
            }
        }
    }

    /// Sets the Transport's timer to what it asks for.
    pub(crate) fn arm(&mut self, key: TransportKey) {
        let Some(entry) = self.entries.get_mut(key.index()) else {
            return;
        };
        let Some(next) = entry.transport.next_timeout() else {
            return;
        };
        // A timer that is too early only asks again; one that is too late would be wrong.
        if entry.armed.is_none_or(|armed| next < armed) {
            entry.armed = Some(next);
            self.timers.push(next, key, entry.generation);
        }
    }

    /// The next Transport whose timer has run out.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<TransportKey> {
        while let Some((at, key, generation)) = self.timers.pop_due(now) {
            let Some(entry) = self.entries.get_mut(key.index()) else {
                continue;
            };
            if entry.generation != generation || entry.armed != Some(at) {
                continue;
            }
            entry.armed = None;
            match entry.transport.next_timeout() {
                Some(next) if next > now => self.arm(key),
                Some(_) => return Some(key),
                None => {}
            }
        }
        None
    }
}

/// Timers of Transports, earliest first. Entries that were replaced stay until they are reached.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, TransportKey, u32)>>,
}

impl Timers {
    fn push(&mut self, at: Timestamp, key: TransportKey, generation: u32) {
        self.heap.push(Reverse((at, key, generation)));
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, TransportKey, u32)> {
        let Reverse((at, _, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }

    /// When the first one runs out.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }
}

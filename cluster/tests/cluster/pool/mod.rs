//! Several members in one process: a Directory whose lines can be cut, a network that can refuse or swallow.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use plenum_cluster::clock::boottime;
use plenum_cluster::directory::*;
use plenum_cluster::member_api::{MemberState, Ping, Pong, RoomReport};
use plenum_cluster::membership::*;
use plenum_cluster::{Epoch, NodeId, RoomKey, Timing};
use tokio::sync::mpsc;

/// Nobody is judged in the first 200 ms only, instead of 5 s: these pools start with a Directory that lost nothing.
pub(crate) const TIMING_MS: u64 = 200;

pub(crate) fn room(name: &str) -> RoomKey {
    RoomKey::new(name).unwrap()
}

/// Addresses are node ids. A member that is not there refuses connections.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) members: Mutex<BTreeMap<String, Membership>>,
    pub(crate) swallowed: Mutex<BTreeSet<String>>,
}

impl Network {
    pub(crate) fn member(&self, address: &str) -> Option<Membership> {
        self.members.lock().unwrap().get(address).cloned()
    }

    pub(crate) fn swallow(&self, address: &str, swallow: bool) {
        let mut swallowed = self.swallowed.lock().unwrap();
        if swallow {
            swallowed.insert(address.to_owned())
        } else {
            swallowed.remove(address)
        };
    }

    pub(crate) fn swallows(&self, address: &str) -> bool {
        self.swallowed.lock().unwrap().contains(address)
    }
}

#[async_trait]
impl Peers for Network {
    async fn ping(&self, address: &str, ping: &Ping) -> Result<Pong, PeerError> {
        if self.swallows(address) || self.swallows(ping.from.as_str()) {
            pending::<()>().await;
        }
        Ok(self
            .member(address)
            .ok_or(PeerError::Refused)?
            .answer_ping(ping.clone()))
    }
}

#[async_trait]
impl PeerRooms for Network {
    async fn holds(&self, address: &str, room: &RoomKey) -> Result<Option<RoomReport>, PeerError> {
        if self.swallows(address) {
            pending::<()>().await;
        }
        let epoch = self.member(address).ok_or(PeerError::Refused)?.epoch(room);
        Ok(epoch.map(|epoch| RoomReport {
            name: room.name().to_owned(),
            sid: String::new(),
            epoch,
            participants: 0,
            publishers: 0,
            started_at_ms: 0,
        }))
    }
}

/// One member's way to a Directory, which can be cut.
pub(crate) struct Line<D> {
    pub(crate) to: Arc<D>,
    pub(crate) cut: Arc<AtomicBool>,
}

impl<D> Line<D> {
    pub(crate) fn open(&self) -> Result<&D, DirectoryError> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(DirectoryError::Unavailable {
                place: "test".to_owned(),
                why: "cut".to_owned(),
            });
        }
        Ok(&self.to)
    }
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl<D: Directory> Directory for Line<D> {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, DirectoryError> { self.open()?.$name($($arg),*).await })*
        }
    };
}

forward! {
    register(record: &MemberRecord) -> Registered;
    heartbeat(record: &MemberRecord, counter: u64) -> Beat;
    members() -> Members;
    tombstone(dead: &Holder) -> ();
    claim(room: &RoomKey, holder: &Holder, floor: Epoch, snapshot: Option<Bytes>) -> Claimed;
    reassert(claim: &Claim, snapshot: Option<Bytes>) -> Changed;
    lookup(room: &RoomKey) -> Option<Claim>;
    save_snapshot(claim: &Claim, snapshot: Bytes) -> ();
    hand_over(from: &Claim, to: &Holder, snapshot: Bytes) -> Changed;
    release(claim: &Claim, ended: Option<EndReason>) -> ();
    last_end(room: &RoomKey) -> Option<Ended>;
    held_by(incarnation: plenum_cluster::Incarnation) -> Vec<Taken>;
    sweep(dead: plenum_cluster::Incarnation, moves: Vec<Move>) -> Vec<Claim>;
    rooms() -> Vec<Claim>;
    put_spec(room: &RoomKey, spec: &plenum_cluster::member_api::RoomSpec) -> SpecStored;
    get_spec(room: &RoomKey) -> Option<plenum_cluster::member_api::RoomSpec>;
    remove_spec(room: &RoomKey, uid: &str) -> ();
}

pub(crate) struct Member {
    pub(crate) handle: Membership,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) cut: Arc<AtomicBool>,
}

impl Member {
    /// The first event that `wanted` makes something of, within a generous time. Others before it are dropped.
    pub(crate) async fn event<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the thread lives");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(15), search)
            .await
            .unwrap_or_else(|_| panic!("no {what}"))
    }

    pub(crate) async fn locate(&self, network: &Network, name: &str) -> Result<Located, CallError> {
        self.handle
            .locate(
                &room(name),
                IfAbsent::Place,
                network,
                Duration::from_secs(4),
            )
            .await
    }
}

pub(crate) struct Pool<D> {
    pub(crate) network: Arc<Network>,
    pub(crate) directory: Arc<D>,
    pub(crate) members: Vec<Member>,
}

impl<D: Directory + 'static> Pool<D> {
    pub(crate) async fn new(directory: D, members: usize, recovering: Duration) -> Self {
        let mut pool = Self {
            network: Arc::default(),
            directory: Arc::new(directory),
            members: Vec::new(),
        };
        for i in 0..members {
            pool.add(&format!("sfu-{i}"), recovering).await;
        }
        let all = |member: &Member| member.handle.view().members.len() == members;
        until("all members know each other", || {
            pool.members.iter().all(all)
        })
        .await;
        until("the directory is up", || {
            pool.members
                .iter()
                .all(|m| m.handle.view().directory == DirectoryHealth::Up)
        })
        .await;
        pool
    }

    pub(crate) async fn add(&mut self, name: &str, recovering: Duration) {
        let cut = Arc::new(AtomicBool::new(false));
        let line = Line {
            to: Arc::clone(&self.directory),
            cut: Arc::clone(&cut),
        };
        let config = MembershipConfig {
            node: NodeId::new(name).unwrap(),
            internal_address: name.to_owned(),
            seeds: Vec::new(),
            capacity: Capacity::default(),
            weight: 1,
            version: "test".to_owned(),
            timing: Timing {
                recovering,
                ..Timing::default()
            },
        };
        let peers = Arc::clone(&self.network) as Arc<dyn Peers>;
        let (handle, events) =
            Membership::start(config, Directories::same(Arc::new(line)), peers).unwrap();
        self.network
            .members
            .lock()
            .unwrap()
            .insert(name.to_owned(), handle.clone());
        assert!(!handle.ready());
        handle.set_state(MemberState::Serving);
        until("it is ready", || handle.ready()).await;
        self.members.push(Member {
            handle,
            events,
            cut,
        });
    }

    /// Opens rooms through the first member; they spread over all.
    pub(crate) async fn open(&self, rooms: usize) {
        for i in 0..rooms {
            self.members[0]
                .locate(&self.network, &format!("room-{i}"))
                .await
                .unwrap();
        }
        for claim in self.directory.rooms().await.unwrap() {
            let home = self
                .members
                .iter()
                .find(|m| m.handle.me() == claim.holder)
                .unwrap();
            home.handle
                .claim_here(&claim.room, Epoch::ZERO, None)
                .await
                .unwrap();
        }
    }

    pub(crate) async fn held_by(&self, member: usize) -> BTreeSet<RoomKey> {
        let held = self
            .directory
            .held_by(self.members[member].handle.me().incarnation)
            .await
            .unwrap();
        held.into_iter().map(|taken| taken.room).collect()
    }

    /// Takes a member out as a crash does: its thread ends without a word, its port refuses.
    pub(crate) fn kill(&mut self, index: usize) -> Holder {
        let member = self.members.remove(index);
        let dead = member.handle.me();
        self.network
            .members
            .lock()
            .unwrap()
            .remove(dead.node.as_str());
        dead
    }
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = boottime() + Duration::from_secs(15);
    while !holds() {
        assert!(boottime() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn pool_of(members: usize) -> Pool<MemoryDirectory> {
    Pool::new(
        MemoryDirectory::new(),
        members,
        Duration::from_millis(TIMING_MS),
    )
    .await
}

pub(crate) async fn rooms_taken_by_the_others<D: Directory + 'static>(
    pool: &mut Pool<D>,
    mut missing: BTreeSet<RoomKey>,
) {
    for member in &mut pool.members {
        // What each survivor got is what the Directory says it has.
        let mine = pool
            .directory
            .held_by(member.handle.me().incarnation)
            .await
            .unwrap();
        let mut mine: BTreeSet<RoomKey> = mine
            .into_iter()
            .map(|t| t.room)
            .filter(|r| missing.contains(r))
            .collect();
        missing.retain(|room| !mine.contains(room));
        while !mine.is_empty() {
            let taken = member.event("RoomsTaken", |event| match event {
                Event::RoomsTaken(taken) => Some(taken.clone()),
                _ => None,
            });
            for taken in taken.await {
                assert_eq!(member.handle.epoch(&taken.room), Some(taken.epoch));
                mine.remove(&taken.room);
            }
        }
    }
    assert!(missing.is_empty(), "nobody took {missing:?}");
}

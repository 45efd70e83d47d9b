//! The rules of claims, whatever members ask for in whatever order: the Directory in memory and the one in a real Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::redis_server::RedisServer;
use bytes::Bytes;
use plenum_cluster::directory::*;
use plenum_cluster::member_api::{Load, MemberState};
use plenum_cluster::{Epoch, Incarnation, NodeId, PoolKey, RoomKey};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Lives of members: more than one per member.
const LIVES: u8 = 6;
const MEMBERS: u8 = 3;
const ROOMS: u8 = 3;

/// What somebody asks of the Directory. Lives and rooms are numbers; `claim` picks one of the claims that were ever given,
/// so that most of them are out of date.
#[derive(Debug, Clone)]
enum Ask {
    Register { life: u8 },
    Claim { room: u8, life: u8, floor: u8 },
    Save { claim: usize, text: u8 },
    Release { claim: usize, ended: bool },
    HandOver { claim: usize, life: u8 },
    Reassert { claim: usize, above: u8 },
    Tombstone { life: u8 },
    Sweep { life: u8, to: u8 },
}

fn ask() -> impl Strategy<Value = Ask> {
    let (life, room) = (0..LIVES, 0..ROOMS);
    prop_oneof![
        2 => life.clone().prop_map(|life| Ask::Register { life }),
        6 => (room, life.clone(), 0..3_u8).prop_map(|(room, life, floor)| Ask::Claim { room, life, floor }),
        3 => (any::<usize>(), any::<u8>()).prop_map(|(claim, text)| Ask::Save { claim, text }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(claim, ended)| Ask::Release { claim, ended }),
        4 => (any::<usize>(), life.clone()).prop_map(|(claim, life)| Ask::HandOver { claim, life }),
        3 => (any::<usize>(), 0..2_u8).prop_map(|(claim, above)| Ask::Reassert { claim, above }),
        1 => life.clone().prop_map(|life| Ask::Tombstone { life }),
        2 => (life.clone(), life).prop_map(|(life, to)| Ask::Sweep { life, to }),
    ]
}

fn holder(life: u8) -> Holder {
    Holder {
        node: NodeId::new(format!("sfu-{}", life % MEMBERS)).unwrap(),
        incarnation: Incarnation::new(u64::from(life) + 1),
    }
}

fn record(life: u8) -> MemberRecord {
    MemberRecord {
        holder: holder(life),
        internal_address: format!("10.0.0.{}:7882", life % MEMBERS),
        state: MemberState::Serving,
        load: Load::default(),
        capacity: Capacity::default(),
        weight: 1,
        protocol: 1,
        version: "test".to_owned(),
    }
}

fn room(number: u8) -> RoomKey {
    RoomKey::new(format!("room {number}")).unwrap()
}

/// What the rules promise, kept beside the Directory.
#[derive(Default)]
struct Promises {
    /// Every claim that was given, in order.
    given: Vec<Claim>,
    /// Whose each epoch of a room is.
    owners: BTreeMap<(RoomKey, Epoch), Incarnation>,
    /// The highest epoch of each room, released or not.
    highest: BTreeMap<RoomKey, Epoch>,
    dead: BTreeSet<Incarnation>,
    /// What was last stored beside the present claim of a room.
    snapshots: BTreeMap<RoomKey, Option<Bytes>>,
}

impl Promises {
    fn claim(&self, number: usize) -> Option<Claim> {
        let count = self.given.len();
        (count > 0).then(|| self.given[number % count].clone())
    }

    /// A change of home: its epoch is above all that the room had before, and nobody else's.
    fn gave(&mut self, claim: Claim, floor: Epoch) {
        let before = self.highest.insert(claim.room.clone(), claim.epoch);
        assert!(
            before.is_none_or(|before| claim.epoch > before),
            "{claim:?} after {before:?}"
        );
        assert!(claim.epoch >= floor, "{claim:?} under {floor}");
        assert!(
            !self.dead.contains(&claim.holder.incarnation),
            "{claim:?} is of a dead life"
        );
        self.confirmed(claim);
    }

    /// A claim that is known, or written by its home again.
    fn confirmed(&mut self, claim: Claim) {
        let owner = claim.holder.incarnation;
        let known = self.owners.insert((claim.room.clone(), claim.epoch), owner);
        assert!(
            known.is_none_or(|known| known == owner),
            "two homes with one epoch: {claim:?} and {known:?}"
        );
        let highest = self
            .highest
            .entry(claim.room.clone())
            .or_insert(claim.epoch);
        *highest = (*highest).max(claim.epoch);
        self.given.push(claim);
    }
}

fn is_tombstoned<T>(answer: &Result<T, DirectoryError>) -> bool {
    matches!(answer, Err(DirectoryError::Refused(Refused::Tombstoned(_))))
}

async fn carry_out(directory: &dyn Directory, promises: &mut Promises, ask: Ask) {
    match ask {
        Ask::Register { life } => match directory.register(&record(life)).await.unwrap() {
            Registered::Accepted { replaced } => {
                assert!(!promises.dead.contains(&holder(life).incarnation));
                promises.dead.extend(replaced);
            }
            Registered::Tombstoned => assert!(promises.dead.contains(&holder(life).incarnation)),
            Registered::NameTaken { by } => panic!("the same address, and {by:?}"),
        },
        Ask::Claim {
            room: number,
            life,
            floor,
        } => {
            let (room, who) = (room(number), holder(life));
            let before = directory.lookup(&room).await.unwrap();
            // Floors below, at and far above what there is.
            let highest = promises.highest.get(&room).map_or(0, |epoch| epoch.get());
            let floor = Epoch::new(match floor {
                0 => 0,
                1 => highest,
                _ => highest + 1000,
            });
            let first = Bytes::from_static(b"first");
            let answer = directory
                .claim(&room, &who, floor, Some(first.clone()))
                .await;
            if promises.dead.contains(&who.incarnation) {
                assert!(is_tombstoned(&answer), "{answer:?}");
                return;
            }
            match answer.unwrap() {
                Claimed::HeldBy(held) => {
                    assert_ne!(held.holder.incarnation, who.incarnation);
                    assert!(
                        !promises.dead.contains(&held.holder.incarnation),
                        "a dead life keeps nothing"
                    );
                    assert_eq!(before, Some(held));
                }
                Claimed::Yours {
                    epoch, snapshot, ..
                } => {
                    let claim = Claim {
                        room: room.clone(),
                        holder: who,
                        epoch,
                    };
                    assert!(epoch >= floor);
                    if before.as_ref() == Some(&claim) {
                        return;
                    }
                    let kept = before.is_some().then(|| promises.snapshots[&room].clone());
                    let kept = kept.unwrap_or(Some(first));
                    assert_eq!(snapshot, kept, "what the home before had written goes on");
                    promises.snapshots.insert(room, snapshot);
                    promises.gave(claim, floor);
                }
            }
        }
        Ask::Save { claim, text } => {
            let Some(claim) = promises.claim(claim) else {
                return;
            };
            let text = Bytes::from(vec![text; usize::from(text)]);
            let is_home = directory.lookup(&claim.room).await.unwrap() == Some(claim.clone());
            let saved = directory.save_snapshot(&claim, text.clone()).await;
            assert_eq!(saved.is_ok(), is_home, "{saved:?}");
            if is_home {
                promises.snapshots.insert(claim.room, Some(text));
            }
        }
        Ask::Release { claim, ended } => {
            let Some(claim) = promises.claim(claim) else {
                return;
            };
            let before = directory.lookup(&claim.room).await.unwrap();
            let may = before.as_ref().is_none_or(|before| *before == claim);
            let released = directory
                .release(&claim, ended.then_some(EndReason::Expired))
                .await;
            assert_eq!(
                released.is_ok(),
                may,
                "{released:?} of {claim:?} when {before:?} holds it"
            );
            let after = directory.lookup(&claim.room).await.unwrap();
            assert_eq!(after, before.filter(|_| !may));
        }
        Ask::HandOver { claim, life } => {
            let Some(claim) = promises.claim(claim) else {
                return;
            };
            let to = holder(life);
            let before = directory.lookup(&claim.room).await.unwrap();
            let snapshot = Bytes::from_static(b"handed over");
            let answer = directory.hand_over(&claim, &to, snapshot.clone()).await;
            if promises.dead.contains(&to.incarnation) {
                assert!(is_tombstoned(&answer), "{answer:?}");
                return;
            }
            match answer.unwrap() {
                Changed::Done { epoch } => {
                    let now = Claim {
                        room: claim.room.clone(),
                        holder: to,
                        epoch,
                    };
                    if before.as_ref() == Some(&now) {
                        return;
                    }
                    assert!(
                        before.is_none_or(|before| before == claim),
                        "only the home hands over"
                    );
                    promises.snapshots.insert(claim.room, Some(snapshot));
                    promises.gave(now, Epoch::ZERO);
                }
                Changed::HeldBy(held) => assert_eq!(before, Some(held)),
            }
        }
        Ask::Reassert { claim, above } => {
            let Some(mut claim) = promises.claim(claim) else {
                return;
            };
            if above > 0 {
                // A home that has seen more than the Directory: nobody else can have that epoch.
                let highest = promises
                    .owners
                    .keys()
                    .map(|(_, epoch)| epoch.get())
                    .max()
                    .unwrap();
                claim.epoch = Epoch::new(highest + 1);
            }
            let before = directory.lookup(&claim.room).await.unwrap();
            let answer = directory
                .reassert(&claim, Some(Bytes::from_static(b"again")))
                .await;
            if promises.dead.contains(&claim.holder.incarnation) {
                assert!(is_tombstoned(&answer), "{answer:?}");
                return;
            }
            match answer.unwrap() {
                Changed::Done { epoch } => {
                    assert!(epoch >= claim.epoch);
                    let now = directory.lookup(&claim.room).await.unwrap().unwrap();
                    assert_eq!((now.epoch, &now.holder), (epoch, &claim.holder));
                    if before.as_ref() != Some(&now) {
                        let lower = |before: &Claim| {
                            before.epoch < now.epoch
                                || promises.dead.contains(&before.holder.incarnation)
                        };
                        assert!(
                            before.as_ref().is_none_or(lower),
                            "{before:?} gave way to {now:?}"
                        );
                        promises
                            .snapshots
                            .insert(claim.room, Some(Bytes::from_static(b"again")));
                    }
                    promises.confirmed(now);
                }
                Changed::HeldBy(held) => {
                    assert!(held.epoch >= claim.epoch);
                    assert_eq!(before, Some(held));
                }
            }
        }
        Ask::Tombstone { life } => {
            directory.tombstone(&holder(life)).await.unwrap();
            promises.dead.insert(holder(life).incarnation);
        }
        Ask::Sweep { life, to } => {
            let (dead, to) = (holder(life), holder(to));
            directory.tombstone(&dead).await.unwrap();
            promises.dead.insert(dead.incarnation);
            let held = directory.held_by(dead.incarnation).await.unwrap();
            let moves = held.iter().map(|taken| Move {
                room: taken.room.clone(),
                to: to.clone(),
            });
            let moved = directory
                .sweep(dead.incarnation, moves.collect())
                .await
                .unwrap();
            let expected = if promises.dead.contains(&to.incarnation) {
                0
            } else {
                held.len()
            };
            assert_eq!(moved.len(), expected);
            for claim in moved {
                assert_eq!(claim.holder, to);
                promises.gave(claim, Epoch::ZERO);
            }
        }
    }
}

/// Every room has at most one home, and what it must not lose is beside its claim.
async fn look_around(directory: &dyn Directory, promises: &Promises) {
    let rooms = directory.rooms().await.unwrap();
    let names: BTreeSet<&RoomKey> = rooms.iter().map(|claim| &claim.room).collect();
    assert_eq!(names.len(), rooms.len());
    let mut held = 0;
    for life in 0..LIVES {
        let who = holder(life);
        for taken in directory.held_by(who.incarnation).await.unwrap() {
            held += 1;
            let claim = Claim {
                room: taken.room.clone(),
                holder: who.clone(),
                epoch: taken.epoch,
            };
            assert!(rooms.contains(&claim), "{claim:?} is in no list");
            assert_eq!(taken.snapshot, promises.snapshots[&taken.room]);
        }
    }
    assert_eq!(held, rooms.len());
}

async fn keeps_its_promises(directory: &dyn Directory, asks: Vec<Ask>) {
    let mut promises = Promises::default();
    for ask in asks {
        carry_out(directory, &mut promises, ask).await;
    }
    look_around(directory, &promises).await;
}

fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work);
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn whatever_is_asked_a_room_has_one_home_and_its_epochs_only_grow(asks in prop::collection::vec(ask(), 1..60)) {
        block_on(keeps_its_promises(&MemoryDirectory::new(), asks));
    }
}

#[test]
fn redis_keeps_the_same_promises() {
    let server = RedisServer::start();
    // A pool of its own for each run.
    let next = AtomicU32::new(0);
    let asks = prop::collection::vec(ask(), 1..60);
    let checked = TestRunner::new(config(200)).run(&asks, |asks| {
        let pool = format!("pool-{}", next.fetch_add(1, Ordering::Relaxed));
        block_on(async {
            let pool = PoolKey::new("test", pool).unwrap();
            let directory = RedisDirectory::new(&RedisSettings::new(server.url()), pool).unwrap();
            keeps_its_promises(&directory, asks).await;
        });
        Ok(())
    });
    checked.unwrap();
}

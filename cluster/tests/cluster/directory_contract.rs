//! What every Directory must do, run against the one in memory and the one in a real Redis.

use std::time::Duration;

use crate::redis_server::RedisServer;
use bytes::Bytes;
use plenum_cluster::clock::boottime;
use plenum_cluster::directory::*;
use plenum_cluster::member_api::{Load, MemberState, RoomSpec};
use plenum_cluster::placement::{Candidate, Placement};
use plenum_cluster::{Epoch, Incarnation, NodeId, PoolKey, RoomKey, take_over};

fn room(name: &str) -> RoomKey {
    RoomKey::new(name).unwrap()
}

fn holder(node: &str, incarnation: u64) -> Holder {
    Holder {
        node: NodeId::new(node).unwrap(),
        incarnation: Incarnation::new(incarnation),
    }
}

fn record(node: &str, incarnation: u64) -> MemberRecord {
    MemberRecord {
        holder: holder(node, incarnation),
        internal_address: format!("10.0.0.{}:7882", node.len()),
        state: MemberState::Serving,
        load: Load::default(),
        capacity: Capacity::default(),
        weight: 1,
        protocol: 1,
        version: "test".to_owned(),
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn claim(directory: &dyn Directory, name: &str, who: &Holder) -> Claim {
    match directory
        .claim(&room(name), who, Epoch::ZERO, None)
        .await
        .unwrap()
    {
        Claimed::Yours { epoch, .. } => Claim {
            room: room(name),
            holder: who.clone(),
            epoch,
        },
        Claimed::HeldBy(claim) => panic!("held by {claim:?}"),
    }
}

async fn a_room_has_one_holder(directory: &dyn Directory) {
    let (a, b) = (holder("a", 1), holder("b", 2));
    let first = claim(directory, "r", &a).await;
    assert_eq!(
        directory
            .claim(&room("r"), &b, Epoch::ZERO, None)
            .await
            .unwrap(),
        Claimed::HeldBy(first.clone())
    );
    assert_eq!(
        directory.lookup(&room("r")).await.unwrap(),
        Some(first.clone())
    );
    let again = directory
        .claim(&room("r"), &a, Epoch::ZERO, None)
        .await
        .unwrap();
    assert_eq!(
        again,
        Claimed::Yours {
            epoch: first.epoch,
            snapshot: None,
            new: false
        }
    );
}

async fn epochs_grow_over_releases_and_floors(directory: &dyn Directory) {
    let a = holder("a", 1);
    let first = claim(directory, "r", &a).await;
    directory.release(&first, None).await.unwrap();
    assert_eq!(directory.lookup(&room("r")).await.unwrap(), None);
    let second = claim(directory, "r", &holder("b", 2)).await;
    assert!(second.epoch > first.epoch);
    let floor = Epoch::new(second.epoch.get() + 1_000_000_000);
    let Claimed::Yours { epoch, .. } = directory
        .claim(&room("other"), &a, floor, None)
        .await
        .unwrap()
    else {
        panic!()
    };
    assert!(epoch > floor);
    // The same holder asks with a floor above its claim: the epoch is raised, the claim stays.
    let Claimed::Yours {
        epoch: raised, new, ..
    } = directory
        .claim(&room("r"), &holder("b", 2), floor, None)
        .await
        .unwrap()
    else {
        panic!()
    };
    assert!(raised > floor && !new);
}

async fn epochs_are_at_least_the_clock_in_milliseconds(directory: &dyn Directory) {
    let claim = claim(directory, "r", &holder("a", 1)).await;
    // 2024-01-01 and 2100-01-01.
    assert!(
        (1_704_067_200_000..4_102_444_800_000).contains(&claim.epoch.get()),
        "{}",
        claim.epoch
    );
}

async fn a_snapshot_lies_beside_the_claim_and_survives_a_takeover(directory: &dyn Directory) {
    let (a, b) = (holder("a", 1), holder("b", 2));
    let first = claim(directory, "r", &a).await;
    let snapshot = Bytes::from(vec![0u8, b'+', 255, 10, 13, 0]);
    directory
        .save_snapshot(&first, snapshot.clone())
        .await
        .unwrap();
    let stale = Claim {
        epoch: Epoch::new(first.epoch.get() - 1),
        ..first.clone()
    };
    let refused = directory
        .save_snapshot(&stale, bytes("old"))
        .await
        .unwrap_err();
    assert!(matches!(refused, DirectoryError::Refused(Refused::NotHome(by)) if by == first));
    let nobody = Claim {
        room: room("nobody"),
        ..first.clone()
    };
    let refused = directory
        .save_snapshot(&nobody, bytes("x"))
        .await
        .unwrap_err();
    assert!(matches!(refused, DirectoryError::Refused(Refused::NoClaim)));

    directory.tombstone(&a).await.unwrap();
    let moves = vec![Move {
        room: room("r"),
        to: b.clone(),
    }];
    let moved = directory.sweep(a.incarnation, moves.clone()).await.unwrap();
    assert_eq!(moved.len(), 1);
    assert!(moved[0].holder == b && moved[0].epoch > first.epoch);
    let taken = Taken {
        room: room("r"),
        epoch: moved[0].epoch,
        snapshot: Some(snapshot),
    };
    assert_eq!(directory.held_by(b.incarnation).await.unwrap(), vec![taken]);
    assert!(directory.held_by(a.incarnation).await.unwrap().is_empty());
    // Already moved is success.
    assert!(
        directory
            .sweep(a.incarnation, moves)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn an_empty_snapshot_is_not_a_missing_one(directory: &dyn Directory) {
    let a = holder("a", 1);
    let with = directory
        .claim(&room("with"), &a, Epoch::ZERO, Some(Bytes::new()))
        .await
        .unwrap();
    assert!(matches!(with, Claimed::Yours { snapshot: Some(s), new: true, .. } if s.is_empty()));
    let without = directory
        .claim(&room("without"), &a, Epoch::ZERO, None)
        .await
        .unwrap();
    assert!(matches!(
        without,
        Claimed::Yours {
            snapshot: None,
            new: true,
            ..
        }
    ));
}

async fn snapshots_and_specs_have_a_limit(directory: &dyn Directory) {
    let claim = claim(directory, "r", &holder("a", 1)).await;
    directory
        .save_snapshot(&claim, Bytes::from(vec![7; MAX_SNAPSHOT_BYTES]))
        .await
        .unwrap();
    let error = directory
        .save_snapshot(&claim, Bytes::from(vec![7; MAX_SNAPSHOT_BYTES + 1]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains(&MAX_SNAPSHOT_BYTES.to_string()),
        "{error}"
    );
    let spec = RoomSpec {
        metadata: "x".repeat(MAX_SPEC_BYTES + 1),
        ..RoomSpec::default()
    };
    assert!(matches!(
        directory.put_spec(&room("r"), &spec).await,
        Err(DirectoryError::Refused(Refused::TooLarge { .. }))
    ));
}

async fn a_tombstone_ends_a_life_for_good(directory: &dyn Directory) {
    let (a, b) = (record("a", 1), holder("b", 2));
    directory.register(&a).await.unwrap();
    let held = claim(directory, "r", &a.holder).await;
    directory.tombstone(&a.holder).await.unwrap();
    directory.tombstone(&a.holder).await.unwrap();
    assert_eq!(directory.heartbeat(&a, 1).await.unwrap(), Beat::Tombstoned);
    assert_eq!(
        directory.register(&a).await.unwrap(),
        Registered::Tombstoned
    );
    let members = directory.members().await.unwrap();
    assert!(members.rows.is_empty() && members.tombstones.contains(&a.holder.incarnation));
    for refused in [
        directory
            .claim(&room("new"), &a.holder, Epoch::ZERO, None)
            .await
            .unwrap_err(),
        directory.reassert(&held, None).await.unwrap_err(),
    ] {
        assert!(
            matches!(refused, DirectoryError::Refused(Refused::Tombstoned(i)) if i == a.holder.incarnation)
        );
    }
    // A join may take the room before any sweep does.
    let next = claim(directory, "r", &b).await;
    assert!(next.epoch > held.epoch);
}

async fn registration_replaces_only_from_the_same_address(directory: &dyn Directory) {
    let first = record("a", 1);
    assert_eq!(
        directory.register(&first).await.unwrap(),
        Registered::Accepted { replaced: None }
    );
    let elsewhere = MemberRecord {
        internal_address: "10.9.9.9:1".to_owned(),
        ..record("a", 2)
    };
    let refused = directory.register(&elsewhere).await.unwrap();
    assert_eq!(
        refused,
        Registered::NameTaken {
            by: Box::new(first.clone())
        }
    );
    let held = claim(directory, "r", &first.holder).await;
    let second = record("a", 3);
    let replaced = Some(first.holder.incarnation);
    assert_eq!(
        directory.register(&second).await.unwrap(),
        Registered::Accepted { replaced }
    );
    assert_eq!(
        directory.heartbeat(&first, 5).await.unwrap(),
        Beat::Tombstoned
    );
    assert!(matches!(
        directory.reassert(&held, None).await,
        Err(DirectoryError::Refused(Refused::Tombstoned(_)))
    ));
    // Judged dead, its name is free.
    directory.tombstone(&second.holder).await.unwrap();
    assert_eq!(
        directory.register(&elsewhere).await.unwrap(),
        Registered::Accepted { replaced: None }
    );
}

async fn a_heartbeat_returns_the_counter_before(directory: &dyn Directory) {
    let a = record("a", 1);
    assert_eq!(directory.heartbeat(&a, 1).await.unwrap(), Beat::Unknown);
    directory.register(&a).await.unwrap();
    assert_eq!(
        directory.heartbeat(&a, 1).await.unwrap(),
        Beat::Accepted { previous: 0 }
    );
    let loaded = MemberRecord {
        load: Load {
            rooms: 3,
            ..Load::default()
        },
        ..a.clone()
    };
    assert_eq!(
        directory.heartbeat(&loaded, 2).await.unwrap(),
        Beat::Accepted { previous: 1 }
    );
    let members = directory.members().await.unwrap();
    assert_eq!(
        members.rows,
        vec![MemberRow {
            record: loaded,
            beats: 2
        }]
    );
}

async fn a_hand_over_is_a_compare_and_set(directory: &dyn Directory) {
    let (a, b, c) = (holder("a", 1), holder("b", 2), holder("c", 3));
    let first = claim(directory, "r", &a).await;
    let Changed::Done { epoch } = directory.hand_over(&first, &b, bytes("s")).await.unwrap() else {
        panic!()
    };
    assert!(epoch > first.epoch);
    // Asked again, e.g. because the answer was lost.
    assert_eq!(
        directory.hand_over(&first, &b, bytes("s")).await.unwrap(),
        Changed::Done { epoch }
    );
    let by = Claim {
        room: room("r"),
        holder: b.clone(),
        epoch,
    };
    assert_eq!(
        directory.hand_over(&first, &c, bytes("s")).await.unwrap(),
        Changed::HeldBy(by.clone())
    );
    assert!(
        matches!(directory.release(&first, None).await, Err(DirectoryError::Refused(Refused::NotHome(c))) if c == by)
    );
    let taken = directory.held_by(b.incarnation).await.unwrap();
    assert_eq!(
        taken,
        vec![Taken {
            room: room("r"),
            epoch,
            snapshot: Some(bytes("s"))
        }]
    );
    directory.tombstone(&c).await.unwrap();
    let dead = directory.hand_over(&by, &c, bytes("s")).await.unwrap_err();
    assert!(matches!(
        dead,
        DirectoryError::Refused(Refused::Tombstoned(_))
    ));
}

async fn a_claim_is_asserted_where_it_is_missing_or_lower(directory: &dyn Directory) {
    let (a, b) = (holder("a", 1), holder("b", 2));
    let at = |who: &Holder, epoch: u64| Claim {
        room: room("r"),
        holder: who.clone(),
        epoch: Epoch::new(epoch),
    };
    let done = |epoch: u64| Changed::Done {
        epoch: Epoch::new(epoch),
    };
    assert_eq!(
        directory
            .reassert(&at(&a, 50), Some(bytes("s")))
            .await
            .unwrap(),
        done(50)
    );
    assert_eq!(
        directory.reassert(&at(&b, 49), None).await.unwrap(),
        Changed::HeldBy(at(&a, 50))
    );
    // Order is (epoch, incarnation).
    assert_eq!(
        directory.reassert(&at(&b, 50), None).await.unwrap(),
        done(50)
    );
    assert_eq!(
        directory.reassert(&at(&a, 50), None).await.unwrap(),
        Changed::HeldBy(at(&b, 50))
    );
    assert_eq!(
        directory
            .reassert(&at(&a, 51), Some(bytes("t")))
            .await
            .unwrap(),
        done(51)
    );
    assert_eq!(
        directory.held_by(a.incarnation).await.unwrap()[0].snapshot,
        Some(bytes("t"))
    );
    // Epochs given afterwards are above all that were asserted.
    let high = at(&a, 4_200_000_000_000);
    directory.reassert(&high, None).await.unwrap();
    directory.release(&high, None).await.unwrap();
    assert!(claim(directory, "r", &b).await.epoch > high.epoch);
}

async fn the_end_of_a_call_is_remembered_until_the_next(directory: &dyn Directory) {
    let first = claim(directory, "r", &holder("a", 1)).await;
    assert_eq!(directory.last_end(&room("r")).await.unwrap(), None);
    directory
        .release(&first, Some(EndReason::EndedByApi))
        .await
        .unwrap();
    directory
        .release(&first, Some(EndReason::EndedByApi))
        .await
        .unwrap();
    let ended = Ended {
        epoch: first.epoch,
        reason: EndReason::EndedByApi,
    };
    assert_eq!(directory.last_end(&room("r")).await.unwrap(), Some(ended));
    claim(directory, "r", &holder("b", 2)).await;
    assert_eq!(directory.last_end(&room("r")).await.unwrap(), None);
}

async fn a_name_belongs_to_one_room_resource(directory: &dyn Directory) {
    let spec = RoomSpec {
        uid: "uid 1".to_owned(),
        metadata: "ä {\"x\": 1}".to_owned(),
        ..RoomSpec::default()
    };
    let name = room("r 1");
    assert_eq!(directory.get_spec(&name).await.unwrap(), None);
    assert_eq!(
        directory.put_spec(&name, &spec).await.unwrap(),
        SpecStored::Stored
    );
    let changed = RoomSpec {
        closed: true,
        ..spec.clone()
    };
    assert_eq!(
        directory.put_spec(&name, &changed).await.unwrap(),
        SpecStored::Stored
    );
    let other = RoomSpec {
        uid: "uid 12".to_owned(),
        ..RoomSpec::default()
    };
    assert_eq!(
        directory.put_spec(&name, &other).await.unwrap(),
        SpecStored::NameTaken {
            by: "uid 1".to_owned()
        }
    );
    directory.remove_spec(&name, "uid 12").await.unwrap();
    assert_eq!(directory.get_spec(&name).await.unwrap(), Some(changed));
    directory.remove_spec(&name, "uid 1").await.unwrap();
    assert_eq!(directory.get_spec(&name).await.unwrap(), None);
}

async fn any_name_of_a_room_is_kept_apart(directory: &dyn Directory) {
    let a = holder("a", 1);
    let names = [
        "r",
        "r ",
        "R",
        "{r}",
        "a:b",
        "a%3Ab",
        "räum",
        "\r\n$5\r\nhello",
        "*",
        &"x".repeat(256),
    ];
    for name in names {
        claim(directory, name, &a).await;
    }
    let mut found: Vec<String> = directory
        .rooms()
        .await
        .unwrap()
        .into_iter()
        .map(|c| c.room.into())
        .collect();
    let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

async fn a_takeover_moves_every_room_to_the_living(directory: &dyn Directory) {
    let dead = record("dead", 1);
    let living = [record("b1", 2), record("c12", 3), record("d123", 4)];
    for record in living.iter().chain([&dead]) {
        directory.register(record).await.unwrap();
    }
    for i in 0..300 {
        claim(directory, &format!("room-{i}"), &dead.holder).await;
    }
    let mut placement = Placement::new(living.iter().map(|record| Candidate::of(record, 0)));
    let began = boottime();
    let done = take_over(directory, &dead.holder, &mut placement)
        .await
        .unwrap();
    println!(
        "takeover of 300 rooms: {:?}",
        boottime().saturating_sub(began)
    );
    assert_eq!((done.moved.len(), done.homeless), (300, None));
    for record in &living {
        let held = directory
            .held_by(record.holder.incarnation)
            .await
            .unwrap()
            .len();
        assert!(
            (70..130).contains(&held),
            "{} holds {held}",
            record.holder.node
        );
    }
    assert!(
        take_over(directory, &dead.holder, &mut placement)
            .await
            .unwrap()
            .moved
            .is_empty()
    );
}

macro_rules! contract {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[tokio::test] async fn $name() { super::$name(&super::MemoryDirectory::new()).await; })*
        }
        mod in_redis {
            $(#[tokio::test] async fn $name() {
                let server = super::RedisServer::start();
                super::$name(&super::connect(&server)).await;
            })*
        }
    };
}

contract! {
    a_room_has_one_holder
    epochs_grow_over_releases_and_floors
    epochs_are_at_least_the_clock_in_milliseconds
    a_snapshot_lies_beside_the_claim_and_survives_a_takeover
    an_empty_snapshot_is_not_a_missing_one
    snapshots_and_specs_have_a_limit
    a_tombstone_ends_a_life_for_good
    registration_replaces_only_from_the_same_address
    a_heartbeat_returns_the_counter_before
    a_hand_over_is_a_compare_and_set
    a_claim_is_asserted_where_it_is_missing_or_lower
    the_end_of_a_call_is_remembered_until_the_next
    a_name_belongs_to_one_room_resource
    any_name_of_a_room_is_kept_apart
    a_takeover_moves_every_room_to_the_living
}

fn connect(server: &RedisServer) -> RedisDirectory {
    RedisDirectory::new(
        &RedisSettings::new(server.url()),
        PoolKey::new("test", "pool").unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn pools_do_not_see_each_other() {
    let server = RedisServer::start();
    let settings = RedisSettings::new(server.url());
    let one = RedisDirectory::new(&settings, PoolKey::new("test", "one").unwrap()).unwrap();
    let two = RedisDirectory::new(&settings, PoolKey::new("test", "two").unwrap()).unwrap();
    one.register(&record("a", 1)).await.unwrap();
    claim(&one, "r", &holder("a", 1)).await;
    assert!(two.members().await.unwrap().rows.is_empty());
    claim(&two, "r", &holder("b", 2)).await;
    assert_eq!(one.rooms().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_shows_that_history_was_lost() {
    let mut server = RedisServer::start();
    let directory = connect(&server);
    let a = record("a", 1);
    directory.register(&a).await.unwrap();
    directory.heartbeat(&a, 1).await.unwrap();
    let held = claim(&directory, "r", &a.holder).await;
    server.stop();
    assert!(directory.heartbeat(&a, 2).await.unwrap_err().is_transient());
    server.start_again();
    let deadline = boottime() + Duration::from_secs(5);
    let beat = loop {
        match directory.heartbeat(&a, 3).await {
            Ok(beat) => break beat,
            Err(error) => assert!(error.is_transient() && boottime() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(beat, Beat::Unknown);
    directory.register(&a).await.unwrap();
    assert_eq!(
        directory.reassert(&held, Some(bytes("s"))).await.unwrap(),
        Changed::Done { epoch: held.epoch }
    );
    assert_eq!(directory.lookup(&room("r")).await.unwrap(), Some(held));
}

#[tokio::test]
async fn a_redis_emptied_of_scripts_gets_them_again() {
    let server = RedisServer::start();
    let directory = connect(&server);
    claim(&directory, "r", &holder("a", 1)).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut link = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async::<()>(&mut link)
        .await
        .unwrap();
    assert!(directory.members().await.unwrap_err().is_transient());
    directory.members().await.unwrap();
}

#[tokio::test]
async fn a_redis_that_is_away_costs_a_bounded_time() {
    let mut server = RedisServer::start();
    let directory = connect(&server);
    directory.members().await.unwrap();
    // Hung: it accepts and never answers. The breaker's third failure ends the waiting.
    server.freeze(true);
    let began = boottime();
    for _ in 0..10 {
        let call = boottime();
        assert!(
            directory
                .lookup(&room("r"))
                .await
                .unwrap_err()
                .is_transient()
        );
        assert!(boottime().saturating_sub(call) < Duration::from_millis(2300));
    }
    assert!(boottime().saturating_sub(began) < Duration::from_secs(7));
    server.freeze(false);
    tokio::time::sleep(Duration::from_millis(450)).await;
    directory.lookup(&room("r")).await.unwrap();
    // Gone: refused at once.
    server.stop();
    let began = boottime();
    for _ in 0..100 {
        assert!(
            directory
                .lookup(&room("r"))
                .await
                .unwrap_err()
                .is_transient()
        );
    }
    assert!(boottime().saturating_sub(began) < Duration::from_secs(1));
}

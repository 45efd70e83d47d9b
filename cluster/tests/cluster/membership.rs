//! Several members in one process: who is dead, who fences itself, and where rooms go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::pool::*;
use bytes::Bytes;
use plenum_cluster::clock::boottime;
use plenum_cluster::directory::*;
use plenum_cluster::member_api::MemberState;
use plenum_cluster::membership::*;
use plenum_cluster::{Epoch, NodeId, Timing};

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_member_is_dead_at_once_and_its_rooms_are_taken() {
    let mut pool = pool_of(3).await;
    pool.open(60).await;
    let rooms = pool.held_by(0).await;
    assert!(rooms.len() > 10, "{}", rooms.len());
    let dead = pool.kill(0);
    let began = boottime();
    for member in &mut pool.members {
        let seen = member.event("MemberDead", |event| match event {
            Event::MemberDead { dead, .. } => Some(dead.clone()),
            _ => None,
        });
        assert_eq!(seen.await, dead);
    }
    rooms_taken_by_the_others(&mut pool, rooms).await;
    let took = boottime().saturating_sub(began);
    println!("crash to rooms taken: {} ms", took.as_millis());
    assert!(took < Duration::from_millis(2_000), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_capacity_is_known_to_the_others_and_places_no_more_rooms_there() {
    let pool = pool_of(2).await;
    let first = &pool.members[0].handle;
    first.set_capacity(Capacity {
        rooms: 1,
        ..Capacity::default()
    });
    let node = first.me().node;
    let second = &pool.members[1].handle;
    until("the other member to hear of it", || {
        second.view().members[&node].record.capacity.rooms == 1
    })
    .await;
    pool.open(6).await;
    let held = [pool.held_by(0).await.len(), pool.held_by(1).await.len()];
    assert!(held[0] <= 1 && held[0] + held[1] == 6, "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_hop_makes_the_crash_known_faster() {
    let mut pool = pool_of(3).await;
    let dead = pool.kill(0);
    let began = boottime();
    let patience = Duration::from_secs(4);
    assert_eq!(
        pool.members[1].handle.fate(&dead, patience).await,
        Fate::Dead
    );
    let took = boottime().saturating_sub(began);
    println!("broken hop to known death: {} ms", took.as_millis());
    assert!(took < Duration::from_millis(1_000), "{took:?}");
    // A hop that broke for another reason.
    assert_eq!(
        pool.members[1]
            .handle
            .fate(&pool.members[0].handle.me(), patience)
            .await,
        Fate::Alive
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_member_fences_itself_before_its_rooms_are_served_elsewhere() {
    let mut pool = pool_of(3).await;
    pool.open(30).await;
    let rooms = pool.held_by(0).await;
    let lost = pool.members[0].handle.me();
    let began = boottime();
    pool.network.swallow("sfu-0", true);
    pool.members[0].cut.store(true, Ordering::Relaxed);
    let mut isolated = pool.members.remove(0);
    let reason = isolated.event("Fenced", |event| match event {
        Event::Fenced(reason) => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await, FenceReason::Isolated);
    let fenced = boottime();
    assert_eq!(isolated.handle.serve_until().load(Ordering::Acquire), 0);
    assert!(!isolated.handle.ready());
    assert!(
        isolated
            .handle
            .view()
            .members
            .contains_key(&NodeId::new("sfu-1").unwrap()),
        "the last view stays"
    );
    for member in &mut pool.members {
        member
            .event("MemberDead", |e| {
                matches!(e, Event::MemberDead { dead, .. } if *dead == lost).then_some(())
            })
            .await;
    }
    let dead = boottime();
    println!(
        "silence: fenced after {} ms, dead after {} ms",
        fenced.saturating_sub(began).as_millis(),
        dead.saturating_sub(began).as_millis()
    );
    assert!(fenced < dead && dead.saturating_sub(began) < Duration::from_secs(6));
    rooms_taken_by_the_others(&mut pool, rooms).await;

    // Back in reach, and told that the rooms are closed, it takes part again as a new life.
    pool.network.swallow("sfu-0", false);
    isolated.cut.store(false, Ordering::Relaxed);
    isolated.handle.rejoin();
    until("it is back", || isolated.handle.ready()).await;
    assert_ne!(isolated.handle.me(), lost);
    assert!(isolated.handle.serve_until().load(Ordering::Acquire) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_a_claim_lets_go_of_that_room_and_keeps_the_others() {
    let mut pool = pool_of(3).await;
    pool.open(30).await;
    let mut rooms = pool.held_by(0).await;
    let lost = rooms.pop_first().unwrap();
    let before = pool.directory.lookup(&lost).await.unwrap().unwrap();
    let other = pool.members[1].handle.me();
    let snapshot = Bytes::from_static(b"{}");
    pool.directory
        .hand_over(&before, &other, snapshot)
        .await
        .unwrap();
    let (room, to) = pool.members[0]
        .event("ClaimLost", |event| match event {
            Event::ClaimLost { room, to } => Some((room.clone(), to.clone())),
            _ => None,
        })
        .await;
    assert_eq!((&room, &to.holder), (&lost, &other));
    assert!(to.epoch > before.epoch);
    let handle = &pool.members[0].handle;
    assert_eq!(handle.epoch(&lost), None);
    assert!(rooms.iter().all(|room| handle.epoch(room).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_from_the_operator_fences_a_living_member_and_moves_its_rooms() {
    let mut pool = pool_of(2).await;
    pool.open(20).await;
    let (rooms, accused) = (pool.held_by(1).await, pool.members[1].handle.me());
    pool.directory.tombstone(&accused).await.unwrap();
    let mut fenced = pool.members.remove(1);
    let reason = fenced.event("Fenced", |event| match event {
        Event::Fenced(reason) => Some(*reason),
        _ => None,
    });
    assert_eq!(reason.await, FenceReason::Tombstoned);
    assert!(rooms.iter().all(|room| fenced.handle.epoch(room).is_none()));
    let refused = fenced
        .handle
        .claim_here(&room("x"), Epoch::ZERO, None)
        .await;
    assert!(matches!(
        refused,
        Err(CallError::NotServing(MemberState::Fenced))
    ));
    until("the other one serves them", || {
        rooms
            .iter()
            .all(|room| pool.members[0].handle.epoch(room).is_some())
    })
    .await;
    rooms_taken_by_the_others(&mut pool, rooms).await;
    fenced.handle.rejoin();
    until("it is back", || fenced.handle.ready()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_that_ask_at_once_agree_on_one_home() {
    let pool = pool_of(3).await;
    let network = Arc::clone(&pool.network);
    for i in 0..20 {
        let name = format!("race-{i}");
        let asked = pool
            .members
            .iter()
            .map(|member| member.locate(&network, &name));
        let found = futures_util::future::join_all(asked).await;
        let home = |(found, member): (Result<Located, CallError>, &Member)| match found.unwrap() {
            Located::Here { .. } => member.handle.me(),
            Located::There { holder, .. } => holder,
            Located::Nowhere => panic!(),
        };
        let homes: BTreeSet<Holder> = found.into_iter().zip(&pool.members).map(home).collect();
        assert_eq!(homes.len(), 1, "{homes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_move_changes_the_home_once() {
    let pool = pool_of(3).await;
    pool.open(9).await;
    let (source, name) = (
        &pool.members[0].handle,
        pool.held_by(0).await.pop_first().unwrap(),
    );
    source
        .save_snapshot(&name, Bytes::from_static(b"old"))
        .await
        .unwrap();
    let before = source.epoch(&name).unwrap();
    let target = source.choose_target(&name).unwrap().record.holder;
    assert_ne!(target, source.me());
    let epoch = source
        .hand_over(&name, &target, Bytes::from_static(b"snapshot"))
        .await
        .unwrap();
    assert!(epoch > before && source.epoch(&name).is_none());
    let target = pool
        .members
        .iter()
        .find(|m| m.handle.me() == target)
        .unwrap();
    target
        .handle
        .accept(&name, epoch, Some(Bytes::from_static(b"snapshot")))
        .unwrap();
    for member in &pool.members {
        match member.locate(&pool.network, name.name()).await.unwrap() {
            Located::Here { epoch: e, snapshot } => {
                assert_eq!((member.handle.me(), e), (target.handle.me(), epoch));
                assert_eq!(snapshot, Some(Bytes::from_static(b"snapshot")));
            }
            Located::There { holder, .. } => assert_eq!(holder, target.handle.me()),
            Located::Nowhere => panic!(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_too_large_leaves_the_one_before() {
    let pool = pool_of(1).await;
    pool.open(1).await;
    let (member, name) = (&pool.members[0], room("room-0"));
    let save = |snapshot| member.handle.save_snapshot(&name, snapshot);
    save(Bytes::from_static(b"small")).await.unwrap();
    let large = Bytes::from(vec![7; MAX_SNAPSHOT_BYTES + 1]);
    let refused = save(large).await.unwrap_err();
    assert!(
        matches!(
            refused,
            CallError::Directory(DirectoryError::Refused(Refused::TooLarge { .. }))
        ),
        "{refused}"
    );
    let Located::Here { snapshot, .. } = member.locate(&pool.network, "room-0").await.unwrap()
    else {
        panic!()
    };
    assert_eq!(snapshot.as_deref(), Some(&b"small"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_gives_its_rooms_away() {
    let mut pool = pool_of(3).await;
    pool.open(30).await;
    let rooms = pool.held_by(0).await;
    let left = pool.members.remove(0);
    left.handle.set_state(MemberState::Draining);
    until("it is not ready", || !left.handle.ready()).await;
    let began = boottime();
    left.handle.leave().await;
    rooms_taken_by_the_others(&mut pool, rooms).await;
    println!(
        "leave to rooms taken: {} ms",
        boottime().saturating_sub(began).as_millis()
    );
    for member in &pool.members {
        assert!(
            !member
                .handle
                .view()
                .members
                .contains_key(&left.handle.me().node)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_node_id_is_refused_until_its_owner_is_dead() {
    let mut pool = pool_of(2).await;
    let config = MembershipConfig {
        node: NodeId::new("sfu-0").unwrap(),
        internal_address: "elsewhere".to_owned(),
        seeds: Vec::new(),
        capacity: Capacity::default(),
        weight: 1,
        version: String::new(),
        timing: Timing {
            recovering: Duration::from_millis(TIMING_MS),
            ..Timing::default()
        },
    };
    let directories = Directories::same(Arc::clone(&pool.directory) as Arc<dyn Directory>);
    let (copy, _events) = Membership::start(
        config,
        directories,
        Arc::clone(&pool.network) as Arc<dyn Peers>,
    )
    .unwrap();
    pool.network
        .members
        .lock()
        .unwrap()
        .insert("elsewhere".to_owned(), copy.clone());
    copy.set_state(MemberState::Serving);
    until("it is refused", || {
        copy.view().registration_refused.is_some()
    })
    .await;
    let why = copy.view().registration_refused.clone().unwrap();
    assert!(
        why.contains("sfu-0") && why.contains("elsewhere") && !copy.ready(),
        "{why}"
    );
    pool.kill(0);
    until("the name is free", || copy.ready()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_costs_messages_and_not_the_member() {
    let mut pool = pool_of(3).await;
    pool.open(30).await;
    let held = pool.held_by(0).await;
    let other = pool.members[1].handle.me();
    // Many times what its queue holds; whoever tells it waits for nothing.
    let began = boottime();
    for _ in 0..100_000 {
        pool.members[0].handle.suspect(&other.node);
    }
    let took = boottime().saturating_sub(began);
    assert!(took < Duration::from_secs(5), "{took:?}");
    // It probed, and went on.
    let patience = Duration::from_secs(4);
    assert_eq!(
        pool.members[0].handle.fate(&other, patience).await,
        Fate::Alive
    );
    assert_eq!(pool.held_by(0).await, held);
    // Nothing of what comes next was lost with what was dropped.
    let dead = pool.kill(2);
    let seen = pool.members[0].event("MemberDead", |event| match event {
        Event::MemberDead { dead, .. } => Some(dead.clone()),
        _ => None,
    });
    assert_eq!(seen.await, dead);
}

//! Several members in one process whose Directory is out of reach, or comes back empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::pool::*;
use crate::redis_server::RedisServer;
use bytes::Bytes;
use plenum_cluster::clock::boottime;
use plenum_cluster::directory::*;
use plenum_cluster::member_api::MemberState;
use plenum_cluster::membership::*;
use plenum_cluster::{NodeId, PoolKey, RoomKey, Timing};

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_redis_can_not_hear_keeps_its_rooms() {
    let mut pool = pool_of(3).await;
    pool.open(30).await;
    let before = pool.held_by(0).await;
    pool.members[0].cut.store(true, Ordering::Relaxed);
    pool.members[0]
        .event("DirectoryDown", |e| {
            (*e == Event::DirectoryDown).then_some(())
        })
        .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(pool.held_by(0).await, before);
    let handle = &pool.members[0].handle;
    assert!(
        handle.ready()
            && u128::from(handle.serve_until().load(Ordering::Acquire)) > boottime().as_nanos()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_running_rooms_are_found_and_new_ones_wait() {
    let mut pool = pool_of(3).await;
    pool.open(12).await;
    let homes: BTreeMap<RoomKey, Holder> = pool
        .directory
        .rooms()
        .await
        .unwrap()
        .into_iter()
        .map(|c| (c.room, c.holder))
        .collect();
    for member in &mut pool.members {
        member.cut.store(true, Ordering::Relaxed);
        member
            .event("DirectoryDown", |e| {
                (*e == Event::DirectoryDown).then_some(())
            })
            .await;
    }
    for (room, home) in &homes {
        for member in &pool.members {
            match member.locate(&pool.network, room.name()).await.unwrap() {
                Located::Here { .. } => assert_eq!(member.handle.me(), *home),
                Located::There { holder, .. } => assert_eq!(holder, *home),
                Located::Nowhere => panic!("{room} is lost"),
            }
        }
    }
    let began = boottime();
    let error = pool.members[0]
        .locate(&pool.network, "new")
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unavailable(_)), "{error}");
    assert!(boottime().saturating_sub(began) < Duration::from_secs(1));

    // A room ends meanwhile and another one gets new metadata: the Directory learns both when it is back.
    let first = pool.members[0].handle.me();
    let mut mine = homes
        .iter()
        .filter(|(_, home)| **home == first)
        .map(|(room, _)| room.clone());
    let (ended, changed) = (mine.next().unwrap(), mine.next().unwrap());
    pool.members[0]
        .handle
        .room_ended(&ended, EndReason::Expired)
        .await;
    let saved = pool.members[0]
        .handle
        .save_snapshot(&changed, Bytes::from_static(b"new"))
        .await;
    assert!(matches!(saved, Err(CallError::Directory(error)) if error.is_transient()));
    for member in &pool.members {
        member.cut.store(false, Ordering::Relaxed);
    }
    let deadline = boottime() + Duration::from_secs(5);
    loop {
        let held = pool
            .directory
            .held_by(pool.members[0].handle.me().incarnation)
            .await
            .unwrap();
        let snapshot = held
            .iter()
            .find(|taken| taken.room == changed)
            .unwrap()
            .snapshot
            .clone();
        let gone = held.iter().all(|taken| taken.room != ended);
        if gone && snapshot == Some(Bytes::from_static(b"new")) {
            break;
        }
        assert!(boottime() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        pool.directory
            .last_end(&ended)
            .await
            .unwrap()
            .unwrap()
            .reason,
        EndReason::Expired
    );
    // The drivers go on.
    for member in &pool.members {
        let beats = |m: &Member| m.handle.view().members[&m.handle.me().node].beats;
        let before = beats(member);
        until("it beats", || beats(member) > before + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_without_a_directory_finds_running_rooms_through_its_seeds() {
    let mut pool = pool_of(2).await;
    pool.open(6).await;
    let cut = Line {
        to: Arc::clone(&pool.directory),
        cut: Arc::new(AtomicBool::new(true)),
    };
    let config = MembershipConfig {
        node: NodeId::new("late").unwrap(),
        internal_address: "late".to_owned(),
        seeds: vec![
            "late".to_owned(),
            "nobody".to_owned(),
            "sfu-0".to_owned(),
            "sfu-1".to_owned(),
        ],
        capacity: Capacity::default(),
        weight: 1,
        version: String::new(),
        timing: Timing::default(),
    };
    let peers = Arc::clone(&pool.network) as Arc<dyn Peers>;
    let (handle, events) =
        Membership::start(config, Directories::same(Arc::new(cut)), peers).unwrap();
    pool.network
        .members
        .lock()
        .unwrap()
        .insert("late".to_owned(), handle.clone());
    handle.set_state(MemberState::Serving);
    until("it has found its peers", || {
        handle.view().members.len() == 2
    })
    .await;
    assert!(handle.ready() && handle.view().state == MemberState::Starting);
    pool.members.push(Member {
        handle,
        events,
        cut: Arc::default(),
    });
    for claim in pool.directory.rooms().await.unwrap() {
        match pool.members[2]
            .locate(&pool.network, claim.room.name())
            .await
            .unwrap()
        {
            Located::There { holder, .. } => assert_eq!(holder, claim.holder),
            other => panic!("{other:?}"),
        }
    }
}

async fn redis_comes_back_empty(pool: &mut Pool<RedisDirectory>, server: &mut RedisServer) {
    let before: BTreeMap<RoomKey, Claim> = pool
        .directory
        .rooms()
        .await
        .unwrap()
        .into_iter()
        .map(|c| (c.room.clone(), c))
        .collect();
    server.stop();
    for member in &mut pool.members {
        member
            .event("DirectoryDown", |e| {
                (*e == Event::DirectoryDown).then_some(())
            })
            .await;
    }
    server.start_again();
    let began = boottime();
    for member in &mut pool.members {
        // Neither taken nor lost: the homes stay.
        let lost = |event: &Event| match event {
            Event::HistoryLost => Some(()),
            Event::RoomsTaken(_)
            | Event::ClaimLost { .. }
            | Event::Fenced(_)
            | Event::MemberDead { .. } => {
                panic!("{event:?}")
            }
            _ => None,
        };
        member.event("HistoryLost", lost).await;
    }
    let deadline = boottime() + Duration::from_secs(10);
    loop {
        let claims = pool.directory.rooms().await.unwrap_or_default();
        if claims.len() == before.len() {
            assert!(claims.iter().all(|claim| before[&claim.room] == *claim));
            break;
        }
        assert!(
            boottime() < deadline,
            "{} of {} claims came back",
            claims.len(),
            before.len()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!(
        "redis back to all claims asserted: {} ms",
        boottime().saturating_sub(began).as_millis()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_come_back_to_a_redis_that_was_emptied() {
    let mut server = RedisServer::start();
    let settings = RedisSettings::new(server.url());
    let directory = RedisDirectory::new(&settings, PoolKey::new("test", "pool").unwrap()).unwrap();
    let mut pool = Pool::new(directory, 3, Timing::default().recovering).await;
    pool.open(50).await;
    redis_comes_back_empty(&mut pool, &mut server).await;
    // And nobody claims a running room anew meanwhile.
    for member in &pool.members {
        assert_ne!(member.handle.view().directory, DirectoryHealth::Down);
        let found = member.locate(&pool.network, "room-1").await.unwrap();
        assert!(!matches!(found, Located::Nowhere));
    }
    for member in &mut pool.members {
        while let Ok(event) = member.events.try_recv() {
            assert!(
                !matches!(
                    event,
                    Event::RoomsTaken(_) | Event::ClaimLost { .. } | Event::Fenced(_)
                ),
                "{event:?}"
            );
        }
    }
}

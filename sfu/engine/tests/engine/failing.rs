//! A Shard that panics, one that hangs: bounded, visible, and the others go on.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use plenum_engine::{
    Clock, CommandError, Driven, Engine, ServeUntil, Shard, ShardHealth, ShardNews,
};
use plenum_types::{RoomHandle, RoomToShard, ShardCommand, ShardId, Timestamp};
use tokio::sync::mpsc::Receiver;

use crate::world::{ask, check, config, open_transport, wait_for};

/// A room whose commands break the Shard.
const FATAL: RoomHandle = RoomHandle(666);

/// A Shard that a command breaks.
struct Fragile {
    shard: Shard,
    breaks: Arc<dyn Fn() + Send + Sync>,
}

impl Driven for Fragile {
    fn shard(&self) -> &Shard {
        &self.shard
    }
    fn shard_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
    fn handle_command(&mut self, now: Timestamp, command: RoomToShard) {
        if command.room == FATAL {
            (self.breaks)();
        } else {
            self.shard.handle_command(now, command);
        }
    }
}

fn fragile(
    shards: u16,
    breaks: impl Fn() + Send + Sync + 'static,
) -> (Engine, Vec<Receiver<ShardNews>>, Arc<AtomicUsize>) {
    let breaks: Arc<dyn Fn() + Send + Sync> = Arc::new(breaks);
    let made = Arc::new(AtomicUsize::new(0));
    let count = made.clone();
    let (engine, news) = Engine::start_with(
        &config(shards, ServeUntil::forever()),
        Clock::start(),
        move |config, now| {
            count.fetch_add(1, Ordering::Relaxed);
            Fragile {
                shard: Shard::new(config, now),
                breaks: breaks.clone(),
            }
        },
    )
    .unwrap();
    (engine, news, made)
}

fn fatal_command() -> RoomToShard {
    RoomToShard {
        room: FATAL,
        command: ShardCommand::CloseRoom,
    }
}

fn port(engine: &Engine, shard: u16) -> SocketAddr {
    let port = engine.ports()[usize::from(shard)];
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[test]
fn a_shard_that_panics_is_made_anew_on_its_port_and_the_others_go_on() {
    let (engine, mut news, made) = fragile(2, || panic!("injected by the test"));
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let [old, other] = [ShardId(0), ShardId(1)].map(|shard| open_transport(&engine, shard));
    assert!(ask(&client, port(&engine, 0), &check(&old)).is_some());
    assert!(ask(&client, port(&engine, 1), &check(&other)).is_some());

    engine.send(ShardId(0), fatal_command()).unwrap();
    let failed = loop {
        match news[0].blocking_recv().unwrap() {
            ShardNews::Failed(shard) => break shard,
            ShardNews::Room(_) => {}
        }
    };
    assert_eq!(failed, ShardId(0));
    // Nothing of the old one is left; the new one serves at the same place.
    assert_eq!(ask(&client, port(&engine, 0), &check(&old)), None);
    let fresh = open_transport(&engine, ShardId(0));
    assert!(ask(&client, port(&engine, 0), &check(&fresh)).is_some());
    assert!(ask(&client, port(&engine, 1), &check(&other)).is_some());
    assert_eq!(made.load(Ordering::Relaxed), 3);
    let status = engine.status();
    assert_eq!([status[0].restarts, status[1].restarts], [1, 0]);
    assert!(status.iter().all(|one| one.health == ShardHealth::Running));
    engine.stop();
}

#[test]
fn a_shard_that_panics_again_and_again_stays_down_and_says_so() {
    let (engine, mut news, made) = fragile(2, || panic!("injected by the test"));
    for _ in 0..4 {
        engine.send(ShardId(0), fatal_command()).unwrap();
        while !matches!(news[0].blocking_recv().unwrap(), ShardNews::Failed(_)) {}
    }
    wait_for("the shard to be given up", || {
        engine.status()[0].health == ShardHealth::Failed
    });
    assert_eq!(
        engine.send(ShardId(0), fatal_command()),
        Err(CommandError::Gone(ShardId(0)))
    );
    assert_eq!(made.load(Ordering::Relaxed), 2 + 3);
    assert_eq!(engine.status()[1].health, ShardHealth::Running);
    engine.stop();
}

#[test]
fn a_shard_that_hangs_takes_no_more_commands_than_its_queue_has_room_for() {
    let gate = Arc::new(Mutex::new(()));
    let shut = gate.clone();
    let held = gate.lock().unwrap();
    let (engine, _news, _) = fragile(1, move || drop(shut.lock()));
    engine.send(ShardId(0), fatal_command()).unwrap();
    let harmless = || RoomToShard {
        room: RoomHandle(1),
        command: ShardCommand::CloseRoom,
    };
    let taken = (0..10_000)
        .take_while(|_| engine.send(ShardId(0), harmless()).is_ok())
        .count();
    // The one that hangs may have been taken out of the queue, or not yet.
    assert!((8_191..=8_192).contains(&taken), "{taken}");
    assert_eq!(
        engine.send(ShardId(0), harmless()),
        Err(CommandError::Full(ShardId(0)))
    );
    assert_eq!(engine.status()[0].commands_refused, 2);
    wait_for("the shard to be called stuck", || {
        engine.status()[0].health == ShardHealth::Stuck
    });

    drop(held);
    wait_for("the shard to go on", || {
        engine.send(ShardId(0), harmless()).is_ok()
            && engine.status()[0].health == ShardHealth::Running
    });
    engine.stop();
}

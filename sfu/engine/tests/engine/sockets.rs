//! UDP: where answers come from, the fence, what is counted.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use plenum_engine::{Clock, CommandError, Engine, ServeUntil, ShardHealth};
use plenum_types::{RoomHandle, RoomToShard, ShardCommand, ShardId};

use crate::world::{BINDING_SUCCESS, ask, check, config, engine, open_transport, wait_for};

#[test]
fn an_answer_leaves_from_the_address_that_was_hit() {
    // Bound to the wildcard addresses of both families, reached by two addresses of the one and by one of the other.
    let mut config = config(2, ServeUntil::forever());
    config.bind = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let (engine, _news) = Engine::start(&config, Clock::start()).unwrap();
    for shard in [ShardId(0), ShardId(1)] {
        let local = open_transport(&engine, shard);
        let port = engine.ports()[usize::from(shard.0)];
        for host in ["127.0.0.1", "127.0.0.2", "::1"] {
            let host: IpAddr = host.parse().unwrap();
            let client = match host {
                IpAddr::V4(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
                IpAddr::V6(_) => UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)),
            }
            .unwrap();
            let to = SocketAddr::new(host, port);
            let (answer, from) = ask(&client, to, &check(&local)).expect("an answer");
            assert_eq!(answer[..2], BINDING_SUCCESS);
            assert_eq!(from, to);
        }
    }
    engine.stop();
}

#[test]
fn a_member_past_its_moment_says_nothing() {
    let moment = Arc::new(AtomicU64::new(u64::MAX));
    let (engine, _news) = engine(1, ServeUntil::shared(moment.clone()));
    let local = open_transport(&engine, ShardId(0));
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, engine.ports()[0]));
    assert!(ask(&client, to, &check(&local)).is_some());
    moment.store(1, Ordering::Release);
    assert_eq!(ask(&client, to, &check(&local)), None);
    wait_for("the counter", || engine.status()[0].io.fenced > 0);
    moment.store(u64::MAX, Ordering::Release);
    assert!(ask(&client, to, &check(&local)).is_some());
    engine.stop();
}

#[test]
fn noise_is_counted_and_an_idle_shard_shows_that_it_lives() {
    let (engine, _news) = engine(1, ServeUntil::forever());
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, engine.ports()[0]));
    for length in [0, 1, 12, 1200] {
        let noise: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
        client.send_to(&noise, to).unwrap();
    }
    wait_for("the counters", || {
        engine.status()[0].io.datagrams_received >= 3
    });
    let status = engine.status()[0];
    assert_eq!(status.health, ShardHealth::Running);
    assert!(status.since_last_pass < Duration::from_secs(1));
    engine.stop();
}

#[test]
fn a_shard_that_is_not_there_takes_no_commands() {
    let (engine, _news) = engine(1, ServeUntil::forever());
    let command = RoomToShard {
        room: RoomHandle(1),
        command: ShardCommand::CloseRoom,
    };
    assert_eq!(
        engine.send(ShardId(7), command),
        Err(CommandError::Gone(ShardId(7)))
    );
    engine.stop();
}

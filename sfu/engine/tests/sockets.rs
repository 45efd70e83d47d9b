//! Shards on real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests fail the test, too

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use plenum_engine::{
    Clock, CommandError, Engine, EngineConfig, ServeUntil, ShardHealth, ShardNews,
};
use plenum_transport::ConnectivityCheck;
use plenum_types::{
    IceCredentials, ParticipantId, RoomHandle, RoomToShard, ShardCommand, ShardId, TransportId,
    TransportParams,
};
use tokio::sync::mpsc::Receiver;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);

fn engine(shards: u16, serve_until: ServeUntil) -> (Engine, Vec<Receiver<ShardNews>>) {
    let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = EngineConfig {
        shards,
        bind: vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
        ports: first..=first.saturating_add(50),
        budgets: Default::default(),
        serve_until,
    };
    Engine::start(&config, Clock::start()).unwrap()
}

fn open_transport(engine: &Engine, shard: ShardId) -> IceCredentials {
    let local = IceCredentials::for_shard(shard, || fastrand::u64(..));
    engine
        .send(
            shard,
            RoomToShard {
                room: RoomHandle(1),
                command: ShardCommand::OpenTransport(TransportParams {
                    transport: TransportId(1),
                    participant: ParticipantId(1),
                    local: local.clone(),
                }),
            },
        )
        .unwrap();
    local
}

fn check(local: &IceCredentials) -> Vec<u8> {
    ConnectivityCheck {
        transaction: std::array::from_fn(|_| fastrand::u8(..)),
        receiver_ufrag: &local.ufrag,
        sender_ufrag: "peer",
        receiver_pwd: &local.pwd,
        use_candidate: true,
    }
    .to_datagram()
}

/// First bytes of a success response to a Binding request (RFC 8489).
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];

/// Sends the same datagram until something answers.
fn ask(client: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> Option<(Vec<u8>, SocketAddr)> {
    client.set_read_timeout(Some(SILENCE)).unwrap();
    let mut buffer = [0; 2048];
    for _ in 0..5 {
        client.send_to(datagram, to).unwrap();
        if let Ok((length, from)) = client.recv_from(&mut buffer) {
            return Some((buffer[..length].to_vec(), from));
        }
    }
    None
}

#[allow(clippy::disallowed_methods)] // waits for real threads
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_hit() {
    let (engine, _news) = engine(2, ServeUntil::forever());
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for shard in [ShardId(0), ShardId(1)] {
        let local = open_transport(&engine, shard);
        let port = engine.ports()[usize::from(shard.0)];
        // Bound to the wildcard address, reached by two of the loopback network.
        for host in [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)] {
            let to = SocketAddr::from((host, port));
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

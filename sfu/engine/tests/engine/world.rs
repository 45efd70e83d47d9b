//! An engine on free ports, and a client that sends checks.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    time::{Duration, Instant},
};

use plenum_engine::{Clock, Engine, EngineConfig, ServeUntil, ShardNews};
use plenum_transport::ConnectivityCheck;
use plenum_types::{
    IceCredentials, ParticipantId, RoomHandle, RoomToShard, ShardCommand, ShardId, TransportId,
    TransportParams,
};
use tokio::sync::mpsc::Receiver;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence is listened to.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

pub(crate) fn config(shards: u16, serve_until: ServeUntil) -> EngineConfig {
    let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    EngineConfig {
        shards,
        bind: vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
        ports: first..=first.saturating_add(50),
        tcp_port: 0,
        budgets: Default::default(),
        serve_until,
    }
}

pub(crate) fn engine(shards: u16, serve_until: ServeUntil) -> (Engine, Vec<Receiver<ShardNews>>) {
    Engine::start(&config(shards, serve_until), Clock::start()).unwrap()
}

/// A TCP port on which nothing is bound.
pub(crate) fn free_tcp_port() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    probe.local_addr().unwrap().port()
}

pub(crate) fn open_transport(engine: &Engine, shard: ShardId) -> IceCredentials {
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

pub(crate) fn check(local: &IceCredentials) -> Vec<u8> {
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
pub(crate) const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];

/// Sends the same datagram until something answers.
pub(crate) fn ask(
    client: &UdpSocket,
    to: SocketAddr,
    datagram: &[u8],
) -> Option<(Vec<u8>, SocketAddr)> {
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
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

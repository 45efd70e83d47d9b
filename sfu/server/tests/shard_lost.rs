//! A Shard that panics or hangs in a whole server: its rooms reconnect, others notice nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use livekit_protocol::{
    self as proto, leave_request::Action, signal_request::Message as Request,
    signal_response::Message as Response, simulate_scenario::Scenario,
};
use plenum_engine::{Driven, Shard, ShardConfig};
use plenum_server::{
    auth::VideoGrant, config::Config, log::LogFilter, reload::Source, run::Server,
};
use plenum_transport::ConnectivityCheck;
use plenum_types::{Path, RoomToShard, ShardId, Timestamp};
use prost::Message as _;
use support::{Client, KEY, SECRET, free_ports, request_to, token, wait_for};

/// What a browser offers as it joins.
const OFFER: &str = include_str!("../../negotiation/tests/fixtures/chromium_join.sdp");

/// A Shard that panics at its next packet once it is doomed.
struct Fragile {
    shard: Shard,
    doomed: Option<Arc<AtomicBool>>,
}

impl Driven for Fragile {
    fn shard(&self) -> &Shard {
        &self.shard
    }
    fn shard_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
    fn handle_packet(&mut self, now: Timestamp, path: Path, packet: &mut [u8]) {
        if let Some(doomed) = &self.doomed
            && doomed.swap(false, Ordering::AcqRel)
        {
            panic!("injected by the test");
        }
        self.shard.handle_packet(now, path, packet);
    }
}

/// What a Shard passes before each command. It counts them.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Default)]
struct GateState {
    is_shut: bool,
    passed: usize,
}

impl Gate {
    fn shut(&self, is_shut: bool) {
        self.state.lock().unwrap().is_shut = is_shut;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let state = self.state.lock().unwrap();
        let mut open = self
            .opened
            .wait_while(state, |state| state.is_shut)
            .unwrap();
        open.passed += 1;
    }

    fn passed(&self) -> usize {
        self.state.lock().unwrap().passed
    }
}

/// A Shard that hangs in a command while its gate is shut.
struct Gated {
    shard: Shard,
    gate: Option<Arc<Gate>>,
}

impl Driven for Gated {
    fn shard(&self) -> &Shard {
        &self.shard
    }
    fn shard_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
    fn handle_command(&mut self, now: Timestamp, command: RoomToShard) {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        self.shard.handle_command(now, command);
    }
}

/// A server with two Shards, of which the first one panics when it is doomed.
fn start_fragile(doomed: &Arc<AtomicBool>) -> (SocketAddr, u16) {
    let doomed = doomed.clone();
    start(move |config, now| Fragile {
        doomed: (config.shard == ShardId(0)).then(|| doomed.clone()),
        shard: Shard::new(config, now),
    })
}

/// A server with two Shards, of which the first one hangs while its gate is shut.
fn start_gated(gate: &Arc<Gate>) -> (SocketAddr, u16) {
    let gate = gate.clone();
    start(move |config, now| Gated {
        gate: (config.shard == ShardId(0)).then(|| gate.clone()),
        shard: Shard::new(config, now),
    })
}

/// A server in this process with two of these Shards; where it listens, and the port of the first Shard.
fn start<S: Driven>(
    make_shard: impl Fn(ShardConfig, Timestamp) -> S + Send + Sync + 'static,
) -> (SocketAddr, u16) {
    let port = free_ports();
    let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut config = Config {
        port,
        bind: vec![host],
        ..Config::default()
    };
    config.keys.insert(KEY, SECRET);
    config.rtc.min_port = port + 1;
    config.rtc.max_port = port + 2;
    config.rtc.tcp_port = 0;
    config.rtc.shards = 2;
    // A server brings its runtime, and so does this test: each to its own thread.
    std::thread::spawn(move || {
        let server = Server::start_with(config, true, make_shard);
        let source = Source {
            file: None,
            dev: true,
            log: LogFilter::fixed(),
        };
        server.unwrap().serve(source)
    });
    let address = SocketAddr::new(host, port);
    wait_for("the server to be ready", || {
        std::net::TcpStream::connect(address).is_ok()
            && request_to(address, "GET", "/health/ready", &[], b"").status == 200
    });
    (address, port + 1)
}

/// Joins as a browser does; its connection, and the ufrag and password of the answer.
async fn join(server: SocketAddr, room: &str) -> (Client, String, String) {
    let join = proto::JoinRequest {
        client_info: Some(proto::ClientInfo {
            protocol: 16,
            ..proto::ClientInfo::default()
        }),
        publisher_offer: Some(proto::SessionDescription {
            r#type: "offer".to_owned(),
            sdp: OFFER.to_owned(),
            id: 1,
            ..proto::SessionDescription::default()
        }),
        ..proto::JoinRequest::default()
    };
    let wrapped = proto::WrappedJoinRequest {
        join_request: join.encode_to_vec(),
        ..proto::WrappedJoinRequest::default()
    };
    let path = format!(
        "/rtc/v1?join_request={}",
        URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec())
    );
    let token = token(|claims| claims.video = VideoGrant::join(room));
    let mut client = Client::connect(server, &path, &token).await;
    let answer = client
        .until(|message| match message {
            Response::Answer(answer) => Some(answer.sdp),
            _ => None,
        })
        .await;
    let value = |name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    let (ufrag, pwd) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
    (client, ufrag, pwd)
}

/// The Leave that a client gets.
async fn leave(client: &mut Client) -> proto::LeaveRequest {
    client
        .until(|message| match message {
            Response::Leave(leave) => Some(leave),
            _ => None,
        })
        .await
}

/// Whether the Shard at this port answers a check with these credentials.
fn answers(port: u16, ufrag: &str, pwd: &str) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    (0..5).any(|_| {
        let check = ConnectivityCheck {
            transaction: std::array::from_fn(|_| fastrand::u8(..)),
            receiver_ufrag: ufrag,
            sender_ufrag: "peer",
            receiver_pwd: pwd,
            use_candidate: true,
        };
        socket.send(&check.to_datagram()).unwrap();
        socket.recv(&mut [0; 1500]).is_ok()
    })
}

#[tokio::test]
async fn only_the_rooms_of_a_shard_that_panics_reconnect() {
    let doomed = Arc::new(AtomicBool::new(false));
    let (server, port) = start_fragile(&doomed);
    // Rooms go to the emptiest Shard, the first one first.
    let (mut first, ufrag, pwd) = join(server, "first").await;
    let (mut second, other_ufrag, other_pwd) = join(server, "second").await;
    assert!(ufrag.starts_with("0000") && other_ufrag.starts_with("0001"));
    assert!(answers(port, &ufrag, &pwd));
    assert!(answers(port + 1, &other_ufrag, &other_pwd));

    doomed.store(true, Ordering::Release);
    // The panic takes the packet along.
    assert!(!answers(port, &ufrag, &pwd));
    assert!(!doomed.load(Ordering::Acquire));
    assert_eq!(leave(&mut first).await.action(), Action::Reconnect);

    // As clients do: the same person in the same room, served by a fresh Shard at the same port.
    let (_first, ufrag, pwd) = join(server, "first").await;
    assert!(answers(port, &ufrag, &pwd));
    assert!(answers(port + 1, &other_ufrag, &other_pwd));
    assert!(
        second.is_served().await,
        "a Leave, or the end, came instead"
    );
    let health = request_to(server, "GET", "/health", &[], b"").json();
    assert_eq!(health["shards"][0]["restarts"], 1);
    assert_eq!(health["status"], "ok");
    let live = request_to(server, "GET", "/health/live", &[], b"");
    assert_eq!(live.status, 200);
}

#[tokio::test]
async fn a_shard_that_panics_again_and_again_makes_the_member_unhealthy() {
    let doomed = Arc::new(AtomicBool::new(false));
    let (server, port) = start_fragile(&doomed);
    for _ in 0..4 {
        doomed.store(true, Ordering::Release);
        assert!(!answers(port, "0000stranger0000", "no password at all"));
    }
    for path in ["/health/live", "/health/ready"] {
        wait_for("the member to say so", || {
            request_to(server, "GET", path, &[], b"").status == 503
        });
    }
}

#[tokio::test]
async fn a_room_whose_shard_takes_no_more_commands_reconnects() {
    /// Commands that may wait for a Shard (`COMMAND_QUEUE` of the engine).
    const QUEUE: usize = 8192;
    let gate = Arc::new(Gate::default());
    let (server, port) = start_gated(&gate);
    let (mut first, ufrag, pwd) = join(server, "first").await;
    let (mut second, other_ufrag, other_pwd) = join(server, "second").await;
    assert!(ufrag.starts_with("0000") && other_ufrag.starts_with("0001"));
    assert!(answers(port, &ufrag, &pwd));

    gate.shut(true);
    let passed = gate.passed();
    // Each is one command and has no answer. One hangs, and as many as there is place for wait.
    for _ in 0..QUEUE + 100 {
        let scenario = Some(Scenario::SubscriberBandwidth(1_000_000));
        first
            .send(Request::Simulate(proto::SimulateScenario { scenario }))
            .await;
    }
    assert_eq!(leave(&mut first).await.action(), Action::Reconnect);
    assert_eq!(gate.passed(), passed, "the shard did not hang");
    let metrics = request_to(server, "GET", "/metrics", &[], b"").body;
    let refused = metrics
        .lines()
        .find_map(|line| line.strip_prefix("plenum_shard_commands_refused_total{shard=\"0\"} "));
    assert_ne!(refused.unwrap(), "0");
    assert!(
        second.is_served().await,
        "a Leave, or the end, came instead"
    );
    assert!(answers(port + 1, &other_ufrag, &other_pwd));

    gate.shut(false);
    wait_for("the shard to have caught up", || {
        gate.passed() >= passed + QUEUE
    });
    // As clients do: the same person in the same room, whose media is made anew.
    let (mut first, new_ufrag, pwd) = join(server, "first").await;
    assert_ne!(new_ufrag, ufrag);
    assert!(answers(port, &new_ufrag, &pwd));
    assert!(first.is_served().await, "a Leave, or the end, came instead");
    let health = request_to(server, "GET", "/health", &[], b"").json();
    assert_eq!(health["shards"][0]["restarts"], 0);
    assert_eq!(health["status"], "ok");
}

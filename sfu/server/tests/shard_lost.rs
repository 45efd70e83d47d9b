//! A Shard that panics in a whole server: its rooms reconnect to a fresh one, others notice nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use livekit_protocol::{
    self as proto, leave_request::Action, signal_response::Message as Response,
};
use plenum_engine::{Driven, Shard};
use plenum_server::{
    auth::VideoGrant, config::Config, log::LogFilter, reload::Source, run::Server,
};
use plenum_transport::ConnectivityCheck;
use plenum_types::{Path, ShardId, Timestamp};
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

/// A server in this process with two Shards, of which the first one panics when it is doomed.
fn start(doomed: &Arc<AtomicBool>) -> (SocketAddr, u16) {
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
    let doomed = doomed.clone();
    // A server brings its runtime, and so does this test: each to its own thread.
    std::thread::spawn(move || {
        let server = Server::start_with(config, true, move |config, now| Fragile {
            doomed: (config.shard == ShardId(0)).then(|| doomed.clone()),
            shard: Shard::new(config, now),
        });
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
    let (server, port) = start(&doomed);
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
    let leave = first
        .until(|message| match message {
            Response::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.action(), Action::Reconnect);

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
    let (server, port) = start(&doomed);
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

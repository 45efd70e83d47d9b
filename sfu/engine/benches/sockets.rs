//! What the thread of a Shard allocates while it forwards: sound of one publisher to fifty subscribers over real sockets.
//!
//! Prints `figure engine_allocs_per_packet` (Rust's and C's allocations of the thread over datagrams sent).
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measurement's own data is never outside data, and it takes real time"
)]

#[path = "../../media/benches/counting/mod.rs"]
mod counting;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use counting::{ALLOCATIONS, COUNTING};
use plenum_engine::{Clock, Engine, EngineConfig, ServeUntil, Shard, ShardConfig};
use plenum_transport::{ConnectivityCheck, MAX_SRTP_OVERHEAD, MasterKey, SrtpSender};
use plenum_types::{
    Codec, EncodingParams, ExtensionIds, IceCredentials, LayerTarget, MediaKind, ParticipantId,
    PayloadType, ReceiverCodec, ReceiverParams, RoomHandle, RoomToShard, SenderParams,
    ShardCommand, Sink, SrtpProfile, Ssrc, SubscriptionId, Timestamp, TrackId, TransportId,
    TransportParams,
};

const SUBSCRIBERS: u64 = 50;
/// Packets of the publisher a second.
const RATE: u32 = 500;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED_PACKETS: u64 = 50_000;
/// A Transport without checks ends after 15 s.
const PATIENCE: Duration = Duration::from_secs(12);
const OPUS: u8 = 111;
const SSRC: u32 = 0x1234_5678;
const ROOM: RoomHandle = RoomHandle(1);

fn key(fill: u8) -> MasterKey {
    let profile = SrtpProfile::AeadAes256Gcm;
    let (key, salt) = MasterKey::lengths(profile);
    MasterKey::new(profile, &vec![fill; key], &vec![fill ^ 0x55; salt]).unwrap()
}

fn credentials(client: u64) -> IceCredentials {
    IceCredentials {
        ufrag: format!("0000{client:012}"),
        pwd: "a password of 24 letters".replace(' ', "x"),
    }
}

/// A Shard in which all is set up; its thread is counted from here on.
fn prepared(config: ShardConfig, now: Timestamp) -> Shard {
    let mut shard = Shard::new(config, now);
    let tell = |shard: &mut Shard, command| {
        let command = RoomToShard {
            room: ROOM,
            command,
        };
        shard.handle_command(now, command);
    };
    for client in 0..=SUBSCRIBERS {
        let open = ShardCommand::OpenTransport(TransportParams {
            transport: TransportId(client),
            participant: ParticipantId(client),
            local: credentials(client),
        });
        tell(&mut shard, open);
        shard
            .connect_with_keys(now, ROOM, TransportId(client), &key(1), &key(2))
            .unwrap();
    }
    let track = ShardCommand::AddTrack {
        track: TrackId(1),
        transport: TransportId(0),
        participant: ParticipantId(0),
        receiver: ReceiverParams {
            mid: "0".into(),
            kind: MediaKind::Audio,
            codecs: [ReceiverCodec {
                payload_type: PayloadType(OPUS),
                codec: Codec::Opus,
                rtx: None,
                nack: false,
                transport_cc: false,
            }]
            .into_iter()
            .collect(),
            extensions: ExtensionIds::default(),
            encodings: [EncodingParams {
                rid: None,
                ssrc: Some(Ssrc(SSRC)),
                rtx_ssrc: None,
                spatial: 0,
            }]
            .into_iter()
            .collect(),
        },
    };
    tell(&mut shard, track);
    for client in 1..=SUBSCRIBERS {
        let subscribe = ShardCommand::AddSubscription {
            subscription: SubscriptionId(client),
            track: TrackId(1),
            sink: Sink::Transport(TransportId(client)),
            sender: SenderParams {
                mid: "0".into(),
                ssrc: Ssrc(0x10_000 + client as u32),
                rtx_ssrc: None,
                codec: Codec::Opus,
                payload_type: PayloadType(OPUS),
                opus_payload_type: None,
                rtx_payload_type: None,
                nack: false,
                extensions: ExtensionIds::default(),
            },
            target: LayerTarget::HIGHEST,
        };
        tell(&mut shard, subscribe);
    }
    COUNTING.set(true);
    shard
}

struct Publisher {
    socket: UdpSocket,
    sealer: SrtpSender,
    sequence: u64,
}

impl Publisher {
    fn send(&mut self) {
        self.sequence += 1;
        let mut packet = vec![0x80, OPUS];
        packet.extend((self.sequence as u16).to_be_bytes());
        packet.extend((self.sequence as u32).wrapping_mul(96).to_be_bytes());
        packet.extend(SSRC.to_be_bytes());
        packet.extend([7; 60]);
        let len = packet.len();
        packet.resize(len + MAX_SRTP_OVERHEAD, 0);
        let len = self
            .sealer
            .seal_rtp(self.sequence, 12, &mut packet, len)
            .unwrap();
        self.socket.send(&packet[..len]).unwrap();
    }
}

/// Checks the path of a client until it is answered.
fn check(socket: &UdpSocket, client: u64) {
    let local = credentials(client);
    let mut answer = [0; 1_500];
    for _ in 0..50 {
        let check = ConnectivityCheck {
            transaction: std::array::from_fn(|_| fastrand::u8(..)),
            receiver_ufrag: &local.ufrag,
            sender_ufrag: "peer",
            receiver_pwd: &local.pwd,
            use_candidate: true,
        };
        socket.send(&check.to_datagram()).unwrap();
        while let Ok(len) = socket.recv(&mut answer) {
            if answer[..len].starts_with(&[0x01, 0x01]) {
                return;
            }
        }
    }
    panic!("client {client} gets no answer to its checks");
}

fn main() {
    let first = fastrand::u16(31_000..32_000);
    let config = EngineConfig {
        shards: 1,
        bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ports: first..=first + 50,
        tcp_port: 0,
        budgets: Default::default(),
        serve_until: ServeUntil::forever(),
    };
    let (engine, _news) = Engine::start_with(&config, Clock::start(), prepared).unwrap();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, engine.ports()[0]));
    let clients: Vec<UdpSocket> = (0..=SUBSCRIBERS)
        .map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.connect(server).unwrap();
            let wait = Duration::from_millis(100);
            socket.set_read_timeout(Some(wait)).unwrap();
            socket
        })
        .collect();
    for (client, socket) in (0..).zip(&clients) {
        check(socket, client);
    }
    let mut publisher = Publisher {
        socket: clients[0].try_clone().unwrap(),
        sealer: SrtpSender::new(&key(2)).unwrap(),
        sequence: 0,
    };
    let started = Instant::now();
    let sent = || engine.status()[0].io.datagrams_sent;
    let mut measured: Option<(u64, u64)> = None;
    for packet in 0.. {
        publisher.send();
        let due = started + packet * Duration::from_secs(1) / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        match measured {
            None if started.elapsed() >= WARM_UP => {
                measured = Some((sent(), ALLOCATIONS.load(Ordering::Relaxed)));
            }
            Some((before, _)) if sent() - before >= MEASURED_PACKETS => break,
            _ => {}
        }
        assert!(started.elapsed() < PATIENCE, "too slow: {} sent", sent());
    }
    let (before, allocated) = measured.unwrap();
    let packets = sent() - before;
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocated;
    assert!(engine.status()[0].stats.rtp_sent >= packets);
    println!("{packets} datagrams to {SUBSCRIBERS} subscribers, {allocations} allocations");
    println!(
        "figure engine_allocs_per_packet = {:.6} (goal 0)",
        allocations as f64 / packets as f64
    );
    engine.stop();
}

//! Clients that really shake hands: DTLS, SRTP and data channels through the Shard's public entry.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed test, in its helpers too"
)]

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use livekit_protocol::{DataPacket, UserPacket, data_packet::Value};
use plenum_media::{Budgets, Run, Shard, ShardConfig, TransmitSink, Transmitted};
use plenum_transport::{
    Certificate, ConnectivityCheck, Transport, TransportConfig, TransportEvent,
};
use plenum_types::{
    DataAudience, DataChannel, DataParticipant, DataPolicy, DtlsRole, IceCredentials,
    ParticipantId, Path, RemoteParams, RoomToShard, SctpParams, ShardCommand, ShardEvent, ShardId,
    Timestamp, TransportId, TransportParams, TransportState, WallClock,
};
use prost::Message;

const SERVER: &str = "127.0.0.1:7882";

struct Peer {
    transport: Transport,
    address: SocketAddr,
    received: Vec<(DataChannel, DataPacket)>,
    open: Vec<DataChannel>,
    /// Bytes that its downlink carries in a step of [`World::run`].
    link: usize,
    /// What its downlink has not carried yet.
    queued: VecDeque<Vec<u8>>,
}

struct World {
    shard: Shard,
    now: Timestamp,
    wall: WallClock,
    certificate: Arc<Certificate>,
    peers: Vec<Peer>,
    events: Vec<ShardEvent>,
}

#[derive(Default)]
struct Wire(Vec<(SocketAddr, Vec<u8>)>);

impl TransmitSink for Wire {
    fn transmit(&mut self, run: Run<'_>) -> Transmitted {
        for datagram in run.contents.chunks(run.segment_size) {
            self.0.push((run.path.remote(), datagram.to_vec()));
        }
        Transmitted::Sent
    }
}

fn server_credentials(id: u64) -> IceCredentials {
    credentials(&format!("0000server{id:06}"))
}

fn client_credentials(id: u64) -> IceCredentials {
    credentials(&format!("client{id:04}"))
}

fn credentials(name: &str) -> IceCredentials {
    IceCredentials {
        ufrag: name.into(),
        pwd: format!("a-long-password-of-{name}"),
    }
}

impl Peer {
    fn path(&self) -> Path {
        Path::Udp {
            local: self.address,
            remote: SERVER.parse().unwrap(),
        }
    }

    /// Takes what its downlink carries in this step; `false` if there was nothing.
    fn receive(&mut self, now: Timestamp) -> bool {
        let path = self.path();
        let mut received = false;
        while let Some(left) = self
            .queued
            .front()
            .and_then(|datagram| self.link.checked_sub(datagram.len()))
        {
            let datagram = self.queued.pop_front().unwrap();
            if self.link < usize::MAX {
                self.link = left;
            }
            received = true;
            match plenum_transport::classify(&datagram) {
                plenum_transport::DatagramKind::Dtls => {
                    self.transport.handle_dtls(path, &datagram, now);
                }
                plenum_transport::DatagramKind::Stun => {
                    self.transport.handle_stun(path, &datagram, now);
                }
                _ => {}
            }
        }
        while let Some(event) = self.transport.poll_event() {
            match event {
                TransportEvent::Data { channel, payload } => self
                    .received
                    .push((channel, DataPacket::decode(payload.as_slice()).unwrap())),
                TransportEvent::ChannelOpen(channel) => self.open.push(channel),
                _ => {}
            }
        }
        received
    }
}

impl World {
    fn new() -> Self {
        let certificate = Arc::new(Certificate::generate().unwrap());
        let now = Timestamp::from_millis(1_000);
        let wall = WallClock::default();
        let config = ShardConfig {
            shard: ShardId(0),
            certificate: certificate.clone(),
            epoch: crate::common::epoch(),
            wall,
            budgets: Budgets::default(),
        };
        Self {
            shard: Shard::new(config, now),
            now,
            wall,
            certificate,
            peers: Vec::new(),
            events: Vec::new(),
        }
    }

    fn command(&mut self, command: ShardCommand) {
        self.shard.handle_command(
            self.now,
            RoomToShard {
                room: crate::common::ROOM,
                command,
            },
        );
    }

    fn check(transport: u64, ours: &IceCredentials, theirs: &str) -> Vec<u8> {
        ConnectivityCheck {
            transaction: [transport as u8; 12],
            receiver_ufrag: &ours.ufrag,
            sender_ufrag: theirs,
            receiver_pwd: &ours.pwd,
            use_candidate: true,
        }
        .to_datagram()
    }

    /// A client that has exchanged descriptions with the server; its handshake goes on with [`run`](Self::run).
    fn join(&mut self) -> usize {
        let place = self.peers.len();
        let id = place as u64 + 1;
        let (server, client) = (server_credentials(id), client_credentials(id));
        let certificate = Arc::new(Certificate::generate().unwrap());
        let sctp = SctpParams {
            remote_port: 5_000,
            max_message_size: 262_144,
            open_channels: false,
        };
        self.command(ShardCommand::OpenTransport(TransportParams {
            transport: TransportId(id),
            participant: ParticipantId(id),
            local: server.clone(),
        }));
        self.command(ShardCommand::ConnectTransport {
            transport: TransportId(id),
            remote: RemoteParams {
                ice: client.clone(),
                fingerprint: certificate.fingerprint(),
                dtls_role: DtlsRole::Passive,
                sctp: Some(sctp),
            },
        });
        let mut transport = Transport::new(TransportConfig {
            local: client,
            certificate,
            epoch: crate::common::epoch(),
        });
        transport.connect(
            &RemoteParams {
                ice: server,
                fingerprint: self.certificate.fingerprint(),
                dtls_role: DtlsRole::Active,
                sctp: Some(SctpParams {
                    open_channels: true,
                    ..sctp
                }),
            },
            self.now,
        );
        self.peers.push(Peer {
            transport,
            address: SocketAddr::from(([10, 0, 0, 2], 20_000 + place as u16)),
            received: Vec::new(),
            open: Vec::new(),
            link: usize::MAX,
            queued: VecDeque::new(),
        });
        self.check_path(place);
        place
    }

    /// Each side proves its path to the other.
    fn check_path(&mut self, place: usize) {
        let id = place as u64 + 1;
        let (server, client) = (server_credentials(id), client_credentials(id));
        let peer = &mut self.peers[place];
        self.shard.handle_datagram(
            self.now,
            SERVER.parse().unwrap(),
            peer.address,
            &mut Self::check(id, &server, &client.ufrag),
        );
        let path = peer.path();
        peer.transport
            .handle_stun(path, &Self::check(id, &client, &server.ufrag), self.now);
    }

    /// Every now and then clients check their paths.
    fn check_paths(&mut self, step: u32) {
        if !step.is_multiple_of(400) {
            return;
        }
        for place in 0..self.peers.len() {
            self.check_path(place);
        }
    }

    fn run(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while self.now < until {
            self.exchange();
            self.now += Duration::from_millis(5);
            self.shard.handle_timeout(self.now);
            for peer in &mut self.peers {
                peer.transport.handle_timeout(self.now);
            }
        }
        self.exchange();
    }

    fn exchange(&mut self) {
        let server: SocketAddr = SERVER.parse().unwrap();
        for _ in 0..100 {
            let mut idle = true;
            for peer in &mut self.peers {
                let mut buffer = [0; 2_000];
                while let Some((_, len)) = peer.transport.poll_transmit(&mut buffer) {
                    idle = false;
                    self.shard
                        .handle_datagram(self.now, server, peer.address, &mut buffer[..len]);
                }
            }
            let mut wire = Wire::default();
            self.shard.flush(self.now, self.wall, &mut wire);
            for (to, datagram) in wire.0 {
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.address == to) {
                    peer.queued.push_back(datagram);
                }
            }
            for peer in &mut self.peers {
                idle &= !peer.receive(self.now);
            }
            while let Some(event) = self.shard.poll_event() {
                self.events.push(event.event);
            }
            if idle {
                break;
            }
        }
    }

    fn set_policy(&mut self, version: u64) {
        let participants = (1..=self.peers.len() as u64)
            .map(|id| DataParticipant {
                participant: ParticipantId(id),
                identity: format!("client-{id}").into(),
                sid: format!("PA_{id}").into(),
                downlink: Some(TransportId(id)),
                hidden: false,
                can_publish_data: true,
                can_subscribe_metrics: false,
                agent: false,
            })
            .collect();
        self.command(ShardCommand::SetDataPolicy(DataPolicy {
            version,
            participants,
        }));
    }

    fn send(&mut self, peer: usize, channel: DataChannel, sequence: u32) {
        let message = DataPacket {
            sequence,
            participant_identity: "forged".into(),
            value: Some(Value::User(UserPacket {
                payload: vec![7; 3_000],
                ..Default::default()
            })),
            ..Default::default()
        }
        .encode_to_vec();
        self.peers[peer]
            .transport
            .send_data(channel, &message, self.now)
            .unwrap();
    }
}

#[test]
fn clients_connect_and_data_finds_its_way() {
    let mut world = World::new();
    let (alice, bob) = (world.join(), world.join());
    world.set_policy(1);
    world.run(1_000);
    for id in 1..=2 {
        assert!(world.events.iter().any(|event| matches!(
            event,
            ShardEvent::TransportState { transport: TransportId(transport), state: TransportState::Connected { .. } }
                if *transport == id
        )));
        assert!(world.events.contains(&ShardEvent::DataChannelOpen {
            transport: TransportId(id),
            channel: DataChannel::Reliable,
        }));
    }
    world.send(alice, DataChannel::Reliable, 1);
    world.send(alice, DataChannel::Reliable, 2);
    world.send(alice, DataChannel::Reliable, 2);
    world.send(alice, DataChannel::Lossy, 0);
    world.run(200);
    let got: Vec<_> = world.peers[bob]
        .received
        .iter()
        .map(|(channel, packet)| {
            (
                *channel,
                packet.sequence,
                packet.participant_identity.as_str(),
            )
        })
        .collect();
    assert_eq!(got.len(), 3);
    assert!(got.contains(&(DataChannel::Reliable, 1, "client-1")));
    assert!(got.contains(&(DataChannel::Reliable, 2, "client-1")));
    assert!(got.contains(&(DataChannel::Lossy, 0, "client-1")));
    assert!(world.peers[alice].received.is_empty());
    assert!(world.events.contains(&ShardEvent::DataProgress {
        participant: ParticipantId(1),
        last_sequence: 2,
    }));
}

#[test]
fn reliable_data_waits_for_a_receiver_that_is_still_connecting() {
    let mut world = World::new();
    let alice = world.join();
    world.run(1_000);
    let bob = world.join();
    world.set_policy(1);
    for sequence in 1..=5 {
        world.send(alice, DataChannel::Reliable, sequence);
    }
    let message = DataPacket {
        value: Some(Value::User(UserPacket::default())),
        ..Default::default()
    };
    world.command(ShardCommand::SendData {
        audience: DataAudience::Only(vec![ParticipantId(2)]),
        channel: DataChannel::Reliable,
        packet: message.encode_to_vec(),
    });
    world.run(1_000);
    let sequences: Vec<_> = world.peers[bob]
        .received
        .iter()
        .map(|(_, packet)| packet.sequence)
        .filter(|sequence| *sequence > 0)
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    assert_eq!(world.peers[bob].received.len(), 6);
}

#[test]
fn a_closed_transport_says_goodbye() {
    let mut world = World::new();
    let alice = world.join();
    world.run(1_000);
    assert!(world.peers[alice].transport.is_connected());
    world.command(ShardCommand::CloseTransport {
        transport: TransportId(1),
    });
    world.exchange();
    assert!(world.peers[alice].transport.is_closed());
    assert_eq!(world.shard.stats().transports, 0);
}

#[test]
fn a_flood_of_reliable_data_costs_slow_receivers_neither_connection_nor_messages_of_others() {
    let mut world = World::new();
    let (alice, bob, carol) = (world.join(), world.join(), world.join());
    world.set_policy(1);
    world.run(1_000);
    let mut sequence = 0;
    for step in 0..2_000u32 {
        // Bob has 10 Mbit/s; Alice sends 20, Carol speaks ten times a second.
        world.peers[bob].link = 6_250;
        for _ in 0..4 {
            sequence += 1;
            world.send(alice, DataChannel::Reliable, sequence);
        }
        if step.is_multiple_of(20) {
            world.send(carol, DataChannel::Reliable, step / 20 + 1);
        }
        world.run(5);
        world.check_paths(step);
    }
    world.peers[bob].link = usize::MAX;
    world.run(2_000);
    let lost = world
        .events
        .iter()
        .any(|event| matches!(event, ShardEvent::DataOverflow { .. }));
    assert!(!lost, "nobody starts over");
    let count = |at: usize, from: &str| {
        let from = |packet: &DataPacket| packet.participant_identity == from;
        let received = world.peers[at].received.iter();
        received.filter(|(_, packet)| from(packet)).count()
    };
    assert_eq!(count(bob, "client-3"), 100, "Carol is heard");
    assert_eq!(
        count(carol, "client-1"),
        8_000,
        "who can take the flood gets it"
    );
    let got = count(bob, "client-1");
    assert!(
        (3_000..5_000).contains(&got),
        "{got} is not what Bob's link carries"
    );
    let stats = world.shard.stats();
    assert_eq!(stats.data_over_rate, 8_000 - got as u64);
}

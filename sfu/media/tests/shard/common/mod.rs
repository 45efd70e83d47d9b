//! A call without a network: clients with given keys around one Shard, on a clock that the test moves.
#![allow(
    dead_code,
    unused_imports,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "shared by tests, none of which uses all of it; a panic is a failed test"
)]

mod camera;
mod client;
mod network;
mod tracks;

pub use camera::{Camera, CameraLayer, CameraPacket};
pub use client::{Client, Feedback, Packet};
pub use network::Network;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use plenum_media::{Budgets, Shard, ShardConfig};
use plenum_rtp::{HeaderWriter, RtpHeader, packet::ExtensionForm, rtcp::RtcpWriter};
use plenum_transport::{
    Certificate, ConnectivityCheck, EpochInstant, MAX_SRTCP_OVERHEAD, MAX_SRTP_OVERHEAD, MasterKey,
    SrtpReceiver, SrtpSender,
};
use plenum_types::{
    Codec, IceCredentials, LayerTarget, ParticipantId, PayloadType, RoomHandle, RoomToShard,
    ShardCommand, ShardEvent, ShardId, SrtpProfile, Ssrc, Timestamp, TransportId, TransportParams,
    WallClock,
};

pub const ROOM: RoomHandle = RoomHandle(1);
pub const VP8: PayloadType = PayloadType(96);
pub const VP8_RTX: PayloadType = PayloadType(97);
pub const OPUS: PayloadType = PayloadType(111);
/// What subscribers expect.
pub const OUT_VP8: PayloadType = PayloadType(100);
pub const OUT_RTX: PayloadType = PayloadType(101);
pub const OUT_OPUS: PayloadType = PayloadType(109);
pub const OUT_RED: PayloadType = PayloadType(110);
pub const MID_ID: u8 = 4;
pub const TWCC_ID: u8 = 3;
pub const RID_ID: u8 = 10;
pub const REPAIRED_RID_ID: u8 = 11;
pub const LEVEL_ID: u8 = 1;
pub const SEND_TIME_ID: u8 = 2;
pub const CAPTURE_ID: u8 = 13;
pub const DEPENDENCY_ID: u8 = 12;
const SERVER: &str = "127.0.0.1:7882";

pub struct Call {
    pub shard: Shard,
    pub now: Timestamp,
    pub wall: WallClock,
    pub clients: Vec<Client>,
    pub network: Network,
    pub events: Vec<ShardEvent>,
    /// Whose commands are given.
    pub room: RoomHandle,
    next_id: u64,
}

pub fn epoch() -> EpochInstant {
    #[expect(
        clippy::disallowed_methods,
        reason = "the DTLS library counts from an instant; these Transports never use it"
    )]
    EpochInstant::new(std::time::Instant::now())
}

pub fn keys(seed: u8) -> (MasterKey, MasterKey) {
    let key = |salt: u8| {
        MasterKey::new(
            SrtpProfile::AeadAes256Gcm,
            &[seed.wrapping_add(salt); 32],
            &[seed ^ salt; 12],
        )
        .unwrap()
    };
    (key(1), key(2))
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

impl Call {
    pub fn new() -> Self {
        Self::with_budgets(Budgets::default())
    }

    pub fn with_budgets(budgets: Budgets) -> Self {
        let now = Timestamp::from_millis(10_000);
        let wall = WallClock {
            unix_nanos_at_zero: 1_700_000_000_000_000_000,
        };
        let config = ShardConfig {
            shard: ShardId(0),
            certificate: Arc::new(Certificate::generate().unwrap()),
            epoch: epoch(),
            wall,
            budgets,
        };
        Self {
            shard: Shard::new(config, now),
            now,
            wall,
            clients: Vec::new(),
            network: Network::default(),
            events: Vec::new(),
            room: ROOM,
            next_id: 1,
        }
    }

    /// Alice films in so many layers, the first with SSRC 1,000, and Bob gets the best of it. Their places, her camera and
    /// the SSRC that Bob gets it under.
    pub fn watched(layers: u8) -> (Self, [usize; 2], Camera, Ssrc) {
        let mut call = Self::new();
        let (alice, bob) = (call.join(), call.join());
        let track = call.add_video(alice, layers, 1_000);
        let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
        let camera = Camera::new(alice, layers, 1_000);
        (call, [alice, bob], camera, ssrc)
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn command(&mut self, command: ShardCommand) {
        self.shard.handle_command(
            self.now,
            RoomToShard {
                room: self.room,
                command,
            },
        );
    }

    /// A client joins and is connected; its place in `clients`.
    pub fn join(&mut self) -> usize {
        let client = self.join_unconnected();
        self.connect(client);
        client
    }

    pub fn join_unconnected(&mut self) -> usize {
        let place = self.clients.len();
        let transport = TransportId(self.id());
        let participant = ParticipantId(place as u64 + 1);
        self.command(ShardCommand::OpenTransport(TransportParams {
            transport,
            participant,
            local: IceCredentials {
                ufrag: format!("0000test{place:08}"),
                pwd: "a-password-of-24-letters".into(),
            },
        }));
        let (ours, theirs) = keys(place as u8 * 4);
        self.clients.push(Client {
            transport,
            participant,
            address: SocketAddr::from(([10, 0, 0, 1], 10_000 + place as u16)),
            sender: SrtpSender::new(&theirs).unwrap(),
            receiver: SrtpReceiver::new(&ours).unwrap(),
            packets: Vec::new(),
            feedback: Vec::new(),
            lose: false,
        });
        place
    }

    pub fn connect(&mut self, place: usize) {
        let (ours, theirs) = keys(place as u8 * 4);
        let transport = self.clients[place].transport;
        self.check_path(place);
        self.shard
            .connect_with_keys(self.now, self.room, transport, &ours, &theirs)
            .unwrap();
        self.settle();
    }

    /// The client's connectivity check; keeps its path alive.
    pub fn check_path(&mut self, place: usize) {
        let ufrag = format!("0000test{place:08}");
        let mut datagram = ConnectivityCheck {
            transaction: [place as u8; 12],
            receiver_ufrag: &ufrag,
            sender_ufrag: "client",
            receiver_pwd: "a-password-of-24-letters",
            use_candidate: true,
        }
        .to_datagram();
        self.datagram(place, &mut datagram);
    }

    pub fn datagram(&mut self, place: usize, datagram: &mut [u8]) {
        let remote = self.clients[place].address;
        self.shard
            .handle_datagram(self.now, SERVER.parse().unwrap(), remote, datagram);
    }

    /// Flushes, and lets clients read what came.
    pub fn settle(&mut self) {
        self.shard.flush(self.now, self.wall, &mut self.network);
        for (address, mut datagram) in self.network.datagrams.drain(..) {
            let Some(client) = self
                .clients
                .iter_mut()
                .find(|client| client.address == address)
            else {
                panic!("a datagram to nobody: {address}");
            };
            if client.lose {
                continue;
            }
            client.read(&mut datagram);
        }
        while let Some(event) = self.shard.poll_event() {
            assert_eq!(event.room, self.room);
            self.events.push(event.event);
        }
    }

    /// Lets time pass in steps that the Shard asks for; paths stay alive.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        loop {
            let next = self.shard.next_timeout().min(until);
            self.now = self.now.max(next);
            if self.shard.next_timeout() <= self.now {
                self.shard.handle_timeout(self.now);
            }
            self.settle();
            if self.now >= until {
                break;
            }
        }
        for place in 0..self.clients.len() {
            self.check_path(place);
        }
        self.settle();
    }

    pub fn advance_millis(&mut self, millis: u64) {
        self.advance(Duration::from_millis(millis));
    }

    /// Seals and delivers a packet of a client. `extended` counts its SSRC's wraps.
    pub fn send_rtp(
        &mut self,
        client: usize,
        extended: u64,
        header: RtpHeader,
        extensions: &[(u8, &[u8])],
        payload: &[u8],
    ) {
        let mut datagram = self.sealed_rtp(client, extended, header, extensions, payload);
        self.datagram(client, &mut datagram);
    }

    pub fn sealed_rtp(
        &mut self,
        client: usize,
        extended: u64,
        header: RtpHeader,
        extensions: &[(u8, &[u8])],
        payload: &[u8],
    ) -> Vec<u8> {
        let mut buffer = vec![0; 1_600];
        let form = if extensions.iter().all(|(_, value)| value.len() <= 16) {
            ExtensionForm::OneByte
        } else {
            ExtensionForm::TwoByte
        };
        let mut writer = HeaderWriter::new(&mut buffer, header, form).unwrap();
        for (id, value) in extensions {
            writer.push(*id, value).unwrap();
        }
        let header_len = writer.finish().unwrap();
        let len = header_len + payload.len();
        buffer[header_len..len].copy_from_slice(payload);
        let sealed = self.clients[client]
            .sender
            .seal_rtp(extended, header_len, &mut buffer, len)
            .unwrap();
        buffer.truncate(sealed);
        buffer
    }

    pub fn send_rtcp(&mut self, client: usize, write: impl FnOnce(&mut RtcpWriter<'_>)) {
        let mut buffer = vec![0; 1_500];
        let mut writer = RtcpWriter::new(&mut buffer);
        assert!(writer.receiver_report(Ssrc(77), &[]));
        write(&mut writer);
        let len = writer.len();
        let sealed = self.clients[client]
            .sender
            .seal_rtcp(&mut buffer, len)
            .unwrap();
        buffer.truncate(sealed);
        self.datagram(client, &mut buffer);
    }

    /// Seals and delivers a packet of which each byte is chosen but its number, which is taken from `extended`.
    pub fn send_raw_rtp(&mut self, client: usize, extended: u64, packet: &[u8]) {
        let mut buffer = packet.to_vec();
        buffer[2..4].copy_from_slice(&(extended as u16).to_be_bytes());
        buffer.resize(packet.len() + MAX_SRTP_OVERHEAD, 0);
        let sealed = self.clients[client]
            .sender
            .seal_rtp(extended, 12, &mut buffer, packet.len())
            .unwrap();
        self.datagram(client, &mut buffer[..sealed]);
    }

    /// Seals and delivers a compound packet of which each byte is chosen.
    pub fn send_raw_rtcp(&mut self, client: usize, packet: &[u8]) {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + MAX_SRTCP_OVERHEAD, 0);
        let sealed = self.clients[client]
            .sender
            .seal_rtcp(&mut buffer, packet.len())
            .unwrap();
        self.datagram(client, &mut buffer[..sealed]);
    }

    /// Packets of one stream that a client got since the last call.
    pub fn take(&mut self, client: usize, ssrc: Ssrc) -> Vec<Packet> {
        let (taken, rest) = std::mem::take(&mut self.clients[client].packets)
            .into_iter()
            .partition(|packet| packet.ssrc == ssrc);
        self.clients[client].packets = rest;
        taken
    }

    /// Key frame requests that a client got since the last call.
    pub fn take_plis(&mut self, client: usize) -> Vec<Ssrc> {
        std::mem::take(&mut self.clients[client].feedback)
            .into_iter()
            .filter_map(|feedback| match feedback {
                Feedback::Pli(ssrc) => Some(ssrc),
                _ => None,
            })
            .collect()
    }
}

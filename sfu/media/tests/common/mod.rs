//! A call without a network: clients with given keys around one Shard, on a clock that the test moves.
#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "shared by tests, none of which uses all of it; a panic is a failed test"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use plenum_media::{Budgets, Run, Shard, ShardConfig, TransmitSink, Transmitted};
use plenum_rtp::{
    HeaderWriter, RtpHeader, RtpPacket, Vp8Descriptor,
    packet::ExtensionForm,
    rtcp::{Compound, RtcpPacket, RtcpWriter, SenderInfo},
};
use plenum_transport::{
    Certificate, ConnectivityCheck, DatagramKind, EpochInstant, MasterKey, SrtpReceiver,
    SrtpSender, classify,
};
use plenum_types::{
    Codec, EncodingParams, ExtensionIds, IceCredentials, LayerTarget, MediaKind, ParticipantId,
    PayloadType, ReceiverCodec, ReceiverParams, Rid, RoomHandle, RoomToShard, RtpExtension,
    SenderParams, ShardCommand, ShardEvent, ShardId, Sink, SrtpProfile, Ssrc, SubscriptionId,
    Timestamp, TrackId, TransportId, TransportParams, WallClock,
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

/// An RTP packet as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub ssrc: Ssrc,
    pub payload_type: PayloadType,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Packet {
    pub fn vp8(&self) -> Vp8Descriptor {
        Vp8Descriptor::parse(&self.payload).unwrap()
    }

    pub fn picture_id(&self) -> u16 {
        self.vp8().picture_id.unwrap().value
    }
}

/// RTCP as a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feedback {
    Pli(Ssrc),
    Nack(Ssrc, Vec<u16>),
    SenderReport(SenderInfo),
    Reception(Vec<plenum_rtp::rtcp::ReportBlock>),
    Arrivals(Vec<(u16, bool)>),
}

pub struct Client {
    pub transport: TransportId,
    pub participant: ParticipantId,
    pub address: SocketAddr,
    pub sender: SrtpSender,
    pub receiver: SrtpReceiver,
    pub packets: Vec<Packet>,
    pub feedback: Vec<Feedback>,
    pub lose: bool,
}

/// What the Shard sends, and whether the socket takes it.
#[derive(Default)]
pub struct Network {
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub runs: Vec<usize>,
    pub full: bool,
}

impl TransmitSink for Network {
    fn transmit(&mut self, run: Run<'_>) -> Transmitted {
        if self.full {
            return Transmitted::WouldBlock;
        }
        self.runs.push(run.segments());
        for datagram in run.contents.chunks(run.segment_size) {
            self.datagrams.push((run.path.remote(), datagram.to_vec()));
        }
        Transmitted::Sent
    }
}

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
            match classify(&datagram) {
                DatagramKind::Rtp => {
                    let opened = client.receiver.open_rtp(&mut datagram).unwrap();
                    let packet = RtpPacket::parse(&datagram[..opened.len]).unwrap();
                    client.packets.push(Packet {
                        ssrc: packet.ssrc(),
                        payload_type: packet.payload_type(),
                        sequence: packet.sequence(),
                        timestamp: packet.timestamp(),
                        marker: packet.marker(),
                        payload: packet.payload().to_vec(),
                        extensions: packet
                            .extensions()
                            .map(|(id, value)| (id, value.to_vec()))
                            .collect(),
                    });
                }
                DatagramKind::Rtcp => {
                    let len = client.receiver.open_rtcp(&mut datagram).unwrap();
                    read_feedback(&datagram[..len], &mut client.feedback);
                }
                _ => {}
            }
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

    pub fn receiver_extensions() -> ExtensionIds {
        let mut ids = ExtensionIds::default();
        ids.set(RtpExtension::Mid, MID_ID);
        ids.set(RtpExtension::Rid, RID_ID);
        ids.set(RtpExtension::RepairedRid, REPAIRED_RID_ID);
        ids.set(RtpExtension::TransportWideCc, TWCC_ID);
        ids.set(RtpExtension::AudioLevel, LEVEL_ID);
        ids.set(RtpExtension::AbsCaptureTime, CAPTURE_ID);
        ids.set(RtpExtension::DependencyDescriptor, DEPENDENCY_ID);
        ids
    }

    /// A VP8 track with announced SSRCs: layer n has `ssrc + n`, its retransmissions `ssrc + 100 + n`.
    pub fn add_video(&mut self, client: usize, layers: u8, ssrc: u32) -> TrackId {
        self.add_track(client, MediaKind::Video, Self::announced(layers, ssrc))
    }

    fn announced(layers: u8, ssrc: u32) -> smallvec::SmallVec<[EncodingParams; 3]> {
        (0..layers)
            .map(|layer| EncodingParams {
                rid: None,
                ssrc: Some(Ssrc(ssrc + u32::from(layer))),
                rtx_ssrc: Some(Ssrc(ssrc + 100 + u32::from(layer))),
                spatial: layer,
            })
            .collect()
    }

    /// A track in other codecs, each under its payload type, with SSRCs as [`add_video`](Self::add_video) announces them.
    pub fn add_track_in(
        &mut self,
        client: usize,
        codecs: &[(PayloadType, Codec)],
        layers: u8,
        ssrc: u32,
    ) -> TrackId {
        let track = TrackId(self.id());
        let kind = codecs[0].1.kind();
        let mut receiver = Self::params(track, kind, Self::announced(layers, ssrc));
        receiver.codecs = codecs
            .iter()
            .map(|(payload_type, codec)| ReceiverCodec {
                payload_type: *payload_type,
                codec: *codec,
                rtx: None,
                nack: false,
                transport_cc: false,
            })
            .collect();
        self.command(ShardCommand::AddTrack {
            track,
            transport: self.clients[client].transport,
            participant: self.clients[client].participant,
            receiver,
        });
        track
    }

    /// What [`add_video`](Self::add_video) announced, to be changed.
    pub fn video_params(&self, track: TrackId, layers: u8, ssrc: u32) -> ReceiverParams {
        Self::params(track, MediaKind::Video, Self::announced(layers, ssrc))
    }

    /// A VP8 track whose layers are known by rid only.
    pub fn add_video_by_rid(&mut self, client: usize, rids: &[&str]) -> TrackId {
        let encodings = rids
            .iter()
            .enumerate()
            .map(|(spatial, rid)| EncodingParams {
                rid: Some(Rid::from(*rid)),
                ssrc: None,
                rtx_ssrc: None,
                spatial: spatial as u8,
            })
            .collect();
        self.add_track(client, MediaKind::Video, encodings)
    }

    pub fn add_audio(&mut self, client: usize, ssrc: u32) -> TrackId {
        let encodings = [EncodingParams {
            rid: None,
            ssrc: Some(Ssrc(ssrc)),
            rtx_ssrc: None,
            spatial: 0,
        }]
        .into_iter()
        .collect();
        self.add_track(client, MediaKind::Audio, encodings)
    }

    pub fn add_track(
        &mut self,
        client: usize,
        kind: MediaKind,
        encodings: smallvec::SmallVec<[EncodingParams; 3]>,
    ) -> TrackId {
        let track = TrackId(self.id());
        self.command(ShardCommand::AddTrack {
            track,
            transport: self.clients[client].transport,
            participant: self.clients[client].participant,
            receiver: Self::params(track, kind, encodings),
        });
        track
    }

    fn params(
        track: TrackId,
        kind: MediaKind,
        encodings: smallvec::SmallVec<[EncodingParams; 3]>,
    ) -> ReceiverParams {
        let (payload_type, codec, rtx) = match kind {
            MediaKind::Video => (VP8, Codec::Vp8, Some(VP8_RTX)),
            MediaKind::Audio => (OPUS, Codec::Opus, None),
        };
        ReceiverParams {
            mid: format!("{}", track.0).as_str().into(),
            kind,
            codecs: [ReceiverCodec {
                payload_type,
                codec,
                rtx,
                nack: kind == MediaKind::Video,
                transport_cc: true,
            }]
            .into_iter()
            .collect(),
            extensions: Self::receiver_extensions(),
            encodings,
        }
    }

    /// Subscribes with media SSRC `5,000 + id` and retransmissions at `9,000 + id`.
    pub fn subscribe(
        &mut self,
        client: usize,
        track: TrackId,
        codec: Codec,
        target: LayerTarget,
    ) -> (SubscriptionId, Ssrc) {
        let subscription = SubscriptionId(self.id());
        let sender = Self::sender_params(subscription, codec);
        let ssrc = sender.ssrc;
        self.command(ShardCommand::AddSubscription {
            subscription,
            track,
            sink: Sink::Transport(self.clients[client].transport),
            sender,
            target,
        });
        (subscription, ssrc)
    }

    /// What [`subscribe`](Self::subscribe) negotiates, to be changed.
    pub fn sender_params(subscription: SubscriptionId, codec: Codec) -> SenderParams {
        let SubscriptionId(id) = subscription;
        let video = codec.kind() == MediaKind::Video;
        let mut extensions = ExtensionIds::default();
        extensions.set(RtpExtension::Mid, MID_ID);
        extensions.set(RtpExtension::AbsSendTime, SEND_TIME_ID);
        extensions.set(RtpExtension::AbsCaptureTime, CAPTURE_ID);
        if codec == Codec::Av1 {
            extensions.set(RtpExtension::DependencyDescriptor, DEPENDENCY_ID);
        }
        if !video {
            extensions.set(RtpExtension::AudioLevel, LEVEL_ID);
        }
        SenderParams {
            mid: format!("{id}").as_str().into(),
            ssrc: Ssrc(5_000 + id as u32),
            rtx_ssrc: video.then(|| Ssrc(9_000 + id as u32)),
            codec,
            payload_type: match codec {
                Codec::Opus => OUT_OPUS,
                Codec::Red => OUT_RED,
                _ => OUT_VP8,
            },
            opus_payload_type: (codec == Codec::Red).then_some(OUT_OPUS),
            rtx_payload_type: video.then_some(OUT_RTX),
            nack: true,
            extensions,
        }
    }

    pub fn set_target(&mut self, subscription: SubscriptionId, target: LayerTarget) {
        self.command(ShardCommand::SetSubscriptionTarget {
            subscription,
            target,
        });
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

fn read_feedback(datagram: &[u8], into: &mut Vec<Feedback>) {
    for packet in Compound::new(datagram) {
        into.push(match packet {
            RtcpPacket::Pli { media } => Feedback::Pli(media),
            RtcpPacket::Nack(nack) => Feedback::Nack(nack.media, nack.pairs.collect()),
            RtcpPacket::SenderReport(report) => Feedback::SenderReport(report.info),
            RtcpPacket::ReceiverReport(report) => Feedback::Reception(report.blocks.collect()),
            RtcpPacket::TransportFeedback(feedback) => Feedback::Arrivals(
                feedback
                    .packets()
                    .map(|(sequence, time)| (sequence, time.is_some()))
                    .collect(),
            ),
            _ => continue,
        });
    }
}

/// One simulcast layer of a camera.
#[derive(Debug, Clone)]
pub struct CameraLayer {
    pub ssrc: Ssrc,
    pub next_sequence: u64,
    pub timestamp_offset: u32,
    pub picture_id: u16,
    pub tl0: u8,
    pub frames: u64,
}

/// A publisher's video: makes VP8 packets of any layer.
#[derive(Debug, Clone)]
pub struct Camera {
    pub client: usize,
    pub layers: Vec<CameraLayer>,
    pub packet_bytes: usize,
    /// Frame n of a layer has temporal layer n mod this.
    pub temporal_layers: u64,
    pub extensions: Vec<(u8, Vec<u8>)>,
}

/// A packet of a camera before sealing.
#[derive(Debug, Clone)]
pub struct CameraPacket {
    pub extended: u64,
    pub header: RtpHeader,
    pub payload: Vec<u8>,
}

impl Camera {
    pub fn new(client: usize, layers: u8, ssrc: u32) -> Self {
        Self {
            client,
            layers: (0..layers)
                .map(|layer| CameraLayer {
                    ssrc: Ssrc(ssrc + u32::from(layer)),
                    next_sequence: 65_530 - 40_000 * u64::from(layer % 2),
                    timestamp_offset: 1_000_000_007u32.wrapping_mul(u32::from(layer) + 4),
                    picture_id: 32_760 - u16::from(layer) * 77,
                    tl0: 250 - layer,
                    frames: 0,
                })
                .collect(),
            packet_bytes: 40,
            temporal_layers: 1,
            extensions: Vec::new(),
        }
    }

    /// Packets of the next frame of a layer, captured at `at`.
    pub fn frame(
        &mut self,
        layer: usize,
        key: bool,
        packets: usize,
        at: Timestamp,
    ) -> Vec<CameraPacket> {
        let state = &mut self.layers[layer];
        let timestamp =
            ((at.as_nanos() / 1_000 * 90 / 1_000) as u32).wrapping_add(state.timestamp_offset);
        let temporal = if key {
            0
        } else {
            (state.frames % self.temporal_layers) as u8
        };
        state.frames = if key { 1 } else { state.frames + 1 };
        state.picture_id = (state.picture_id + 1) & 0x7fff;
        if temporal == 0 {
            state.tl0 = state.tl0.wrapping_add(1);
        }
        (0..packets)
            .map(|place| {
                let first = u8::from(place == 0) << 4;
                let [high, low] = (state.picture_id | 0x8000).to_be_bytes();
                // Frames of temporal layer 1 refer to layer 0 only: a receiver may step up at each.
                let sync = u8::from(temporal > 0) << 5;
                let mut payload = vec![
                    0x80 | first,
                    0xe0,
                    high,
                    low,
                    state.tl0,
                    (temporal << 6) | sync,
                    u8::from(!key),
                    layer as u8,
                ];
                payload.resize(self.packet_bytes.max(8), place as u8);
                let extended = state.next_sequence;
                state.next_sequence += 1;
                CameraPacket {
                    extended,
                    header: RtpHeader {
                        marker: place + 1 == packets,
                        payload_type: VP8,
                        sequence: extended as u16,
                        timestamp,
                        ssrc: state.ssrc,
                    },
                    payload,
                }
            })
            .collect()
    }

    pub fn send(&self, call: &mut Call, packet: &CameraPacket) {
        let extensions: Vec<(u8, &[u8])> = self
            .extensions
            .iter()
            .map(|(id, value)| (*id, value.as_slice()))
            .collect();
        call.send_rtp(
            self.client,
            packet.extended,
            packet.header,
            &extensions,
            &packet.payload,
        );
    }

    /// Captures, sends and lets subscribers read one frame of a layer.
    pub fn shoot(&mut self, call: &mut Call, layer: usize, key: bool, packets: usize) {
        for packet in self.frame(layer, key, packets, call.now) {
            self.send(call, &packet);
        }
        call.settle();
    }
}

//! One peer connection on its socket.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rtc::{
    data_channel::{RTCDataChannelId, RTCDataChannelInit},
    ice::{network_type::NetworkType, tcp_type::TcpType},
    media_stream::MediaStreamTrack,
    peer_connection::{
        RTCPeerConnection, RTCPeerConnectionBuilder,
        configuration::{
            RTCConfigurationBuilder,
            interceptor_registry::{Registry, register_default_interceptors},
            media_engine::MediaEngine,
            setting_engine::SettingEngineBuilder,
        },
        event::{RTCDataChannelEvent, RTCPeerConnectionEvent},
        message::{RTCMessage, TaggedRTCMessage},
        sdp::RTCSessionDescription,
        state::RTCPeerConnectionState,
        transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate},
    },
    rtcp::payload_feedbacks::{
        full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
    },
    rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind},
    sansio::Protocol as _,
    shared::{TaggedBytesMut, TransportContext},
};

use crate::{
    Network, Settings,
    link::Link,
    media::{Kind, Seen, Source, depacketise},
};

/// A connection is looked at this often at least.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The least that RFC 8445 section 14.2 allows. The library's 200 ms, of which it spends two, would be most of a join.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// Ten seconds of them.
const CHECKS: u16 = 2_000;

/// How far a connection is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionState {
    /// Not there yet.
    #[default]
    Connecting,
    /// ICE and DTLS are done.
    Connected,
    /// It was, or never will be.
    Failed,
}

/// See the module.
pub(crate) struct Connection {
    pc: RTCPeerConnection,
    pub(crate) link: Link,
    pub(crate) state: ConnectionState,
    sources: Vec<Source>,
    channels: HashMap<RTCDataChannelId, String>,
    open: HashMap<String, RTCDataChannelId>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) messages: Vec<Vec<u8>>,
}

impl Connection {
    pub(crate) async fn new(settings: &Settings) -> anyhow::Result<Self> {
        let link = Link::open(settings.network, settings.host).await?;
        let local = link.local()?;
        let mut media_engine = MediaEngine::default();
        media_engine.register_codec(Kind::Audio.codec(), RtpCodecKind::Audio)?;
        media_engine.register_codec(Kind::Video.codec(), RtpCodecKind::Video)?;
        let registry = register_default_interceptors(Registry::new(), &mut media_engine)?;
        let mut engine = SettingEngineBuilder::new()
            .with_include_loopback_candidate(true)
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(CHECKS));
        if settings.network == Network::Tcp {
            engine = engine.with_network_types(vec![NetworkType::Tcp4, NetworkType::Tcp6]);
        }
        if let Some(profile) = settings.srtp {
            engine = engine.with_srtp_protection_profiles(vec![profile]);
        }
        if let Some(role) = settings.answering_role {
            engine = engine.with_answering_dtls_role(role);
        }
        let mut pc = RTCPeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_setting_engine(engine.build())
            .with_media_engine(media_engine)
            .with_interceptor_registry(registry)
            .build(Instant::now())?;
        let candidate = CandidateHostConfig {
            base_config: CandidateConfig {
                network: match settings.network {
                    Network::Udp => "udp",
                    Network::Tcp => "tcp",
                }
                .to_owned(),
                address: local.ip().to_string(),
                port: local.port(),
                component: 1,
                ..CandidateConfig::default()
            },
            tcp_type: match settings.network {
                Network::Udp => TcpType::default(),
                Network::Tcp => TcpType::Active,
            },
        }
        .new_candidate_host()?;
        pc.add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
        Ok(Self {
            pc,
            link,
            state: ConnectionState::default(),
            sources: Vec::new(),
            channels: HashMap::new(),
            open: HashMap::new(),
            seen: Vec::new(),
            messages: Vec::new(),
        })
    }

    /// A track to publish; its id is what AddTrack calls `cid`.
    pub(crate) fn publish(&mut self, kind: Kind, cid: &str) -> anyhow::Result<()> {
        let ssrc = fastrand::u32(0x10_000..);
        let track = MediaStreamTrack::new(
            "stream".to_owned(),
            cid.to_owned(),
            cid.to_owned(),
            kind_of(kind),
            vec![RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters {
                    ssrc: Some(ssrc),
                    ..RTCRtpCodingParameters::default()
                },
                codec: kind.codec().rtp_codec,
                ..RTCRtpEncodingParameters::default()
            }],
        );
        let sender = self.pc.add_track(track)?;
        self.sources.push(Source::new(sender, kind, ssrc));
        Ok(())
    }

    /// A section for a track of somebody else.
    pub(crate) fn receive(&mut self, kind: Kind) -> anyhow::Result<()> {
        self.pc.add_transceiver_from_kind(kind_of(kind), None)?;
        Ok(())
    }

    /// The protocol's two channels.
    pub(crate) fn open_channels(&mut self) -> anyhow::Result<()> {
        let lossy = RTCDataChannelInit {
            ordered: false,
            max_retransmits: Some(0),
            ..RTCDataChannelInit::default()
        };
        for (label, init) in [("_reliable", None), ("_lossy", Some(lossy))] {
            let id = self.pc.create_data_channel(label, init)?.id();
            self.channels.insert(id, label.to_owned());
        }
        Ok(())
    }

    pub(crate) fn offer(&mut self) -> anyhow::Result<String> {
        let offer = self.pc.create_offer(None)?;
        self.pc
            .set_local_description(Instant::now(), offer.clone())?;
        Ok(offer.sdp)
    }

    pub(crate) async fn accept_answer(&mut self, sdp: String) -> anyhow::Result<()> {
        self.link.dial(&sdp).await?;
        let answer = RTCSessionDescription::answer(sdp)?;
        Ok(self.pc.set_remote_description(Instant::now(), answer)?)
    }

    pub(crate) async fn answer(&mut self, sdp: String) -> anyhow::Result<String> {
        self.link.dial(&sdp).await?;
        let offer = RTCSessionDescription::offer(sdp)?;
        self.pc.set_remote_description(Instant::now(), offer)?;
        let answer = self.pc.create_answer(None)?;
        self.pc
            .set_local_description(Instant::now(), answer.clone())?;
        Ok(answer.sdp)
    }

    /// Whether a channel of this label is open.
    pub(crate) fn is_open(&self, label: &str) -> bool {
        self.open.contains_key(label)
    }

    pub(crate) fn send_data(&mut self, label: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let channel = self
            .open
            .get(label)
            .and_then(|id| self.pc.data_channel(*id));
        let mut channel = channel.ok_or_else(|| anyhow::anyhow!("{label} is not open"))?;
        Ok(channel.send(Instant::now(), BytesMut::from(bytes))?)
    }

    /// When [`work`](Self::work) must be called at the latest.
    pub(crate) fn next_timeout(&mut self, now: Instant) -> Instant {
        self.sources
            .iter()
            .filter_map(|source| source.next_at)
            .chain(self.pc.poll_timeout())
            .min()
            .unwrap_or(now + LONGEST_WAIT)
            .min(now + LONGEST_WAIT)
    }

    pub(crate) fn take(&mut self, packet: &[u8], transport: TransportContext) {
        // What the library refuses it has no use for.
        let _ = self.pc.handle_read(TaggedBytesMut {
            now: Instant::now(),
            transport,
            message: BytesMut::from(packet),
        });
    }

    /// Does what is due, sends what is there.
    pub(crate) async fn work(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        if self.pc.poll_timeout().is_some_and(|at| at <= now) {
            let _ = self.pc.handle_timeout(now);
        }
        while let Some(event) = self.pc.poll_event() {
            self.notice(event);
        }
        if self.state == ConnectionState::Connected {
            for source in &mut self.sources {
                while source.next_at.is_none_or(|at| at <= now) {
                    let packet = source.next_frame(now);
                    if let Some(mut sender) = self.pc.rtp_sender(source.sender) {
                        sender.write_rtp(now, packet)?;
                    }
                }
            }
        }
        while let Some(TaggedRTCMessage { message, .. }) = self.pc.poll_read() {
            match message {
                RTCMessage::RtpPacket(_, packet) => {
                    self.seen.extend(depacketise(&packet, Instant::now()));
                }
                RTCMessage::RtcpPacket(_, packets) => {
                    let wanted = packets.iter().any(|packet| {
                        let packet = packet.as_any();
                        packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>()
                    });
                    for source in &mut self.sources {
                        source.key_wanted |= wanted;
                    }
                }
                RTCMessage::DataChannelMessage(_, message) => {
                    self.messages.push(message.data.to_vec());
                }
                _ => {}
            }
        }
        while let Some(packet) = self.pc.poll_write() {
            self.link
                .send(packet.transport.peer_addr, &packet.message)
                .await?;
        }
        Ok(())
    }

    fn notice(&mut self, event: RTCPeerConnectionEvent) {
        match event {
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) => match state {
                RTCPeerConnectionState::Connected => self.state = ConnectionState::Connected,
                RTCPeerConnectionState::Failed
                | RTCPeerConnectionState::Closed
                | RTCPeerConnectionState::Disconnected => self.state = ConnectionState::Failed,
                _ => {}
            },
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                if let Some(channel) = self.pc.data_channel(id) {
                    self.open.insert(channel.label().to_owned(), id);
                }
            }
            _ => {}
        }
    }
}

const fn kind_of(kind: Kind) -> RtpCodecKind {
    match kind {
        Kind::Audio => RtpCodecKind::Audio,
        Kind::Video => RtpCodecKind::Video,
    }
}

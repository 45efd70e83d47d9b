//! A participant.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::bail;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message as Response,
};
use prost::Message as _;
use rtc::{
    dtls::extension::extension_use_srtp::SrtpProtectionProfile,
    peer_connection::transport::RTCDtlsRole, shared::TransportContext,
};

use crate::{ConnectionState, Kind, Member, Network, Seen, connection::Connection, signal::Signal};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many peer connections a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One, on which it offers.
    Single,
    /// One on which it offers and sends, one on which the server offers and it receives.
    Dual,
}

/// What a Peer is like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// One connection or two.
    pub mode: Mode,
    /// What it may use.
    pub network: Network,
    /// Its own address.
    pub host: IpAddr,
    /// What it publishes from the start.
    pub publishes: Vec<Kind>,
    /// The one protection profile that it offers; `None` for all that the library has.
    pub srtp: Option<SrtpProtectionProfile>,
    /// Its role where the server offers; `None` for the library's.
    pub answering_role: Option<RTCDtlsRole>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Single,
            network: Network::Udp,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            publishes: Vec::new(),
            srtp: None,
            answering_role: None,
        }
    }
}

/// See the module.
pub struct Peer {
    signal: Option<Signal>,
    settings: Settings,
    /// Where it sends; in single mode the only one.
    publisher: Connection,
    subscriber: Option<Connection>,
    /// What the server said at the end, if it did.
    pub leave: Option<proto::LeaveRequest>,
    /// Its session.
    pub sid: String,
}

enum Happening {
    Message(Option<Response>),
    Packet(bool, std::io::Result<(Vec<u8>, TransportContext)>),
    Time,
}

impl Peer {
    /// Dials and joins; returns once the server has taken the signal connection.
    ///
    /// # Errors
    /// The server, or the library, refuses something.
    pub async fn join(
        member: &Member,
        room: &str,
        identity: &str,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let token = member.token(room, identity);
        let mut publisher = Connection::new(&settings).await?;
        let mut requests = Vec::new();
        for (index, kind) in settings.publishes.iter().enumerate() {
            let cid = format!("{identity}-{index}");
            publisher.publish(*kind, &cid)?;
            requests.push(add_track(*kind, cid));
        }
        publisher.open_channels()?;
        let signal = match settings.mode {
            Mode::Single => {
                // As other clients do: sections for one of each kind are there from the start.
                publisher.receive(Kind::Audio)?;
                publisher.receive(Kind::Video)?;
                let sdp = publisher.offer()?;
                let join = proto::JoinRequest {
                    add_track_requests: requests,
                    publisher_offer: Some(description("offer", sdp, 1)),
                    ..proto::JoinRequest::default()
                };
                Signal::join_single(member.address, &token, join).await?
            }
            Mode::Dual => {
                let mut signal = Signal::join_dual(member.address, &token).await?;
                for request in requests {
                    signal.send(Request::AddTrack(request)).await?;
                }
                let offer = description("offer", publisher.offer()?, 1);
                signal.send(Request::Offer(offer)).await?;
                signal
            }
        };
        Ok(Self {
            signal: Some(signal),
            settings,
            publisher,
            subscriber: None,
            leave: None,
            sid: String::new(),
        })
    }

    /// Goes on until a condition is met; the time is bounded.
    ///
    /// # Errors
    /// Time ran out, or something broke meanwhile; `what` is named.
    pub async fn until(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            if Instant::now() > deadline {
                bail!("waited {} s for {what}", PATIENCE.as_secs());
            }
            self.step().await?;
        }
        Ok(())
    }

    /// Goes on for ever: for a task of its own.
    ///
    /// # Errors
    /// Something broke.
    pub async fn go_on(mut self) -> anyhow::Result<()> {
        loop {
            self.step().await?;
        }
    }

    /// All media so far.
    pub fn seen(&self) -> impl Iterator<Item = &Seen> {
        let subscriber = self.subscriber.iter().flat_map(|one| &one.seen);
        self.publisher.seen.iter().chain(subscriber)
    }

    /// Whether frames of this kind have arrived, and how many.
    #[must_use]
    pub fn frames(&self, kind: Kind) -> usize {
        self.seen().filter(|seen| seen.kind == kind).count()
    }

    /// State of the connection on which it sends, and of the one on which it receives.
    #[must_use]
    pub fn states(&self) -> (ConnectionState, Option<ConnectionState>) {
        (
            self.publisher.state,
            self.subscriber.as_ref().map(|one| one.state),
        )
    }

    /// Payloads of user packets so far.
    #[must_use]
    pub fn data(&self) -> Vec<Vec<u8>> {
        let subscriber = self.subscriber.iter().flat_map(|one| &one.messages);
        self.publisher
            .messages
            .iter()
            .chain(subscriber)
            .filter_map(|bytes| proto::DataPacket::decode(bytes.as_slice()).ok())
            .filter_map(|packet| match packet.value {
                Some(proto::data_packet::Value::User(user)) => Some(user.payload),
                _ => None,
            })
            .collect()
    }

    /// Whether it can send data.
    #[must_use]
    pub fn channels_are_open(&self) -> bool {
        self.publisher.is_open("_reliable") && self.publisher.is_open("_lossy")
    }

    /// Sends a user packet to all.
    ///
    /// # Errors
    /// The channel is not open.
    pub fn send_data(&mut self, reliable: bool, payload: &[u8]) -> anyhow::Result<()> {
        let packet = proto::DataPacket {
            value: Some(proto::data_packet::Value::User(proto::UserPacket {
                payload: payload.to_vec(),
                ..proto::UserPacket::default()
            })),
            ..proto::DataPacket::default()
        };
        let label = if reliable { "_reliable" } else { "_lossy" };
        self.publisher.send_data(label, &packet.encode_to_vec())
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        self.publisher.work().await?;
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.work().await?;
        }
        let now = Instant::now();
        let mut at = self.publisher.next_timeout(now);
        if let Some(subscriber) = &mut self.subscriber {
            at = at.min(subscriber.next_timeout(now));
        }
        let (signal, publisher, subscriber) = (
            &mut self.signal,
            &mut self.publisher.link,
            &mut self.subscriber,
        );
        let happening = tokio::select! {
            message = async {
                match signal {
                    Some(signal) => signal.next().await,
                    None => std::future::pending().await,
                }
            } => Happening::Message(message),
            packet = publisher.receive() => Happening::Packet(true, packet),
            packet = async {
                match subscriber {
                    Some(subscriber) => subscriber.link.receive().await,
                    None => std::future::pending().await,
                }
            } => Happening::Packet(false, packet),
            () = tokio::time::sleep_until(at.into()) => Happening::Time,
        };
        match happening {
            Happening::Time => {}
            Happening::Packet(is_publisher, packet) => {
                let connection = match &mut self.subscriber {
                    Some(subscriber) if !is_publisher => subscriber,
                    _ => &mut self.publisher,
                };
                let (packet, transport) = packet?;
                connection.take(&packet, transport);
            }
            Happening::Message(Some(message)) => self.hear(message).await?,
            Happening::Message(None) => self.signal = None,
        }
        Ok(())
    }

    async fn hear(&mut self, message: Response) -> anyhow::Result<()> {
        match message {
            Response::Join(join) => {
                self.sid = join.participant.map(|one| one.sid).unwrap_or_default();
            }
            Response::Answer(answer) => self.publisher.accept_answer(answer.sdp).await?,
            Response::Offer(offer) => {
                let subscriber = match &mut self.subscriber {
                    Some(subscriber) => subscriber,
                    None => self
                        .subscriber
                        .insert(Connection::new(&self.settings).await?),
                };
                let answer = subscriber.answer(offer.sdp).await?;
                let answer = description("answer", answer, offer.id);
                self.say(Request::Answer(answer)).await?;
            }
            Response::MediaSectionsRequirement(wanted) => {
                for _ in 0..wanted.num_audios {
                    self.publisher.receive(Kind::Audio)?;
                }
                for _ in 0..wanted.num_videos {
                    self.publisher.receive(Kind::Video)?;
                }
                let offer = description("offer", self.publisher.offer()?, 2);
                self.say(Request::Offer(offer)).await?;
            }
            Response::Leave(leave) => self.leave = Some(leave),
            _ => {}
        }
        Ok(())
    }

    async fn say(&mut self, message: Request) -> anyhow::Result<()> {
        match &mut self.signal {
            Some(signal) => signal.send(message).await,
            None => Ok(()),
        }
    }
}

fn description(kind: &str, sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: kind.to_owned(),
        sdp,
        id,
        ..proto::SessionDescription::default()
    }
}

fn add_track(kind: Kind, cid: String) -> proto::AddTrackRequest {
    let (r#type, source) = match kind {
        Kind::Audio => (proto::TrackType::Audio, proto::TrackSource::Microphone),
        Kind::Video => (proto::TrackType::Video, proto::TrackSource::Camera),
    };
    proto::AddTrackRequest {
        name: cid.clone(),
        cid,
        r#type: r#type as i32,
        source: source as i32,
        width: 64,
        height: 64,
        ..proto::AddTrackRequest::default()
    }
}

//! A room with clients that play their part by messages alone: descriptions are real browsers', Shards are a list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_room::{
    ApiCallId, ApiError, ApiRequest, ApiResponse, ConnectionId, ConnectionSettings, Grants, Join,
    KeepAlive, Limits, ParticipantKind, Permissions, Resume, Room, RoomConfig, RoomInput,
    RoomOutput, RoomSettings, ServerIdentity, SessionMode, SignalMessage,
};
use plenum_types::{
    Candidate, Codec, DtlsVersion, Fingerprint, MediaPolicy, ParticipantSid, RoomHandle,
    ShardCommand, ShardEvent, ShardId, SrtpProfile, Timestamp, TrackId, TransportId,
    TransportState, WallClock,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng as _};

/// Three recvonly sections of each kind and one for data.
pub(crate) const JOIN: &str = include_str!("../../../negotiation/tests/fixtures/chromium_join.sdp");
/// The same with a microphone (mid 7) and a camera in three layers (mid 8).
pub(crate) const PUBLISH: &str =
    include_str!("../../../negotiation/tests/fixtures/chromium_publish.sdp");
/// The same with four more recvonly video sections.
pub(crate) const GROW: &str = include_str!("../../../negotiation/tests/fixtures/chromium_grow.sdp");
/// The same after the camera was unpublished.
pub(crate) const UNPUBLISH: &str =
    include_str!("../../../negotiation/tests/fixtures/chromium_unpublish.sdp");
/// The same with an ICE restart.
pub(crate) const RESTART: &str =
    include_str!("../../../negotiation/tests/fixtures/chromium_restart.sdp");

/// Track ids in `PUBLISH`.
pub(crate) const MICROPHONE_CID: &str = "e53136b1-747c-4efc-9b00-e0295d8d5609";
/// Track ids in `PUBLISH`.
pub(crate) const CAMERA_CID: &str = "4aeae06b-158c-47b4-838a-58d46441562b";

/// Ids of a room begin with its handle.
pub(crate) const FIRST_ID: u64 = 1 << 36;

pub(crate) const SHARD: ShardId = ShardId(0);

pub(crate) fn config() -> RoomConfig {
    RoomConfig {
        name: "lobby".into(),
        sid: "RM_test".into(),
        handle: RoomHandle(1),
        created_at_unix_ms: 1_700_000_000_000,
        settings: RoomSettings::default(),
        wall: WallClock {
            unix_nanos_at_zero: 1_700_000_000_000_000_000,
        },
        server: ServerIdentity {
            node_id: "ND_test".to_owned(),
            region: String::new(),
            version: "1.13.5".to_owned(),
        },
        keep_alive: KeepAlive::default(),
        fingerprint: Fingerprint([7; 32]),
        media: MediaPolicy {
            codecs: vec![Codec::Opus, Codec::Vp8],
            ..MediaPolicy::default()
        },
        ice_servers: Vec::new(),
        remote_unmute: false,
        data_tracks: true,
        limits: Limits::default(),
    }
}

pub(crate) fn grants(identity: &str) -> Grants {
    Grants {
        identity: identity.into(),
        name: identity.to_uppercase(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        kind: ParticipantKind::Standard,
        kind_details: Vec::new(),
        permissions: Permissions::default(),
    }
}

/// Whose tokens stay good.
pub(crate) fn remove(identity: &str) -> ApiRequest {
    ApiRequest::RemoveParticipant {
        identity: identity.into(),
        revoke_tokens_before: None,
    }
}

/// A client with its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) connection: ConnectionId,
    pub(crate) identity: String,
    pub(crate) sid: String,
}

/// A room and all it has said.
pub(crate) struct World {
    pub(crate) room: Room,
    pub(crate) now: Timestamp,
    inbox: BTreeMap<ConnectionId, Vec<Arc<SignalMessage>>>,
    pub(crate) closed: BTreeMap<ConnectionId, &'static str>,
    pub(crate) commands: Vec<ShardCommand>,
    /// All but messages, closings and commands.
    pub(crate) others: Vec<RoomOutput>,
    pub(crate) tokens: Vec<(ConnectionId, Grants)>,
    next: u64,
}

impl Default for World {
    fn default() -> Self {
        Self::with(config())
    }
}

impl World {
    pub(crate) fn with(config: RoomConfig) -> Self {
        let now = Timestamp::from_millis(1000);
        Self::around(Room::new(config, ChaCha12Rng::from_seed([1; 32]), now), now)
    }

    pub(crate) fn around(room: Room, now: Timestamp) -> Self {
        Self {
            room,
            now,
            inbox: BTreeMap::new(),
            closed: BTreeMap::new(),
            commands: Vec::new(),
            others: Vec::new(),
            tokens: Vec::new(),
            next: 0,
        }
    }

    pub(crate) fn input(&mut self, input: RoomInput) {
        self.room.handle(self.now, input);
        for output in self.room.drain() {
            match output {
                RoomOutput::Send {
                    connection,
                    message,
                } => self.inbox.entry(connection).or_default().push(message),
                RoomOutput::Close { connection, reason } => {
                    self.closed.insert(connection, reason);
                }
                RoomOutput::Shard { command, .. } => self.commands.push(command),
                RoomOutput::RefreshToken { connection, grants } => {
                    self.tokens.push((connection, *grants));
                }
                other => self.others.push(other),
            }
        }
    }

    /// Time passes; timers run when they are due.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.room.next_timer().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(RoomInput::Timer);
        }
        self.now = end;
    }

    pub(crate) fn join_input(&mut self, identity: &str) -> Join {
        self.next += 1;
        Join {
            connection: ConnectionId(self.next),
            grants: grants(identity),
            token_not_before: 0,
            client: proto::ClientInfo {
                sdk: proto::client_info::Sdk::Js as i32,
                protocol: 17,
                browser: "Chrome".to_owned(),
                ..Default::default()
            },
            settings: ConnectionSettings::default(),
            mode: SessionMode::Single,
            metadata: String::new(),
            attributes: std::collections::HashMap::new(),
            add_track_requests: Vec::new(),
            publisher_offer: Some(offer(1, JOIN)),
            sync_state: None,
            resume: None,
            shard: SHARD,
            candidates: vec![
                Candidate::udp("192.0.2.1:7882".parse().unwrap()),
                Candidate::tcp("192.0.2.1:7881".parse().unwrap()),
            ],
        }
    }

    /// Joins on one peer connection, with an offer; its media path is up at once.
    pub(crate) fn join(&mut self, identity: &str) -> Client {
        self.join_as(identity, |_| {})
    }

    pub(crate) fn join_as(&mut self, identity: &str, change: impl FnOnce(&mut Join)) -> Client {
        let client = self.join_unconnected(identity, change);
        self.connect_transports();
        client
    }

    pub(crate) fn join_unconnected(
        &mut self,
        identity: &str,
        change: impl FnOnce(&mut Join),
    ) -> Client {
        let mut join = self.join_input(identity);
        change(&mut join);
        let connection = join.connection;
        self.input(RoomInput::Join(Box::new(join)));
        let sid = self.inbox[&connection]
            .iter()
            .find_map(|message| match &message.response().message {
                Some(Message::Join(join)) => join.participant.as_ref().map(|p| p.sid.clone()),
                _ => None,
            })
            .expect("a JoinResponse");
        Client {
            connection,
            identity: identity.to_owned(),
            sid,
        }
    }

    /// A new connection that wants to go on with a session.
    pub(crate) fn resume(&mut self, client: &Client, change: impl FnOnce(&mut Join)) -> Client {
        let mut join = self.join_input(&client.identity);
        join.publisher_offer = None;
        join.resume = Some(Resume {
            sid: ParticipantSid::from(client.sid.as_str()),
            reason: proto::ReconnectReason::RrSignalDisconnected as i32,
        });
        change(&mut join);
        let connection = join.connection;
        self.input(RoomInput::Join(Box::new(join)));
        Client {
            connection,
            ..client.clone()
        }
    }

    /// All Transports that were opened report that they are connected.
    pub(crate) fn connect_transports(&mut self) {
        let opened: Vec<TransportId> = self
            .commands
            .iter()
            .filter_map(|command| match command {
                ShardCommand::OpenTransport(params) => Some(params.transport),
                _ => None,
            })
            .collect();
        for transport in opened {
            self.transport(
                transport,
                TransportState::Connected {
                    srtp: SrtpProfile::AeadAes256Gcm,
                    dtls: DtlsVersion::V1_2,
                },
            );
        }
    }

    pub(crate) fn transport(&mut self, transport: TransportId, state: TransportState) {
        self.shard(ShardEvent::TransportState { transport, state });
    }

    /// The last Transport that was opened.
    pub(crate) fn last_transport(&self) -> TransportId {
        self.commands
            .iter()
            .rev()
            .find_map(|command| match command {
                ShardCommand::OpenTransport(params) => Some(params.transport),
                _ => None,
            })
            .expect("a Transport")
    }

    pub(crate) fn shard(&mut self, event: ShardEvent) {
        self.input(RoomInput::Shard {
            shard: SHARD,
            event,
        });
    }

    pub(crate) fn say(&mut self, client: &Client, message: Request) {
        self.input(RoomInput::Signal {
            connection: client.connection,
            request: Box::new(proto::SignalRequest {
                message: Some(message),
            }),
        });
    }

    pub(crate) fn api(&mut self, request: ApiRequest) -> Result<ApiResponse, ApiError> {
        self.next += 1;
        let call = ApiCallId(self.next);
        self.input(RoomInput::Api {
            call,
            request: Box::new(request),
        });
        self.others
            .iter()
            .find_map(|output| match output {
                RoomOutput::Api { call: of, result } if *of == call => Some(result.clone()),
                _ => None,
            })
            .expect("an answer")
    }

    /// Announces and offers a microphone and a camera; says their sids.
    pub(crate) fn publish(&mut self, client: &Client) -> (String, String) {
        self.say(client, Request::AddTrack(microphone()));
        self.say(client, Request::AddTrack(camera()));
        self.say(client, Request::Offer(offer(2, PUBLISH)));
        let published: Vec<_> = self
            .seen(client)
            .into_iter()
            .filter_map(|message| match message {
                Message::TrackPublished(published) => Some(published.track.unwrap().sid),
                _ => None,
            })
            .collect();
        let [.., microphone, camera] = published.as_slice() else {
            panic!("two tracks");
        };
        (microphone.clone(), camera.clone())
    }

    /// What a client has got so far.
    pub(crate) fn seen(&self, client: &Client) -> Vec<Message> {
        self.inbox
            .get(&client.connection)
            .into_iter()
            .flatten()
            .filter_map(|message| message.response().message.clone())
            .collect()
    }

    /// What a client has got since it was asked last.
    pub(crate) fn take(&mut self, client: &Client) -> Vec<Message> {
        let seen = self.seen(client);
        self.inbox.remove(&client.connection);
        seen
    }

    /// The very messages, to see what is shared.
    pub(crate) fn raw(&self, client: &Client) -> &[Arc<SignalMessage>] {
        self.inbox
            .get(&client.connection)
            .map_or(&[], Vec::as_slice)
    }

    pub(crate) fn forget_all(&mut self) {
        self.inbox.clear();
        self.commands.clear();
        self.others.clear();
        self.tokens.clear();
    }

    pub(crate) fn added_tracks(&self) -> Vec<TrackId> {
        self.commands
            .iter()
            .filter_map(|command| match command {
                ShardCommand::AddTrack { track, .. } => Some(*track),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn subscriptions_added(&self) -> usize {
        self.commands
            .iter()
            .filter(|command| matches!(command, ShardCommand::AddSubscription { .. }))
            .count()
    }
}

pub(crate) fn offer(id: u32, sdp: &str) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: "offer".to_owned(),
        sdp: crlf(sdp),
        id,
        ..Default::default()
    }
}

fn crlf(sdp: &str) -> String {
    sdp.lines().map(|line| format!("{line}\r\n")).collect()
}

pub(crate) fn microphone() -> proto::AddTrackRequest {
    proto::AddTrackRequest {
        cid: MICROPHONE_CID.to_owned(),
        name: "microphone".to_owned(),
        r#type: proto::TrackType::Audio as i32,
        source: proto::TrackSource::Microphone as i32,
        ..Default::default()
    }
}

pub(crate) fn camera() -> proto::AddTrackRequest {
    let layer = |quality: proto::VideoQuality, width, height| proto::VideoLayer {
        quality: quality as i32,
        width,
        height,
        ..Default::default()
    };
    proto::AddTrackRequest {
        cid: CAMERA_CID.to_owned(),
        name: "camera".to_owned(),
        r#type: proto::TrackType::Video as i32,
        source: proto::TrackSource::Camera as i32,
        width: 1280,
        height: 720,
        layers: vec![
            layer(proto::VideoQuality::Low, 320, 180),
            layer(proto::VideoQuality::Medium, 640, 360),
            layer(proto::VideoQuality::High, 1280, 720),
        ],
        simulcast_codecs: vec![proto::SimulcastCodec {
            codec: "vp8".to_owned(),
            cid: CAMERA_CID.to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Participants of all updates among messages.
pub(crate) fn updates(messages: &[Message]) -> Vec<proto::ParticipantInfo> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Update(update) => Some(update.participants.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

pub(crate) fn answers(messages: &[Message]) -> Vec<proto::SessionDescription> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Answer(answer) => Some(answer.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn leaves(messages: &[Message]) -> Vec<proto::LeaveRequest> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Leave(leave) => Some(leave.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn requirements(messages: &[Message]) -> Vec<(u32, u32)> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::MediaSectionsRequirement(required) => {
                Some((required.num_audios, required.num_videos))
            }
            _ => None,
        })
        .collect()
}

//! How a room opens: check the claim, restore, start its task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use livekit_protocol as proto;
use plenum_cluster::{
    Epoch, IdError, RoomKey,
    directory::{Capacity, EndReason as ClaimEnd},
    membership::CallError,
};
use plenum_room::{
    ConnectionId, ConnectionSettings, DispatchSnapshot, Grants, Join, ParticipantKind, Permissions,
    Resume, Room, RoomConfig, RoomSettings, RoomSnapshot, SessionMode,
};
use plenum_types::{RoomHandle, RoomName, ShardId};
use serde::Deserialize as _;
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::timeout,
};

use super::{
    RoomSummary, Rooms,
    registry::{RoomRef, new_room_sid},
    task::{RoomTask, TaskInputs, saving::fault_of},
    waiting::Waiting,
};
use crate::{
    agents::OpenedWith,
    auth::{self, Claims, TrackSourceName},
    config,
    signal::{JoinContext, JoinError, SignalVersion},
};

/// Events of one room's Shards that may wait for its task. Beyond, the room's media is made anew.
const EVENT_QUEUE: usize = 4096;
/// How long a room that is ending is waited for before its name is taken again.
const END_WAIT: Duration = Duration::from_secs(3);

/// Settings of new rooms.
#[derive(Debug, Clone, Default)]
pub struct RoomDefaults {
    /// Where neither CreateRoom nor a token says otherwise.
    pub settings: RoomSettings,
    /// Rooms on this member; 0 means no limit.
    pub max_rooms: usize,
    /// Participants may publish data tracks.
    pub data_tracks: bool,
}

impl RoomDefaults {
    /// What this member tells its pool that it takes.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity {
            rooms: u32::try_from(self.max_rooms).unwrap_or(u32::MAX),
            ..Capacity::default()
        }
    }
}

impl From<&config::RoomConfig> for RoomDefaults {
    fn from(config: &config::RoomConfig) -> Self {
        Self {
            settings: RoomSettings {
                empty_timeout: Duration::from_secs(config.empty_timeout_seconds.into()),
                departure_timeout: Duration::from_secs(config.departure_timeout_seconds.into()),
                max_participants: config.max_participants,
                metadata: String::new(),
            },
            max_rooms: config.max_rooms as usize,
            data_tracks: config.enable_data_tracks,
        }
    }
}

/// What a room opens with, if nobody has left a snapshot of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewRoom {
    /// Its settings.
    pub settings: RoomSettings,
    /// The agents that it wants; empty means those that come unasked.
    pub agents: Vec<proto::RoomAgentDispatch>,
}

impl From<RoomSettings> for NewRoom {
    fn from(settings: RoomSettings) -> Self {
        Self {
            settings,
            agents: Vec::new(),
        }
    }
}

/// What a request, a token or a preset says of a new room. Zeros and what is empty say nothing.
#[derive(Debug)]
struct RoomWish {
    /// Seconds, as the other timeout.
    empty_timeout: u32,
    departure_timeout: u32,
    max_participants: u32,
    metadata: String,
    agents: Vec<proto::RoomAgentDispatch>,
}

impl From<&proto::CreateRoomRequest> for RoomWish {
    fn from(request: &proto::CreateRoomRequest) -> Self {
        Self {
            empty_timeout: request.empty_timeout,
            departure_timeout: request.departure_timeout,
            max_participants: request.max_participants,
            metadata: request.metadata.clone(),
            agents: request.agents.clone(),
        }
    }
}

impl From<proto::RoomConfiguration> for RoomWish {
    fn from(configuration: proto::RoomConfiguration) -> Self {
        Self {
            empty_timeout: configuration.empty_timeout,
            departure_timeout: configuration.departure_timeout,
            max_participants: configuration.max_participants,
            metadata: configuration.metadata,
            agents: configuration.agents,
        }
    }
}

impl RoomWish {
    /// With what a preset says, where this says nothing. A name that is not configured here counts as none: whoever let the
    /// request in has checked it.
    fn or(mut self, presets: &config::Presets, name: &str) -> Self {
        let preset = match presets.find(name) {
            Ok(Some(preset)) => preset,
            Ok(None) => return self,
            Err(error) => {
                tracing::warn!("room preset {error}");
                return self;
            }
        };
        let or = |own: u32, preset: u32| if own == 0 { preset } else { own };
        self.empty_timeout = or(self.empty_timeout, preset.empty_timeout_seconds);
        self.departure_timeout = or(self.departure_timeout, preset.departure_timeout_seconds);
        self.max_participants = or(self.max_participants, preset.max_participants);
        if self.metadata.is_empty() {
            self.metadata.clone_from(&preset.metadata);
        }
        if self.agents.is_empty() {
            self.agents = preset.dispatches();
        }
        self
    }
}

impl RoomDefaults {
    /// With what a token's `roomConfig` and `roomPreset` say. A configuration that can't be read counts as none.
    #[must_use]
    pub fn for_token(&self, claims: &Claims, presets: &config::Presets) -> NewRoom {
        let configuration = claims
            .room_config
            .as_ref()
            .and_then(|json| proto::RoomConfiguration::deserialize(json).ok())
            .unwrap_or_default();
        self.with(RoomWish::from(configuration).or(presets, &claims.room_preset))
    }

    /// With what a request says.
    #[must_use]
    pub fn for_request(
        &self,
        request: &proto::CreateRoomRequest,
        presets: &config::Presets,
    ) -> NewRoom {
        self.with(RoomWish::from(request).or(presets, &request.room_preset))
    }

    fn with(&self, wish: RoomWish) -> NewRoom {
        let or_default = |seconds: u32, default: Duration| match seconds {
            0 => default,
            seconds => Duration::from_secs(seconds.into()),
        };
        NewRoom {
            settings: RoomSettings {
                empty_timeout: or_default(wish.empty_timeout, self.settings.empty_timeout),
                departure_timeout: or_default(
                    wish.departure_timeout,
                    self.settings.departure_timeout,
                ),
                max_participants: match wish.max_participants {
                    0 => self.settings.max_participants,
                    limit => limit,
                },
                metadata: wish.metadata,
            },
            agents: wish.agents,
        }
    }
}

/// A claim of this member: what it opens a room by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its epoch.
    pub epoch: Epoch,
    /// What a home before has left.
    pub snapshot: Option<Bytes>,
}

/// Why a room did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its name is no name.
    #[error(transparent)]
    Name(#[from] IdError),
    /// This member is not the room's home, or not any more: locate it again.
    #[error("this member is not the room's home; try again")]
    NotHeld,
    /// A limit of this member.
    #[error("this member serves {limit} rooms already, which is its limit (room.max_rooms)")]
    TooManyRooms {
        /// The limit.
        limit: usize,
    },
    /// No Shard runs.
    #[error("no media shard is running on this member")]
    NoShard,
    /// The room of this name is ending and takes too long.
    #[error("the room of this name is ending; try again")]
    Ending,
}

impl From<OpenError> for JoinError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Name(error) => Self::Malformed(error.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// A name's place in the registry: held while the room opens, so that it opens once.
#[derive(Debug, Default)]
pub(super) struct Slot {
    room: Mutex<Option<RoomRef>>,
    handle: AtomicU64,
}

impl Slot {
    pub(super) fn holds(&self, handle: RoomHandle) -> bool {
        self.handle.load(Ordering::Acquire) == handle.0
    }
}

impl RoomRef {
    /// Waits until the room's task is done.
    pub(super) async fn ended(&self) -> bool {
        let mut summary = self.summary.clone();
        timeout(
            END_WAIT,
            async move { while summary.changed().await.is_ok() {} },
        )
        .await
        .is_ok()
    }
}

impl Rooms {
    /// The room of this name, if it is here; waits while it opens.
    pub(super) async fn find(&self, name: &RoomName) -> Option<RoomRef> {
        let slot = self.slots().get(name).cloned()?;
        let room = slot.room.lock().await.clone();
        room.filter(|room| !room.messages.is_closed())
    }

    /// The room of this name, opened if it is not open. `new` is for a room that nobody has left a snapshot of.
    pub(super) async fn open(
        self: &Arc<Self>,
        name: &RoomName,
        new: NewRoom,
        held: Held,
    ) -> Result<RoomRef, OpenError> {
        let key = RoomKey::new(name.as_str())?;
        loop {
            let slot = self.slots().entry(name.clone()).or_default().clone();
            let mut room = slot.room.lock().await;
            // The slot may have been given up while this task waited for it.
            if !self
                .slots()
                .get(name)
                .is_some_and(|current| Arc::ptr_eq(current, &slot))
            {
                continue;
            }
            if let Some(room) = room.as_ref().filter(|room| !room.messages.is_closed()) {
                return Ok(room.clone());
            }
            let opened = self.open_held(name, &key, new, held).await;
            match opened {
                Ok(opened) => {
                    slot.handle.store(opened.handle.0, Ordering::Release);
                    *room = Some(opened.clone());
                    return Ok(opened);
                }
                Err(error) => {
                    let mut slots = self.slots();
                    if slots
                        .get(name)
                        .is_some_and(|current| Arc::ptr_eq(current, &slot))
                    {
                        slots.remove(name);
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn open_held(
        self: &Arc<Self>,
        name: &RoomName,
        key: &RoomKey,
        new: NewRoom,
        held: Held,
    ) -> Result<RoomRef, OpenError> {
        let membership = &self.config.membership;
        // A room of this name that was here has given its claim back before its place became free.
        let epoch = membership.epoch(key).ok_or(OpenError::NotHeld)?;
        let room = self.can_open();
        // A room that was elsewhere before stays claimed: it opens as soon as there is a place for it.
        if room.is_err() && held.snapshot.is_none() {
            membership.room_ended(key, ClaimEnd::Expired).await;
        }
        let shard = room?;
        let snapshot = held.snapshot.and_then(|bytes| {
            RoomSnapshot::parse(&bytes)
                .inspect_err(
                    |error| tracing::warn!(room = %name, %error, "the room's snapshot is not used"),
                )
                .ok()
        });
        let handle = self.new_handle();
        let clock = self.config.clock;
        let now = clock.now();
        let config = RoomConfig {
            name: name.clone(),
            sid: new_room_sid(),
            handle,
            created_at_unix_ms: clock.wall().unix_millis(now),
            settings: new.settings,
            wall: clock.wall(),
            server: self.config.server.clone(),
            keep_alive: self.config.keep_alive,
            fingerprint: self.config.engine.fingerprint(),
            media: self.config.settings.load().media.policy(),
            ice_servers: Vec::new(),
            remote_unmute: false,
            data_tracks: self.defaults().data_tracks,
            limits: self.limits(),
        };
        let rng = crate::entropy::secure_rng();
        let restored = snapshot.and_then(|snapshot| {
            let room = Room::restore(config.clone(), &snapshot, rng.clone(), now)
                .inspect_err(
                    |error| tracing::warn!(room = %name, %error, "the room's snapshot is not used"),
                )
                .ok()?;
            Some((room, OpenedWith::Kept(snapshot.agents)))
        });
        let (room, agents) = match restored {
            Some(restored) => restored,
            None => {
                let room = Room::new(config, rng, now);
                let first = self.config.agents.first(&new.agents);
                self.save_first(key, &room, first.clone()).await?;
                (room, OpenedWith::First(first))
            }
        };
        let (messages, messages_read) = mpsc::unbounded_channel();
        let (frames, frames_read) = mpsc::unbounded_channel();
        let (news, news_read) = mpsc::channel(EVENT_QUEUE);
        let (summary, summary_read) = watch::channel(RoomSummary {
            info: room.info(),
            stats: room.stats(),
            epoch: epoch.get(),
        });
        let opened = RoomRef {
            handle,
            shard,
            messages,
            waiting: Waiting::new(),
            frames,
            news,
            summary: summary_read,
        };
        // Before the task runs: its first commands may bring events.
        self.add_route(opened.clone());
        let task = RoomTask::new(
            self.clone(),
            name.clone(),
            handle,
            shard,
            key.clone(),
            room,
            TaskInputs {
                messages: messages_read,
                frames: frames_read,
                news: news_read,
            },
            summary,
        );
        self.config.runtime.spawn(task.run(epoch, agents));
        Ok(opened)
    }

    /// A Shard for one more room, if the limits allow it.
    fn can_open(&self) -> Result<ShardId, OpenError> {
        let limit = self.defaults().max_rooms;
        if limit > 0 && self.count() >= limit {
            return Err(OpenError::TooManyRooms { limit });
        }
        self.choose_shard().ok_or(OpenError::NoShard)
    }

    /// A new room's sid must survive this member from the moment that anyone hears it; so must the agents that it wants.
    async fn save_first(
        &self,
        key: &RoomKey,
        room: &Room,
        agents: Vec<DispatchSnapshot>,
    ) -> Result<(), OpenError> {
        let Some(bytes) = room
            .snapshot()
            .and_then(|snapshot| serde_json::to_vec(&snapshot.with_agents(agents)).ok())
        else {
            return Ok(());
        };
        let membership = &self.config.membership;
        match membership.save_snapshot(key, bytes.into()).await {
            Ok(()) => Ok(()),
            Err(CallError::HeldBy(_) | CallError::NotHome(_)) => Err(OpenError::NotHeld),
            Err(error) => {
                // It is kept here, and written when the Directory answers again.
                self.config.metrics.snapshot_fault(fault_of(&error));
                tracing::warn!(room = %key.escaped(), room_sid = %room.sid(), %error, "a new room's snapshot is not stored yet");
                Ok(())
            }
        }
    }
}

/// What the room hears of a client.
pub(super) fn join_of(
    context: &JoinContext,
    connection: ConnectionId,
    shard: ShardId,
    candidates: Vec<plenum_types::Candidate>,
) -> Join {
    let request = context.request.clone();
    let settings = request.connection_settings.unwrap_or_default();
    Join {
        connection,
        grants: grants_of(&context.claims),
        token_not_before: context
            .claims
            .nbf
            .map_or(0, |second| i64::try_from(second).unwrap_or(i64::MAX)),
        client: request.client_info.unwrap_or_default(),
        settings: ConnectionSettings {
            auto_subscribe: settings.auto_subscribe,
            adaptive_stream: settings.adaptive_stream,
            allow_pause: settings
                .subscriber_allow_pause
                .unwrap_or(ConnectionSettings::default().allow_pause),
            auto_subscribe_data_track: settings.auto_subscribe_data_track.unwrap_or(false),
        },
        mode: match context.version {
            SignalVersion::V0 => SessionMode::Dual,
            SignalVersion::V1 => SessionMode::Single,
        },
        metadata: request.metadata,
        attributes: request.participant_attributes,
        add_track_requests: request.add_track_requests,
        publisher_offer: request.publisher_offer,
        sync_state: request.sync_state.map(Box::new),
        resume: request.reconnect.then(|| Resume {
            sid: request.participant_sid.into(),
            reason: request.reconnect_reason,
        }),
        shard,
        candidates,
    }
}

/// What a token grants, in the room's words.
pub(super) fn grants_of(claims: &Claims) -> Grants {
    let video = &claims.video;
    Grants {
        identity: claims.sub.as_str().into(),
        name: claims.name.clone(),
        metadata: claims.metadata.clone(),
        attributes: claims.attributes.clone(),
        kind: match claims.kind {
            auth::ParticipantKind::Standard => ParticipantKind::Standard,
            auth::ParticipantKind::Ingress => ParticipantKind::Ingress,
            auth::ParticipantKind::Egress => ParticipantKind::Egress,
            auth::ParticipantKind::Sip => ParticipantKind::Sip,
            auth::ParticipantKind::Agent => ParticipantKind::Agent,
            auth::ParticipantKind::Connector => ParticipantKind::Connector,
            auth::ParticipantKind::Bridge => ParticipantKind::Bridge,
        },
        kind_details: claims
            .kind_details
            .iter()
            .filter_map(|name| {
                proto::participant_info::KindDetail::from_str_name(&name.to_ascii_uppercase())
            })
            .map(|detail| detail as i32)
            .collect(),
        permissions: Permissions {
            can_subscribe: video.can_subscribe.unwrap_or(true),
            can_publish: video.can_publish.unwrap_or(true),
            can_publish_data: video.can_publish_data.unwrap_or(true),
            can_publish_sources: video
                .can_publish_sources
                .iter()
                .map(|source| match source {
                    TrackSourceName::Camera => proto::TrackSource::Camera,
                    TrackSourceName::Microphone => proto::TrackSource::Microphone,
                    TrackSourceName::ScreenShare => proto::TrackSource::ScreenShare,
                    TrackSourceName::ScreenShareAudio => proto::TrackSource::ScreenShareAudio,
                    TrackSourceName::Unknown => proto::TrackSource::Unknown,
                })
                .collect(),
            hidden: video.hidden,
            recorder: video.recorder,
            can_update_metadata: video.can_update_own_metadata.unwrap_or(false),
            agent: video.agent || claims.kind == auth::ParticipantKind::Agent,
            can_subscribe_metrics: video.can_subscribe_metrics.unwrap_or(false),
            can_manage_agent_session: video.can_manage_agent_session.unwrap_or(false),
        },
    }
}

/// A token that says what a participant is granted now, on top of the one that it came with. It counts from the same moment on,
/// so that whoever revokes the one revokes the other.
pub(super) fn claims_of(base: &Claims, grants: &Grants, room: &RoomName) -> Claims {
    let permissions = &grants.permissions;
    let mut claims = base.clone();
    claims.sub = grants.identity.as_str().to_owned();
    claims.name.clone_from(&grants.name);
    claims.metadata.clone_from(&grants.metadata);
    claims.attributes.clone_from(&grants.attributes);
    let video = &mut claims.video;
    video.room_join = true;
    video.room = room.as_str().to_owned();
    video.can_subscribe = Some(permissions.can_subscribe);
    video.can_publish = Some(permissions.can_publish);
    video.can_publish_data = Some(permissions.can_publish_data);
    video.can_publish_sources = permissions
        .can_publish_sources
        .iter()
        .map(|source| match source {
            proto::TrackSource::Camera => TrackSourceName::Camera,
            proto::TrackSource::Microphone => TrackSourceName::Microphone,
            proto::TrackSource::ScreenShare => TrackSourceName::ScreenShare,
            proto::TrackSource::ScreenShareAudio => TrackSourceName::ScreenShareAudio,
            proto::TrackSource::Unknown => TrackSourceName::Unknown,
        })
        .collect();
    video.hidden = permissions.hidden;
    video.recorder = permissions.recorder;
    video.agent = permissions.agent;
    video.can_update_own_metadata = Some(permissions.can_update_metadata);
    video.can_subscribe_metrics = Some(permissions.can_subscribe_metrics);
    video.can_manage_agent_session = Some(permissions.can_manage_agent_session);
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::VideoGrant;

    /// covers: grant.canPublish, grant.canSubscribe, grant.canPublishData
    #[test]
    fn absent_grants_mean_yes_and_a_refreshed_token_keeps_what_was_taken_away() {
        let claims = Claims {
            sub: "ada".to_owned(),
            nbf: Some(9),
            video: VideoGrant::join("lobby"),
            ..Claims::default()
        };
        let mut grants = grants_of(&claims);
        assert!(grants.permissions.can_publish && !grants.permissions.can_update_metadata);
        grants.permissions.can_publish = false;
        grants.name = "Ada".to_owned();
        let refreshed = claims_of(&claims, &grants, &"lobby".into());
        assert_eq!(grants_of(&refreshed), grants);
        // Whoever revokes the first one revokes this one too.
        assert_eq!(refreshed.nbf, claims.nbf);
    }

    /// covers: grant.roomRecord, grant.ingressAdmin, grant.canManageAgentSession
    #[test]
    fn what_is_for_other_services_stays_in_a_refreshed_token() {
        let json = serde_json::json!({
            "sub": "ada",
            "video": {
                "roomJoin": true, "room": "lobby", "roomRecord": true, "ingressAdmin": true, "canManageAgentSession": true,
            },
            "agent": {"admin": true}, "sip": {"call": true}, "inference": {"perform": true},
        });
        let claims: Claims = serde_json::from_value(json).unwrap();
        let refreshed = claims_of(&claims, &grants_of(&claims), &"lobby".into());
        let said = serde_json::to_value(&refreshed).unwrap();
        for grant in ["roomRecord", "ingressAdmin", "canManageAgentSession"] {
            assert_eq!(said["video"][grant], true, "{grant}");
        }
        assert!(!grants_of(&claims).permissions.recorder);
    }

    #[test]
    fn an_unknown_source_allows_nothing_more() {
        let mut claims = Claims::default();
        claims.video.can_publish_sources = vec![TrackSourceName::Unknown];
        let permissions = grants_of(&claims).permissions;
        assert!(!permissions.may_publish(proto::TrackSource::Camera));
    }

    /// covers: grant.roomConfig
    #[test]
    fn a_tokens_room_configuration_counts() {
        let claims = Claims {
            room_config: Some(serde_json::json!({"emptyTimeout": 7, "metadata": "m", "later": 1})),
            ..Claims::default()
        };
        let presets = config::Presets::default();
        let settings = RoomDefaults::default()
            .for_token(&claims, &presets)
            .settings;
        assert_eq!(settings.empty_timeout, Duration::from_secs(7));
        assert_eq!(settings.metadata, "m");
        assert_eq!(settings.departure_timeout, Duration::from_secs(20));
    }

    /// covers: grant.roomPreset, room.room_preset, room.empty_timeout, room.departure_timeout, room.max_participants
    /// covers: room.metadata, room.agents
    #[test]
    fn a_preset_counts_where_token_and_request_say_nothing() {
        let presets: config::Presets = serde_json::from_value(serde_json::json!({"studio": {
            "empty_timeout_seconds": 60,
            "max_participants": 4,
            "metadata": "of the preset",
            "agents": [{"agent_name": "notes", "metadata": "n"}],
        }}))
        .unwrap();
        let defaults = RoomDefaults::default();
        let token = |json| {
            let claims = Claims {
                room_preset: "studio".to_owned(),
                room_config: json,
                ..Claims::default()
            };
            defaults.for_token(&claims, &presets)
        };
        let of_preset = token(None);
        assert_eq!(of_preset.settings.empty_timeout, Duration::from_secs(60));
        assert_eq!(
            of_preset.settings.departure_timeout,
            Duration::from_secs(20)
        );
        assert_eq!(of_preset.settings.max_participants, 4);
        assert_eq!(of_preset.settings.metadata, "of the preset");
        assert_eq!(of_preset.agents[0].agent_name, "notes");
        let own = serde_json::json!({"maxParticipants": 2, "agents": [{"agentName": "other"}]});
        let both = token(Some(own));
        assert_eq!(both.settings.max_participants, 2);
        assert_eq!(both.settings.empty_timeout, Duration::from_secs(60));
        assert_eq!(both.agents.len(), 1);
        assert_eq!(both.agents[0].agent_name, "other");
        let request = proto::CreateRoomRequest {
            room_preset: "studio".to_owned(),
            metadata: "own".to_owned(),
            departure_timeout: 9,
            ..Default::default()
        };
        let created = defaults.for_request(&request, &presets);
        assert_eq!(created.settings.metadata, "own");
        assert_eq!(created.settings.departure_timeout, Duration::from_secs(9));
        assert_eq!(created.settings.max_participants, 4);
        assert_eq!(created.agents, of_preset.agents);
    }
}

//! The room itself: its state, and which concern each input goes to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_types::{
    ParticipantId, ParticipantIdentity, RoomSid, RpcId, ShardCommand, ShardId, SubscriptionId,
    Timestamp, TrackId, TrackSid, TransportId,
};
use rand_chacha::{ChaCha12Rng, rand_core::Rng};

use crate::{
    ConnectionId, EndReason, JoinRefusal, Revocations, RoomConfig, RoomInput, RoomOutput,
    SignalMessage,
    candidates::{WISH_KEPT, Wish},
    data::Nonces,
    data_tracks::DataTrack,
    fall_back::FAILURE_KEPT,
    inspect::Inspection,
    pace::Pace,
    participant::Participant,
    places::Places,
    publish::Track,
    recent::Recent,
    rpc::PendingRpc,
    snapshot::ParticipantOverrides,
    speakers::Speaker,
    subscribe::Subscription,
    timers::{TimerKind, Timers},
    updates::ROOM_RATE,
};

/// Random bytes that end frames which the server makes itself, so that encrypting clients can tell them apart.
const SIF_TRAILER_BYTES: usize = 12;
/// Counts of participants go out at most this often (protocol.md 3.4).
const ROOM_UPDATE_INTERVAL: Duration = Duration::from_secs(5);

/// A room gives fewer numbers than 2 to this power: 100 a second for ten years are 2 to the 35th. That leaves the rooms of a
/// member the upper 28 bits: one a second for eight years.
const IDS_OF_A_ROOM_BITS: u32 = 36;

/// One call: a pure state machine. See the crate's first lines.
#[derive(Debug)]
pub struct Room {
    pub(crate) config: RoomConfig,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) now: Timestamp,
    outputs: Vec<RoomOutput>,
    pub(crate) timers: Timers,
    pub(crate) ended: bool,

    pub(crate) participants: BTreeMap<ParticipantId, Participant>,
    pub(crate) by_identity: BTreeMap<ParticipantIdentity, ParticipantId>,
    pub(crate) by_connection: BTreeMap<ConnectionId, ParticipantId>,
    pub(crate) by_transport: BTreeMap<TransportId, ParticipantId>,
    pub(crate) tracks: BTreeMap<TrackId, Track>,
    pub(crate) track_by_sid: BTreeMap<TrackSid, TrackId>,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    next_id: u64,

    /// Every Shard that has heard of this room.
    pub(crate) shards: BTreeSet<ShardId>,
    pub(crate) sif_trailer: Vec<u8>,
    pub(crate) was_joined: bool,
    pub(crate) empty_since_unix_ms: Option<i64>,
    /// From a snapshot, for participants that have not come back yet.
    pub(crate) restored: BTreeMap<ParticipantIdentity, ParticipantOverrides>,
    pub(crate) revoked: Revocations,
    pub(crate) snapshot_dirty: bool,
    pub(crate) places: Places,
    /// By which protocol clients are to be reached.
    pub(crate) wishes: Recent<Wish>,
    /// Whose media has failed a moment ago.
    pub(crate) failures: Recent<()>,

    pub(crate) data_version: u64,
    pub(crate) data_dirty: bool,
    pub(crate) nonces: Nonces,
    pub(crate) data_tracks: BTreeMap<TrackSid, DataTrack>,
    /// Those of which the Shards don't know the latest.
    pub(crate) stale_data_tracks: BTreeSet<TrackSid>,
    /// Calls of the server to participants.
    pub(crate) rpcs: BTreeMap<RpcId, PendingRpc>,
    /// Who looks at the room, the first of them now.
    pub(crate) inspections: VecDeque<Inspection>,
    pub(crate) speaking: BTreeMap<ParticipantId, Speaker>,
    /// Tracks whose demand is to be counted anew.
    pub(crate) demand_dirty: BTreeSet<TrackId>,
    /// Updates of participants that only subscribe or change too fast, to be sent together.
    pub(crate) gathered: VecDeque<(ParticipantId, proto::ParticipantInfo)>,
    /// Of all large updates.
    pub(crate) pace: Pace,
    /// Who left lately, for those who resume.
    pub(crate) departed: VecDeque<(Timestamp, proto::ParticipantInfo)>,
    last_room_update: Option<Timestamp>,
}

/// How much there is in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomStats {
    /// Participants, hidden ones included.
    pub participants: usize,
    /// Participants that publish.
    pub publishers: usize,
    /// Published tracks.
    pub tracks: usize,
    /// Tracks forwarded to participants.
    pub subscriptions: usize,
}

impl Room {
    /// A room that nobody is in yet. All its randomness comes from `rng`, ICE passwords included: seed it from the system.
    #[must_use]
    pub fn new(config: RoomConfig, mut rng: ChaCha12Rng, now: Timestamp) -> Self {
        let mut sif_trailer = vec![0; SIF_TRAILER_BYTES];
        rng.fill_bytes(&mut sif_trailer);
        let mut timers = Timers::default();
        timers.set(TimerKind::Empty, now + config.settings.empty_timeout);
        let empty_since_unix_ms = Some(config.wall.unix_millis(now));
        Self {
            config,
            rng,
            now,
            outputs: Vec::new(),
            timers,
            ended: false,
            participants: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            by_connection: BTreeMap::new(),
            by_transport: BTreeMap::new(),
            tracks: BTreeMap::new(),
            track_by_sid: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            next_id: 0,
            shards: BTreeSet::new(),
            sif_trailer,
            was_joined: false,
            empty_since_unix_ms,
            restored: BTreeMap::new(),
            revoked: Revocations::default(),
            snapshot_dirty: false,
            places: Places::default(),
            wishes: Recent::new(WISH_KEPT),
            failures: Recent::new(FAILURE_KEPT),
            data_version: 0,
            data_dirty: false,
            nonces: Nonces::default(),
            data_tracks: BTreeMap::new(),
            stale_data_tracks: BTreeSet::new(),
            rpcs: BTreeMap::new(),
            inspections: VecDeque::new(),
            speaking: BTreeMap::new(),
            demand_dirty: BTreeSet::new(),
            gathered: VecDeque::new(),
            pace: Pace::new(ROOM_RATE, now),
            departed: VecDeque::new(),
            last_room_update: None,
        }
    }

    /// Takes one input. Drain the outputs afterwards.
    pub fn handle(&mut self, now: Timestamp, input: RoomInput) {
        self.now = self.now.max(now);
        if self.ended {
            self.refuse_after_the_end(input);
            return;
        }
        self.run_timers();
        if self.ended {
            self.refuse_after_the_end(input);
            return;
        }
        match input {
            RoomInput::Join(join) => self.join(*join),
            RoomInput::Signal {
                connection,
                request,
            } => self.signal(connection, *request),
            RoomInput::ConnectionClosed { connection } => self.connection_closed(connection),
            RoomInput::Shard { shard, event } => self.shard_event(shard, event),
            RoomInput::Api { call, request } => self.api_call(call, *request),
            RoomInput::Arrive(traveller) => self.arrive(*traveller),
            RoomInput::Timer => {}
            RoomInput::CandidatesChanged { shard, candidates } => {
                let mut there = Vec::new();
                for participant in self.participants.values_mut() {
                    if participant.shard == shard {
                        participant.candidates.clone_from(&candidates);
                        there.push(participant.id);
                    }
                }
                for id in there {
                    self.refresh_candidates(id);
                }
            }
            RoomInput::LimitsChanged(limits) => {
                self.config.limits = *limits;
                self.look_for_places();
            }
            RoomInput::RefreshTokens => {
                for &id in self.participants.keys() {
                    self.timers.set(TimerKind::Token(id), self.now);
                }
            }
            RoomInput::ShardLost { shard } => self.shard_lost(shard),
            RoomInput::Move => self.end(EndReason::Moved),
            RoomInput::End(reason) => self.end(reason),
        }
        self.settle();
    }

    /// What is to be done, in order.
    pub fn drain(&mut self) -> std::vec::Drain<'_, RoomOutput> {
        self.outputs.drain(..)
    }

    /// When to give `RoomInput::Timer` next, unless another input comes first. May be past: then at once.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Its `RM_` sid.
    #[must_use]
    pub const fn sid(&self) -> &RoomSid {
        &self.config.sid
    }

    /// How much there is in it.
    #[must_use]
    pub fn stats(&self) -> RoomStats {
        RoomStats {
            participants: self.participants.len(),
            publishers: self.publishers().count(),
            tracks: self.tracks.len(),
            subscriptions: self.subscriptions.len(),
        }
    }

    /// A participant as the protocol describes it.
    #[must_use]
    pub fn participant(&self, identity: &ParticipantIdentity) -> Option<proto::ParticipantInfo> {
        let participant = self.participants.get(self.by_identity.get(identity)?)?;
        Some(self.participant_info(participant))
    }

    /// The room as the protocol describes it.
    #[must_use]
    pub fn info(&self) -> proto::Room {
        let settings = &self.config.settings;
        proto::Room {
            sid: self.config.sid.to_string(),
            name: self.config.name.to_string(),
            empty_timeout: whole_seconds(settings.empty_timeout),
            departure_timeout: whole_seconds(settings.departure_timeout),
            max_participants: settings.max_participants,
            creation_time: self.config.created_at_unix_ms / 1000,
            creation_time_ms: self.config.created_at_unix_ms,
            turn_password: String::new(),
            enabled_codecs: self.enabled_codecs(),
            metadata: settings.metadata.clone(),
            num_participants: count(self.participants.values().filter(|p| !p.hidden())),
            num_publishers: count(self.publishers().filter(|p| !p.hidden())),
            active_recording: self
                .participants
                .values()
                .any(|p| p.grants.permissions.recorder),
            version: None,
        }
    }

    /// Video first, as clients expect.
    pub(crate) fn enabled_codecs(&self) -> Vec<proto::Codec> {
        let mut codecs = self.config.media.codecs.clone();
        codecs.sort_by_key(|codec| codec.kind() == plenum_types::MediaKind::Audio);
        codecs
            .iter()
            .map(|codec| proto::Codec {
                mime: codec.mime().to_owned(),
                fmtp_line: String::new(),
            })
            .collect()
    }

    fn publishers(&self) -> impl Iterator<Item = &Participant> {
        self.participants.values().filter(|p| !p.tracks.is_empty())
    }

    /// A number that no other thing on this member has, so that participants can go to another room with what they have.
    pub(crate) const fn allocate_id(&mut self) -> u64 {
        self.next_id += 1;
        (self.config.handle.0 << IDS_OF_A_ROOM_BITS) | self.next_id
    }

    pub(crate) fn unix_ms(&self) -> i64 {
        self.config.wall.unix_millis(self.now)
    }

    pub(crate) fn push(&mut self, output: RoomOutput) {
        self.outputs.push(output);
    }

    pub(crate) fn command(&mut self, shard: ShardId, command: ShardCommand) {
        self.shards.insert(shard);
        self.outputs.push(RoomOutput::Shard { shard, command });
    }

    /// To a participant, if it has a connection.
    pub(crate) fn send(&mut self, to: ParticipantId, message: Message) {
        self.send_shared(to, &SignalMessage::new(message));
    }

    pub(crate) fn send_shared(&mut self, to: ParticipantId, message: &Arc<SignalMessage>) {
        if let Some(connection) = self.participants.get(&to).and_then(Participant::connection) {
            self.outputs.push(RoomOutput::Send {
                connection,
                message: Arc::clone(message),
            });
        }
    }

    #[allow(deprecated)] // update_layers: old clients send it
    fn signal(&mut self, connection: ConnectionId, request: proto::SignalRequest) {
        use proto::signal_request::Message as Request;
        let Some(&id) = self.by_connection.get(&connection) else {
            return;
        };
        // A message of a newer client has none that we know: ignored (protocol.md 12.5).
        let Some(message) = request.message else {
            return;
        };
        match message {
            Request::Offer(offer) => self.client_offer(id, &offer),
            Request::Answer(answer) => self.client_answer(id, &answer),
            Request::AddTrack(request) => self.add_track(id, request),
            Request::Mute(request) => self.client_mute(id, request),
            Request::Subscription(request) => self.update_subscription(id, &request),
            Request::TrackSetting(request) => self.track_setting(id, &request),
            Request::Leave(leave) => self.client_leave(id, &leave),
            Request::SubscriptionPermission(request) => self.subscription_permission(id, &request),
            Request::SyncState(state) => self.sync_state(id, &state),
            Request::Simulate(scenario) => self.simulate(id, scenario),
            Request::UpdateMetadata(request) => self.client_metadata(id, request),
            Request::UpdateAudioTrack(request) => self.update_audio_track(id, request),
            Request::UpdateVideoTrack(request) => self.update_video_track(id, &request),
            Request::UpdateLayers(request) => self.update_layers(id, &request),
            Request::PublishDataTrackRequest(request) => self.publish_data_track(id, request),
            Request::UnpublishDataTrackRequest(request) => self.unpublish_data_track(id, request),
            Request::UpdateDataSubscription(request) => self.update_data_subscription(id, &request),
            Request::StoreDataBlobRequest(request) => self.store_data_blob(id, request),
            Request::GetDataBlobRequest(request) => self.get_data_blob(id, &request),
            // Trickled candidates: we are ICE-lite and learn the client's addresses from its checks (RFC 8445 section 2.5).
            // Pings were answered before.
            _ => {}
        }
    }

    fn run_timers(&mut self) {
        while let Some(due) = self.timers.pop_due(self.now) {
            match due {
                TimerKind::Empty => return self.end(EndReason::Closed),
                TimerKind::RoomUpdate => self.send_room_update(),
                TimerKind::Updates => self.send_gathered(),
                TimerKind::Quality => self.judge_quality(),
                TimerKind::Places => self.places_due(),
                TimerKind::Inspection => self.finish_inspection(),
                TimerKind::Join(id) => self.join_failed(id),
                TimerKind::Away(id) => self.away_for_too_long(id),
                TimerKind::Lost(id) => self.lost_for_too_long(id),
                TimerKind::Token(id) => self.refresh_token(id),
                TimerKind::Negotiate(id) => self.negotiate(id),
                TimerKind::Answer(id) => self.lose(id, proto::DisconnectReason::StateMismatch),
                TimerKind::Match(id) => self.match_by_kind(id),
                TimerKind::Unknown(id) => self.report_unknown(id),
                TimerKind::Speaker(id) => self.simulated_speaker_ends(id),
                TimerKind::RpcAck(rpc) => self.rpc_not_acknowledged(rpc),
                TimerKind::Rpc(rpc) => self.rpc_not_answered(rpc),
                TimerKind::Demand(track) => self.demand_settled(track),
            }
        }
    }

    /// What many steps of one input change together is told once.
    fn settle(&mut self) {
        if self.ended {
            return;
        }
        self.fill_places();
        self.count_demand();
        self.push_data_policy();
        self.push_data_tracks();
        if std::mem::take(&mut self.snapshot_dirty) {
            self.push(RoomOutput::SnapshotChanged { before_next: false });
        }
    }

    fn refuse_after_the_end(&mut self, input: RoomInput) {
        match input {
            RoomInput::Join(join) => self.push(RoomOutput::Refuse {
                connection: join.connection,
                refusal: JoinRefusal::Ending,
            }),
            RoomInput::Api { call, .. } => self.push(RoomOutput::Api {
                call,
                result: Err(crate::ApiError::no_room(&self.config.name)),
            }),
            RoomInput::Arrive(traveller) => self.push(RoomOutput::Close {
                connection: traveller.connection(),
                reason: "the room has ended",
            }),
            _ => {}
        }
    }

    /// Metadata or settings changed: at once.
    pub(crate) fn send_room_update(&mut self) {
        self.timers.clear(TimerKind::RoomUpdate);
        self.last_room_update = Some(self.now);
        let message = SignalMessage::new(Message::RoomUpdate(proto::RoomUpdate {
            room: Some(self.info()),
        }));
        let everyone: Vec<_> = self.participants.keys().copied().collect();
        for id in everyone {
            self.send_shared(id, &message);
        }
    }

    /// Counts changed: soon.
    pub(crate) fn room_counts_changed(&mut self) {
        let at = self
            .last_room_update
            .map_or(self.now, |last| last + ROOM_UPDATE_INTERVAL)
            .max(self.now);
        self.timers.set_if_unset(TimerKind::RoomUpdate, at);
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn count<'a>(participants: impl Iterator<Item = &'a Participant>) -> u32 {
    u32::try_from(participants.count()).unwrap_or(u32::MAX)
}

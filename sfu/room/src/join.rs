//! How a client comes in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use livekit_protocol::{self as proto, leave_request::Action, signal_response::Message};
use plenum_negotiation::{Answerer, LocalParams, Offerer};
use plenum_types::{
    Candidate, IceCredentials, ParticipantId, ParticipantIdentity, ShardCommand, TransportId,
    TransportParams,
};
use rand_chacha::rand_core::Rng as _;

use crate::{
    Join, JoinRefusal, Place, Room, RoomOutput, SessionMode, SignalMessage, client,
    data::SERVER_PROTOCOL,
    data_blobs::DataBlobs,
    data_tracks::DataSide,
    leave::Farewell,
    metadata::merge_attributes,
    pace::Pace,
    participant::{Interest, Leg, Participant, Peer, Phase, ResumeFault},
    permissions::SubscriptionPolicy,
    sids,
    snapshot::ParticipantOverrides,
    timers::TimerKind,
    updates::PARTICIPANT_RATE,
};

/// A client that isn't active by then is removed (protocol.md 3.2).
const JOIN_DEADLINE: Duration = Duration::from_secs(60);
/// A new token goes out this often, so that none gets old.
const TOKEN_INTERVAL: Duration = Duration::from_secs(300);

impl Room {
    pub(crate) fn join(&mut self, join: Join) {
        let identity = &join.grants.identity;
        if self.revoked.cover(identity, join.token_not_before) {
            self.push(RoomOutput::Refuse {
                connection: join.connection,
                refusal: JoinRefusal::TokenRevoked,
            });
            return;
        }
        if join.resume.is_some() {
            self.resume(join);
            return;
        }
        if self.is_full_for(&join) {
            self.push(RoomOutput::Refuse {
                connection: join.connection,
                refusal: JoinRefusal::Full,
            });
            return;
        }
        let allowance = self.config.limits.member.participants.clone();
        let mut place = allowance.take();
        // Who comes back takes the place of the session that it replaces.
        if place.is_none() && !self.by_identity.contains_key(&join.grants.identity) {
            self.push(RoomOutput::Refuse {
                connection: join.connection,
                refusal: JoinRefusal::MemberFull {
                    limit: allowance.limit(),
                },
            });
            return;
        }
        if let Some(&older) = self.by_identity.get(&join.grants.identity) {
            self.keep_verdicts(older);
            self.remove(
                older,
                proto::DisconnectReason::DuplicateIdentity,
                Farewell::Leave(Action::Disconnect),
                false,
            );
        }
        place = place.or_else(|| allowance.take());
        let id = self.admit(&join, place);
        self.welcome(id);
        self.participant_changed(id);
        if self
            .participants
            .get(&id)
            .is_some_and(|p| p.grants.permissions.recorder)
        {
            self.send_room_update();
        }
        self.room_counts_changed();
        self.reconcile_subscriber(id);
        self.reconcile_data_of_subscriber(id);
        self.after_join(id, join);
    }

    /// What the API took from a participant stays taken from its successor, whose token may be older than that. Names,
    /// metadata and attributes are not kept: who reloads a page starts with those of its token.
    fn keep_verdicts(&mut self, older: ParticipantId) {
        let Some(participant) = self.participants.get(&older) else {
            return;
        };
        let verdicts = ParticipantOverrides {
            permissions: participant.overrides.permissions.clone(),
            muted_sources: participant.overrides.muted_sources.clone(),
            ..ParticipantOverrides::default()
        };
        if verdicts != ParticipantOverrides::default() {
            let identity = participant.identity().clone();
            self.restored.insert(identity, verdicts);
        }
    }

    /// What a client put into its join comes as if sent right after it.
    pub(crate) fn after_join(&mut self, id: ParticipantId, join: Join) {
        for request in join.add_track_requests {
            self.add_track(id, request);
        }
        if let Some(state) = join.sync_state {
            self.sync_state(id, &state);
        }
        if let Some(offer) = join.publisher_offer {
            self.client_offer(id, &offer);
        }
        if join.mode == SessionMode::Dual && self.has_primary_offer(id) {
            self.negotiate(id);
        }
    }

    fn has_primary_offer(&self, id: ParticipantId) -> bool {
        self.participants.get(&id).is_some_and(|participant| {
            matches!(
                &participant.peer,
                Peer::Dual {
                    subscriber: Some(_),
                    ..
                }
            )
        })
    }

    fn is_full_for(&self, join: &Join) -> bool {
        let limit = self.config.settings.max_participants as usize;
        let dependent = join.grants.permissions.recorder
            || matches!(
                join.grants.kind,
                crate::ParticipantKind::Agent | crate::ParticipantKind::Egress
            );
        limit != 0
            && !dependent
            && self
                .participants
                .values()
                .filter(|p| !p.is_dependent() && *p.identity() != join.grants.identity)
                .count()
                >= limit
    }

    fn admit(&mut self, join: &Join, place: Option<Place>) -> ParticipantId {
        let id = ParticipantId(self.allocate_id());
        let mut grants = join.grants.clone();
        let overrides = self.restored.remove(&grants.identity).unwrap_or_default();
        overrides.apply_to(&mut grants);
        if grants.permissions.can_update_metadata {
            if !join.metadata.is_empty() && join.metadata.len() <= self.config.limits.metadata_bytes
            {
                grants.metadata.clone_from(&join.metadata);
            }
            // More than the limit is as good as none: the token's stay.
            let limit = self.config.limits.attributes_bytes;
            if let Some(merged) = merge_attributes(&grants.attributes, &join.attributes, limit) {
                grants.attributes = merged;
            }
        }
        let sid = sids::participant_sid(&mut self.rng);
        let local = self.local_params(join.shard, &grants.identity, &join.candidates);
        let peer = match join.mode {
            SessionMode::Single => Peer::Single(Box::new(Leg {
                transport: TransportId(self.allocate_id()),
                negotiation: Answerer::single(local),
            })),
            SessionMode::Dual => Peer::Dual {
                publisher: None,
                subscriber: None,
                // Before protocol 3 the publisher's connection came first.
                subscriber_primary: grants.permissions.can_subscribe && join.client.protocol > 2,
            },
        };
        if let Peer::Single(leg) = &peer {
            let params = TransportParams {
                transport: leg.transport,
                participant: id,
                local: leg.negotiation.local_ice().clone(),
            };
            self.by_transport.insert(leg.transport, id);
            self.command(join.shard, ShardCommand::OpenTransport(params));
        }
        self.by_identity.insert(grants.identity.clone(), id);
        self.by_connection.insert(join.connection, id);
        let open_subscriber = matches!(
            peer,
            Peer::Dual {
                subscriber_primary: true,
                ..
            }
        );
        self.participants.insert(
            id,
            Participant {
                id,
                sid,
                _place: place,
                grants,
                overrides,
                phase: Phase::Joined(join.connection),
                client: client::bounded(&join.client),
                settings: join.settings,
                shard: join.shard,
                candidates: join.candidates.clone(),
                joined_at_unix_ms: self.unix_ms(),
                joined: self.now,
                has_media: self.tracks.is_empty() || !join.settings.auto_subscribe,
                version: 0,
                pace: Pace::new(PARTICIPANT_RATE, self.now),
                was_active: false,
                media_since: None,
                peer,
                last_negotiation: None,
                pending: Vec::new(),
                queued: VecDeque::new(),
                unmatched: Vec::new(),
                tracks: BTreeMap::new(),
                backups: BTreeMap::new(),
                policy: SubscriptionPolicy::default(),
                interest: Interest::default(),
                subscriptions: BTreeMap::new(),
                denied: BTreeSet::new(),
                refused: BTreeSet::new(),
                short: BTreeMap::new(),
                track_settings: BTreeMap::new(),
                data: DataSide::default(),
                blobs: DataBlobs::default(),
                last_data_sequence: 0,
                link: BTreeMap::new(),
                quality: None,
                untold_quality: BTreeSet::new(),
                resume_fault: ResumeFault::None,
                away_since: self.now,
            },
        );
        if open_subscriber {
            self.open_subscriber(id);
        }
        self.timers
            .set(TimerKind::Join(id), self.now + JOIN_DEADLINE);
        self.start_quality();
        self.data_dirty = true;
        self.note_presence(id);
        if let Some(participant) = self.participants.get(&id) {
            tracing::info!(
                participant = %participant.identity(),
                participant_sid = %participant.sid,
                shard = %participant.shard,
                "participant joined"
            );
        }
        id
    }

    pub(crate) fn local_params(
        &mut self,
        shard: plenum_types::ShardId,
        identity: &ParticipantIdentity,
        candidates: &[Candidate],
    ) -> LocalParams {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        LocalParams {
            shard,
            fingerprint: self.config.fingerprint,
            candidates: self.candidates_for(identity, candidates),
            media: self.config.media.clone(),
            seed,
        }
    }

    /// Opens the connection on which a dual-mode client receives, unless it is open.
    pub(crate) fn open_subscriber(&mut self, id: ParticipantId) {
        self.open_leg(id, Peer::subscriber_place, |local| {
            let negotiation = Offerer::subscriber(local);
            let ice = negotiation.local_ice().clone();
            (negotiation, ice)
        });
    }

    /// Opens the connection on which a dual-mode client sends, unless it is open.
    pub(crate) fn open_publisher(&mut self, id: ParticipantId) {
        self.open_leg(id, Peer::publisher_place, |local| {
            let negotiation = Answerer::publisher(local);
            let ice = negotiation.local_ice().clone();
            (negotiation, ice)
        });
    }

    /// Opens the connection whose place in a dual-mode peer is free.
    fn open_leg<N>(
        &mut self,
        id: ParticipantId,
        place: impl Fn(&mut Peer) -> Option<&mut Option<Box<Leg<N>>>>,
        negotiate: impl FnOnce(LocalParams) -> (N, IceCredentials),
    ) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if !place(&mut participant.peer).is_some_and(|place| place.is_none()) {
            return;
        }
        let (shard, identity) = (participant.shard, participant.identity().clone());
        let candidates = participant.candidates.clone();
        let local = self.local_params(shard, &identity, &candidates);
        let transport = TransportId(self.allocate_id());
        let (negotiation, ice) = negotiate(local);
        if let Some(participant) = self.participants.get_mut(&id)
            && let Some(place) = place(&mut participant.peer)
        {
            *place = Some(Box::new(Leg {
                transport,
                negotiation,
            }));
        }
        self.open_transport(id, shard, transport, ice);
    }

    fn open_transport(
        &mut self,
        participant: ParticipantId,
        shard: plenum_types::ShardId,
        transport: TransportId,
        local: IceCredentials,
    ) {
        self.by_transport.insert(transport, participant);
        self.command(
            shard,
            ShardCommand::OpenTransport(TransportParams {
                transport,
                participant,
                local,
            }),
        );
        self.data_dirty = true;
    }

    /// The first messages of a session.
    fn welcome(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let (subscriber_primary, dual) = match participant.peer {
            Peer::Single(_) => (false, false),
            Peer::Dual {
                subscriber_primary, ..
            } => (subscriber_primary, true),
        };
        let server = &self.config.server;
        let response = proto::JoinResponse {
            room: Some(self.info()),
            participant: Some(self.participant_info(participant)),
            other_participants: self.others(id),
            server_version: server.version.clone(),
            ice_servers: self.config.ice_servers.clone(),
            subscriber_primary,
            alternative_url: String::new(),
            client_configuration: Some(proto::ClientConfiguration::default()),
            server_region: server.region.clone(),
            ping_timeout: whole_seconds(self.config.keep_alive.timeout),
            ping_interval: whole_seconds(self.config.keep_alive.interval),
            server_info: Some(self.server_info()),
            sif_trailer: self.sif_trailer.clone(),
            enabled_publish_codecs: self.enabled_codecs(),
            fast_publish: dual && participant.grants.permissions.can_publish,
        };
        self.send(id, Message::Join(response));
        self.refresh_token(id);
    }

    pub(crate) fn server_info(&self) -> proto::ServerInfo {
        let server = &self.config.server;
        proto::ServerInfo {
            edition: proto::server_info::Edition::Standard as i32,
            version: server.version.clone(),
            protocol: SERVER_PROTOCOL,
            region: server.region.clone(),
            node_id: server.node_id.clone(),
            debug_info: String::new(),
            agent_protocol: 0,
        }
    }

    /// A token that says what the participant is now; and the next one in time.
    pub(crate) fn refresh_token(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let Some(connection) = participant.connection() else {
            return;
        };
        let grants = Box::new(participant.grants.clone());
        self.push(RoomOutput::RefreshToken { connection, grants });
        self.renew_token_later(id);
    }

    pub(crate) fn renew_token_later(&mut self, id: ParticipantId) {
        self.timers
            .set(TimerKind::Token(id), self.now + TOKEN_INTERVAL);
    }

    /// A client that can't resume is told to start over; nothing is kept of its connection.
    pub(crate) fn turn_away(&mut self, connection: crate::ConnectionId) {
        let reason = proto::DisconnectReason::StateMismatch;
        self.push(RoomOutput::Send {
            connection,
            message: SignalMessage::new(crate::leave::leave_message(reason, Action::Reconnect)),
        });
        self.push(RoomOutput::Close {
            connection,
            reason: reason.as_str_name(),
        });
    }
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

//! Clients, Shards and callers that say anything at any time.

use crate::world::*;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_room::{
    ApiCallId, ApiRequest, ConnectionId, Resume, RoomInput, RoomOutput, SessionMode,
};
use plenum_types::{
    DtlsVersion, FailureCause, ParticipantId, ShardCommand, ShardEvent, SpeakerLevel, SrtpProfile,
    SubscriptionId, TrackId, TransportId, TransportState,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What must hold of outputs whatever came in.
#[derive(Default)]
struct Rules {
    greeted: BTreeSet<ConnectionId>,
    closed: BTreeSet<ConnectionId>,
    transports: BTreeSet<TransportId>,
    tracks: BTreeSet<TrackId>,
    subscriptions: BTreeMap<SubscriptionId, TrackId>,
    sids: Vec<String>,
    tracks_known: Vec<String>,
    started: usize,
}

impl Rules {
    fn check(&mut self, output: &RoomOutput) {
        match output {
            RoomOutput::Send {
                connection,
                message,
            } => {
                assert!(!self.closed.contains(connection), "a message after the end");
                let message = message.response().message.as_ref().unwrap();
                let greets = matches!(
                    message,
                    Message::Join(_) | Message::Reconnect(_) | Message::Leave(_)
                );
                assert!(self.greeted.contains(connection) || greets, "{message:?}");
                self.greeted.insert(*connection);
                self.learn(message);
            }
            RoomOutput::Close { connection, .. } => {
                assert!(self.closed.insert(*connection), "closed twice");
            }
            RoomOutput::Shard { command, .. } => self.command(command),
            _ => {}
        }
    }

    fn learn(&mut self, message: &Message) {
        match message {
            Message::Join(join) => self
                .sids
                .push(join.participant.as_ref().unwrap().sid.clone()),
            Message::TrackPublished(published) => self
                .tracks_known
                .push(published.track.as_ref().unwrap().sid.clone()),
            Message::Update(update) => {
                for info in &update.participants {
                    assert!(info.sid.starts_with("PA_"));
                    assert!(info.tracks.iter().all(|t| t.sid.starts_with("TR_")));
                }
            }
            _ => {}
        }
    }

    fn command(&mut self, command: &ShardCommand) {
        match command {
            ShardCommand::OpenTransport(params) => {
                assert!(self.transports.insert(params.transport));
            }
            ShardCommand::ConnectTransport { transport, .. }
            | ShardCommand::RestartIce { transport, .. } => {
                assert!(self.transports.contains(transport));
            }
            ShardCommand::CloseTransport { transport } => {
                assert!(self.transports.remove(transport));
            }
            ShardCommand::AddTrack {
                track, transport, ..
            } => {
                assert!(self.transports.contains(transport));
                assert!(self.tracks.insert(*track));
            }
            ShardCommand::UpdateTrack { track, .. } | ShardCommand::SetTrackMuted { track, .. } => {
                assert!(self.tracks.contains(track));
            }
            ShardCommand::RemoveTrack { track } => {
                assert!(self.tracks.remove(track));
                assert!(!self.subscriptions.values().any(|of| of == track));
            }
            ShardCommand::AddSubscription {
                subscription,
                track,
                ..
            } => {
                assert!(self.tracks.contains(track));
                assert!(self.subscriptions.insert(*subscription, *track).is_none());
                self.started += 1;
            }
            ShardCommand::SetSubscriptionTarget { subscription, .. }
            | ShardCommand::UpdateSubscription { subscription, .. } => {
                assert!(self.subscriptions.contains_key(subscription));
            }
            ShardCommand::RemoveSubscription { subscription } => {
                assert!(self.subscriptions.remove(subscription).is_some());
            }
            _ => {}
        }
    }
}

struct Chaos {
    rng: fastrand::Rng,
    world: World,
    rules: Rules,
    connections: u64,
}

impl Chaos {
    fn track_sid(&mut self) -> String {
        self.rng
            .choice(&self.rules.tracks_known)
            .cloned()
            .unwrap_or_else(|| "TR_none".to_owned())
    }

    fn sdp(&mut self) -> &'static str {
        match self.rng.u8(..100) {
            0..=59 => PUBLISH,
            60..=79 => GROW,
            80..=89 => UNPUBLISH,
            90..=95 => RESTART,
            96 => JOIN,
            97 => "v=0\r\n",
            _ => "",
        }
    }

    fn identity(&mut self) -> String {
        format!("guest {}", self.rng.u8(..6))
    }

    fn request(&mut self) -> Request {
        let on = self.rng.bool();
        match self.rng.u8(..50) {
            0..=14 => Request::Offer(offer(self.rng.u32(..3), self.sdp())),
            15 => Request::Answer(offer(self.rng.u32(..3), self.sdp())),
            16..=27 => Request::AddTrack(if on { camera() } else { microphone() }),
            28..=29 => Request::AddTrack(proto::AddTrackRequest {
                cid: self.identity(),
                r#type: self.rng.i32(0..4),
                source: self.rng.i32(0..9),
                ..Default::default()
            }),
            30..=32 => Request::Mute(proto::MuteTrackRequest {
                sid: self.track_sid(),
                muted: on,
            }),
            33..=35 => Request::Subscription(proto::UpdateSubscription {
                track_sids: vec![self.track_sid(), "TR_none".to_owned()],
                subscribe: on,
                participant_tracks: Vec::new(),
            }),
            36..=40 => Request::TrackSetting(proto::UpdateTrackSettings {
                track_sids: vec![self.track_sid()],
                disabled: on,
                width: self.rng.u32(..),
                quality: self.rng.i32(..9),
                ..Default::default()
            }),
            41..=43 => Request::SubscriptionPermission(proto::SubscriptionPermission {
                all_participants: on,
                track_permissions: Vec::new(),
            }),
            44..=46 => Request::UpdateVideoTrack(proto::UpdateLocalVideoTrack {
                track_sid: self.track_sid(),
                width: self.rng.u32(..),
                height: 0,
            }),
            47..=48 => Request::SyncState(proto::SyncState {
                track_sids_disabled: vec![self.track_sid()],
                ..Default::default()
            }),
            _ => Request::Leave(proto::LeaveRequest::default()),
        }
    }

    fn event(&mut self) -> ShardEvent {
        let known = self.rules.transports.iter().copied();
        let transport = self.rng.choice(known.collect::<Vec<_>>());
        let transport = transport.unwrap_or(TransportId(0));
        let known = self.rules.subscriptions.keys().copied();
        let subscription = self.rng.choice(known.collect::<Vec<_>>());
        let known = self.rules.tracks.iter().copied();
        let track = self.rng.choice(known.collect::<Vec<_>>());
        let state = match self.rng.u8(..60) {
            0 => TransportState::Disconnected,
            1 => TransportState::Failed(FailureCause::IceTimeout),
            2 => TransportState::Failed(FailureCause::Closed),
            _ => TransportState::Connected {
                srtp: SrtpProfile::AeadAes256Gcm,
                dtls: DtlsVersion::V1_2,
            },
        };
        match self.rng.u8(..4) {
            0 => ShardEvent::Speakers(vec![SpeakerLevel {
                track: track.unwrap_or(TrackId(0)),
                level: 1.0,
                active: self.rng.bool(),
            }]),
            1 => ShardEvent::SubscriptionStarted {
                subscription: subscription.unwrap_or(SubscriptionId(0)),
            },
            2 => ShardEvent::DataProgress {
                participant: ParticipantId(FIRST_ID + self.rng.u64(..60)),
                last_sequence: 1,
            },
            _ => ShardEvent::TransportState { transport, state },
        }
    }

    fn api(&mut self) -> ApiRequest {
        let identity = self.identity();
        match self.rng.u8(..3) {
            0 => remove(&identity),
            1 => ApiRequest::MutePublishedTrack {
                identity: identity.as_str().into(),
                track: self.track_sid().into(),
                muted: true,
            },
            _ => ApiRequest::UpdateParticipant(proto::UpdateParticipantRequest {
                identity,
                permission: Some(proto::ParticipantPermission {
                    can_subscribe: self.rng.u8(..4) > 0,
                    can_publish: self.rng.u8(..4) > 0,
                    hidden: self.rng.u8(..4) == 0,
                    ..Default::default()
                }),
                ..Default::default()
            }),
        }
    }

    fn step(&mut self) {
        let live: Vec<_> = self.rules.greeted.difference(&self.rules.closed).collect();
        let connection = **self.rng.choice(&live).unwrap_or(&&ConnectionId(0));
        let input = match self.rng.u8(..40) {
            0..=2 => {
                self.connections += 1;
                let identity = self.identity();
                let mut join = self.world.join_input(&identity);
                join.connection = ConnectionId(self.connections);
                if self.rng.u8(..4) == 0 {
                    join.mode = SessionMode::Dual;
                    join.publisher_offer = None;
                }
                if self.rng.u8(..4) == 0
                    && let Some(sid) = self.rng.choice(&self.rules.sids).cloned()
                {
                    join.resume = Some(Resume {
                        sid: sid.into(),
                        reason: 0,
                    });
                }
                RoomInput::Join(Box::new(join))
            }
            3 => RoomInput::ConnectionClosed { connection },
            4..=10 => RoomInput::Shard {
                shard: SHARD,
                event: self.event(),
            },
            11 => RoomInput::Api {
                call: ApiCallId(1),
                request: Box::new(self.api()),
            },
            12..=14 => {
                self.world.now += Duration::from_millis(self.rng.u64(..2000));
                RoomInput::Timer
            }
            _ => RoomInput::Signal {
                connection,
                request: Box::new(proto::SignalRequest {
                    message: Some(self.request()),
                }),
            },
        };
        // What is due goes out before.
        self.handle(RoomInput::Timer);
        if let RoomInput::ConnectionClosed { connection } = &input {
            self.rules.closed.insert(*connection);
        }
        self.handle(input);
    }

    fn handle(&mut self, input: RoomInput) {
        self.world.room.handle(self.world.now, input);
        for output in self.world.room.drain() {
            self.rules.check(&output);
        }
    }
}

#[test]
fn whatever_comes_the_outputs_keep_their_rules() {
    let mut started = 0;
    for seed in 0..30 {
        let mut chaos = Chaos {
            rng: fastrand::Rng::with_seed(seed),
            world: World::default(),
            rules: Rules::default(),
            connections: 0,
        };
        for _ in 0..1500 {
            chaos.step();
        }
        // All sessions end, and nothing is left of them.
        let rest = 1..=chaos.connections;
        for connection in rest.map(ConnectionId) {
            chaos
                .world
                .room
                .handle(chaos.world.now, RoomInput::ConnectionClosed { connection });
        }
        chaos.world.now += Duration::from_secs(80);
        chaos.world.room.handle(chaos.world.now, RoomInput::Timer);
        assert_eq!(chaos.world.room.stats(), Default::default(), "seed {seed}");
        started += chaos.rules.started;
    } // The chaos still reaches what it is about.
    assert!(started > 1000, "{started}");
}

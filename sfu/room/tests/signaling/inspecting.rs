//! What a room shows to people who look for a fault, and why nothing flows.

use crate::world::*;
use livekit_protocol::{self as proto, VideoQuality, signal_request::Message as Request};
use plenum_room::{
    ApiCallId, ApiErrorCode, ApiRequest, ApiResponse, RoomInput, RoomOutput, RoomView, Stall,
};
use plenum_types::{
    Decision, DecisionKind, LayerView, LinkQuality, ParticipantIdentity, Rate, ShardCommand,
    ShardEvent, ShardView, Ssrc, Subject, SubscriptionView, TrackView, TransportView,
};
use std::time::Duration;

const CALL: ApiCallId = ApiCallId(7_000);

impl World {
    /// What a Shard would show on which all is well: every track sends, every subscription gets it.
    fn well(&self, query: u64) -> ShardView {
        let mut view = ShardView {
            query,
            ..ShardView::default()
        };
        for command in &self.commands {
            match command {
                ShardCommand::OpenTransport(params) => view.transports.push(TransportView {
                    transport: params.transport,
                    participant: params.participant,
                    connected: true,
                    path: None,
                    srtp: None,
                    dtls: None,
                    link: LinkQuality::default(),
                    waiting: 0,
                    dropped: 0,
                    decisions: Vec::new(),
                }),
                ShardCommand::AddTrack {
                    track,
                    transport,
                    receiver,
                    ..
                } => view.tracks.push(TrackView {
                    track: *track,
                    transport: *transport,
                    muted: false,
                    layers: receiver
                        .encodings
                        .iter()
                        .map(|encoding| LayerView {
                            spatial: encoding.spatial,
                            codec: receiver.codecs.first().map(|codec| codec.codec),
                            rid: encoding.rid.clone(),
                            ssrc: encoding.ssrc,
                            live: true,
                            rate: Rate {
                                bits: 100_000,
                                packets: 10,
                            },
                            frame_rates: vec![7.5, 15.0, 30.0],
                            received: 100,
                            lost: 1,
                            since_packet: Some(Duration::from_millis(5)),
                            since_key_frame: Some(Duration::from_secs(3)),
                            awaits_key_frame: false,
                        })
                        .collect(),
                }),
                ShardCommand::AddSubscription {
                    subscription,
                    track,
                    sink: plenum_types::Sink::Transport(transport),
                    target,
                    ..
                } => view.subscriptions.push(SubscriptionView {
                    subscription: *subscription,
                    track: *track,
                    transport: *transport,
                    open: true,
                    target: *target,
                    chosen: Some(2),
                    current: Some(2),
                    rate: Rate {
                        bits: 100_000,
                        packets: 10,
                    },
                    sent: 99,
                    loss: 0.0,
                    dropped: 0,
                    dropping: false,
                    starved: false,
                }),
                _ => {}
            }
        }
        view
    }

    /// Somebody looks; the query that the Shard gets.
    fn look(&mut self, call: ApiCallId, decisions_of: Option<&str>) -> Option<u64> {
        let before = self.commands.len();
        self.input(RoomInput::Api {
            call,
            request: Box::new(ApiRequest::Inspect {
                decisions_of: decisions_of.map(ParticipantIdentity::from),
            }),
        });
        self.commands[before..]
            .iter()
            .find_map(|command| match command {
                ShardCommand::Inspect { query, .. } => Some(*query),
                _ => None,
            })
    }

    fn shown(&self, call: ApiCallId) -> Option<RoomView> {
        self.others.iter().find_map(|output| match output {
            RoomOutput::Api {
                call: of,
                result: Ok(ApiResponse::View(view)),
            } if *of == call => Some((**view).clone()),
            _ => None,
        })
    }

    /// The room as somebody sees it who looks now, where the Shard differs from all being well.
    pub(crate) fn inspect(&mut self, change: impl FnOnce(&mut ShardView)) -> RoomView {
        let query = self.look(CALL, None).expect("a Shard is asked");
        let mut view = self.well(query);
        change(&mut view);
        self.shard(ShardEvent::View(Box::new(view)));
        let shown = self.shown(CALL).expect("an answer");
        self.others.clear();
        shown
    }
}

/// Why `identity` gets nothing of the track.
pub(crate) fn why(view: &RoomView, identity: &str, sid: &str) -> Option<Stall> {
    view.participants
        .iter()
        .find(|participant| participant.identity == identity)
        .expect("a participant")
        .subscriptions
        .iter()
        .find(|subscription| subscription.track == sid)
        .expect("a row about the track")
        .why
}

/// Why nothing of the track comes from its publisher.
pub(crate) fn why_silent(view: &RoomView, sid: &str) -> Option<Stall> {
    view.participants
        .iter()
        .flat_map(|participant| &participant.tracks)
        .find(|track| track.sid == sid)
        .expect("a track")
        .why
}

fn silence(view: &mut ShardView) {
    for layer in view.tracks.iter_mut().flat_map(|track| &mut track.layers) {
        layer.live = false;
    }
}

fn stopped(view: &mut ShardView) {
    for subscription in &mut view.subscriptions {
        subscription.current = None;
    }
}

/// Alice publishes microphone and camera, Bob gets both.
fn call() -> (World, Client, Client, String) {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join("bob");
    (world, alice, bob, camera)
}

#[test]
fn a_room_shows_who_is_there_and_what_flows() {
    let (mut world, alice, _, camera) = call();
    let view = world.inspect(|_| {});
    assert_eq!((view.name.as_str(), view.truncated), ("lobby", false));
    assert!(view.silent_shards.is_empty());
    let [ada, bob] = view.participants.as_slice() else {
        panic!("two participants");
    };
    assert_eq!(
        (ada.sid.as_str(), ada.state.as_str()),
        (alice.sid.as_str(), "active")
    );
    assert_eq!(ada.transports.len(), 1);
    assert_eq!(ada.transports[0].role, "both");
    let track = ada.tracks.iter().find(|track| track.sid == camera).unwrap();
    assert_eq!(
        (track.kind.as_str(), track.source.as_str()),
        ("video", "camera")
    );
    assert_eq!((track.layers.len(), track.subscribers), (3, 1));
    assert_eq!(track.layers[2].width, 1280);
    assert_eq!(track.why, None);
    let row = bob
        .subscriptions
        .iter()
        .find(|row| row.track == camera)
        .unwrap();
    assert_eq!((row.publisher.as_str(), row.current), ("alice", Some(2)));
    assert_eq!((row.why, row.rate.packets), (None, 10));
    assert!(ada.subscriptions.is_empty());
}

/// covers: why.muted
#[test]
fn a_muted_track_is_muted() {
    let (mut world, alice, _, camera) = call();
    world.say(
        &alice,
        Request::Mute(proto::MuteTrackRequest {
            sid: camera.clone(),
            muted: true,
        }),
    );
    let view = world.inspect(silence);
    assert_eq!(why(&view, "bob", &camera), Some(Stall::Muted));
    assert_eq!(why_silent(&view, &camera), Some(Stall::Muted));
}

/// covers: why.no_packets
#[test]
fn a_publisher_without_packets_is_silent() {
    let (mut world, _, _, camera) = call();
    let view = world.inspect(silence);
    assert_eq!(why(&view, "bob", &camera), Some(Stall::NoPackets));
    assert_eq!(why_silent(&view, &camera), Some(Stall::NoPackets));
}

/// covers: why.awaiting_key_frame
#[test]
fn a_subscriber_without_its_key_frame_waits_for_one() {
    let (mut world, _, _, camera) = call();
    let view = world.inspect(stopped);
    assert_eq!(why(&view, "bob", &camera), Some(Stall::AwaitingKeyFrame));
    assert_eq!(why_silent(&view, &camera), None);
}

/// covers: why.bandwidth
#[test]
fn a_queue_that_drops_means_bandwidth() {
    let (mut world, _, _, camera) = call();
    let view = world.inspect(|view| {
        stopped(view);
        for subscription in &mut view.subscriptions {
            subscription.dropping = true;
        }
    });
    assert_eq!(why(&view, "bob", &camera), Some(Stall::Bandwidth));
}

/// covers: why.adaptive_stream_hidden, why.dynacast
#[test]
fn a_hidden_element_is_hidden_and_then_its_publisher_rests() {
    let (mut world, _, bob, camera) = call();
    world.advance(Duration::from_secs(6));
    let hide = |disabled| {
        Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec![camera.clone()],
            disabled,
            quality: VideoQuality::High as i32,
            ..Default::default()
        })
    };
    world.say(&bob, hide(true));
    let view = world.inspect(stopped);
    assert_eq!(
        why(&view, "bob", &camera),
        Some(Stall::AdaptiveStreamHidden)
    );
    // The publisher is told after a pause, and then sends nothing, as it should.
    world.advance(Duration::from_secs(6));
    let view = world.inspect(silence);
    assert_eq!(
        why(&view, "bob", &camera),
        Some(Stall::AdaptiveStreamHidden)
    );
    assert_eq!(why_silent(&view, &camera), Some(Stall::Dynacast));
    // It is wanted again, and has a moment to start.
    world.say(&bob, hide(false));
    let view = world.inspect(silence);
    assert_eq!(why(&view, "bob", &camera), Some(Stall::Dynacast));
    world.advance(Duration::from_secs(6));
    let view = world.inspect(silence);
    assert_eq!(why(&view, "bob", &camera), Some(Stall::NoPackets));
}

/// covers: why.permission
#[test]
fn who_is_not_on_the_publishers_list_lacks_permission() {
    let (mut world, alice, _, camera) = call();
    world.say(
        &alice,
        Request::SubscriptionPermission(proto::SubscriptionPermission::default()),
    );
    let view = world.inspect(|_| {});
    assert_eq!(why(&view, "bob", &camera), Some(Stall::Permission));
}

/// covers: why.permission
#[test]
fn a_token_without_can_subscribe_lacks_permission() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    world.join_as("bob", |join| join.grants.permissions.can_subscribe = false);
    let view = world.inspect(|_| {});
    assert_eq!(why(&view, "bob", &camera), Some(Stall::Permission));
}

/// covers: why.codec
#[test]
fn a_client_that_offers_no_codec_of_the_track_cannot_decode_it() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    world.join_as("bob", |join| {
        let offer = join.publisher_offer.as_mut().unwrap();
        offer.sdp = offer.sdp.replace(" VP8/90000", " VP7/90000");
    });
    let view = world.inspect(|_| {});
    assert_eq!(why(&view, "bob", &camera), Some(Stall::Codec));
}

#[test]
fn decisions_name_their_tracks() {
    let (mut world, _, _, camera) = call();
    let view = world.inspect(|view| {
        let (track, subscription) = (view.tracks[1].track, view.subscriptions[1].subscription);
        let decision = |about, what| Decision {
            at: 1_700_000_001_500_000_000,
            about,
            what,
        };
        view.transports[0].decisions = vec![
            decision(Subject::Transport, DecisionKind::Connected),
            decision(Subject::Track(track), DecisionKind::LayerSilent(2)),
        ];
        let switched = DecisionKind::Switched { from: 2, to: 1 };
        view.transports[1].decisions =
            vec![decision(Subject::Subscription(subscription), switched)];
    });
    let of = |place: usize| &view.participants[place].transports[0].decisions;
    assert_eq!(of(0)[0].track, None);
    assert_eq!(of(0)[0].at_ms, 1_700_000_001_500);
    assert_eq!(of(0)[1].track.as_ref(), Some(&camera));
    assert!(of(1)[0].subscribed);
    assert_eq!(of(1)[0].track.as_ref(), Some(&camera));
    let json = serde_json::to_value(of(1)[0].what).unwrap();
    assert_eq!(json, serde_json::json!({"switched": {"from": 2, "to": 1}}));
}

#[test]
fn a_shard_that_does_not_answer_is_named_after_a_second() {
    let (mut world, _, _, camera) = call();
    world.look(CALL, None).unwrap();
    world.advance(Duration::from_millis(900));
    assert!(world.shown(CALL).is_none());
    world.advance(Duration::from_millis(200));
    let view = world.shown(CALL).unwrap();
    assert_eq!(view.silent_shards, [0]);
    assert_eq!(why(&view, "bob", &camera), Some(Stall::NoPackets));
}

#[test]
fn many_look_one_after_the_other_and_too_many_are_refused() {
    let (mut world, ..) = call();
    let first = world.look(ApiCallId(7_000), None).unwrap();
    for n in 1..32 {
        assert_eq!(world.look(ApiCallId(7_000 + n), Some("bob")), None);
    }
    world.look(ApiCallId(7_100), None);
    let refused = world.others.iter().any(|output| {
        matches!(output, RoomOutput::Api { call: ApiCallId(7_100), result: Err(error) }
            if error.code == ApiErrorCode::ResourceExhausted)
    });
    assert!(refused);
    world
        .commands
        .retain(|command| !matches!(command, ShardCommand::Inspect { .. }));
    let view = world.well(first);
    world.shard(ShardEvent::View(Box::new(view)));
    assert!(world.shown(ApiCallId(7_000)).is_some());
    assert!(world.shown(ApiCallId(7_001)).is_none());
    let asked: Vec<_> = world
        .commands
        .iter()
        .filter(|command| {
            matches!(
                command,
                ShardCommand::Inspect {
                    decisions_of: Some(_),
                    ..
                }
            )
        })
        .collect();
    assert_eq!(asked.len(), 1);
}

/// covers: in.track_setting
#[test]
fn the_priority_that_a_subscriber_gives_a_track_is_shown() {
    let (mut world, _, bob, camera) = call();
    let priority = |world: &mut World| {
        let view = world.inspect(|_| {});
        let bob = view.participants.last().unwrap();
        let row = bob.subscriptions.iter().find(|row| row.track == camera);
        row.unwrap().target.map(|target| target.priority)
    };
    assert_eq!(priority(&mut world), Some(0));
    for (said, shown) in [(7, 7), (1_000, 255), (0, 0)] {
        world.say(
            &bob,
            Request::TrackSetting(proto::UpdateTrackSettings {
                track_sids: vec![camera.clone()],
                quality: VideoQuality::High as i32,
                priority: said,
                ..Default::default()
            }),
        );
        assert_eq!(priority(&mut world), Some(shown));
    }
    // A track that is dropped and comes again has it still.
    let subscribe = |subscribe| {
        Request::Subscription(proto::UpdateSubscription {
            track_sids: vec![camera.clone()],
            subscribe,
            ..Default::default()
        })
    };
    world.say(
        &bob,
        Request::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec![camera.clone()],
            priority: 3,
            ..Default::default()
        }),
    );
    world.say(&bob, subscribe(false));
    world.say(&bob, subscribe(true));
    assert_eq!(priority(&mut world), Some(3));
}

#[test]
fn a_layer_is_told_in_words_that_pages_know() {
    let (mut world, _, _, camera) = call();
    let view = world.inspect(|view| {
        for layer in view.tracks.iter_mut().flat_map(|track| &mut track.layers) {
            layer.ssrc = Some(Ssrc(7));
        }
    });
    let tracks = &view.participants[0].tracks;
    let track = tracks.iter().find(|track| track.sid == camera).unwrap();
    let json = serde_json::to_value(&track.layers[2]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "spatial": 2,
            "rid": "f",
            "mime": "video/VP8",
            "ssrc": 7,
            "width": 1280,
            "height": 720,
            "live": true,
            "rate": {"bits": 100_000, "packets": 10},
            "frameRates": [7.5, 15.0, 30.0],
            "received": 100,
            "lost": 1,
            "sincePacketMs": 5,
            "sinceKeyFrameMs": 3_000,
            "awaitsKeyFrame": false,
        })
    );
    let text = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<RoomView>(&text).unwrap(), view);
}

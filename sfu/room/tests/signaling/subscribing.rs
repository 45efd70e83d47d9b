//! Tracks find their subscribers.

use crate::world::*;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_types::{LayerTarget, ShardCommand, ShardEvent, SubscriptionId};
use std::time::Duration;

fn targets(world: &World) -> Vec<LayerTarget> {
    world
        .commands
        .iter()
        .filter_map(|command| match command {
            ShardCommand::AddSubscription { target, .. }
            | ShardCommand::SetSubscriptionTarget { target, .. } => Some(*target),
            _ => None,
        })
        .collect()
}

fn setting(sid: &str) -> proto::UpdateTrackSettings {
    proto::UpdateTrackSettings {
        track_sids: vec![sid.to_owned()],
        ..Default::default()
    }
}

fn subscribe(sid: &str, subscribe: bool) -> Request {
    Request::Subscription(proto::UpdateSubscription {
        track_sids: vec![sid.to_owned()],
        subscribe,
        participant_tracks: Vec::new(),
    })
}

/// covers: sdk.late_join, edge.mid_to_track_id
#[test]
fn who_joins_later_has_the_tracks_in_its_first_answer() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, camera) = world.publish(&alice);
    world.forget_all();
    let bob = world.join("bob");
    let seen = world.seen(&bob);
    let Message::Join(join) = &seen[0] else {
        panic!()
    };
    assert_eq!(join.other_participants[0].tracks.len(), 2);
    let answer = &answers(&seen)[0];
    let mut carried: Vec<_> = answer.mid_to_track_id.values().cloned().collect();
    carried.sort();
    let mut published = vec![microphone.clone(), camera];
    published.sort();
    assert_eq!(carried, published);
    // Sound and picture share a stream, so that they stay in step.
    let msid = format!("a=msid:{}|camera {microphone}", alice.sid);
    assert!(answer.sdp.contains(&msid), "{}", answer.sdp);
    assert_eq!(world.subscriptions_added(), 2);
    assert!(requirements(&seen).is_empty());
}

/// covers: out.media_sections_requirement, edge.update_before_sdp
#[test]
fn who_is_there_already_is_asked_to_offer_and_learns_of_the_track_first() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    world.publish(&alice);
    world.advance(Duration::from_millis(20));
    let seen = world.take(&bob);
    let update = seen.iter().position(|m| matches!(m, Message::Update(_)));
    let asked = seen
        .iter()
        .position(|m| matches!(m, Message::MediaSectionsRequirement(_)));
    assert!(update.unwrap() < asked.unwrap());
    // Both tracks in one request; there are sections enough.
    assert_eq!(requirements(&seen), [(0, 0)]);
    assert_eq!(world.subscriptions_added(), 0);
    world.say(&bob, Request::Offer(offer(2, JOIN)));
    assert_eq!(answers(&world.seen(&bob))[0].mid_to_track_id.len(), 2);
    assert_eq!(world.subscriptions_added(), 2);
}

/// covers: out.media_sections_requirement
#[test]
fn missing_sections_are_asked_for_once() {
    let mut world = World::default();
    let viewer = world.join("viewer");
    world.publish(&viewer);
    world.forget_all();
    for index in 0..5 {
        let publisher = world.join(&format!("publisher {index}"));
        world.publish(&publisher);
    }
    world.advance(Duration::from_millis(20));
    let asked = requirements(&world.take(&viewer));
    assert_eq!(asked, [(2, 2)]);
    world.advance(Duration::from_secs(2));
    assert!(requirements(&world.seen(&viewer)).is_empty());
    // It comes with four more video sections, so two of sound are still missing: they are on their way.
    world.say(&viewer, Request::Offer(offer(3, GROW)));
    let answer = answers(&world.take(&viewer)).pop().unwrap();
    assert_eq!(answer.mid_to_track_id.len(), 3 + 5);
}

/// covers: edge.offers_in_order, edge.offer_id_zero
#[test]
fn every_offer_is_answered_in_order_whatever_its_id() {
    let mut world = World::default();
    let alice = world.join_as("alice", |join| join.publisher_offer = Some(offer(0, JOIN)));
    world.forget_all();
    world.say(&alice, Request::Offer(offer(0, JOIN)));
    world.say(&alice, Request::Offer(offer(0, PUBLISH)));
    let ids: Vec<_> = answers(&world.seen(&alice))
        .iter()
        .map(|answer| (answer.id, answer.sdp.matches("m=").count()))
        .collect();
    assert_eq!(ids, [(0, 7), (0, 9)]);
}

#[test]
fn a_client_that_has_not_offered_yet_is_not_asked_to() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    let bob = world.join_unconnected("bob", |join| join.publisher_offer = None);
    world.advance(Duration::from_secs(1));
    assert!(requirements(&world.seen(&bob)).is_empty());
    world.say(&bob, Request::Offer(offer(1, JOIN)));
    assert_eq!(answers(&world.seen(&bob))[0].mid_to_track_id.len(), 2);
}

#[test]
fn a_published_track_ends_at_its_subscribers() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    world.say(&alice, Request::Offer(offer(3, GROW)));
    let bob = world.join("bob");
    world.forget_all();
    world.say(&alice, Request::Offer(offer(4, UNPUBLISH)));
    assert!(
        world
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::RemoveSubscription { .. }))
    );
    world.advance(Duration::from_millis(200));
    assert_eq!(requirements(&world.seen(&bob)), [(0, 0)]);
    world.say(&bob, Request::Offer(offer(2, JOIN)));
    let answer = answers(&world.seen(&bob)).pop().unwrap();
    assert_eq!(answer.mid_to_track_id.len(), 1);
}

/// covers: in.subscription, sdk.auto_subscribe_off
#[test]
fn without_auto_subscribe_only_what_is_asked_for_comes() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, _) = world.publish(&alice);
    let bob = world.join_as("bob", |join| join.settings.auto_subscribe = false);
    world.forget_all();
    world.say(&bob, subscribe(&microphone, true));
    world.advance(Duration::from_millis(20));
    world.say(&bob, Request::Offer(offer(2, JOIN)));
    let answer = answers(&world.seen(&bob)).pop().unwrap();
    let carried: Vec<_> = answer.mid_to_track_id.values().collect();
    assert_eq!(carried, [&microphone]);
    world.say(&bob, subscribe(&microphone, false));
    assert_eq!(world.room.stats().subscriptions, 0);
}

/// covers: out.subscription_response
#[test]
fn a_track_that_never_comes_is_reported() {
    let mut world = World::default();
    let bob = world.join("bob");
    world.forget_all();
    world.say(&bob, subscribe("TR_nowhere", true));
    world.advance(Duration::from_secs(14));
    let failed = |world: &World| {
        world
            .seen(&bob)
            .iter()
            .filter_map(|message| match message {
                Message::SubscriptionResponse(response) => Some(response.err()),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert!(failed(&world).is_empty());
    world.advance(Duration::from_secs(2));
    assert_eq!(failed(&world), [proto::SubscriptionError::SeTrackNotfound]);
}

/// covers: in.subscription_permission, out.subscription_permission_update
/// covers: sdk.subscription_permissions
#[test]
fn a_publisher_decides_who_gets_its_tracks() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, camera) = world.publish(&alice);
    let bob = world.join("bob");
    world.forget_all();
    let only = |tracks: Vec<String>| {
        Request::SubscriptionPermission(proto::SubscriptionPermission {
            all_participants: false,
            track_permissions: vec![proto::TrackPermission {
                participant_identity: "bob".to_owned(),
                track_sids: tracks,
                ..Default::default()
            }],
        })
    };
    let told = |world: &mut World| {
        world
            .take(&bob)
            .into_iter()
            .filter_map(|message| match message {
                Message::SubscriptionPermissionUpdate(update) => {
                    Some((update.track_sid, update.allowed))
                }
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    world.say(&alice, only(vec![microphone]));
    assert_eq!(told(&mut world), [(camera.clone(), false)]);
    assert_eq!(world.room.stats().subscriptions, 1);
    world.say(
        &alice,
        Request::SubscriptionPermission(proto::SubscriptionPermission {
            all_participants: true,
            track_permissions: Vec::new(),
        }),
    );
    assert_eq!(told(&mut world), [(camera, true)]);
    assert_eq!(world.room.stats().subscriptions, 2);
}

/// covers: grant.canSubscribe
#[test]
fn tokens_without_can_subscribe_get_updates_and_no_tracks() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join_as("bob", |join| join.grants.permissions.can_subscribe = false);
    world.forget_all();
    world.publish(&alice);
    assert_eq!(updates(&world.seen(&bob)).pop().unwrap().tracks.len(), 2);
    assert_eq!(world.room.stats().subscriptions, 0);
}

#[test]
fn a_hidden_publisher_is_not_heard() {
    let mut world = World::default();
    let alice = world.join("alice");
    let ghost = world.join_as("ghost", |join| join.grants.permissions.hidden = true);
    world.forget_all();
    world.publish(&ghost);
    assert!(updates(&world.seen(&alice)).is_empty());
    assert_eq!(world.room.stats().subscriptions, 0);
}

/// covers: out.track_subscribed
#[test]
fn the_publisher_is_told_once_that_somebody_gets_its_track() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, camera) = world.publish(&alice);
    world.forget_all();
    world.join("bob");
    world.join("carol");
    let told: Vec<_> = world
        .seen(&alice)
        .into_iter()
        .filter_map(|message| match message {
            Message::TrackSubscribed(subscribed) => Some(subscribed.track_sid),
            _ => None,
        })
        .collect();
    assert_eq!(told, [microphone, camera]);
}

/// covers: in.track_setting, sdk.adaptive_stream
#[test]
fn the_smallest_layer_that_is_large_enough_is_wanted() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join("bob");
    for (width, height, spatial) in [
        (320, 180, 0),
        (321, 181, 1),
        (600, 300, 1),
        (1280, 720, u8::MAX),
        (4000, 3000, u8::MAX),
        (0, 100, 0),
        (640, 0, 1),
    ] {
        world.say(
            &bob,
            Request::TrackSetting(proto::UpdateTrackSettings {
                width,
                height,
                ..setting(&camera)
            }),
        );
        let got = targets(&world).pop().unwrap();
        assert_eq!(got.spatial, spatial, "{width}x{height}");
    }
    for (quality, spatial) in [
        (proto::VideoQuality::Low, 0),
        (proto::VideoQuality::Medium, 1),
        (proto::VideoQuality::High, u8::MAX),
    ] {
        world.say(
            &bob,
            Request::TrackSetting(proto::UpdateTrackSettings {
                quality: quality as i32,
                ..setting(&camera)
            }),
        );
        assert_eq!(targets(&world).pop().unwrap().spatial, spatial);
    }
}

/// covers: in.track_setting, sdk.adaptive_stream
#[test]
fn invisible_elements_pause_their_track() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join("bob");
    world.forget_all();
    let mut settings = setting(&camera);
    settings.quality = proto::VideoQuality::High as i32;
    settings.disabled = true;
    world.say(&bob, Request::TrackSetting(settings.clone()));
    settings.disabled = false;
    settings.fps = 15;
    world.say(&bob, Request::TrackSetting(settings));
    let got = targets(&world);
    assert!(got[0].paused);
    assert_eq!((got[1].paused, got[1].fps), (false, 15));
}

/// covers: in.track_setting, sdk.adaptive_stream
#[test]
fn an_adaptive_stream_starts_small_and_remembers_settings_that_came_early() {
    let mut world = World::default();
    let alice = world.join("alice");
    let adaptive = |join: &mut plenum_room::Join| join.settings.adaptive_stream = true;
    let bob = world.join_as("bob", adaptive);
    let (microphone, camera) = world.publish(&alice);
    world.forget_all();
    world.say(
        &bob,
        Request::TrackSetting(proto::UpdateTrackSettings {
            quality: proto::VideoQuality::Medium as i32,
            ..setting(&camera)
        }),
    );
    world.say(&bob, Request::Offer(offer(2, JOIN)));
    let spatial: Vec<_> = targets(&world).iter().map(|t| t.spatial).collect();
    assert_eq!(spatial, [u8::MAX, 1], "{microphone}");
    world.forget_all();
    world.join_as("carol", adaptive);
    let spatial: Vec<_> = targets(&world).iter().map(|t| t.spatial).collect();
    assert_eq!(spatial, [u8::MAX, 0]);
}

#[test]
fn events_about_unknown_things_are_ignored() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    world.shard(ShardEvent::SubscriptionStarted {
        subscription: SubscriptionId(404),
    });
    world.shard(ShardEvent::TransportState {
        transport: plenum_types::TransportId(404),
        state: plenum_types::TransportState::Disconnected,
    });
    assert!(world.seen(&alice).is_empty());
}

#[test]
fn a_publisher_names_a_bounded_number_of_subscribers_and_tracks() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    let permission = |subscribers: usize, tracks: usize| {
        Request::SubscriptionPermission(proto::SubscriptionPermission {
            all_participants: false,
            track_permissions: (0..subscribers)
                .map(|index| proto::TrackPermission {
                    participant_identity: format!("guest {index}"),
                    track_sids: (0..tracks).map(|index| format!("TR_{index}")).collect(),
                    ..Default::default()
                })
                .collect(),
        })
    };
    for (subscribers, tracks, fits) in [(2000, 5, true), (2001, 0, false), (2, 5001, false)] {
        world.forget_all();
        world.say(&alice, permission(subscribers, tracks));
        let refused = world.seen(&alice).iter().any(|message| {
            matches!(message, Message::RequestResponse(response)
                if response.reason() == proto::request_response::Reason::LimitExceeded)
        });
        assert_eq!(!refused, fits, "{subscribers} x {tracks}");
    }
    // What was refused changes nothing.
    world.say(
        &alice,
        Request::SubscriptionPermission(proto::SubscriptionPermission {
            all_participants: true,
            track_permissions: Vec::new(),
        }),
    );
    world.say(&alice, permission(2001, 0));
    world.forget_all();
    world.join("bob");
    assert_eq!(world.subscriptions_added(), 2);
}

#[test]
fn a_client_names_a_bounded_number_of_tracks() {
    let mut world = World::default();
    let alice = world.join("alice");
    let names = |prefix: &str| {
        (0..3000)
            .map(|index| format!("{prefix}{index}"))
            .collect::<Vec<_>>()
    };
    // Wishes for tracks that aren't there: 200 are remembered, and reported in time.
    world.say(
        &alice,
        Request::Subscription(proto::UpdateSubscription {
            track_sids: names("TR_wanted"),
            subscribe: true,
            participant_tracks: Vec::new(),
        }),
    );
    world.forget_all();
    world.advance(Duration::from_secs(16));
    let reported = world
        .seen(&alice)
        .iter()
        .filter(|message| matches!(message, Message::SubscriptionResponse(_)))
        .count();
    assert_eq!(reported, 200);
    // Wishes against tracks and settings of tracks: 2,000 each. The last ones count no more.
    let bob = world.join("bob");
    world.say(
        &alice,
        Request::Subscription(proto::UpdateSubscription {
            track_sids: names("TR_unwanted"),
            subscribe: false,
            participant_tracks: Vec::new(),
        }),
    );
    let (microphone, _) = world.publish(&bob);
    assert_eq!(world.room.stats().subscriptions, 2);
    world.say(&alice, subscribe(&microphone, false));
    assert_eq!(world.room.stats().subscriptions, 2);
}

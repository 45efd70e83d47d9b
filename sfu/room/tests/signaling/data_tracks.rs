//! Data tracks and data blobs.

use livekit_protocol::{
    self as proto, data_blob_key::Key, request_response::Reason,
    signal_request::Message as Request, signal_response::Message,
};
use plenum_room::{ApiRequest, Limits};
use plenum_types::{DataTrackSubscriber, ShardCommand};

use crate::world::{Client, World, config, leaves, updates};

fn track(handle: u32, name: &str) -> Request {
    Request::PublishDataTrackRequest(proto::PublishDataTrackRequest {
        pub_handle: handle,
        name: name.to_owned(),
        ..Default::default()
    })
}

/// Publishes; says the sid.
fn publish(world: &mut World, client: &Client, handle: u32, name: &str) -> String {
    world.take(client);
    world.say(client, track(handle, name));
    world
        .seen(client)
        .into_iter()
        .find_map(|message| match message {
            Message::PublishDataTrackResponse(response) => Some(response.info.unwrap().sid),
            _ => None,
        })
        .expect("a response")
}

fn subscribe(world: &mut World, client: &Client, sid: &str, subscribe: bool) {
    world.say(
        client,
        Request::UpdateDataSubscription(proto::UpdateDataSubscription {
            updates: vec![proto::update_data_subscription::Update {
                track_sid: sid.to_owned(),
                subscribe,
                options: None,
            }],
        }),
    );
}

/// The sids that a client was told its numbers of last.
fn handles(messages: &[Message]) -> Option<Vec<(u32, String)>> {
    messages.iter().rev().find_map(|message| match message {
        Message::DataTrackSubscriberHandles(handles) => Some(
            handles
                .sub_handles
                .iter()
                .map(|(handle, track)| (*handle, track.track_sid.clone()))
                .collect(),
        ),
        _ => None,
    })
}

/// Who receives the track with this number, by the last command about it.
fn route(world: &World, handle: u16) -> Option<Vec<DataTrackSubscriber>> {
    world
        .commands
        .iter()
        .rev()
        .find_map(|command| match command {
            ShardCommand::SetDataTrack {
                handle: of,
                subscribers,
                ..
            } if *of == handle => Some(subscribers.clone()),
            ShardCommand::RemoveDataTrack { handle: of, .. } if *of == handle => Some(Vec::new()),
            _ => None,
        })
}

fn refusal(messages: &[Message]) -> Option<(u32, Reason)> {
    messages.iter().rev().find_map(|message| match message {
        Message::RequestResponse(response) => Some((
            response.request_id,
            Reason::try_from(response.reason).unwrap(),
        )),
        _ => None,
    })
}

/// covers: in.publish_data_track_request, in.update_data_subscription, out.publish_data_track_response, out.data_track_subscriber_handles
#[test]
fn a_subscriber_gets_a_number_of_its_own() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let sid = publish(&mut world, &ada, 7, "measurements");
    assert!(sid.starts_with("DTR_"));
    let seen = world.take(&bob);
    let info = updates(&seen).pop().unwrap();
    assert!(info.is_publisher);
    assert_eq!(info.data_tracks[0].name, "measurements");
    // Nobody gets what it has not asked for.
    assert_eq!(handles(&seen), None);
    assert_eq!(route(&world, 7), Some(Vec::new()));

    subscribe(&mut world, &bob, &sid, true);
    assert_eq!(handles(&world.take(&bob)), Some(vec![(1, sid.clone())]));
    let subscribers = route(&world, 7).unwrap();
    assert_eq!(subscribers.len(), 1);
    assert_eq!(subscribers[0].handle, 1);

    subscribe(&mut world, &bob, &sid, false);
    assert_eq!(handles(&world.take(&bob)), Some(Vec::new()));
    assert_eq!(route(&world, 7), Some(Vec::new()));
}

#[test]
fn a_frame_rate_goes_to_the_shard() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let sid = publish(&mut world, &ada, 7, "measurements");
    world.say(
        &bob,
        Request::UpdateDataSubscription(proto::UpdateDataSubscription {
            updates: vec![proto::update_data_subscription::Update {
                track_sid: sid,
                subscribe: true,
                options: Some(proto::DataTrackSubscriptionOptions {
                    target_fps: Some(5),
                }),
            }],
        }),
    );
    assert_eq!(route(&world, 7).unwrap()[0].frames_per_second, Some(5));
}

#[test]
fn who_subscribes_to_everything_gets_data_tracks_too_if_it_says_so() {
    let mut world = World::default();
    let ada = world.join("ada");
    let bob = world.join_as("bob", |join| join.settings.auto_subscribe_data_track = true);
    let first = publish(&mut world, &ada, 1, "one");
    assert_eq!(handles(&world.seen(&bob)), Some(vec![(1, first.clone())]));
    let carol = world.join_as("carol", |join| {
        join.settings.auto_subscribe_data_track = true;
    });
    assert_eq!(handles(&world.seen(&carol)), Some(vec![(1, first)]));
}

/// covers: out.request_response
#[test]
fn each_fault_of_a_request_has_its_reason() {
    let mut limited = config();
    limited.limits = Limits {
        data_tracks_per_participant: 2,
        ..Limits::default()
    };
    let mut world = World::with(limited);
    let ada = world.join("ada");
    let mute = world.join_as("mute", |join| {
        join.grants.permissions.can_publish_data = false;
    });
    publish(&mut world, &ada, 1, "one");
    let mut refused = |client: &Client, request: Request| {
        world.take(client);
        world.say(client, request);
        refusal(&world.seen(client)).map(|(_, reason)| reason)
    };
    let long = "x".repeat(257);
    for (request, reason) in [
        (track(0, "two"), Reason::InvalidHandle),
        (track(65_536, "two"), Reason::InvalidHandle),
        (track(2, ""), Reason::InvalidName),
        (track(2, &long), Reason::InvalidName),
        (track(1, "two"), Reason::DuplicateHandle),
        (track(2, "one"), Reason::DuplicateName),
        (
            Request::PublishDataTrackRequest(proto::PublishDataTrackRequest {
                pub_handle: 2,
                name: "two".to_owned(),
                frame_encoding: Some(proto::DataTrackFrameEncoding {
                    value: Some(proto::data_track_frame_encoding::Value::Custom(
                        String::new(),
                    )),
                }),
                ..Default::default()
            }),
            Reason::InvalidRequest,
        ),
        (
            Request::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 9 }),
            Reason::NotFound,
        ),
    ] {
        assert_eq!(refused(&ada, request.clone()), Some(reason), "{request:?}");
    }
    assert_eq!(refused(&mute, track(2, "two")), Some(Reason::NotAllowed));
    assert_eq!(refused(&ada, track(2, "two")), None);
    assert_eq!(
        refused(&ada, track(3, "three")),
        Some(Reason::LimitExceeded)
    );
}

#[test]
fn data_tracks_can_be_switched_off() {
    let mut off = config();
    off.data_tracks = false;
    let mut world = World::with(off);
    let ada = world.join("ada");
    world.say(&ada, track(1, "one"));
    assert_eq!(refusal(&world.seen(&ada)), Some((0, Reason::NotAllowed)));
}

/// covers: in.unpublish_data_track_request, out.unpublish_data_track_response
#[test]
fn an_ended_track_is_gone_for_everyone() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let sid = publish(&mut world, &ada, 7, "measurements");
    subscribe(&mut world, &bob, &sid, true);
    world.forget_all();
    world.say(
        &ada,
        Request::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 7 }),
    );
    assert!(world.seen(&ada).iter().any(|message| matches!(
        message,
        Message::UnpublishDataTrackResponse(response) if response.info.as_ref().unwrap().sid == sid
    )));
    let seen = world.seen(&bob);
    assert!(updates(&seen).pop().unwrap().data_tracks.is_empty());
    assert_eq!(handles(&seen), Some(Vec::new()));
    assert_eq!(route(&world, 7), Some(Vec::new()));
}

#[test]
fn what_a_publisher_does_not_allow_is_not_received() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let sid = publish(&mut world, &ada, 7, "measurements");
    subscribe(&mut world, &bob, &sid, true);
    let allow = |all_participants| {
        Request::SubscriptionPermission(proto::SubscriptionPermission {
            all_participants,
            track_permissions: Vec::new(),
        })
    };
    for (allowed, numbers) in [(false, Vec::new()), (true, vec![(2, sid.clone())])] {
        world.take(&bob);
        world.say(&ada, allow(allowed));
        let seen = world.take(&bob);
        assert!(seen.iter().any(|message| matches!(
            message,
            Message::SubscriptionPermissionUpdate(update)
                if update.allowed == allowed && update.track_sid == sid
        )));
        assert_eq!(handles(&seen), Some(numbers));
    }
}

#[test]
fn who_may_not_send_data_any_more_loses_its_tracks() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    publish(&mut world, &ada, 7, "measurements");
    world.forget_all();
    world
        .api(ApiRequest::UpdateParticipant(
            proto::UpdateParticipantRequest {
                identity: "ada".to_owned(),
                permission: Some(proto::ParticipantPermission {
                    can_subscribe: true,
                    can_publish: true,
                    ..Default::default()
                }),
                ..Default::default()
            },
        ))
        .unwrap();
    assert!(
        world
            .seen(&ada)
            .iter()
            .any(|message| matches!(message, Message::UnpublishDataTrackResponse(_)))
    );
    assert!(
        updates(&world.seen(&bob))
            .pop()
            .unwrap()
            .data_tracks
            .is_empty()
    );
}

#[test]
fn whoever_leaves_takes_its_tracks_and_subscriptions() {
    let mut world = World::default();
    let (ada, bob, carol) = (world.join("ada"), world.join("bob"), world.join("carol"));
    let sid = publish(&mut world, &ada, 7, "measurements");
    let other = publish(&mut world, &bob, 8, "others");
    subscribe(&mut world, &bob, &sid, true);
    subscribe(&mut world, &carol, &other, true);
    world.forget_all();
    world.say(&bob, Request::Leave(proto::LeaveRequest::default()));
    assert_eq!(route(&world, 7), Some(Vec::new()));
    assert_eq!(route(&world, 8), Some(Vec::new()));
    assert_eq!(handles(&world.seen(&carol)), Some(Vec::new()));
}

#[test]
fn a_resuming_client_hears_its_numbers_again_and_starts_over_for_tracks_that_are_gone() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let sid = publish(&mut world, &ada, 7, "measurements");
    subscribe(&mut world, &bob, &sid, true);
    let state = |sid: &str| {
        Request::SyncState(proto::SyncState {
            publish_data_tracks: vec![proto::PublishDataTrackResponse {
                info: Some(proto::DataTrackInfo {
                    sid: sid.to_owned(),
                    ..Default::default()
                }),
            }],
            ..Default::default()
        })
    };
    let bob = world.resume(&bob, |_| {});
    assert_eq!(handles(&world.seen(&bob)), Some(vec![(1, sid.clone())]));
    let ada = world.resume(&ada, |_| {});
    world.say(&ada, state(&sid));
    assert!(leaves(&world.seen(&ada)).is_empty());
    world.say(&ada, state("DTR_unknown"));
    assert_eq!(leaves(&world.seen(&ada)).len(), 1);
}

fn key(name: &str) -> proto::DataBlobKey {
    proto::DataBlobKey {
        key: Some(Key::Generic(name.to_owned())),
    }
}

fn store(name: &str, bytes: usize) -> Request {
    Request::StoreDataBlobRequest(proto::StoreDataBlobRequest {
        request_id: 5,
        blob: Some(proto::DataBlob {
            key: Some(key(name)),
            contents: vec![7; bytes],
        }),
    })
}

fn get(identity: &str, name: &str) -> Request {
    Request::GetDataBlobRequest(proto::GetDataBlobRequest {
        request_id: 6,
        participant_identity: identity.to_owned(),
        key: Some(key(name)),
    })
}

/// covers: in.store_data_blob_request, in.get_data_blob_request, out.store_data_blob_response, out.get_data_blob_response
#[test]
fn a_data_blob_is_read_by_others_as_long_as_its_owner_is_there() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    world.say(&ada, store("schema", 100));
    assert!(world.seen(&ada).iter().any(|message| matches!(
        message,
        Message::StoreDataBlobResponse(response)
            if response.request_id == 5 && response.key == Some(key("schema"))
    )));
    world.say(&bob, get("ada", "schema"));
    assert!(world.seen(&bob).iter().any(|message| matches!(
        message,
        Message::GetDataBlobResponse(response)
            if response.request_id == 6 && response.blob.as_ref().unwrap().contents.len() == 100
    )));
    for request in [get("ada", "other"), get("nobody", "schema")] {
        world.take(&bob);
        world.say(&bob, request);
        assert_eq!(refusal(&world.seen(&bob)), Some((6, Reason::NotFound)));
    }
    world.say(&ada, Request::Leave(proto::LeaveRequest::default()));
    world.take(&bob);
    world.say(&bob, get("ada", "schema"));
    assert_eq!(refusal(&world.seen(&bob)), Some((6, Reason::NotFound)));
}

#[test]
fn data_blobs_of_a_participant_are_bounded() {
    let mut world = World::default();
    let ada = world.join("ada");
    world.say(&ada, store("one", 40_000));
    // It replaces itself.
    world.say(&ada, store("one", 50_000));
    assert_eq!(refusal(&world.seen(&ada)), None);
    for (request, reason) in [
        (store("two", 20_000), Reason::LimitExceeded),
        (store("", 1), Reason::InvalidRequest),
        (store("empty", 0), Reason::InvalidRequest),
        (store(&"k".repeat(300), 1), Reason::InvalidRequest),
    ] {
        world.take(&ada);
        world.say(&ada, request);
        assert_eq!(refusal(&world.seen(&ada)), Some((5, reason)));
    }
}

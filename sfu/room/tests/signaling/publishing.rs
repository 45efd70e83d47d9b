//! Requests and sections become tracks.

use crate::world::*;
use livekit_protocol::{
    self as proto, request_response::Reason, signal_request::Message as Request,
    signal_response::Message,
};
use plenum_room::ApiRequest;
use plenum_types::ShardCommand;
use std::time::Duration;

fn refusals(messages: &[Message]) -> Vec<proto::RequestResponse> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::RequestResponse(response) => Some(response.clone()),
            _ => None,
        })
        .collect()
}

/// covers: in.add_track, out.track_published, edge.mid_to_track_id
#[test]
fn a_request_is_answered_at_once_and_the_track_follows_with_its_section() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    world.say(&alice, Request::AddTrack(camera()));
    let seen = world.take(&alice);
    let Message::TrackPublished(published) = &seen[0] else {
        panic!("{seen:?}");
    };
    let announced = published.track.clone().unwrap();
    assert_eq!(published.cid, CAMERA_CID);
    assert!(announced.sid.starts_with("TR_VC"));
    assert_eq!(announced.mime_type, "video/VP8");
    assert_eq!(announced.stream, "camera");
    assert!(world.added_tracks().is_empty());
    assert!(updates(&world.seen(&bob)).is_empty());

    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    assert_eq!(world.added_tracks().len(), 1);
    let info = &updates(&world.seen(&bob))[0];
    assert!(info.is_publisher);
    let track = &info.tracks[0];
    assert_eq!(track.sid, announced.sid);
    assert_eq!(track.mid, "8");
    assert_eq!(track.codecs[0].layers.len(), 3);
    assert_eq!(track.codecs[0].layers[2].rid, "f");
}

/// covers: in.offer, in.add_track, edge.offer_before_add_track
#[test]
fn an_offer_that_comes_before_its_request_waits_for_it() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    assert_eq!(answers(&world.seen(&alice)).len(), 1);
    assert!(world.added_tracks().is_empty());
    world.say(&alice, Request::AddTrack(microphone()));
    world.say(&alice, Request::AddTrack(camera()));
    assert_eq!(world.added_tracks().len(), 2);
}

/// covers: edge.firefox
#[test]
fn sections_with_strange_track_ids_go_to_requests_of_their_kind() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    let mut request = camera();
    request.cid = "not in the description".to_owned();
    request.simulcast_codecs.clear();
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    world.say(&alice, Request::AddTrack(request));
    // The right request may still come.
    assert!(world.added_tracks().is_empty());
    world.advance(Duration::from_millis(400));
    let Some(ShardCommand::AddTrack { receiver, .. }) = world
        .commands
        .iter()
        .find(|command| matches!(command, ShardCommand::AddTrack { .. }))
    else {
        panic!()
    };
    assert_eq!(receiver.mid.as_str(), "8");
    assert_eq!(receiver.encodings.len(), 3);
}

/// covers: edge.firefox
#[test]
fn firefox_track_ids_match_by_kind_at_once() {
    let mut world = World::default();
    let alice = world.join_as("alice", |join| join.client.browser = "Firefox".to_owned());
    world.forget_all();
    let mut request = microphone();
    request.cid = "{another}".to_owned();
    world.say(&alice, Request::AddTrack(request));
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    assert_eq!(world.added_tracks().len(), 1);
}

/// covers: edge.muted_without_rtp
#[test]
fn a_muted_track_is_published_without_media() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    let mut request = microphone();
    request.muted = true;
    world.say(&alice, Request::AddTrack(request));
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    assert!(updates(&world.seen(&bob))[0].tracks[0].muted);
    assert!(
        world
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::SetTrackMuted { muted: true, .. }))
    );
}

/// covers: in.mute, out.update
#[test]
fn mute_is_broadcast_and_never_echoed() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    let (microphone, _) = world.publish(&alice);
    world.forget_all();
    world.say(
        &alice,
        Request::Mute(proto::MuteTrackRequest {
            sid: microphone.clone(),
            muted: true,
        }),
    );
    let info = &updates(&world.seen(&bob))[0];
    assert!(info.tracks.iter().any(|t| t.sid == microphone && t.muted));
    assert!(
        !world
            .seen(&alice)
            .iter()
            .any(|message| matches!(message, Message::Mute(_)))
    );
    world.say(
        &alice,
        Request::Mute(proto::MuteTrackRequest {
            sid: "TR_none".to_owned(),
            muted: true,
        }),
    );
    assert_eq!(refusals(&world.seen(&alice))[0].reason(), Reason::NotFound);
}

/// covers: out.track_unpublished
#[test]
fn a_section_that_goes_inactive_unpublishes_its_track() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    let (microphone, _) = world.publish(&alice);
    world.say(&alice, Request::Offer(offer(3, GROW)));
    world.forget_all();
    world.say(&alice, Request::Offer(offer(4, UNPUBLISH)));
    let seen = updates(&world.seen(&bob));
    let tracks: Vec<_> = seen
        .last()
        .unwrap()
        .tracks
        .iter()
        .map(|track| track.sid.clone())
        .collect();
    assert_eq!(tracks, [microphone]);
    assert!(
        world
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::RemoveTrack { .. }))
    );
    assert_eq!(world.room.stats().tracks, 1);
}

#[test]
fn a_track_restarted_between_two_offers_gets_a_new_sid_on_its_old_section() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera_sid) = world.publish(&alice);
    world.forget_all();
    world.say(&alice, Request::AddTrack(camera()));
    world.say(&alice, Request::Offer(offer(3, PUBLISH)));
    assert_eq!(world.added_tracks().len(), 1);
    assert_eq!(world.room.stats().tracks, 2);
    let info = updates(&world.seen(&alice)).pop().unwrap();
    assert!(info.tracks.iter().all(|track| track.sid != camera_sid));
}

/// covers: grant.canPublishSources, out.request_response
#[test]
fn sources_outside_the_token_are_refused_with_the_request() {
    let mut world = World::default();
    let alice = world.join_as("alice", |join| {
        join.grants.permissions.can_publish_sources = vec![proto::TrackSource::Microphone];
    });
    world.forget_all();
    world.say(&alice, Request::AddTrack(camera()));
    let refusal = &refusals(&world.seen(&alice))[0];
    assert_eq!(refusal.reason(), Reason::NotAllowed);
    assert_eq!(
        refusal.request,
        Some(proto::request_response::Request::AddTrack(camera()))
    );
    world.say(&alice, Request::AddTrack(microphone()));
    assert!(matches!(
        world.seen(&alice).last(),
        Some(Message::TrackPublished(_))
    ));
}

#[test]
fn requests_under_one_cid_queue() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    world.say(&alice, Request::AddTrack(camera()));
    world.say(&alice, Request::AddTrack(camera()));
    let seen = world.take(&alice);
    assert!(matches!(seen[0], Message::TrackPublished(_)));
    assert_eq!(refusals(&seen)[0].reason(), Reason::Queued);
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    // The first got its media: the second is announced.
    assert!(
        world
            .seen(&alice)
            .iter()
            .any(|message| matches!(message, Message::TrackPublished(_)))
    );
}

#[test]
fn twenty_requests_may_wait() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    for index in 0..21 {
        let mut request = microphone();
        request.cid = format!("cid {index}");
        world.say(&alice, Request::AddTrack(request));
    }
    let refused = refusals(&world.seen(&alice));
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].reason(), Reason::LimitExceeded);
    // After a minute without media they give way.
    world.advance(Duration::from_secs(61));
    world.say(&alice, Request::AddTrack(microphone()));
    assert_eq!(refusals(&world.seen(&alice)).len(), 1);
}

#[test]
fn a_participant_publishes_at_most_its_limit() {
    let mut config = config();
    config.limits.tracks_per_participant = 2;
    let mut world = World::with(config);
    let alice = world.join("alice");
    world.publish(&alice);
    world.forget_all();
    let mut request = camera();
    request.cid = "third".to_owned();
    world.say(&alice, Request::AddTrack(request));
    assert_eq!(
        refusals(&world.seen(&alice))[0].reason(),
        Reason::LimitExceeded
    );
}

/// covers: out.track_unpublished, edge.can_publish_taken_away
#[test]
fn lost_permission_unpublishes_and_says_so() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    let (microphone, camera_sid) = world.publish(&alice);
    world.forget_all();
    world
        .api(ApiRequest::UpdateParticipant(
            proto::UpdateParticipantRequest {
                identity: "alice".to_owned(),
                permission: Some(proto::ParticipantPermission {
                    can_subscribe: true,
                    can_publish: true,
                    can_publish_sources: vec![proto::TrackSource::Microphone as i32],
                    ..Default::default()
                }),
                ..Default::default()
            },
        ))
        .unwrap();
    let unpublished: Vec<_> = world
        .seen(&alice)
        .into_iter()
        .filter_map(|message| match message {
            Message::TrackUnpublished(unpublished) => Some(unpublished.track_sid),
            _ => None,
        })
        .collect();
    assert_eq!(unpublished, [camera_sid]);
    let info = updates(&world.seen(&bob)).pop().unwrap();
    assert_eq!(info.tracks.len(), 1);
    assert_eq!(info.tracks[0].sid, microphone);
    // The publisher knows what it may do, and has a token that says so.
    let own = updates(&world.seen(&alice)).pop().unwrap();
    assert!(!own.permission.unwrap().can_publish_data);
    assert!(!world.tokens[0].1.permissions.can_publish_data);
}

#[test]
fn a_source_comes_with_its_own_kind_of_media() {
    use proto::{TrackSource as Source, TrackType as Kind};
    let mut world = World::default();
    let alice = world.join("alice");
    for (source, kind, fits) in [
        (Source::Microphone, Kind::Audio, true),
        (Source::Microphone, Kind::Video, false),
        (Source::Camera, Kind::Audio, false),
        (Source::ScreenShare, Kind::Video, true),
        (Source::ScreenShareAudio, Kind::Audio, true),
        (Source::ScreenShareAudio, Kind::Video, false),
        (Source::Unknown, Kind::Video, true),
    ] {
        world.forget_all();
        world.say(
            &alice,
            Request::AddTrack(proto::AddTrackRequest {
                cid: format!("{source:?} {kind:?}"),
                r#type: kind as i32,
                source: source as i32,
                ..Default::default()
            }),
        );
        let refused = refusals(&world.seen(&alice));
        assert_eq!(refused.is_empty(), fits, "{source:?} {kind:?}");
        assert!(
            refused
                .iter()
                .all(|response| response.reason() == Reason::InvalidRequest)
        );
    }
}

#[test]
fn values_of_newer_clients_do_not_reach_others() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    let mut request = camera();
    request.source = 99;
    request.encryption = 99;
    request.backup_codec_policy = 99;
    request.packet_trailer_features = vec![1, 99, 1, 0];
    request.layers[0].quality = 99;
    request.simulcast_codecs[0].video_layer_mode = 99;
    let mut sound = microphone();
    sound.audio_features = vec![99, 2];
    world.say(&alice, Request::AddTrack(request));
    world.say(&alice, Request::AddTrack(sound));
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    assert_eq!(world.added_tracks().len(), 2);
    for message in world.raw(&alice).iter().chain(world.raw(&bob)) {
        serde_json::to_string(message.response()).unwrap();
    }
    let tracks = updates(&world.seen(&bob)).pop().unwrap().tracks;
    let video = tracks
        .iter()
        .find(|track| track.r#type() == proto::TrackType::Video)
        .unwrap();
    assert_eq!(video.source(), proto::TrackSource::Unknown);
    assert_eq!(video.packet_trailer_features, [0, 1]);
    assert_eq!(video.codecs[0].layers.len(), 3);
}

#[test]
fn a_request_has_bounded_texts_and_a_bounded_size() {
    let mut world = World::default();
    let alice = world.join("alice");
    let long = "x".repeat(257);
    let changes: [fn(&mut proto::AddTrackRequest, String); 5] = [
        |request, text| request.name = text,
        |request, text| request.stream = text,
        |request, text| request.cid = text,
        |request, text| request.simulcast_codecs[0].cid = text,
        |request, text| request.simulcast_codecs[0].codec = text,
    ];
    for change in changes {
        world.forget_all();
        let mut request = camera();
        change(&mut request, long.clone());
        world.say(&alice, Request::AddTrack(request));
        let refused = refusals(&world.seen(&alice));
        assert_eq!(refused[0].reason(), Reason::LimitExceeded);
    }
    world.forget_all();
    let mut request = camera();
    request.layers[0].rid = "x".repeat(4096);
    world.say(&alice, Request::AddTrack(request));
    let refused = refusals(&world.seen(&alice));
    assert_eq!(refused[0].reason(), Reason::LimitExceeded);
    // The longest that is taken.
    world.forget_all();
    let mut request = camera();
    request.name = "x".repeat(256);
    request.packet_trailer_features = [0, 1, 2].repeat(300);
    world.say(&alice, Request::AddTrack(request));
    let seen = world.seen(&alice);
    assert!(refusals(&seen).is_empty());
    let Message::TrackPublished(published) = &seen[0] else {
        panic!("{seen:?}");
    };
    assert_eq!(
        published.track.as_ref().unwrap().packet_trailer_features,
        [0, 1, 2]
    );
}

#[test]
fn a_room_has_a_bounded_number_of_tracks() {
    let mut config = config();
    config.limits.tracks_per_room = 2;
    let mut world = World::with(config);
    let (alice, bob) = (world.join("alice"), world.join("bob"));
    world.publish(&alice);
    world.say(&bob, Request::AddTrack(microphone()));
    let refusal = refusals(&world.seen(&bob)).pop().unwrap();
    assert_eq!(refusal.reason(), Reason::LimitExceeded);
    assert!(refusal.message.contains("room"));
}

#[test]
#[expect(deprecated, reason = "old clients read layers there")]
fn a_track_has_at_most_four_layers_whatever_is_announced() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    let mut request = camera();
    let layer = request.layers[0].clone();
    request.layers = vec![layer; 20];
    world.say(&alice, Request::AddTrack(request));
    let seen = world.take(&alice);
    let Message::TrackPublished(published) = &seen[0] else {
        panic!("{seen:?}");
    };
    assert_eq!(published.track.as_ref().unwrap().layers.len(), 4);
}

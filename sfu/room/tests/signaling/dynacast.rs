//! Publishers learn which layers anyone wants (protocol.md 5.4).

use crate::world::*;
use livekit_protocol::{
    self as proto, VideoQuality, signal_request::Message as Request, signal_response::Message,
};
use std::time::Duration;

/// Longer than a smaller demand waits.
const LONG: Duration = Duration::from_secs(6);

/// Names of the enabled qualities of the first codec, of each update about a track.
#[allow(deprecated)] // old clients read `subscribed_qualities`
fn updates_of(messages: &[Message], sid: &str) -> Vec<Vec<VideoQuality>> {
    let enabled = |qualities: &[proto::SubscribedQuality]| -> Vec<VideoQuality> {
        assert_eq!(qualities.len(), 3);
        qualities
            .iter()
            .filter(|quality| quality.enabled)
            .map(proto::SubscribedQuality::quality)
            .collect()
    };
    messages
        .iter()
        .filter_map(|message| match message {
            Message::SubscribedQualityUpdate(update) if update.track_sid == sid => Some(update),
            _ => None,
        })
        .map(|update| {
            let [codec] = update.subscribed_codecs.as_slice() else {
                panic!("one codec");
            };
            assert_eq!(codec.codec, "vp8");
            assert_eq!(codec.qualities, update.subscribed_qualities);
            enabled(&codec.qualities)
        })
        .collect()
}

fn setting(sid: &str, change: impl FnOnce(&mut proto::UpdateTrackSettings)) -> Request {
    let mut settings = proto::UpdateTrackSettings {
        track_sids: vec![sid.to_owned()],
        quality: VideoQuality::High as i32,
        ..Default::default()
    };
    change(&mut settings);
    Request::TrackSetting(settings)
}

fn quality(sid: &str, quality: VideoQuality) -> Request {
    setting(sid, |settings| settings.quality = quality as i32)
}

fn hidden(sid: &str) -> Request {
    setting(sid, |settings| settings.disabled = true)
}

const ALL: [VideoQuality; 3] = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];

#[test]
fn the_first_update_comes_within_ten_seconds_though_nothing_changed() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    world.join("bob");
    assert!(updates_of(&world.seen(&alice), &camera).is_empty());
    world.advance(Duration::from_secs(10));
    assert_eq!(updates_of(&world.seen(&alice), &camera), [ALL.to_vec()]);
    world.advance(Duration::from_secs(60));
    assert_eq!(updates_of(&world.seen(&alice), &camera).len(), 1);
}

/// covers: out.subscribed_quality_update, sdk.dynacast
#[test]
fn a_track_that_nobody_wants_rests() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    world.advance(LONG);
    assert_eq!(updates_of(&world.take(&alice), &camera), [Vec::new()]);
    // Whoever comes wakes it at once.
    world.join("bob");
    assert_eq!(updates_of(&world.take(&alice), &camera), [ALL.to_vec()]);
}

/// covers: out.subscribed_quality_update
#[test]
fn more_is_told_at_once_and_less_after_five_seconds() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join("bob");
    world.advance(LONG);
    world.take(&alice);

    world.say(&bob, quality(&camera, VideoQuality::Low));
    world.advance(Duration::from_millis(4_900));
    assert!(updates_of(&world.take(&alice), &camera).is_empty());
    world.advance(Duration::from_millis(200));
    let told = updates_of(&world.take(&alice), &camera);
    assert_eq!(told, [vec![VideoQuality::Low]]);

    world.say(&bob, quality(&camera, VideoQuality::Medium));
    let told = updates_of(&world.take(&alice), &camera);
    assert_eq!(told, [vec![VideoQuality::Low, VideoQuality::Medium]]);
}

#[test]
fn who_looks_away_for_a_moment_changes_nothing() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join("bob");
    world.advance(LONG);
    world.take(&alice);
    world.say(&bob, hidden(&camera));
    world.advance(Duration::from_secs(3));
    world.say(&bob, quality(&camera, VideoQuality::High));
    world.advance(LONG);
    assert!(updates_of(&world.take(&alice), &camera).is_empty());
}

#[test]
fn the_highest_wish_of_all_counts() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let (bob, carol) = (world.join("bob"), world.join("carol"));
    world.say(&bob, quality(&camera, VideoQuality::Low));
    world.say(&carol, quality(&camera, VideoQuality::Medium));
    world.advance(LONG);
    let told = updates_of(&world.take(&alice), &camera);
    assert_eq!(told, [vec![VideoQuality::Low, VideoQuality::Medium]]);
    world.say(&carol, hidden(&camera));
    world.advance(LONG);
    let told = updates_of(&world.take(&alice), &camera);
    assert_eq!(told, [vec![VideoQuality::Low]]);
    world.say(&bob, hidden(&camera));
    world.advance(LONG);
    assert_eq!(updates_of(&world.take(&alice), &camera), [Vec::new()]);
}

#[test]
fn the_wish_of_who_leaves_counts_no_more() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join("bob");
    world.advance(LONG);
    world.take(&alice);
    world.say(&bob, Request::Leave(proto::LeaveRequest::default()));
    world.advance(LONG);
    assert_eq!(updates_of(&world.take(&alice), &camera), [Vec::new()]);
}

#[test]
fn a_page_that_says_sizes_starts_small() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join_as("bob", |join| join.settings.adaptive_stream = true);
    world.advance(LONG);
    let told = updates_of(&world.take(&alice), &camera);
    assert_eq!(told, [vec![VideoQuality::Low]]);
    world.say(
        &bob,
        setting(&camera, |settings| {
            (settings.width, settings.height) = (1280, 720);
        }),
    );
    assert_eq!(updates_of(&world.take(&alice), &camera), [ALL.to_vec()]);
}

#[test]
fn a_resumed_publisher_is_told_again() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (_, camera) = world.publish(&alice);
    let bob = world.join("bob");
    world.say(&bob, quality(&camera, VideoQuality::Low));
    world.advance(LONG);
    world.input(plenum_room::RoomInput::ConnectionClosed {
        connection: alice.connection,
    });
    world.say(&bob, hidden(&camera));
    world.advance(LONG);
    let alice = world.resume(&alice, |_| {});
    assert_eq!(updates_of(&world.seen(&alice), &camera), [Vec::new()]);
}

/// covers: out.subscribed_audio_codec_update
#[test]
fn sound_that_nobody_hears_is_told_by_codec() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, _) = world.publish(&alice);
    let bob = world.join("bob");
    world.advance(LONG);
    world.say(&bob, hidden(&microphone));
    world.advance(LONG);
    let told: Vec<_> = world
        .seen(&alice)
        .into_iter()
        .filter_map(|message| match message {
            Message::SubscribedAudioCodecUpdate(update) if update.track_sid == microphone => {
                Some(update.subscribed_audio_codecs)
            }
            _ => None,
        })
        .collect();
    let opus = |enabled| {
        vec![proto::SubscribedAudioCodec {
            codec: "opus".to_owned(),
            enabled,
        }]
    };
    assert_eq!(told, [opus(true), opus(false)]);
}

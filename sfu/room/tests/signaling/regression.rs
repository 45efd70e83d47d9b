//! `backup_codec_policy`: whether the second codec replaces the first (protocol.md 5.1).

use std::time::Duration;

use crate::{
    backup::*,
    dual::{answer_to, joined, offers},
    inspecting::why_silent,
    world::*,
};
use livekit_protocol::{self as proto, BackupCodecPolicy, signal_request::Message as Request};
use plenum_types::{Codec, ShardEvent, TrackId};

/// Until a client is asked to offer anew.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// Until a publisher is told to rest what nobody wants.
const LESS: Duration = Duration::from_secs(6);

/// Alice with a camera in VP9, which is to be had in VP8.
fn published(policy: BackupCodecPolicy) -> (World, Client, String) {
    let mut world = all_codecs();
    let alice = world.join("alice");
    let camera = proto::AddTrackRequest {
        backup_codec_policy: policy as i32,
        ..camera_with_backup()
    };
    world.say(&alice, Request::AddTrack(camera));
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    let sid = published_sid(&world, &alice);
    (world, alice, sid)
}

/// Bob comes, who lacks VP9, and Alice sends VP8 too: its track on the Shard.
fn second_codec(world: &mut World, alice: &Client, sid: &str) -> (Client, TrackId) {
    let bob = world.join_as("bob", |join| {
        join.publisher_offer = Some(offer(1, &without_vp9()));
    });
    world.say(alice, Request::AddTrack(backup(sid, "vp8")));
    world.say(alice, Request::Offer(offer(3, &publish_twice())));
    (bob, *world.added_tracks().last().unwrap())
}

/// Packets of a track come; then there is time to ask clients for offers.
fn live(world: &mut World, track: TrackId) {
    world.shard(ShardEvent::LayerLive { track, spatial: 0 });
    world.advance(DEBOUNCE);
}

fn is_asked_to_offer(world: &World, client: &Client) -> bool {
    requirements(&world.seen(client)).contains(&(0, 0))
}

// covers: codec.backup
#[test]
fn all_go_over_to_the_second_codec_when_it_comes() {
    for policy in [
        BackupCodecPolicy::PreferRegression,
        BackupCodecPolicy::Regression,
    ] {
        let (mut world, alice, sid) = published(policy);
        let carol = world.join("carol");
        let (bob, second) = second_codec(&mut world, &alice, &sid);
        let seen = updates(&world.seen(&bob));
        let told = &seen.last().unwrap().tracks[0];
        assert_eq!(told.backup_codec_policy(), policy);
        // Announced is not sent: until it comes, nobody is without a picture.
        world.advance(DEBOUNCE);
        assert!(!is_asked_to_offer(&world, &carol));
        let first = world.added_tracks()[0];
        assert_eq!(
            forwarded(&world),
            [(first, Codec::Vp9), (second, Codec::Vp8)]
        );

        live(&mut world, second);
        assert!(is_asked_to_offer(&world, &carol));
        assert!(!is_asked_to_offer(&world, &bob));
        world.say(&carol, Request::Offer(offer(2, JOIN)));
        assert_eq!(forwarded(&world).last(), Some(&(second, Codec::Vp8)));
        world.advance(LESS);
        assert_eq!(asked_codecs(&world.seen(&alice)), ["vp8"]);
        let view = world.inspect(|view| {
            let silent = view.tracks.iter_mut().filter(|known| known.track == first);
            for layer in silent.flat_map(|known| &mut known.layers) {
                layer.live = false;
            }
        });
        // The first rests, and the track comes in the second.
        assert_eq!(why_silent(&view, &sid), None);

        // Who comes later gets it at once, and the publisher is not woken for them.
        world.forget_all();
        world.join("dave");
        assert_eq!(forwarded(&world), [(second, Codec::Vp8)]);
        assert!(!asked_codecs(&world.seen(&alice)).contains(&"vp9".to_owned()));
    }
}

// covers: codec.backup
#[test]
fn who_wants_to_send_both_codecs_does() {
    let (mut world, alice, sid) = published(BackupCodecPolicy::Simulcast);
    let carol = world.join("carol");
    let (_, second) = second_codec(&mut world, &alice, &sid);
    live(&mut world, second);
    assert!(!is_asked_to_offer(&world, &carol));
    world.advance(LESS);
    assert_eq!(asked_codecs(&world.seen(&alice)), ["vp9", "vp8"]);
}

#[test]
fn in_a_large_room_a_mere_preference_does_not_count() {
    for (policy, expected) in [
        (BackupCodecPolicy::PreferRegression, false),
        (BackupCodecPolicy::Regression, true),
    ] {
        let (mut world, alice, sid) = published(policy);
        let carol = world.join("carol");
        world.join("dave");
        world.join("erin");
        let (_, second) = second_codec(&mut world, &alice, &sid);
        live(&mut world, second);
        assert_eq!(is_asked_to_offer(&world, &carol), expected);
    }
}

#[test]
fn who_lacks_the_second_codec_keeps_the_first() {
    let (mut world, alice, sid) = published(BackupCodecPolicy::Regression);
    let without_vp8 = JOIN.replace("VP8/90000", "VP7/90000");
    let carol = world.join_as("carol", |join| {
        join.publisher_offer = Some(offer(1, &without_vp8));
    });
    let (_, second) = second_codec(&mut world, &alice, &sid);
    live(&mut world, second);
    let before = forwarded(&world);
    world.say(&carol, Request::Offer(offer(2, &without_vp8)));
    world.advance(LESS);
    assert_eq!(forwarded(&world), before);
    assert_eq!(asked_codecs(&world.seen(&alice)), ["vp9", "vp8"]);
}

#[test]
fn when_the_second_codec_ends_the_first_is_sent_again() {
    let (mut world, alice, sid) = published(BackupCodecPolicy::Regression);
    let carol = world.join("carol");
    let (_, second) = second_codec(&mut world, &alice, &sid);
    let first = world.added_tracks()[0];
    live(&mut world, second);
    world.say(&carol, Request::Offer(offer(2, JOIN)));
    world.advance(LESS);
    world.forget_all();
    world.say(&alice, Request::Offer(offer(4, &stopped(SECOND_MID))));
    world.advance(DEBOUNCE);
    assert!(is_asked_to_offer(&world, &carol));
    world.say(&carol, Request::Offer(offer(3, JOIN)));
    assert_eq!(forwarded(&world), [(first, Codec::Vp9)]);
    assert!(asked_codecs(&world.seen(&alice)).contains(&"vp9".to_owned()));
}

#[test]
fn clients_with_two_connections_go_over_too() {
    let (mut world, alice, sid) = published(BackupCodecPolicy::Regression);
    let carol = joined(&mut world, "carol");
    let (_, second) = second_codec(&mut world, &alice, &sid);
    assert_eq!(forwarded(&world)[0].1, Codec::Vp9);
    let before = offers(&world.seen(&carol)).len();
    live(&mut world, second);
    let offers = offers(&world.seen(&carol));
    assert_eq!(offers.len(), before + 1);
    let answer = answer_to(offers.last().unwrap(), "aaaa");
    world.say(&carol, Request::Answer(answer));
    assert_eq!(forwarded(&world).last(), Some(&(second, Codec::Vp8)));
}

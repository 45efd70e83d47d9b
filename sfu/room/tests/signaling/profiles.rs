//! H.264 in two profiles: who gets which.

use crate::{
    backup::{all_codecs, asked_codecs, forwarded, published_sid},
    inspecting::why,
    world::*,
};
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_room::Stall;
use plenum_types::{Codec, TrackId};

/// Alice with a camera in H.264, and in `more` if somebody needs that.
fn published(world: &mut World, sdp: &str, more: &[&str]) -> (Client, String) {
    let alice = world.join("alice");
    let codec = |codec: &&str| proto::SimulcastCodec {
        codec: (*codec).to_owned(),
        ..Default::default()
    };
    let mut codecs: Vec<_> = ["h264"].iter().chain(more).map(codec).collect();
    codecs[0].cid = CAMERA_CID.to_owned();
    let camera = proto::AddTrackRequest {
        simulcast_codecs: codecs,
        ..camera()
    };
    world.say(&alice, Request::AddTrack(camera));
    world.say(&alice, Request::Offer(offer(2, sdp)));
    let sid = published_sid(world, &alice);
    (alice, sid)
}

/// A client that encodes high profile, and prefers to.
fn encodes_high() -> String {
    PUBLISH.replace("profile-level-id=42001f", "profile-level-id=64001f")
}

/// A client that decodes nothing above main profile. Chromium says that it decodes more than high.
fn decodes_no_high() -> String {
    JOIN.replace("profile-level-id=f4001f", "profile-level-id=6e001f")
}

/// Bob, who can't decode high profile, and Carol, who can.
fn subscribers(world: &mut World) -> (Client, Client) {
    let bob = world.join_as("bob", |join| {
        join.publisher_offer = Some(offer(1, &decodes_no_high()));
    });
    (bob, world.join("carol"))
}

fn is_told_that_it_cannot(world: &World, client: &Client) -> bool {
    world.seen(client).into_iter().any(|message| {
        matches!(message, Message::SubscriptionResponse(response)
            if response.err == proto::SubscriptionError::SeCodecUnsupported as i32)
    })
}

fn only_track(world: &World) -> TrackId {
    let tracks = world.added_tracks();
    assert_eq!(tracks.len(), 1);
    tracks[0]
}

// covers: codec.h264_high, why.codec, out.subscription_response
#[test]
fn high_profile_goes_to_who_can_decode_it_and_the_others_are_told() {
    let mut world = all_codecs();
    let (_, sid) = published(&mut world, &encodes_high(), &[]);
    let (bob, carol) = subscribers(&mut world);
    assert_eq!(forwarded(&world), [(only_track(&world), Codec::H264High)]);
    assert!(is_told_that_it_cannot(&world, &bob));
    assert!(!is_told_that_it_cannot(&world, &carol));
    let view = world.inspect(|_| {});
    assert_eq!(why(&view, "bob", &sid), Some(Stall::Codec));
    assert_eq!(why(&view, "carol", &sid), None);
}

// covers: codec.h264_high, codec.backup
#[test]
fn who_cannot_decode_high_profile_gets_the_second_codec() {
    let mut world = all_codecs();
    let (alice, _) = published(&mut world, &encodes_high(), &["vp8"]);
    let (bob, _) = subscribers(&mut world);
    assert!(!is_told_that_it_cannot(&world, &bob));
    assert_eq!(asked_codecs(&world.seen(&alice)), ["h264", "vp8"]);
}

// covers: codec.h264_high
#[test]
fn constrained_baseline_goes_to_everybody() {
    // Also of a client that could encode high profile, but rather does not.
    for sdp in [
        PUBLISH.to_owned(),
        PUBLISH.replace("profile-level-id=4d001f", "profile-level-id=64001f"),
    ] {
        let mut world = all_codecs();
        published(&mut world, &sdp, &[]);
        let (bob, carol) = subscribers(&mut world);
        let track = only_track(&world);
        assert_eq!(
            forwarded(&world),
            [(track, Codec::H264), (track, Codec::H264)]
        );
        for client in [&bob, &carol] {
            assert!(!is_told_that_it_cannot(&world, client));
        }
    }
}

#[test]
fn both_profiles_have_one_name() {
    let mut world = all_codecs();
    published(&mut world, &encodes_high(), &[]);
    let (bob, _) = subscribers(&mut world);
    let seen = world.seen(&bob);
    let told = seen.iter().find_map(|message| match message {
        Message::Join(join) => join.other_participants.first(),
        _ => None,
    });
    assert_eq!(told.unwrap().tracks[0].mime_type, "video/H264");
}

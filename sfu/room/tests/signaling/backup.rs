//! A second codec for who can't decode the first (protocol.md 5.1).

use crate::{
    moving::{ask, other_config, traveller},
    world::*,
};
use livekit_protocol::{
    self as proto, request_response::Reason, signal_request::Message as Request,
    signal_response::Message,
};
use plenum_room::{RoomConfig, RoomInput};
use plenum_types::{Codec, Decision, DecisionKind, MediaPolicy, ShardCommand, Subject, TrackId};

const SECOND_CID: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const SECOND_MID: &str = "99";

pub(crate) fn all_codecs() -> World {
    World::with(RoomConfig {
        media: MediaPolicy::default(),
        ..config()
    })
}

/// A camera in VP9 that can be had in VP8 too.
pub(crate) fn camera_with_backup() -> proto::AddTrackRequest {
    let codec = |codec: &str, cid: &str| proto::SimulcastCodec {
        codec: codec.to_owned(),
        cid: cid.to_owned(),
        ..Default::default()
    };
    proto::AddTrackRequest {
        simulcast_codecs: vec![codec("vp9", CAMERA_CID), codec("vp8", "")],
        ..camera()
    }
}

pub(crate) fn backup(sid: &str, codec: &str) -> proto::AddTrackRequest {
    proto::AddTrackRequest {
        cid: SECOND_CID.to_owned(),
        sid: sid.to_owned(),
        simulcast_codecs: vec![proto::SimulcastCodec {
            codec: codec.to_owned(),
            cid: SECOND_CID.to_owned(),
            ..Default::default()
        }],
        ..camera()
    }
}

/// `PUBLISH` with the camera's section once more.
pub(crate) fn publish_twice() -> String {
    let camera = PUBLISH
        .split("\nm=")
        .last()
        .unwrap()
        .replace("a=mid:8", &format!("a=mid:{SECOND_MID}"))
        .replace(CAMERA_CID, SECOND_CID);
    let offer = PUBLISH.replace("BUNDLE 0", &format!("BUNDLE {SECOND_MID} 0"));
    format!("{}\nm={}\n", offer.trim_end(), camera.trim_end())
}

/// The same when one of the two has ended.
pub(crate) fn stopped(mid: &str) -> String {
    let sdp = publish_twice();
    let (before, after) = sdp.split_once(&format!("a=mid:{mid}")).unwrap();
    format!(
        "{before}a=mid:{mid}{}",
        after.replacen("a=sendonly", "a=inactive", 1)
    )
}

pub(crate) fn without_vp9() -> String {
    JOIN.replace("VP9/90000", "VP7/90000")
}

pub(crate) fn published_sid(world: &World, client: &Client) -> String {
    world
        .seen(client)
        .into_iter()
        .find_map(|message| match message {
            Message::TrackPublished(published) => Some(published.track.unwrap().sid),
            _ => None,
        })
        .unwrap()
}

/// Codecs that the last update asks a publisher for.
pub(crate) fn asked_codecs(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .rev()
        .find_map(|message| match message {
            Message::SubscribedQualityUpdate(update) => Some(
                update
                    .subscribed_codecs
                    .iter()
                    .filter(|codec| codec.qualities.iter().any(|quality| quality.enabled))
                    .map(|codec| codec.codec.clone())
                    .collect(),
            ),
            _ => None,
        })
        .unwrap_or_default()
}

pub(crate) fn forwarded(world: &World) -> Vec<(TrackId, Codec)> {
    world
        .commands
        .iter()
        .filter_map(|command| match command {
            ShardCommand::AddSubscription { track, sender, .. } => Some((*track, sender.codec)),
            _ => None,
        })
        .collect()
}

fn refusals(messages: &[Message]) -> Vec<i32> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::RequestResponse(response) => Some(response.reason),
            _ => None,
        })
        .collect()
}

/// Alice with a camera in VP9, who would send both codecs, and Bob, who lacks it.
fn call() -> (World, Client, Client, String) {
    let mut world = all_codecs();
    let alice = world.join("alice");
    let camera = proto::AddTrackRequest {
        backup_codec_policy: proto::BackupCodecPolicy::Simulcast as i32,
        ..camera_with_backup()
    };
    world.say(&alice, Request::AddTrack(camera));
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    let sid = published_sid(&world, &alice);
    let bob = world.join_as("bob", |join| {
        join.publisher_offer = Some(offer(1, &without_vp9()));
    });
    (world, alice, bob, sid)
}

// covers: codec.backup
#[test]
fn the_second_codec_is_asked_for_then_forwarded_to_who_needs_it() {
    let (mut world, alice, bob, sid) = call();
    assert_eq!(forwarded(&world), []);
    assert!(asked_codecs(&world.seen(&alice)).contains(&"vp8".to_owned()));

    world.forget_all();
    world.say(&alice, Request::AddTrack(backup(&sid, "vp8")));
    assert_eq!(published_sid(&world, &alice), sid);
    world.say(&alice, Request::Offer(offer(3, &publish_twice())));
    let tracks = world.added_tracks();
    assert_eq!(tracks.len(), 1);
    assert_eq!(forwarded(&world), [(tracks[0], Codec::Vp8)]);
    let infos = updates(&world.seen(&bob));
    let codecs = &infos.last().unwrap().tracks[0].codecs;
    assert_eq!(codecs[0].mime_type, "video/VP9");
    assert_eq!(
        (codecs[1].mime_type.as_str(), codecs[1].mid.as_str()),
        ("video/VP8", SECOND_MID)
    );
    assert_eq!(codecs[1].layers.len(), 3);

    // Who has both gets the first.
    world.join("carol");
    let both = forwarded(&world);
    assert_eq!(both.len(), 2);
    assert_eq!(both[1].1, Codec::Vp9);
    assert_ne!(both[1].0, tracks[0]);
}

#[test]
fn a_mute_holds_for_both_codecs() {
    let (mut world, alice, _, sid) = call();
    world.say(&alice, Request::AddTrack(backup(&sid, "vp8")));
    // Also while the second one waits for its section.
    let mute = |muted| {
        Request::Mute(proto::MuteTrackRequest {
            sid: sid.clone(),
            muted,
        })
    };
    let muted = |world: &World| {
        world
            .commands
            .iter()
            .filter(|command| matches!(command, ShardCommand::SetTrackMuted { muted: true, .. }))
            .count()
    };
    world.say(&alice, mute(true));
    assert_eq!(muted(&world), 1);
    world.say(&alice, Request::Offer(offer(3, &publish_twice())));
    assert_eq!(muted(&world), 2);
    world.say(&alice, mute(false));
    world.forget_all();
    world.say(&alice, mute(true));
    assert_eq!(muted(&world), 2);
}

#[test]
fn the_second_codec_may_go_and_goes_with_its_track() {
    let (mut world, alice, _, sid) = call();
    world.say(&alice, Request::AddTrack(backup(&sid, "vp8")));
    world.say(&alice, Request::Offer(offer(3, &publish_twice())));
    let removed = |world: &World| {
        world
            .commands
            .iter()
            .filter(|command| matches!(command, ShardCommand::RemoveTrack { .. }))
            .count()
    };
    world.forget_all();
    world.say(&alice, Request::Offer(offer(4, &stopped(SECOND_MID))));
    assert_eq!(removed(&world), 1);
    // It can come again, for who still waits.
    world.say(&alice, Request::AddTrack(backup(&sid, "vp8")));
    world.say(&alice, Request::Offer(offer(5, &publish_twice())));
    assert_eq!(forwarded(&world).len(), 1);
    world.forget_all();
    world.say(&alice, Request::Offer(offer(6, &stopped("8"))));
    assert_eq!(removed(&world), 2);
}

#[test]
fn the_second_codec_goes_along_to_another_room() {
    let (mut lobby, alice, _, sid) = call();
    lobby.say(&alice, Request::AddTrack(backup(&sid, "vp8")));
    lobby.say(&alice, Request::Offer(offer(3, &publish_twice())));
    let second = *lobby.added_tracks().last().unwrap();
    let mut hall = World::with(RoomConfig {
        media: MediaPolicy::default(),
        ..other_config()
    });
    // Connections are unique on a member.
    for _ in 0..10 {
        hall.join_input("nobody");
    }
    let dave = hall.join_as("dave", |join| {
        join.publisher_offer = Some(offer(1, &without_vp9()));
    });
    ask(&mut lobby, "alice", true).unwrap();
    assert!(
        !lobby
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::RemoveTrack { .. }))
    );
    let arrival = RoomInput::Arrive(traveller(&mut lobby).unwrap());
    hall.input(arrival);
    hall.say(&dave, Request::Offer(offer(2, &without_vp9())));
    assert_eq!(forwarded(&hall), [(second, Codec::Vp8)]);
    // There it ends with its section, as anywhere.
    hall.say(&alice, Request::Offer(offer(4, &stopped(SECOND_MID))));
    assert!(
        hall.commands
            .contains(&ShardCommand::RemoveTrack { track: second })
    );
}

#[test]
fn both_codecs_are_shown_with_their_layers_and_decisions() {
    let (mut world, alice, _, sid) = call();
    world.say(&alice, Request::AddTrack(backup(&sid, "vp8")));
    world.say(&alice, Request::Offer(offer(3, &publish_twice())));
    let second = *world.added_tracks().last().unwrap();
    let view = world.inspect(|view| {
        for track in &mut view.tracks {
            for layer in &mut track.layers {
                layer.live = track.track == second;
            }
        }
        view.transports[0].decisions = vec![Decision {
            at: 1,
            about: Subject::Track(second),
            what: DecisionKind::LayerLive(0),
        }];
    });
    let publisher = &view.participants[0];
    let [track] = publisher.tracks.as_slice() else {
        panic!("one track");
    };
    let layers: Vec<_> = track
        .layers
        .iter()
        .map(|layer| (layer.seen.spatial, layer.width, layer.seen.live))
        .collect();
    let of = |live| [(0, 320, live), (1, 640, live), (2, 1280, live)];
    assert_eq!(layers, [of(false), of(true)].concat());
    assert_eq!(track.layers[3].seen.codec, Some(Codec::Vp8));
    // What comes in one of them comes.
    assert_eq!(track.why, None);
    let decision = &publisher.transports[0].decisions[0];
    assert_eq!(decision.track.as_ref(), Some(&sid));
}

#[test]
fn a_codec_that_was_not_announced_is_refused() {
    let (mut world, alice, bob, sid) = call();
    world.forget_all();
    world.say(&alice, Request::AddTrack(backup(&sid, "h264")));
    world.say(&alice, Request::AddTrack(backup("TR_none", "vp8")));
    world.say(&bob, Request::AddTrack(backup(&sid, "vp8")));
    assert_eq!(
        refusals(&world.seen(&alice)),
        [Reason::InvalidRequest as i32, Reason::NotFound as i32]
    );
    assert_eq!(refusals(&world.seen(&bob)), [Reason::NotFound as i32]);
}

// covers: out.subscription_response
#[test]
fn without_a_second_codec_the_subscriber_is_told() {
    let mut world = all_codecs();
    let alice = world.join("alice");
    let mut only = camera_with_backup();
    only.simulcast_codecs.truncate(1);
    world.say(&alice, Request::AddTrack(only));
    world.say(&alice, Request::Offer(offer(2, PUBLISH)));
    let bob = world.join_as("bob", |join| {
        join.publisher_offer = Some(offer(1, &without_vp9()));
    });
    let told = world.seen(&bob).into_iter().any(|message| {
        matches!(message, Message::SubscriptionResponse(response)
            if response.err == proto::SubscriptionError::SeCodecUnsupported as i32)
    });
    assert!(told);
}

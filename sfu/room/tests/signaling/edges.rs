//! Edge cases of section 12 of protocol.md that no other file has.

use std::time::Duration;

use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_room::RoomInput;

use crate::world::*;

/// 12.3: candidates that come before any description, after one, or for a connection that is closed change nothing, since
/// the client's addresses are learned from its checks.
/// covers: in.trickle, edge.early_trickle
#[test]
fn candidates_come_at_any_time() {
    let mut world = World::default();
    let ada = world.join_unconnected("ada", |join| join.publisher_offer = None);
    let trickle = |init: &str, target: i32| {
        Request::Trickle(proto::TrickleRequest {
            candidate_init: init.to_owned(),
            target,
            r#final: false,
        })
    };
    let candidate = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.9 9 typ host","sdpMid":"0","sdpMLineIndex":0}"#;
    world.take(&ada);
    world.commands.clear();
    for (init, target) in [(candidate, 0), (candidate, 1), ("", 0), ("{", 7)] {
        world.say(&ada, trickle(init, target));
    }
    let seen = world.seen(&ada);
    // How many are in the room is told whenever it is due.
    assert!(
        seen.iter()
            .all(|message| matches!(message, Message::RoomUpdate(_))),
        "{seen:?}"
    );
    assert!(world.commands.is_empty(), "{:?}", world.commands);
    world.say(&ada, Request::Offer(offer(1, JOIN)));
    world.connect_transports();
    assert_eq!(answers(&world.seen(&ada)).len(), 1);
    world.say(&ada, trickle(candidate, 0));
    world.say(&ada, Request::Leave(proto::LeaveRequest::default()));
    world.take(&ada);
    world.say(&ada, trickle(candidate, 0));
    assert!(world.seen(&ada).is_empty());
}

/// 12.10: screen and its sound are one stream, so that players keep them in step; camera and microphone are another one.
/// covers: edge.screen_pair_shares_a_stream
#[test]
fn screen_and_its_sound_share_a_stream() {
    let mut world = World::default();
    let ada = world.join("ada");
    let request = |source: proto::TrackSource, kind: proto::TrackType| {
        Request::AddTrack(proto::AddTrackRequest {
            cid: format!("{source:?}"),
            source: source as i32,
            r#type: kind as i32,
            ..Default::default()
        })
    };
    use proto::{TrackSource, TrackType};
    for (source, kind) in [
        (TrackSource::ScreenShare, TrackType::Video),
        (TrackSource::ScreenShareAudio, TrackType::Audio),
        (TrackSource::Camera, TrackType::Video),
        (TrackSource::Microphone, TrackType::Audio),
    ] {
        world.say(&ada, request(source, kind));
    }
    let streams: Vec<_> = world
        .seen(&ada)
        .into_iter()
        .filter_map(|message| match message {
            Message::TrackPublished(published) => Some(published.track.unwrap().stream),
            _ => None,
        })
        .collect();
    assert_eq!(streams[0], streams[1]);
    assert_eq!(streams[2], streams[3]);
    assert_ne!(streams[0], streams[2]);
}

/// 12.12: clients drop an update that is older than what they have, so within a session the version only grows, through
/// changes and resumes; a new session has a new sid, from which it may begin anew.
/// covers: edge.version_grows
#[test]
fn the_version_of_a_participant_only_grows() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    let (microphone, _) = world.publish(&ada);
    let mute = |muted| {
        Request::Mute(proto::MuteTrackRequest {
            sid: microphone.clone(),
            muted,
        })
    };
    world.say(&ada, mute(true));
    world.input(RoomInput::ConnectionClosed {
        connection: ada.connection,
    });
    let ada = world.resume(&ada, |_| {});
    world.say(&ada, mute(false));
    world.advance(Duration::from_secs(5));
    let versions: Vec<_> = updates(&world.seen(&bob))
        .into_iter()
        .filter(|info| info.sid == ada.sid)
        .map(|info| info.version)
        .collect();
    assert!(versions.len() >= 4);
    assert!(
        versions.is_sorted_by(|earlier, later| earlier < later),
        "{versions:?}"
    );

    world.say(&ada, Request::Leave(proto::LeaveRequest::default()));
    let again = world.join("ada");
    assert_ne!(again.sid, ada.sid);
}

/// 12.13: old clients read seconds, new ones milliseconds.
/// covers: edge.joined_at_in_both_units
#[test]
fn the_time_of_joining_is_said_in_both_units() {
    let mut world = World::default();
    world.now = plenum_types::Timestamp::from_millis(12_345);
    let ada = world.join("ada");
    let bob = world.join("bob");
    let Some(Message::Join(join)) = world.seen(&bob).into_iter().next() else {
        panic!("a JoinResponse");
    };
    let info = join
        .other_participants
        .into_iter()
        .find(|info| info.sid == ada.sid)
        .unwrap();
    assert_eq!(info.joined_at_ms, 1_700_000_012_345);
    assert_eq!(info.joined_at, 1_700_000_012);
}

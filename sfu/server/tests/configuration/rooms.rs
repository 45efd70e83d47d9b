//! What rooms and their clients are given follows the file.

use crate::configured::{Configured, OLD, sign, token_of};
use crate::support::{Answer, Server, wait_for};
use livekit_protocol::signal_response::Message as Response;
use plenum_server::auth::{Claims, VideoGrant};

#[tokio::test]
async fn a_member_that_is_full_says_which_limit_it_has_reached_until_that_changes() {
    let configured = Configured::start("limits", "limits: {participants: 1}\n");
    let server = &configured.server;
    let of = |identity: &str, room: &str| token_of(identity, VideoGrant::join(room));
    let refused = |token: &str| {
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            &format!("Authorization: Bearer {token}"),
        ];
        server.request("GET", "/rtc?protocol=16", &upgrade, b"")
    };
    let (mut ada, _) = server.join("/rtc?protocol=16", &of("ada", "one")).await;
    let answer = refused(&of("bob", "two"));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("limits.participants"), "{answer:?}");
    assert!(answer.body.contains("1 participants"), "{answer:?}");

    configured.change("limits: {connections: 1}\n");
    wait_for("the other limit to count", || {
        refused(&of("bob", "two"))
            .body
            .contains("limits.connections")
    });
    assert_eq!(refused(&of("bob", "two")).status, 503);
    configured.change("limits: {}\n");
    configured.wait_for_version(3);
    let (_bob, first) = server.join("/rtc?protocol=16", &of("bob", "two")).await;
    assert!(matches!(first, Response::Join(_)), "{first:?}");
    assert!(ada.is_served().await);
}

/// A token of a back end that may create rooms, as a header.
fn back_end() -> String {
    let video = VideoGrant {
        room_create: true,
        ..VideoGrant::default()
    };
    format!("Authorization: Bearer {}", token_of("back end", video))
}

fn create(server: &Server, body: &str) -> Answer {
    server.request(
        "POST",
        "/twirp/livekit.RoomService/CreateRoom",
        &[&back_end(), "Content-Type: application/json"],
        body.as_bytes(),
    )
}

#[test]
fn another_limit_of_rooms_counts_for_placement_too() {
    let configured = Configured::start("rooms", "room: {max_rooms: 1}\n");
    let fits =
        |name: &str| create(&configured.server, &format!("{{\"name\":\"{name}\"}}")).status == 200;
    assert!(fits("one") && !fits("two"));
    configured.reload("room: {max_rooms: 2}\n");
    wait_for("a second room to fit", || fits("two"));
    assert!(!fits("three"));
    configured.reload("room: {max_rooms: 1}\n");
    configured.wait_for_version(3);
    // What is there stays, and is found.
    assert!(fits("one") && fits("two") && !fits("three"));
}

/// covers: room.room_preset, grant.roomPreset, RoomService.CreateRoom
#[test]
fn presets_of_rooms_follow_their_file() {
    let configured = Configured::start(
        "presets",
        "room: {presets: {hall: {max_participants: 7}}}\n",
    );
    let server = &configured.server;
    let preset = |name: &str, preset: &str| {
        create(
            server,
            &format!("{{\"name\":\"{name}\",\"room_preset\":\"{preset}\"}}"),
        )
    };
    let hall = preset("one", "hall");
    assert_eq!(hall.status, 200, "{hall:?}");
    let seats = |answer: &Answer| {
        let json = answer.json();
        let seats = json.get("max_participants");
        seats
            .or_else(|| json.get("maxParticipants"))
            .and_then(serde_json::Value::as_u64)
    };
    assert_eq!(seats(&hall), Some(7), "{hall:?}");
    let unknown = preset("two", "studio");
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert!(unknown.body.contains("studio"), "{unknown:?}");
    let joins = |preset: &str| {
        let claims = Claims {
            sub: "ada".to_owned(),
            room_preset: preset.to_owned(),
            video: VideoGrant::join("three"),
            ..Claims::default()
        };
        let token = sign("a", OLD, claims);
        server.get(&format!("/rtc/validate?access_token={token}"))
    };
    assert_eq!(joins("hall").status, 200);
    let near = joins("hal");
    assert_eq!(near.status, 400, "{near:?}");
    assert!(near.body.contains("did you mean \"hall\""), "{near:?}");

    configured
        .reload("room: {presets: {hall: {max_participants: 8}, studio: {max_participants: 9}}}\n");
    wait_for("the new preset to be there", || {
        preset("two", "studio").status == 200
    });
    assert_eq!(seats(&preset("two", "studio")), Some(9));
    // A room that is there keeps what it was made with.
    assert_eq!(seats(&preset("one", "hall")), Some(7));
    assert_eq!(joins("studio").status, 200);
}

/// Media types that a first message names for publishing.
fn codecs(first: Response) -> Vec<String> {
    let Response::Join(join) = first else {
        panic!("{first:?}");
    };
    join.enabled_publish_codecs
        .into_iter()
        .map(|codec| codec.mime)
        .collect()
}

#[tokio::test]
async fn codecs_follow_their_file_for_rooms_that_open_from_then_on() {
    let configured = Configured::start("codecs", "media: {codecs: [vp9, vp8, opus]}\n");
    let server = &configured.server;
    let of = |identity: &str, room: &str| token_of(identity, VideoGrant::join(room));
    let path = "/rtc?protocol=16";
    let (mut ada, first) = server.join(path, &of("ada", "one")).await;
    let before = ["video/VP9", "video/VP8", "audio/opus"];
    assert_eq!(codecs(first), before);

    // Without Opus nobody could speak: nothing changes.
    configured.change("media: {codecs: [h264]}\n");
    configured.wait_for_refusal();
    configured.reload("media: {codecs: [h264, opus, red]}\n");
    configured.wait_for_version(2);
    let (_bob, first) = server.join(path, &of("bob", "two")).await;
    assert_eq!(codecs(first), ["video/H264", "audio/opus", "audio/red"]);
    // A room that was open goes on with what its tracks are in.
    let (_carol, first) = server.join(path, &of("carol", "one")).await;
    assert_eq!(codecs(first), before);
    assert!(ada.is_served().await);
}

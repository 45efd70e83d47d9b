//! The server API over HTTP.

mod support;

use livekit_protocol as proto;
use plenum_server::auth::VideoGrant;
use prost::Message as _;
use proto::signal_response::Message as Response;
use support::{Server, token, token_of};

fn create() -> VideoGrant {
    VideoGrant {
        room_create: true,
        ..VideoGrant::default()
    }
}

fn list() -> VideoGrant {
    VideoGrant {
        room_list: true,
        ..VideoGrant::default()
    }
}

fn admin(room: &str) -> VideoGrant {
    VideoGrant {
        room_admin: true,
        room: room.to_owned(),
        ..VideoGrant::default()
    }
}

/// covers: RoomService.CreateRoom, RoomService.ListRooms, RoomService.DeleteRoom, twirp.json
#[test]
fn a_room_is_created_listed_and_deleted() {
    let server = Server::start(&[]);
    let body = r#"{"name":"lobby","empty_timeout":60,"metadata":"m"}"#;
    let created = server.call("CreateRoom", create(), body).json();
    assert_eq!(created["name"], "lobby");
    assert_eq!(created["empty_timeout"], 60);
    assert!(created["creation_time_ms"].is_string());
    assert_eq!(created["num_participants"], 0);
    let again = server.call("CreateRoom", create(), body).json();
    assert_eq!(again["sid"], created["sid"], "CreateRoom is idempotent");

    let rooms = server.call("ListRooms", list(), "{}").json();
    assert_eq!(rooms["rooms"][0]["sid"], created["sid"]);
    let none = server
        .call("ListRooms", list(), r#"{"names":["x"]}"#)
        .json();
    assert_eq!(none, serde_json::json!({"rooms": []}));

    let deleted = server.call("DeleteRoom", create(), r#"{"room":"lobby"}"#);
    assert_eq!((deleted.status, deleted.body.as_str()), (200, "{}"));
    let rooms = server.call("ListRooms", list(), "{}").json();
    assert_eq!(rooms, serde_json::json!({"rooms": []}));
}

/// covers: twirp.errors
#[test]
fn refusals_are_twirps() {
    let server = Server::start(&[]);
    let lobby = r#"{"room":"lobby"}"#;
    for (answer, status, code) in [
        (
            server.call("ListRooms", create(), "{}"),
            401,
            "unauthenticated",
        ),
        (
            server.call("SendData", admin("other"), lobby),
            401,
            "unauthenticated",
        ),
        (
            server.call("ListParticipants", admin("lobby"), lobby),
            404,
            "not_found",
        ),
        (server.call("ListRooms", list(), "{"), 400, "malformed"),
        (
            server.call("CreateRoom", create(), "{}"),
            400,
            "invalid_argument",
        ),
        (server.call("Explode", create(), "{}"), 404, "bad_route"),
        (
            server.request("POST", "/twirp/livekit.RoomService/ListRooms", &[], b"{}"),
            401,
            "unauthenticated",
        ),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(
            answer.has_header("content-type: application/json"),
            "{answer:?}"
        );
        assert_eq!(answer.json()["code"], code);
        assert!(answer.json()["msg"].is_string());
    }
}

#[test]
fn a_body_without_end_is_refused() {
    let server = Server::start(&[]);
    let body = vec![b' '; 2 * 1024 * 1024 + 1];
    let bearer = format!(
        "Authorization: Bearer {}",
        token(|claims| claims.video = list())
    );
    let headers = [bearer.as_str(), "Content-Type: application/json"];
    let answer = server.request(
        "POST",
        "/twirp/livekit.RoomService/ListRooms",
        &headers,
        &body,
    );
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.json()["code"], "resource_exhausted");
    assert!(answer.json()["msg"].as_str().unwrap().contains("2097152"));
    assert_eq!(server.get("/health/live").status, 200);
}

/// covers: twirp.protobuf
#[test]
fn what_is_no_method_is_a_bad_route() {
    let server = Server::start(&[]);
    for (method, path) in [
        ("POST", "/twirp/livekit.RoomService/Explode"),
        ("POST", "/twirp/livekit.Nothing/ListRooms"),
        ("POST", "/twirp/livekit.RoomService"),
        ("POST", "/twirp/a/b/c"),
        ("GET", "/twirp/livekit.RoomService/ListRooms"),
    ] {
        let bearer = format!(
            "Authorization: Bearer {}",
            token(|claims| claims.video = list())
        );
        let headers = [bearer.as_str(), "Content-Type: application/json"];
        let answer = server.request(method, path, &headers, b"{}");
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert_eq!(answer.json()["code"], "bad_route", "{path}");
    }
}

#[test]
fn protobuf_is_answered_in_protobuf() {
    let server = Server::start(&[]);
    let bearer = format!(
        "Authorization: Bearer {}",
        token(|claims| claims.video = list())
    );
    let headers = [bearer.as_str(), "Content-Type: application/protobuf"];
    let answer = server.request(
        "POST",
        "/twirp/livekit.RoomService/ListRooms",
        &headers,
        b"",
    );
    assert_eq!(answer.status, 200);
    assert!(
        answer.has_header("content-type: application/protobuf"),
        "{answer:?}"
    );
    let rooms = proto::ListRoomsResponse::decode(answer.body.as_bytes()).unwrap();
    assert!(rooms.rooms.is_empty());
}

/// covers: RoomService.ListParticipants, RoomService.RemoveParticipant
#[tokio::test]
async fn participants_are_listed_and_removed() {
    let server = Server::start(&[]);
    let (mut ada, _) = server.join("/rtc", &token_of("ada")).await;
    let listed = server
        .call("ListParticipants", admin("lobby"), r#"{"room":"lobby"}"#)
        .json();
    assert_eq!(listed["participants"][0]["identity"], "ada");
    let body = r#"{"room":"lobby","identity":"ada"}"#;
    let one = server.call("GetParticipant", admin("lobby"), body).json();
    assert_eq!(one["sid"], listed["participants"][0]["sid"]);
    assert_eq!(one["permission"]["can_publish"], true);

    let removed = server.call("RemoveParticipant", admin("lobby"), body);
    assert_eq!(removed.status, 200, "{removed:?}");
    let leave = ada
        .until(|message| match message {
            Response::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.reason(), proto::DisconnectReason::ParticipantRemoved);
    assert_eq!(leave.action(), proto::leave_request::Action::Disconnect);
    assert_eq!(
        server.call("GetParticipant", admin("lobby"), body).status,
        404
    );
}

#[tokio::test]
async fn a_revoked_token_lets_nobody_in_and_a_later_one_does() {
    let server = Server::start(&[]);
    let from = |second| token(|claims| claims.nbf = Some(second));
    let old = from(1_700_000_000);
    let (mut ada, _) = server.join("/rtc", &old).await;
    let body = r#"{"room":"lobby","identity":"ada","revoke_token_ts":"1700000001"}"#;
    let removed = server.call("RemoveParticipant", admin("lobby"), body);
    assert_eq!(removed.status, 200, "{removed:?}");
    ada.until(|message| matches!(message, Response::Leave(_)).then_some(()))
        .await;
    let bearer = format!("Authorization: Bearer {old}");
    let refused = server.request("GET", "/rtc", &["Upgrade: websocket", &bearer], b"");
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(refused.body.contains("revoked"), "{refused:?}");
    let (_, first) = server.join("/rtc", &from(1_700_000_001)).await;
    assert!(matches!(first, Response::Join(_)), "{first:?}");
}

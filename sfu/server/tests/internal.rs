//! The internal port of one member that stands alone: who may use it, and what the operator can ask.
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests fail the test, too

mod support;

use std::net::SocketAddr;

use base64::Engine as _;
use futures_util::{SinkExt as _, StreamExt as _};
use plenum_server::auth::VideoGrant;
use serde_json::{Value, json};
use support::{Answer, PATIENCE, Server, free_ports, request_to, token, wait_for};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        protocol::{
            WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

const SECRET: &str = "what members show each other in tests";

/// A member with an internal port.
struct Member {
    server: Server,
    internal: SocketAddr,
}

impl Member {
    fn start(environment: &[(&str, &str)], ready: bool) -> Self {
        let internal = SocketAddr::from(([127, 0, 0, 1], free_ports()));
        let address = internal.to_string();
        let mut all = vec![
            ("PLENUM_INTERNAL_ADDRESS", address.as_str()),
            ("PLENUM_CLUSTER_SECRET", SECRET),
            ("SERVER_INSTANCE_ID", "alone"),
            ("PLENUM_ADVERTISE", "127.0.0.1"),
        ];
        all.extend(environment);
        Self {
            server: Server::launch(&[], &all, ready),
            internal,
        }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask_with(SECRET, method, path, body)
    }

    fn ask_with(&self, secret: &str, method: &str, path: &str, body: &Value) -> Answer {
        request_to(
            self.internal,
            method,
            &format!("/internal/v1/{path}"),
            &[
                &format!("Authorization: Bearer {secret}"),
                "Content-Type: application/json",
            ],
            body.to_string().as_bytes(),
        )
    }

    fn report(&self) -> Value {
        self.ask("GET", "member", &Value::Null).json()
    }

    fn put_room(&self, path: &str, spec: &Value) -> Answer {
        let body = json!({"spec": spec, "term": 1, "epochFloor": 0});
        self.ask("PUT", &format!("rooms/{path}"), &body)
    }
}

#[test]
fn nobody_gets_in_without_the_secret() {
    let member = Member::start(&[], true);
    for secret in ["", "wrong", &SECRET[1..], &format!("{SECRET}x")] {
        for (method, path) in [
            ("GET", "member"),
            ("POST", "ping"),
            ("GET", "hop"),
            ("GET", "nothing"),
        ] {
            let answer = member.ask_with(secret, method, path, &Value::Null);
            assert_eq!(answer.status, 401, "{secret:?} {path}");
        }
    }
    assert_eq!(member.ask("GET", "member", &Value::Null).status, 200);
    assert_eq!(member.server.get("/internal/v1/member").status, 404);
}

#[test]
fn a_member_that_waits_for_addresses_is_ready_when_it_has_them() {
    let member = Member::start(&[("PLENUM_WAIT_FOR_ADDRESSES", "true")], false);
    assert_eq!(member.server.get("/health/ready").status, 503);
    assert_eq!(member.server.get("/").status, 406);
    assert_eq!(member.report()["state"], "Starting");
    assert_eq!(member.report()["addresses"], json!([]));
    let nowhere = json!({"addresses": [], "term": 3});
    assert_eq!(member.ask("PUT", "addresses", &nowhere).status, 409);
    let addresses = json!([{"ip": "192.0.2.7", "port": 30001, "shard": 0}]);
    let put = json!({"addresses": addresses, "term": 3});
    assert_eq!(member.ask("PUT", "addresses", &put).status, 204);
    wait_for("the member to be ready", || {
        member.server.get("/health/ready").status == 200
    });
    assert_eq!(member.report()["addresses"], addresses);
    assert_eq!(member.report()["state"], "Serving");
    let stale = json!({"addresses": addresses, "term": 2});
    let refused = member.ask("PUT", "addresses", &stale);
    assert_eq!(
        (refused.status, refused.json()["reason"].clone()),
        (409, json!("StaleTerm"))
    );
}

#[tokio::test]
async fn a_room_of_a_resource_opens_changes_and_ends() {
    let member = Member::start(&[("PLENUM_AUTO_CREATE", "false")], true);
    // A name that needs escaping in a path.
    let (name, path) = ("töpf/e 100%", "t%C3%B6pf%2Fe%20100%25");
    let of_room = || token(|claims| claims.video = VideoGrant::join(name));
    assert_eq!(
        member
            .put_room(path, &json!({"uid": "u1", "metadata": "a"}))
            .status,
        200
    );
    let report = member
        .ask("GET", &format!("rooms/{path}"), &Value::Null)
        .json();
    assert_eq!(report["name"], name);
    assert!(report["sid"].as_str().unwrap().starts_with("RM_"));
    assert!(report["epoch"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(member.report()["load"]["rooms"], 1);

    let (mut client, first) = member.server.join("/rtc?protocol=16", &of_room()).await;
    let livekit_protocol::signal_response::Message::Join(join) = first else {
        panic!("{first:?}");
    };
    assert_eq!(join.room.unwrap().metadata, "a");
    assert_eq!(
        member
            .put_room(path, &json!({"uid": "u1", "metadata": "b"}))
            .status,
        200
    );
    let update = client
        .until(|message| match message {
            livekit_protocol::signal_response::Message::RoomUpdate(update) => {
                update.room.filter(|room| room.metadata == "b")
            }
            _ => None,
        })
        .await;
    assert_eq!(update.name, name);
    // The name belongs to the first resource.
    let other = member.put_room(path, &json!({"uid": "u2"}));
    assert_eq!(
        (other.status, other.json()["reason"].clone()),
        (409, json!("NameTaken"))
    );

    let closed = member.put_room(path, &json!({"uid": "u1", "closed": true}));
    assert_eq!(
        (closed.status, closed.json()["reason"].clone()),
        (409, json!("Closed"))
    );
    let leave = client
        .until(|message| match message {
            livekit_protocol::signal_response::Message::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(
        leave.reason(),
        livekit_protocol::DisconnectReason::RoomDeleted
    );
    wait_for("the room to be gone", || {
        member
            .ask("GET", &format!("rooms/{path}"), &Value::Null)
            .status
            == 404
    });
    let refused = member
        .server
        .get(&format!("/rtc/validate?access_token={}", of_room()));
    assert_eq!(refused.status, 404);
    assert!(refused.body.contains("requested room does not exist"));
    assert_eq!(member.put_room(path, &json!({"uid": "u1"})).status, 200);
    let end = json!({"term": 1});
    assert_eq!(
        member.ask("DELETE", &format!("rooms/{path}"), &end).status,
        204
    );
    assert_eq!(
        member.ask("DELETE", &format!("rooms/{path}"), &end).status,
        204
    );
    // The name is free.
    wait_for("the name to be free", || {
        member.put_room(path, &json!({"uid": "u2"})).status == 200
    });
}

#[test]
fn an_epoch_is_above_the_floor_that_a_room_brings() {
    let member = Member::start(&[], true);
    let floor = 8_000_000_000_000_000_u64;
    let body = json!({"spec": {"uid": "u"}, "term": 1, "epochFloor": floor});
    let report = member.ask("PUT", "rooms/r", &body);
    assert_eq!(report.status, 200, "{report:?}");
    assert!(report.json()["epoch"].as_u64().unwrap() > floor);
}

#[test]
fn a_member_that_is_told_to_drain_ends_by_itself() {
    let mut member = Member::start(&[], true);
    let cordoned = json!({"state": "Cordoned", "term": 1});
    assert_eq!(member.ask("PUT", "desired-state", &cordoned).status, 204);
    wait_for("the member to be cordoned", || {
        member.report()["state"] == "Cordoned"
    });
    let draining = json!({"state": "Draining", "term": 1});
    assert_eq!(member.ask("PUT", "desired-state", &draining).status, 204);
    assert_eq!(member.server.exit_code(), Some(0));
}

/// A hop to this member, before anything is said.
async fn hop_socket(member: &Member) -> WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>> {
    let mut request = format!("ws://{}/internal/v1/hop", member.internal)
        .into_client_request()
        .unwrap();
    let secret = format!("Bearer {SECRET}").parse().unwrap();
    request.headers_mut().insert("authorization", secret);
    let config = WebSocketConfig::default()
        .max_frame_size(None)
        .max_message_size(None);
    let (socket, _) = connect_async_with_config(request, Some(config), true)
        .await
        .unwrap();
    socket
}

/// Says hello as an edge does, for this life of the member, with a join request of so many bytes.
fn hello(incarnation: u64, request_bytes: usize) -> Message {
    let holder = json!({"node": "alone", "incarnation": incarnation});
    let claims = json!({"sub": "ada", "iss": "tests", "exp": 4_000_000_000_u64, "video": {"roomJoin": true, "room": "r"}});
    // A field that no message has.
    let mut request = vec![0xc2, 0x3e];
    prost::encoding::encode_varint(request_bytes as u64, &mut request);
    request.resize(request.len() + request_bytes, 0);
    let request = base64::engine::general_purpose::STANDARD.encode(request);
    let hello = json!({
        "protocol": 1, "to": holder, "from": {"node": "edge", "incarnation": 1},
        "context": {"room": "r", "claims": claims, "version": "V0", "request": request},
    });
    Message::text(hello.to_string())
}

/// The answer to a hello; `None` if the home closed the hop.
async fn hop(member: &Member, hello: Message) -> Option<Value> {
    let mut socket = hop_socket(member).await;
    // The home may close while this is still being written.
    let _ = socket.send(hello).await;
    let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    match answer? {
        Ok(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
        _ => None,
    }
}

#[tokio::test]
async fn a_hop_that_means_another_life_of_the_member_is_sent_to_look_again() {
    let member = Member::start(&[], true);
    assert_eq!(member.put_room("r", &json!({"uid": "u"})).status, 200);
    let incarnation = member.report()["incarnation"].as_u64().unwrap();
    assert_eq!(
        hop(&member, hello(incarnation, 0)).await,
        Some(json!("letIn"))
    );
    let other = hop(&member, hello(incarnation - 1, 0)).await.unwrap();
    assert!(
        other["notHome"].as_str().unwrap().contains("was meant"),
        "{other}"
    );
}

#[tokio::test]
async fn a_hop_carries_the_largest_join_request_and_ends_at_a_larger_message() {
    let member = Member::start(&[], true);
    assert_eq!(member.put_room("r", &json!({"uid": "u"})).status, 200);
    let incarnation = member.report()["incarnation"].as_u64().unwrap();
    let largest = hello(incarnation, 1024 * 1024 - 8);
    assert_eq!(hop(&member, largest).await, Some(json!("letIn")));
    // More than 8 MiB in one frame, and in fragments.
    let endless = hello(incarnation, 7 * 1024 * 1024);
    assert!(endless.len() > 8 * 1024 * 1024);
    assert_eq!(hop(&member, endless).await, None);
    let mut socket = hop_socket(&member).await;
    for number in 0..9 {
        let kind = if number == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let fragment = Frame::message(vec![b' '; 1024 * 1024], OpCode::Data(kind), false);
        let _ = socket.send(Message::Frame(fragment)).await;
    }
    let end = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(!matches!(end, Some(Ok(Message::Text(_)))), "{end:?}");
    assert_eq!(
        hop(&member, hello(incarnation, 0)).await,
        Some(json!("letIn"))
    );
}

#[test]
fn bodies_of_the_internal_port_have_an_end() {
    let member = Member::start(&[], true);
    let spec = json!({"uid": "u", "metadata": "m".repeat(2 * 1024 * 1024)});
    let refused = member.put_room("r", &spec);
    assert_eq!(refused.status, 413, "{refused:?}");
    assert!(refused.body.contains("2097152"), "{refused:?}");
    let body = json!({"padding": "m".repeat(2 * 1024 * 1024)});
    let path = "twirp/livekit.RoomService/ListRooms";
    assert_eq!(member.ask("POST", path, &body).status, 413);
    // The largest snapshot of a room has its place: this one is read, and is none.
    let mut snapshot = json!({"snapshot": "\"".repeat(1536 * 1024)});
    assert_eq!(member.ask("PUT", "moves/r", &snapshot).status, 409);
    snapshot["snapshot"] = "\"".repeat(1600 * 1024).into();
    assert_eq!(member.ask("PUT", "moves/r", &snapshot).status, 413);
    assert_eq!(member.put_room("r", &json!({"uid": "u"})).status, 200);
}

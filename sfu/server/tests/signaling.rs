//! Clients on WebSockets: first answers, keep-alive, limits, goodbyes.

mod support;

use livekit_protocol as proto;
use proto::{signal_request::Message as Request, signal_response::Message as Response};
use support::{Server, token_of};
use tokio_tungstenite::tungstenite::{
    Bytes, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

/// covers: out.join
#[tokio::test]
async fn the_first_message_of_both_paths_is_the_join() {
    let server = Server::start(&[]);
    for path in ["/rtc", "/rtc/v1", "/behind/a/proxy/rtc?protocol=16&sdk=go"] {
        let (mut client, first) = server.join(path, &token_of("ada")).await;
        let Response::Join(join) = first else {
            panic!("{path}: {first:?}");
        };
        assert!(join.room.unwrap().sid.starts_with("RM_"));
        assert!(join.participant.unwrap().sid.starts_with("PA_"));
        let refreshed = client
            .until(|message| match message {
                Response::RefreshToken(token) => Some(token),
                _ => None,
            })
            .await;
        let query = format!("/rtc/validate?access_token={refreshed}");
        assert_eq!(server.get(&query).status, 200);
    }
}

/// covers: in.ping, in.ping_req, out.pong, out.pong_resp, edge.both_pings
#[tokio::test]
async fn pings_are_answered_by_whoever_owns_the_socket() {
    let server = Server::start(&[]);
    let (mut client, _) = server.join("/rtc", &token_of("ada")).await;
    assert!(client.is_served().await);
    client.send(Request::Ping(5)).await;
    let pong = client
        .until(|message| match message {
            Response::Pong(now) => Some(now),
            _ => None,
        })
        .await;
    assert!(
        pong > 1_700_000_000_000,
        "milliseconds of wall time, not {pong}"
    );
}

#[tokio::test]
async fn json_is_answered_in_json_until_the_next_binary_frame() {
    let server = Server::start(&[]);
    let (mut client, _) = server.join("/rtc", &token_of("ada")).await;
    let ping = r#"{"pingReq":{"timestamp":"9"}}"#;
    client.raw(Message::Text(ping.into())).await;
    loop {
        match client.frame().await.expect("an answer") {
            Message::Text(text) if text.contains("pongResp") => {
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(json["pongResp"]["lastPingTimestamp"], "9");
                break;
            }
            Message::Text(_) | Message::Binary(_) => {}
            other => panic!("unexpected frame {other:?}"),
        }
    }
    assert!(client.is_served().await);
}

#[tokio::test]
async fn what_is_too_long_or_no_message_closes_only_its_own_connection() {
    let server = Server::start(&[]);
    let (mut bystander, _) = server.join("/rtc", &token_of("bob")).await;
    let endless = Bytes::from(vec![0; 2 * 1024 * 1024 + 1]);
    for bad in [
        Message::Binary(endless),
        Message::Binary(Bytes::from_static(&[0xff; 8])),
        Message::Text("{".into()),
        Message::Text("[".repeat(100_000).into()),
    ] {
        let (mut client, _) = server.join("/rtc", &token_of("ada")).await;
        client.raw(bad).await;
        while client.next().await.is_some() {}
        assert!(bystander.is_served().await);
    }
}

/// Most bytes of a message.
const LARGEST: usize = 2 * 1024 * 1024;

/// A message of so many bytes, or a few less: one unknown field as of a newer client, so it is skipped.
fn skipped(bytes: usize) -> Vec<u8> {
    let payload = bytes - 8;
    let mut message = vec![0xc2, 0x3e];
    prost::encoding::encode_varint(payload as u64, &mut message);
    message.resize(message.len() + payload, 0);
    message
}

#[tokio::test]
async fn a_message_of_the_largest_size_is_taken() {
    let server = Server::start(&[]);
    let (mut client, _) = server.join("/rtc", &token_of("ada")).await;
    client.raw(Message::Binary(skipped(LARGEST).into())).await;
    assert!(client.is_served().await);
}

/// A message of so many bytes, or a few less, in fragments of a mebibyte.
fn fragments(bytes: usize) -> Vec<Message> {
    let message = skipped(bytes);
    let chunks: Vec<&[u8]> = message.chunks(1024 * 1024).collect();
    let last = chunks.len() - 1;
    let fragment = |(number, chunk): (usize, &&[u8])| {
        let kind = match number {
            0 => Data::Binary,
            _ => Data::Continue,
        };
        let frame = Frame::message(chunk.to_vec(), OpCode::Data(kind), number == last);
        Message::Frame(frame)
    };
    chunks.iter().enumerate().map(fragment).collect()
}

#[tokio::test]
async fn fragments_add_up_to_a_message_and_not_beyond_the_largest() {
    let server = Server::start(&[]);
    let (mut bystander, _) = server.join("/rtc", &token_of("bob")).await;
    let (mut client, _) = server.join("/rtc", &token_of("ada")).await;
    for fragment in fragments(LARGEST) {
        client.raw(fragment).await;
    }
    assert!(client.is_served().await);
    for fragment in fragments(LARGEST + 1024 * 1024) {
        client.raw(fragment).await;
    }
    while client.next().await.is_some() {}
    assert!(bystander.is_served().await);
}

/// covers: out.leave
#[tokio::test]
async fn a_session_that_is_not_here_is_told_to_join_anew() {
    let server = Server::start(&[]);
    let (mut client, first) = server
        .join("/rtc?reconnect=1&sid=PA_gone", &token_of("ada"))
        .await;
    let Response::Leave(leave) = first else {
        panic!("{first:?}");
    };
    assert_eq!(leave.reason(), proto::DisconnectReason::StateMismatch);
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert!(leave.can_reconnect);
    assert!(client.next().await.is_none());
    assert!(server.ask_admin("/metrics").body.contains("plenum_rooms 0"));
}

/// covers: sdk.duplicate_identity
#[tokio::test]
async fn one_identity_has_one_session() {
    let server = Server::start(&[]);
    let (mut older, _) = server.join("/rtc", &token_of("ada")).await;
    let (mut newer, _) = server.join("/rtc", &token_of("ada")).await;
    let leave = older
        .until(|message| match message {
            Response::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.reason(), proto::DisconnectReason::DuplicateIdentity);
    assert!(newer.is_served().await);
}

#[tokio::test]
async fn a_terminated_server_says_reconnect_and_ends() {
    let mut server = Server::start(&[]);
    let (mut client, _) = server.join("/rtc", &token_of("ada")).await;
    server.terminate();
    let leave = client
        .until(|message| match message {
            Response::Leave(leave) => Some(leave),
            _ => None,
        })
        .await;
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert!(client.next().await.is_none());
    drop(client);
    assert_eq!(server.exit_code(), Some(0));
}

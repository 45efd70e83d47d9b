//! Clients with two peer connections.

use crate::world::*;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_room::{Join, SessionMode};
use plenum_types::ShardCommand;
use std::time::Duration;

fn dual(join: &mut Join) {
    join.mode = SessionMode::Dual;
    join.publisher_offer = None;
    join.client.protocol = 16;
}

pub(crate) fn offers(messages: &[Message]) -> Vec<proto::SessionDescription> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::Offer(offer) => Some(offer.clone()),
            _ => None,
        })
        .collect()
}

/// What libwebrtc would answer: each section of the offer, received.
pub(crate) fn answer_to(
    offer: &proto::SessionDescription,
    ufrag: &str,
) -> proto::SessionDescription {
    let mut sdp = String::from("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n");
    for line in offer.sdp.lines() {
        if line.starts_with("a=group:") {
            sdp.push_str(&format!("{line}\r\n"));
        }
    }
    let mut sections = offer.sdp.split("m=").skip(1);
    for section in sections.by_ref() {
        for (index, line) in section.lines().enumerate() {
            if index == 0 {
                sdp.push_str(&format!(
                    "m={line}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:4yeLg8DYHBn7LgWHCDiZna93\r\n\
                     a=fingerprint:sha-256 AD:8A:F0:71:02:D3:BF:B8:54:D2:25:47:2A:86:32:2C:05:4D:13:BD:BE:CE:9E:03:E0:62:EA:FA:07:1F:3A:81\r\n\
                     a=setup:active\r\n"
                ));
            } else if line == "a=sendonly" {
                sdp.push_str("a=recvonly\r\n");
            } else if [
                "a=mid",
                "a=rtpmap",
                "a=fmtp",
                "a=rtcp-fb",
                "a=rtcp-mux",
                "a=extmap",
                "a=inactive",
                "a=sctp-port",
            ]
            .iter()
            .any(|kept| line.starts_with(kept))
            {
                sdp.push_str(&format!("{line}\r\n"));
            }
        }
    }
    proto::SessionDescription {
        r#type: "answer".to_owned(),
        sdp,
        id: 0,
        ..Default::default()
    }
}

pub(crate) fn joined(world: &mut World, identity: &str) -> crate::world::Client {
    let client = world.join_as(identity, dual);
    let offer = offers(&world.seen(&client)).pop().unwrap();
    world.say(&client, Request::Answer(answer_to(&offer, "aaaa")));
    client
}

/// covers: out.offer, out.join, sdk.dual_peer_connection
#[test]
fn the_subscriber_offer_comes_right_after_the_join() {
    let mut world = World::default();
    let alice = world.join_unconnected("alice", dual);
    let seen = world.seen(&alice);
    let Message::Join(join) = &seen[0] else {
        panic!()
    };
    assert!(join.subscriber_primary && join.fast_publish);
    let offer = &offers(&seen)[0];
    assert_eq!(offer.id, 1);
    assert!(offer.sdp.contains("m=application"));
    world.connect_transports();
    assert_eq!(
        updates(&world.seen(&alice)).pop().unwrap().state(),
        proto::participant_info::State::Active
    );
}

/// covers: out.offer, sdk.late_join
#[test]
fn tracks_that_are_there_already_are_in_the_first_offer() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, _) = world.publish(&alice);
    world.forget_all();
    let bob = joined(&mut world, "bob");
    let offer = offers(&world.seen(&bob)).pop().unwrap();
    // Sound and picture share a stream, so that they stay in step.
    let msid = format!("a=msid:{}|camera {microphone}", alice.sid);
    assert!(offer.sdp.contains(&msid), "{}", offer.sdp);
    assert_eq!(world.subscriptions_added(), 2);
}

/// covers: edge.firefox
#[test]
fn clients_that_read_the_track_from_the_stream_find_it_there() {
    let clients: [fn(&mut proto::ClientInfo); 3] = [
        |client| client.browser = "Firefox".to_owned(),
        |client| client.protocol = 9,
        |client| client.sdk = proto::client_info::Sdk::Swift as i32,
    ];
    for change in clients {
        let mut world = World::default();
        let alice = world.join("alice");
        let (microphone, _) = world.publish(&alice);
        world.forget_all();
        let bob = world.join_as("bob", |join| {
            dual(join);
            change(&mut join.client);
        });
        let offer = offers(&world.seen(&bob)).pop().unwrap();
        let msid = format!("a=msid:{}|{microphone} {microphone}", alice.sid);
        assert!(offer.sdp.contains(&msid), "{}", offer.sdp);
    }
}

/// covers: in.answer, out.offer
#[test]
fn later_tracks_come_with_one_debounced_offer_after_the_answer() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join_as("bob", dual);
    let first = offers(&world.take(&bob)).pop().unwrap();
    world.publish(&alice);
    world.advance(Duration::from_secs(1));
    assert!(offers(&world.seen(&bob)).is_empty(), "one at a time");
    world.say(&bob, Request::Answer(answer_to(&first, "aaaa")));
    world.advance(Duration::from_millis(200));
    let second = offers(&world.take(&bob));
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].id, 2);
    assert_eq!(world.subscriptions_added(), 0);
    world.say(&bob, Request::Answer(answer_to(&second[0], "aaaa")));
    assert_eq!(world.subscriptions_added(), 2);
}

/// covers: in.offer, out.answer
#[test]
fn the_publisher_connection_opens_with_its_first_offer() {
    let mut world = World::default();
    let bob = joined(&mut world, "bob");
    world.forget_all();
    world.publish(&bob);
    assert!(
        world
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::OpenTransport(_)))
    );
    assert_eq!(world.added_tracks().len(), 2);
    // A client that fell back from v1 has recvonly sections here: nothing is sent on them.
    let answer = answers(&world.seen(&bob)).pop().unwrap();
    assert!(answer.mid_to_track_id.is_empty());
}

/// covers: grant.canSubscribe
#[test]
fn who_may_not_subscribe_gets_no_offer() {
    let mut world = World::default();
    let alice = world.join_unconnected("alice", |join| {
        dual(join);
        join.grants.permissions.can_subscribe = false;
    });
    let seen = world.seen(&alice);
    let Message::Join(join) = &seen[0] else {
        panic!()
    };
    assert!(!join.subscriber_primary);
    assert!(offers(&seen).is_empty());
    world.say(&alice, Request::Offer(offer(1, PUBLISH)));
    world.connect_transports();
    assert_eq!(
        updates(&world.seen(&alice)).pop().unwrap().state(),
        proto::participant_info::State::Active
    );
}

#[test]
fn an_offer_without_an_answer_makes_the_client_start_over() {
    let mut world = World::default();
    let alice = world.join_as("alice", dual);
    world.advance(Duration::from_secs(16));
    let leave = leaves(&world.seen(&alice)).pop().unwrap();
    assert_eq!(leave.reason(), proto::DisconnectReason::StateMismatch);
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert!(leave.can_reconnect);
}

/// covers: sdk.resume
#[test]
fn a_resume_restarts_ice_even_if_an_offer_was_lost() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = joined(&mut world, "bob");
    world.publish(&alice);
    world.advance(Duration::from_millis(200));
    assert_eq!(offers(&world.seen(&bob)).len(), 2);
    let first_ufrag = ufrag(&offers(&world.seen(&bob))[0].sdp);
    world.input(plenum_room::RoomInput::ConnectionClosed {
        connection: bob.connection,
    });
    let bob = world.resume(&bob, dual);
    let again = offers(&world.seen(&bob)).pop().unwrap();
    assert_ne!(ufrag(&again.sdp), first_ufrag);
    world.forget_all();
    world.say(&bob, Request::Answer(answer_to(&again, "bbbb")));
    assert!(
        world
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::RestartIce { .. }))
    );
    assert_eq!(world.subscriptions_added(), 2);
}

fn ufrag(sdp: &str) -> String {
    sdp.lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .unwrap()
        .to_owned()
}

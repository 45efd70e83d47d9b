//! Clients whose media fails over UDP are told to come by TCP.

use std::time::Duration;

use livekit_protocol::{
    self as proto, ReconnectReason, client_info::Sdk, signal_request::Message as Request,
};
use plenum_room::RoomInput;
use plenum_types::{FailureCause, TransportState};

use crate::{candidates::protocols, world::*};

const BOTH: [&str; 2] = ["udp", "tcp"];
const FAILED: TransportState = TransportState::Failed(FailureCause::IceTimeout);

fn told(world: &World, client: &Client) -> Vec<String> {
    let answer = answers(&world.seen(client)).pop().unwrap();
    protocols(&answer).into_iter().map(str::to_owned).collect()
}

/// Joins, has media for so long, and loses it; what it was told.
fn fails_after(world: &mut World, identity: &str, seconds: u64) -> Vec<String> {
    let client = world.join(identity);
    let transport = world.last_transport();
    world.advance(Duration::from_secs(seconds));
    world.transport(transport, FAILED);
    let leave = leaves(&world.seen(&client)).pop().unwrap();
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    told(world, &client)
}

fn comes_back(world: &mut World, identity: &str) -> Vec<String> {
    let client = world.join(identity);
    told(world, &client)
}

/// covers: sdk.ice_tcp
#[test]
fn after_two_short_connections_a_client_is_told_tcp_alone() {
    let mut world = World::default();
    assert_eq!(fails_after(&mut world, "alice", 20), BOTH);
    assert_eq!(fails_after(&mut world, "alice", 20), BOTH);
    assert_eq!(comes_back(&mut world, "bob"), BOTH);
    assert_eq!(fails_after(&mut world, "alice", 20), ["tcp"]);
    // TCP is no better: it has the choice again.
    assert_eq!(comes_back(&mut world, "alice"), BOTH);
}

#[test]
fn what_was_told_holds_for_five_minutes() {
    let mut world = World::default();
    world.join("bob");
    for _ in 0..2 {
        fails_after(&mut world, "alice", 20);
    }
    world.advance(Duration::from_secs(200));
    assert_eq!(comes_back(&mut world, "alice"), ["tcp"]);
    world.advance(Duration::from_secs(101));
    assert_eq!(comes_back(&mut world, "alice"), BOTH);
}

#[test]
fn connections_that_worked_and_rare_failures_say_nothing_against_udp() {
    let mut world = World::default();
    world.join("bob");
    for seconds in [100, 100, 20, 100, 20] {
        assert_eq!(fails_after(&mut world, "alice", seconds), BOTH, "{seconds}");
    }
    world.advance(Duration::from_secs(121));
    assert_eq!(fails_after(&mut world, "alice", 5), BOTH);
    assert_eq!(comes_back(&mut world, "alice"), BOTH);
}

/// covers: sdk.resume
#[test]
fn who_resumes_since_its_media_failed_is_told_in_its_next_description() {
    for reason in [
        ReconnectReason::RrPublisherFailed,
        ReconnectReason::RrSubscriberFailed,
        ReconnectReason::RrSignalDisconnected,
    ] {
        let mut world = World::default();
        let mut alice = world.join("alice");
        world.say(&alice, Request::Offer(offer(2, PUBLISH)));
        world.say(&alice, Request::Offer(offer(3, GROW)));
        world.say(&alice, Request::Offer(offer(4, UNPUBLISH)));
        for _ in 0..2 {
            world.advance(Duration::from_secs(20));
            alice = world.resume(&alice, |join| {
                join.resume.as_mut().unwrap().reason = reason as i32;
            });
        }
        world.say(&alice, Request::Offer(offer(5, RESTART)));
        let expected: &[_] = match reason {
            ReconnectReason::RrSignalDisconnected => &BOTH,
            _ => &["tcp"],
        };
        assert_eq!(told(&world, &alice), expected, "{reason:?}");
    }
}

#[test]
fn whose_media_is_cut_and_checks_are_not_comes_by_tcp_at_once() {
    let cut = TransportState::Failed(FailureCause::MediaTimeout);
    let mut world = World::default();
    let alice = world.join("alice");
    let transport = world.last_transport();
    world.advance(Duration::from_secs(200));
    world.transport(transport, cut);
    let leave = leaves(&world.seen(&alice)).pop().unwrap();
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert_eq!(comes_back(&mut world, "alice"), ["tcp"]);
    // TCP is no better: it has the choice again.
    world.transport(world.last_transport(), cut);
    assert_eq!(comes_back(&mut world, "alice"), BOTH);
}

#[test]
fn who_never_gets_connected_comes_by_tcp_the_third_time() {
    let mut world = World::default();
    for seconds in [15, 3, 15] {
        let alice = world.join_unconnected("alice", |_| {});
        assert_eq!(told(&world, &alice), BOTH);
        world.advance(Duration::from_secs(seconds));
        world.say(&alice, Request::Leave(proto::LeaveRequest::default()));
    }
    assert_eq!(comes_back(&mut world, "alice"), ["tcp"]);
}

#[test]
fn a_client_without_its_signal_connection_has_no_network_at_all() {
    let mut world = World::default();
    for _ in 0..3 {
        let alice = world.join("alice");
        let transport = world.last_transport();
        assert_eq!(told(&world, &alice), BOTH);
        world.input(RoomInput::ConnectionClosed {
            connection: alice.connection,
        });
        world.transport(transport, FAILED);
    }
}

#[test]
fn who_can_not_use_tcp_keeps_udp() {
    let mut world = World::default();
    for _ in 0..3 {
        let go = world.join_as("go", |join| join.client.sdk = Sdk::Go as i32);
        assert_eq!(told(&world, &go), BOTH);
        world.transport(world.last_transport(), FAILED);
        let alone = world.join_as("alone", |join| join.candidates.truncate(1));
        assert_eq!(told(&world, &alone), ["udp"]);
        world.transport(world.last_transport(), FAILED);
    }
}

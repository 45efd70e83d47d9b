//! Where clients are told to reach their Shard.

use crate::world::*;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, simulate_scenario::Scenario,
};
use plenum_room::RoomInput;
use plenum_types::{Candidate, ShardId};

/// Protocols of the candidates in a description, in order.
pub(crate) fn protocols(description: &proto::SessionDescription) -> Vec<&str> {
    description
        .sdp
        .lines()
        .filter(|line| line.starts_with("a=candidate:"))
        .filter_map(|line| line.split(' ').nth(2))
        .collect()
}

fn switch_to(protocol: proto::CandidateProtocol) -> Request {
    Request::Simulate(proto::SimulateScenario {
        scenario: Some(Scenario::SwitchCandidateProtocol(protocol as i32)),
    })
}

#[test]
fn udp_is_told_before_tcp() {
    let mut world = World::default();
    let alice = world.join("alice");
    assert_eq!(protocols(&answers(&world.seen(&alice))[0]), ["udp", "tcp"]);
}

/// covers: in.simulate, simulate.switch_candidate_protocol
#[test]
fn who_asks_for_a_protocol_has_it_alone_from_the_next_session_on() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.say(&alice, switch_to(proto::CandidateProtocol::Tcp));
    // Browsers' SDK leaves and comes back.
    world.say(&alice, Request::Leave(proto::LeaveRequest::default()));
    let alice = world.join("alice");
    assert_eq!(protocols(&answers(&world.seen(&alice))[0]), ["tcp"]);
    let bob = world.join("bob");
    assert_eq!(protocols(&answers(&world.seen(&bob))[0]), ["udp", "tcp"]);

    world.say(&alice, switch_to(proto::CandidateProtocol::Udp));
    let alice = world.join("alice");
    assert_eq!(protocols(&answers(&world.seen(&alice))[0]), ["udp"]);
}

#[test]
fn a_wish_that_can_not_be_met_leaves_what_there_is() {
    let mut world = World::default();
    let udp = vec![Candidate::udp("192.0.2.7:7882".parse().unwrap())];
    let alice = world.join("alice");
    world.say(&alice, switch_to(proto::CandidateProtocol::Tcp));
    world.input(RoomInput::CandidatesChanged {
        shard: ShardId(0),
        candidates: udp.clone(),
    });
    let alice = world.join_as("alice", |join| join.candidates = udp);
    assert_eq!(protocols(&answers(&world.seen(&alice))[0]), ["udp"]);
}

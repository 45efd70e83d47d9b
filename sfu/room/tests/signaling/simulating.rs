//! Faults that a client asks for (protocol.md 9.5). Others see what they would see of a real one.

use livekit_protocol::{
    self as proto, leave_request::Action, request_response::Reason,
    signal_request::Message as Request, signal_response::Message, simulate_scenario::Scenario,
};

use crate::world::*;

fn simulate(scenario: Scenario) -> Request {
    Request::Simulate(proto::SimulateScenario {
        scenario: Some(scenario),
    })
}

/// covers: simulate.node_failure, simulate.migration
#[test]
fn a_node_that_fails_or_migrates_says_nothing_and_knows_nobody_afterwards() {
    for scenario in [Scenario::NodeFailure(true), Scenario::Migration(true)] {
        let mut world = World::default();
        let (ada, bob) = (world.join("ada"), world.join("bob"));
        world.forget_all();
        world.say(&ada, simulate(scenario));
        assert!(leaves(&world.seen(&ada)).is_empty());
        assert!(world.closed.contains_key(&ada.connection));
        assert_eq!(updates(&world.seen(&bob)).len(), 1);
        // The resume fails at once, so that the client starts over without waiting.
        let back = world.resume(&ada, |_| {});
        let leave = leaves(&world.seen(&back)).pop().unwrap();
        assert_eq!(leave.action, Action::Reconnect as i32);
        assert_eq!(leave.reason, proto::DisconnectReason::StateMismatch as i32);
        world.join("ada");
        assert_eq!(world.room.stats().participants, 2);
    }
}

/// covers: simulate.server_leave
#[test]
fn a_server_that_leaves_is_final() {
    let mut world = World::default();
    let ada = world.join("ada");
    world.say(&ada, simulate(Scenario::ServerLeave(true)));
    let leave = leaves(&world.seen(&ada)).pop().unwrap();
    assert_eq!(leave.action, Action::Disconnect as i32);
    assert!(!leave.can_reconnect);
    assert!(world.closed.contains_key(&ada.connection));
    assert_eq!(world.room.stats().participants, 0);
}

/// covers: simulate.leave_request_full_reconnect
#[test]
fn a_full_reconnect_is_asked_for_and_its_client_comes_back_unseen() {
    let mut world = World::default();
    let (ada, bob) = (world.join("ada"), world.join("bob"));
    world.forget_all();
    world.say(&ada, simulate(Scenario::LeaveRequestFullReconnect(true)));
    let leave = leaves(&world.seen(&ada)).pop().unwrap();
    assert_eq!(leave.action, Action::Reconnect as i32);
    assert!(leave.can_reconnect);
    world.join("ada");
    let states: Vec<_> = updates(&world.seen(&bob))
        .into_iter()
        .map(|info| info.state)
        .collect();
    assert!(!states.contains(&(proto::participant_info::State::Disconnected as i32)));
}

/// covers: simulate.subscriber_bandwidth
#[test]
fn a_bandwidth_that_is_not_estimated_can_not_be_simulated() {
    let mut world = World::default();
    let ada = world.join("ada");
    for (bits_per_second, answered) in [(100_000, true), (0, false)] {
        world.forget_all();
        world.say(
            &ada,
            simulate(Scenario::SubscriberBandwidth(bits_per_second)),
        );
        let refused = world.seen(&ada).iter().any(|message| {
            matches!(
                message,
                Message::RequestResponse(response)
                    if response.reason == Reason::UnsupportedType as i32
                        && response.message.contains("bandwidth")
            )
        });
        assert_eq!(refused, answered);
    }
}

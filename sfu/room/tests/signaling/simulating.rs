//! Faults that a client asks for (protocol.md 9.5). Others see what they would see of a real one.

use livekit_protocol::{
    self as proto, StreamState, leave_request::Action, signal_request::Message as Request,
    signal_response::Message, simulate_scenario::Scenario,
};
use plenum_room::SessionMode;
use plenum_types::{Budget, ShardCommand, ShardEvent};

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
fn a_simulated_bandwidth_bounds_what_is_sent_to_who_asks() {
    for (mode, allows) in [(SessionMode::Single, true), (SessionMode::Dual, false)] {
        let mut world = World::default();
        let ada = world.join_as("ada", |join| {
            join.mode = mode;
            join.settings.allow_pause = allows;
        });
        for (asked, budget) in [
            (
                100_000,
                Some(Budget {
                    bits: 100_000,
                    may_pause: allows,
                }),
            ),
            (0, None),
            (i64::MIN, None),
        ] {
            world.forget_all();
            world.say(&ada, simulate(Scenario::SubscriberBandwidth(asked)));
            let set: Vec<_> = world
                .commands
                .iter()
                .filter_map(|command| match command {
                    ShardCommand::SetBudget { budget, .. } => Some(*budget),
                    _ => None,
                })
                .collect();
            assert_eq!(set, [budget]);
        }
    }
}

/// covers: out.stream_state_update
#[test]
fn who_watches_is_told_that_a_picture_pauses_for_bandwidth() {
    let mut world = World::default();
    let ada = world.join("ada");
    let (_, camera) = world.publish(&ada);
    world.forget_all();
    let bob = world.join("bob");
    let subscription = world
        .commands
        .iter()
        .filter_map(|command| match command {
            ShardCommand::AddSubscription { subscription, .. } => Some(*subscription),
            _ => None,
        })
        .next_back()
        .unwrap();
    for (paused, state) in [(true, StreamState::Paused), (false, StreamState::Active)] {
        world.forget_all();
        world.shard(ShardEvent::StreamPaused {
            subscription,
            paused,
        });
        let told: Vec<_> = world
            .seen(&bob)
            .into_iter()
            .filter_map(|message| match message {
                Message::StreamStateUpdate(update) => Some(update.stream_states),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].track_sid, camera);
        assert_eq!(told[0].state, state as i32);
        assert!(world.seen(&ada).is_empty());
    }
}

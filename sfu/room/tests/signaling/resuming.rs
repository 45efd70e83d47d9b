//! Signal connections break, sessions go on.

use crate::world::*;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_room::RoomInput;
use plenum_types::{FailureCause, ParticipantSid, ShardCommand, ShardEvent, TransportState};
use std::time::Duration;

fn lose_signal(world: &mut World, client: &Client) {
    world.input(RoomInput::ConnectionClosed {
        connection: client.connection,
    });
}

/// covers: out.reconnect, sdk.resume
#[test]
fn a_resume_starts_with_reconnect_and_touches_no_media() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    let bob = world.join("bob");
    world.shard(ShardEvent::DataProgress {
        participant: plenum_types::ParticipantId(FIRST_ID + 1),
        last_sequence: 7,
    });
    world.forget_all();
    lose_signal(&mut world, &alice);
    world.advance(Duration::from_secs(3));
    let carol = world.join("carol");
    world.say(
        &carol,
        Request::Leave(proto::LeaveRequest {
            reason: proto::DisconnectReason::ClientInitiated as i32,
            ..Default::default()
        }),
    );
    world.commands.clear();
    let back = world.resume(&alice, |_| {});
    let seen = world.seen(&back);
    let Message::Reconnect(reconnect) = &seen[0] else {
        panic!("{seen:?}");
    };
    assert_eq!(reconnect.last_message_seq, 7);
    let states: Vec<_> = updates(&seen)
        .into_iter()
        .map(|info| (info.identity.clone(), info.state()))
        .collect();
    use proto::participant_info::State;
    assert!(states.contains(&("carol".to_owned(), State::Disconnected)));
    assert!(states.contains(&("bob".to_owned(), State::Active)));
    assert!(states.contains(&("alice".to_owned(), State::Active)));
    assert!(world.commands.is_empty(), "{:?}", world.commands);
    assert!(seen.iter().any(|m| matches!(m, Message::RoomUpdate(_))));
    assert!(
        updates(&world.seen(&bob))
            .iter()
            .all(|info| info.identity != "alice")
    );
}

/// covers: sdk.resume
#[test]
fn the_client_restarts_ice_after_a_resume() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    world.say(&alice, Request::Offer(offer(3, GROW)));
    world.say(&alice, Request::Offer(offer(4, UNPUBLISH)));
    lose_signal(&mut world, &alice);
    let alice = world.resume(&alice, |_| {});
    world.forget_all();
    world.say(&alice, Request::Offer(offer(5, RESTART)));
    assert!(
        world
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::RestartIce { .. }))
    );
    assert_eq!(answers(&world.seen(&alice))[0].id, 5);
}

/// covers: out.leave
#[test]
fn an_unknown_session_starts_over_at_once() {
    let mut world = World::default();
    let alice = world.join("alice");
    let stranger = Client {
        sid: "PA_elsewhere".to_owned(),
        ..alice.clone()
    };
    let back = world.resume(&stranger, |_| {});
    let seen = world.seen(&back);
    let Message::Leave(leave) = &seen[0] else {
        panic!("{seen:?}");
    };
    assert_eq!(leave.reason(), proto::DisconnectReason::StateMismatch);
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert!(world.closed.contains_key(&back.connection));
    // The session that is there is not harmed.
    assert!(leaves(&world.seen(&alice)).is_empty());
}

#[test]
fn a_resume_takes_over_from_a_connection_that_still_stands() {
    let mut world = World::default();
    let alice = world.join("alice");
    let back = world.resume(&alice, |_| {});
    assert!(world.closed.contains_key(&alice.connection));
    assert!(leaves(&world.seen(&alice)).is_empty());
    // The old socket's end is no news.
    lose_signal(&mut world, &alice);
    world.forget_all();
    world.say(&back, Request::AddTrack(microphone()));
    assert!(matches!(world.seen(&back)[0], Message::TrackPublished(_)));
}

#[test]
fn a_signal_loss_before_media_ends_the_session() {
    let mut world = World::default();
    let alice = world.join_unconnected("alice", |_| {});
    lose_signal(&mut world, &alice);
    assert_eq!(world.room.stats().participants, 0);
}

#[test]
fn who_does_not_come_back_is_gone_in_the_end() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    lose_signal(&mut world, &alice);
    world.advance(Duration::from_secs(60));
    assert!(updates(&world.seen(&bob)).is_empty());
    world.advance(Duration::from_secs(20));
    let gone = updates(&world.seen(&bob)).pop().unwrap();
    assert_eq!(gone.state(), proto::participant_info::State::Disconnected);
    assert_eq!(
        gone.disconnect_reason(),
        proto::DisconnectReason::SignalClose
    );
}

#[test]
fn a_failed_transport_makes_the_client_start_over_unseen() {
    let mut world = World::default();
    let alice = world.join("alice");
    let transport = world.last_transport();
    let bob = world.join("bob");
    world.forget_all();
    world.transport(transport, TransportState::Failed(FailureCause::IceTimeout));
    let leave = leaves(&world.seen(&alice)).pop().unwrap();
    assert_eq!(leave.reason(), proto::DisconnectReason::ConnectionTimeout);
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    // It can't resume, it rejoins; to others it was never away.
    let back = world.resume(&alice, |_| {});
    assert_eq!(leaves(&world.seen(&back)).len(), 1);
    world.advance(Duration::from_secs(1));
    world.join("alice");
    world.advance(Duration::from_secs(30));
    assert!(
        updates(&world.seen(&bob))
            .iter()
            .all(|info| info.state() != proto::participant_info::State::Disconnected)
    );
}

#[test]
fn a_failed_transport_ends_the_session_after_five_seconds() {
    let mut world = World::default();
    world.join("alice");
    let transport = world.last_transport();
    let bob = world.join("bob");
    world.forget_all();
    world.transport(transport, TransportState::Failed(FailureCause::IceTimeout));
    world.advance(Duration::from_secs(4));
    assert!(updates(&world.seen(&bob)).is_empty());
    world.advance(Duration::from_secs(2));
    let gone = updates(&world.seen(&bob)).pop().unwrap();
    assert_eq!(gone.state(), proto::participant_info::State::Disconnected);
}

#[test]
fn a_client_that_believes_in_a_lost_track_starts_over() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, _) = world.publish(&alice);
    let published = |sid: &str| proto::TrackPublishedResponse {
        cid: String::new(),
        track: Some(proto::TrackInfo {
            sid: sid.to_owned(),
            ..Default::default()
        }),
    };
    let alice = world.resume(&alice, |_| {});
    world.say(
        &alice,
        Request::SyncState(proto::SyncState {
            publish_tracks: vec![published(&microphone)],
            ..Default::default()
        }),
    );
    assert!(leaves(&world.seen(&alice)).is_empty());
    world.say(
        &alice,
        Request::SyncState(proto::SyncState {
            publish_tracks: vec![published("TR_lost")],
            ..Default::default()
        }),
    );
    assert_eq!(
        leaves(&world.seen(&alice))[0].reason(),
        proto::DisconnectReason::StateMismatch
    );
}

/// covers: in.sync_state
#[test]
fn sync_state_brings_back_wishes_and_asks_for_missed_data() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, camera) = world.publish(&alice);
    let bob = world.join("bob");
    let bob = world.resume(&bob, |_| {});
    world.forget_all();
    world.say(
        &bob,
        Request::SyncState(proto::SyncState {
            subscription: Some(proto::UpdateSubscription {
                track_sids: vec![microphone],
                subscribe: false,
                participant_tracks: Vec::new(),
            }),
            track_sids_disabled: vec![camera],
            datachannel_receive_states: vec![proto::DataChannelReceiveState {
                publisher_sid: alice.sid.clone(),
                last_seq: 3,
            }],
            ..Default::default()
        }),
    );
    assert_eq!(world.room.stats().subscriptions, 1);
    assert!(world.commands.iter().any(|command| matches!(
        command,
        ShardCommand::SetSubscriptionTarget { target, .. } if target.paused
    )));
    assert!(world.commands.iter().any(|command| matches!(
        command,
        ShardCommand::ReplayData { have, .. }
            if *have == [(ParticipantSid::from(alice.sid.as_str()), 3)]
    )));
}

#[test]
fn a_lost_request_for_sections_is_made_again_after_a_resume() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.publish(&alice);
    world.advance(Duration::from_millis(20));
    assert_eq!(requirements(&world.take(&bob)), [(0, 0)]);
    lose_signal(&mut world, &bob);
    let bob = world.resume(&bob, |_| {});
    world.advance(Duration::from_millis(200));
    assert_eq!(requirements(&world.seen(&bob)), [(0, 0)]);
}

/// covers: in.simulate, simulate.disconnect_signal_on_resume
/// covers: simulate.disconnect_signal_on_resume_no_messages
#[test]
fn simulated_faults_hit_the_next_resume() {
    use proto::simulate_scenario::Scenario;
    let mut world = World::default();
    let alice = world.join("alice");
    let simulate = |scenario| {
        Request::Simulate(proto::SimulateScenario {
            scenario: Some(scenario),
        })
    };
    world.say(&alice, simulate(Scenario::DisconnectSignalOnResume(true)));
    lose_signal(&mut world, &alice);
    let alice = world.resume(&alice, |_| {});
    assert!(matches!(world.seen(&alice)[0], Message::Reconnect(_)));
    assert!(world.closed.contains_key(&alice.connection));
    let alice = world.resume(&alice, |_| {});
    world.say(
        &alice,
        simulate(Scenario::DisconnectSignalOnResumeNoMessages(true)),
    );
    lose_signal(&mut world, &alice);
    let alice = world.resume(&alice, |_| {});
    assert!(world.seen(&alice).is_empty());
    let alice = world.resume(&alice, |_| {});
    world.say(&alice, simulate(Scenario::NodeFailure(true)));
    assert!(world.closed.contains_key(&alice.connection));
    let back = world.resume(&alice, |_| {});
    assert_eq!(leaves(&world.seen(&back)).len(), 1);
}

/// covers: data.replay
#[test]
fn a_resume_replays_data_of_those_who_are_there_each_once() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.commands.clear();
    let state = |publisher_sid: String, last_seq| proto::DataChannelReceiveState {
        publisher_sid,
        last_seq,
    };
    let mut states = vec![
        state(bob.sid.clone(), 3),
        state(bob.sid.clone(), 4),
        state(alice.sid.clone(), 5),
    ];
    states.extend((0..10_000).map(|index| state(format!("PA_{index}"), 1)));
    world.say(
        &alice,
        Request::SyncState(proto::SyncState {
            datachannel_receive_states: states,
            ..Default::default()
        }),
    );
    let have: Vec<_> = world
        .commands
        .iter()
        .filter_map(|command| match command {
            ShardCommand::ReplayData { have, .. } => Some(have.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(have, [vec![(ParticipantSid::from(bob.sid.as_str()), 3)]]);
}

#[test]
fn departures_that_are_kept_for_those_who_resume_are_bounded() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.input(RoomInput::ConnectionClosed {
        connection: alice.connection,
    });
    for number in 0..1_100 {
        let guest = world.join(&format!("guest {number}"));
        world.say(&guest, Request::Leave(proto::LeaveRequest::default()));
    }
    world.forget_all();
    let alice = world.resume(&alice, |_| ());
    let gone = updates(&world.seen(&alice))
        .iter()
        .filter(|info| info.state() == proto::participant_info::State::Disconnected)
        .count();
    assert_eq!(gone, 1_000);
}

//! How rooms and participants end.

use crate::world::*;
use livekit_protocol::{
    self as proto, DisconnectReason, leave_request::Action, signal_request::Message as Request,
};
use plenum_room::{ApiRequest, ApiResponse, EndReason, RoomInput, RoomOutput};
use plenum_types::{FailureCause, ShardCommand, ShardId, TransportState};
use std::time::Duration;

fn ended(world: &World) -> Option<EndReason> {
    world.others.iter().find_map(|output| match output {
        RoomOutput::Ended(reason) => Some(*reason),
        _ => None,
    })
}

fn goodbye() -> Request {
    Request::Leave(proto::LeaveRequest {
        reason: DisconnectReason::ClientInitiated as i32,
        ..Default::default()
    })
}

/// covers: in.leave, out.update
#[test]
fn a_client_that_leaves_is_gone_at_once() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.publish(&bob);
    world.forget_all();
    world.say(&alice, goodbye());
    assert!(leaves(&world.seen(&alice)).is_empty());
    assert!(world.closed.contains_key(&alice.connection));
    let gone = updates(&world.seen(&bob)).pop().unwrap();
    assert_eq!(gone.disconnect_reason(), DisconnectReason::ClientInitiated);
    assert!(
        world
            .commands
            .iter()
            .any(|command| matches!(command, ShardCommand::CloseTransport { .. }))
    );
}

#[test]
fn a_room_nobody_joins_closes_after_its_empty_timeout() {
    let mut world = World::default();
    world.advance(Duration::from_secs(299));
    assert_eq!(ended(&world), None);
    world.advance(Duration::from_secs(2));
    assert_eq!(ended(&world), Some(EndReason::Closed));
}

#[test]
fn a_room_everybody_left_closes_after_its_departure_timeout() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.advance(Duration::from_secs(1000));
    assert_eq!(ended(&world), None);
    world.say(&alice, goodbye());
    world.advance(Duration::from_secs(19));
    let alice = world.join("alice");
    world.advance(Duration::from_secs(30));
    assert_eq!(ended(&world), None);
    world.say(&alice, goodbye());
    world.advance(Duration::from_secs(21));
    assert_eq!(ended(&world), Some(EndReason::Closed));
    assert!(world.commands.contains(&ShardCommand::CloseRoom));
}

#[test]
fn an_agent_keeps_no_room_open() {
    let mut world = World::default();
    let alice = world.join("alice");
    let agent = world.join_as("agent", |join| {
        join.grants.kind = plenum_room::ParticipantKind::Agent;
    });
    world.say(&alice, goodbye());
    world.advance(Duration::from_secs(21));
    assert_eq!(ended(&world), Some(EndReason::Closed));
    assert_eq!(
        leaves(&world.seen(&agent))[0].reason(),
        DisconnectReason::RoomClosed
    );
}

/// covers: out.leave, sdk.disconnect_reasons
#[test]
fn leaves_say_what_to_do_next() {
    for (reason, word, action) in [
        (
            EndReason::Deleted,
            DisconnectReason::RoomDeleted,
            Action::Disconnect,
        ),
        (
            EndReason::Closed,
            DisconnectReason::RoomClosed,
            Action::Disconnect,
        ),
        (
            EndReason::Moved,
            DisconnectReason::Migration,
            Action::Reconnect,
        ),
        (
            EndReason::Fenced,
            DisconnectReason::StateMismatch,
            Action::Reconnect,
        ),
        (
            EndReason::Shutdown,
            DisconnectReason::ServerShutdown,
            Action::Reconnect,
        ),
    ] {
        let mut world = World::default();
        let alice = world.join("alice");
        world.input(RoomInput::End(reason));
        let leave = leaves(&world.seen(&alice)).pop().unwrap();
        assert_eq!((leave.reason(), leave.action()), (word, action));
        assert_eq!(leave.can_reconnect, action == Action::Reconnect);
        assert!(world.closed.contains_key(&alice.connection));
        assert_eq!(ended(&world), Some(reason));
        assert_eq!(world.room.next_timer(), None);
    }
}

#[test]
fn a_move_sends_publishers_first_and_everyone_together() {
    let mut world = World::default();
    let viewer = world.join("viewer");
    let publisher = world.join("publisher");
    world.publish(&publisher);
    world.room.handle(world.now, RoomInput::Move);
    let order: Vec<_> = world
        .room
        .drain()
        .filter_map(|output| match output {
            RoomOutput::Close { connection, .. } => Some(connection),
            _ => None,
        })
        .collect();
    assert_eq!(order, [publisher.connection, viewer.connection]);
}

#[test]
fn a_deleted_room_answers_the_call_before_it_ends() {
    let mut world = World::default();
    world.join("alice");
    assert_eq!(world.api(ApiRequest::DeleteRoom), Ok(ApiResponse::Done));
    assert_eq!(ended(&world), Some(EndReason::Deleted));
    assert!(matches!(world.others.last(), Some(RoomOutput::Ended(_))));
    assert!(world.api(ApiRequest::GetRoom).is_err());
    let join = world.join_input("bob");
    world.input(RoomInput::Join(Box::new(join)));
    assert!(matches!(
        world.others.last(),
        Some(RoomOutput::Refuse { .. })
    ));
}

#[test]
fn a_bad_description_makes_only_its_sender_start_over() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    world.say(&alice, Request::Offer(offer(2, "nonsense")));
    let leave = leaves(&world.seen(&alice)).pop().unwrap();
    assert_eq!(leave.reason(), DisconnectReason::StateMismatch);
    assert_eq!(leave.action(), Action::Reconnect);
    assert!(world.seen(&bob).is_empty());
}

/// covers: out.leave
#[test]
fn a_lost_shard_sends_its_clients_back() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join_as("bob", |join| join.shard = ShardId(1));
    world.forget_all();
    world.input(RoomInput::ShardLost { shard: SHARD });
    assert_eq!(leaves(&world.seen(&alice))[0].action(), Action::Reconnect);
    assert!(leaves(&world.seen(&bob)).is_empty());
}

/// covers: out.room_update
#[test]
fn counts_of_the_room_go_out_every_five_seconds_at_most() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.advance(Duration::from_secs(10));
    world.forget_all();
    for index in 0..5 {
        world.join(&format!("guest {index}"));
    }
    world.advance(Duration::from_secs(6));
    let counts: Vec<_> = world
        .seen(&alice)
        .iter()
        .filter_map(|message| match message {
            livekit_protocol::signal_response::Message::RoomUpdate(update) => {
                Some(update.room.as_ref().unwrap().num_participants)
            }
            _ => None,
        })
        .collect();
    assert!(counts.len() <= 2, "{counts:?}");
    assert_eq!(counts.last(), Some(&6));
}

#[test]
fn in_a_large_room_listeners_are_told_together() {
    let mut world = World::default();
    let alice = world.join("alice");
    for index in 0..40 {
        world.join(&format!("listener {index}"));
    }
    world.advance(Duration::from_secs(10));
    world.forget_all();
    for index in 0..10 {
        world.join(&format!("late {index}"));
    }
    assert!(updates(&world.seen(&alice)).is_empty());
    world.advance(Duration::from_secs(4));
    assert_eq!(updates(&world.seen(&alice)).len(), 10);
    // Who publishes is seen at once.
    world.forget_all();
    let singer = world.join("singer");
    world.publish(&singer);
    assert!(
        updates(&world.seen(&alice))
            .iter()
            .any(|info| info.identity == "singer" && info.tracks.len() == 2)
    );
}

#[test]
fn a_client_that_closed_media_and_socket_has_left_in_either_order() {
    for media_first in [true, false] {
        let mut world = World::default();
        let alice = world.join("alice");
        let transport = world.last_transport();
        let bob = world.join("bob");
        world.forget_all();
        let socket = RoomInput::ConnectionClosed {
            connection: alice.connection,
        };
        let closed = TransportState::Failed(FailureCause::Closed);
        if media_first {
            world.transport(transport, closed);
            world.input(socket);
        } else {
            world.input(socket);
            world.transport(transport, closed);
        }
        let gone = updates(&world.seen(&bob)).pop().unwrap();
        assert_eq!(gone.state(), proto::participant_info::State::Disconnected);
        assert_eq!(gone.disconnect_reason(), DisconnectReason::ClientInitiated);
    }
}

#[test]
fn a_client_that_closed_its_media_and_says_nothing_starts_over() {
    let mut world = World::default();
    let alice = world.join("alice");
    let transport = world.last_transport();
    world.transport(transport, TransportState::Failed(FailureCause::Closed));
    assert!(leaves(&world.seen(&alice)).is_empty());
    // There is nothing to resume.
    let back = world.resume(&alice, |_| {});
    assert_eq!(leaves(&world.seen(&back)).len(), 1);
    world.advance(Duration::from_secs(6));
    assert_eq!(leaves(&world.seen(&alice))[0].action(), Action::Reconnect);
    assert_eq!(world.room.stats().participants, 0);
}

#[test]
fn a_client_can_not_put_words_into_the_servers_mouth() {
    for reason in [
        DisconnectReason::RoomDeleted as i32,
        DisconnectReason::ParticipantRemoved as i32,
        DisconnectReason::DuplicateIdentity as i32,
        99,
    ] {
        let mut world = World::default();
        let alice = world.join("alice");
        let bob = world.join("bob");
        world.forget_all();
        world.say(
            &alice,
            Request::Leave(proto::LeaveRequest {
                reason,
                ..Default::default()
            }),
        );
        let gone = updates(&world.seen(&bob)).pop().unwrap();
        assert_eq!(gone.disconnect_reason(), DisconnectReason::ClientInitiated);
    }
}

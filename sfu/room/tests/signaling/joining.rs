//! What a client gets as it comes in.

use crate::world::*;
use livekit_protocol::{self as proto, signal_response::Message};
use plenum_room::{ApiRequest, ApiResponse, JoinRefusal, RoomInput, RoomOutput, RoomSettings};
use plenum_types::ShardCommand;
use std::time::Duration;

/// covers: out.join, out.answer, sdk.single_peer_connection
#[test]
fn the_first_messages_are_join_and_answer() {
    let mut world = World::default();
    let alice = world.join_unconnected("alice", |_| {});
    let seen = world.seen(&alice);
    let Message::Join(join) = &seen[0] else {
        panic!("{:?}", seen[0]);
    };
    assert_eq!(join.room.as_ref().unwrap().sid, "RM_test");
    assert_eq!(join.server_version, "1.13.5");
    assert_eq!(join.server_info.as_ref().unwrap().version, "1.13.5");
    assert!(!join.subscriber_primary);
    assert!(!join.sif_trailer.is_empty());
    let codecs: Vec<_> = join
        .enabled_publish_codecs
        .iter()
        .map(|codec| codec.mime.as_str())
        .collect();
    assert_eq!(codecs, ["video/VP8", "audio/opus"]);
    let me = join.participant.as_ref().unwrap();
    assert!(me.sid.starts_with("PA_"));
    assert!(me.joined_at > 0 && me.joined_at_ms / 1000 == me.joined_at);
    assert_eq!(answers(&seen)[0].id, 1);
    assert_eq!(world.tokens.len(), 1);
}

#[test]
fn the_shard_hears_of_a_transport_before_the_client_gets_its_answer() {
    let mut world = World::default();
    let join = world.join_input("alice");
    world
        .room
        .handle(world.now, RoomInput::Join(Box::new(join)));
    let outputs: Vec<_> = world.room.drain().collect();
    let place = |wanted: fn(&RoomOutput) -> bool| outputs.iter().position(wanted).unwrap();
    let open = place(|output| {
        matches!(
            output,
            RoomOutput::Shard {
                command: ShardCommand::OpenTransport(_),
                ..
            }
        )
    });
    let connect = place(|output| {
        matches!(
            output,
            RoomOutput::Shard {
                command: ShardCommand::ConnectTransport { .. },
                ..
            }
        )
    });
    let answer = place(|output| {
        matches!(
            output,
            RoomOutput::Send { message, .. }
                if matches!(message.response().message, Some(Message::Answer(_)))
        )
    });
    assert!(open < connect && connect < answer);
}

/// covers: out.update
#[test]
fn others_see_a_participant_join_and_become_active() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    let bob = world.join_unconnected("bob", |_| {});
    world.connect_transports();
    let seen = updates(&world.seen(&alice));
    let states: Vec<_> = seen.iter().map(proto::ParticipantInfo::state).collect();
    use proto::participant_info::State;
    assert_eq!(states, [State::Joined, State::Active]);
    assert!(seen[0].version < seen[1].version);
    assert!(seen.iter().all(|info| info.sid == bob.sid));
}

#[test]
fn one_update_is_encoded_once_for_all() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    world.join("carol");
    let shared = |client| world.raw(client)[0].binary();
    assert_eq!(shared(&alice).as_ptr(), shared(&bob).as_ptr());
}

/// covers: out.leave, sdk.duplicate_identity
#[test]
fn a_second_session_of_an_identity_takes_the_place_of_the_first() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    let again = world.join("alice");
    let leave = &leaves(&world.seen(&alice))[0];
    assert_eq!(leave.reason(), proto::DisconnectReason::DuplicateIdentity);
    assert_eq!(leave.action(), proto::leave_request::Action::Disconnect);
    assert!(world.closed.contains_key(&alice.connection));
    let seen = updates(&world.seen(&bob));
    assert!(
        seen.iter()
            .all(|info| info.state() != proto::participant_info::State::Disconnected)
    );
    assert!(seen.iter().all(|info| info.sid == again.sid));
    assert_ne!(again.sid, alice.sid);
}

/// covers: grant.hidden
#[test]
fn nobody_hears_of_a_hidden_participant() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    let spy = world.join_as("spy", |join| join.grants.permissions.hidden = true);
    assert!(updates(&world.seen(&alice)).is_empty());
    assert_eq!(world.room.info().num_participants, 1);
    let bob = world.join("bob");
    let seen = world.seen(&bob);
    let Message::Join(join) = &seen[0] else {
        panic!()
    };
    let others: Vec<_> = join
        .other_participants
        .iter()
        .map(|info| info.identity.as_str())
        .collect();
    assert_eq!(others, ["alice"]);
    // It sees itself and the others.
    assert!(!updates(&world.seen(&spy)).is_empty());
    let Ok(ApiResponse::Participants(all)) = world.api(ApiRequest::ListParticipants) else {
        panic!()
    };
    assert_eq!(all.len(), 3);
}

/// covers: grant.recorder
#[test]
fn a_recorder_makes_the_room_recorded() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    let recorder = world.join_as("recorder", |join| {
        join.grants.permissions.hidden = true;
        join.grants.permissions.recorder = true;
    });
    let recorded = |world: &World| {
        world
            .seen(&alice)
            .iter()
            .filter_map(|message| match message {
                Message::RoomUpdate(update) => Some(update.room.as_ref().unwrap().active_recording),
                _ => None,
            })
            .next_back()
    };
    assert_eq!(recorded(&world), Some(true));
    world.input(RoomInput::Api {
        call: plenum_room::ApiCallId(99),
        request: Box::new(remove(&recorder.identity)),
    });
    assert_eq!(recorded(&world), Some(false));
}

#[test]
fn a_full_room_refuses_but_agents_and_returning_identities_come_in() {
    let mut config = config();
    config.settings = RoomSettings {
        max_participants: 1,
        ..RoomSettings::default()
    };
    let mut world = World::with(config);
    world.join("alice");
    let join = world.join_input("bob");
    world.input(RoomInput::Join(Box::new(join)));
    assert!(world.others.iter().any(|output| matches!(
        output,
        RoomOutput::Refuse {
            refusal: JoinRefusal::Full,
            ..
        }
    )));
    world.join("alice");
    world.join_as("helper", |join| {
        join.grants.kind = plenum_room::ParticipantKind::Agent;
    });
    assert_eq!(world.room.stats().participants, 2);
}

#[test]
fn who_is_not_active_in_a_minute_failed_to_join() {
    let mut world = World::default();
    let alice = world.join_unconnected("alice", |_| {});
    world.advance(Duration::from_secs(59));
    assert!(leaves(&world.seen(&alice)).is_empty());
    world.advance(Duration::from_secs(2));
    let leave = &leaves(&world.seen(&alice))[0];
    assert_eq!(leave.reason(), proto::DisconnectReason::JoinFailure);
    assert_eq!(world.room.stats().participants, 0);
}

/// covers: grant.canUpdateOwnMetadata
#[test]
fn join_metadata_counts_only_if_the_token_allows_it() {
    let mut world = World::default();
    for (identity, allowed) in [("alice", false), ("bob", true)] {
        world.join_as(identity, |join| {
            join.grants.permissions.can_update_metadata = allowed;
            join.metadata = "mine".to_owned();
            join.attributes.insert("seat".to_owned(), "4".to_owned());
        });
        let Ok(ApiResponse::Participant(info)) =
            world.api(ApiRequest::GetParticipant(identity.into()))
        else {
            panic!()
        };
        assert_eq!(info.metadata == "mine", allowed);
        assert_eq!(info.attributes.contains_key("seat"), allowed);
    }
}

/// covers: out.refresh_token
#[test]
fn tokens_are_renewed_every_five_minutes() {
    let mut world = World::default();
    world.join("alice");
    world.forget_all();
    world.advance(Duration::from_secs(601));
    assert_eq!(world.tokens.len(), 2);
}

/// covers: edge.unknown_message
#[test]
fn an_unknown_message_is_ignored() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    world.input(RoomInput::Signal {
        connection: alice.connection,
        request: Box::new(proto::SignalRequest { message: None }),
    });
    assert!(world.seen(&alice).is_empty());
    assert!(!world.closed.contains_key(&alice.connection));
}

#[test]
fn every_input_twice_from_one_seed_gives_the_same_outputs() {
    let play = || {
        let mut world = World::default();
        let alice = world.join("alice");
        world.join("bob");
        world.publish(&alice);
        world.advance(Duration::from_secs(20));
        let seen: Vec<_> = world.seen(&alice);
        format!("{seen:?} {:?}", world.commands)
    };
    // Maps inside messages have no order; there are none with two entries here.
    assert_eq!(play().len(), play().len());
}

#[test]
fn what_a_client_says_about_itself_is_bounded_and_known() {
    use proto::client_info::Capability;
    let mut world = World::default();
    let bob = world.join("bob");
    let mallory = world.join_as("mallory", |join| {
        join.client = proto::ClientInfo {
            sdk: 4711,
            protocol: 17,
            browser: "ü".repeat(100_000),
            other_sdks: "x".repeat(100_000),
            capabilities: [1, 2, 99, 1].repeat(100_000),
            ..Default::default()
        };
    });
    let info = updates(&world.seen(&bob)).pop().unwrap();
    assert_eq!(info.sid, mallory.sid);
    assert_eq!(
        info.capabilities,
        [
            Capability::CapPacketTrailer as i32,
            Capability::CapCompressionDeflateRaw as i32
        ]
    );
    for message in world.raw(&bob).iter().chain(world.raw(&mallory)) {
        assert!(message.binary().len() < 64 * 1024);
    }
}

#[test]
fn a_rejoin_does_not_undo_what_the_api_took_away() {
    let mut world = World::default();
    world.join("alice");
    world
        .api(ApiRequest::UpdateParticipant(
            proto::UpdateParticipantRequest {
                identity: "alice".to_owned(),
                permission: Some(proto::ParticipantPermission {
                    can_subscribe: true,
                    ..Default::default()
                }),
                ..Default::default()
            },
        ))
        .unwrap();
    // With its first token, which allows everything.
    world.join("alice");
    let Ok(ApiResponse::Participant(info)) = world.api(ApiRequest::GetParticipant("alice".into()))
    else {
        panic!()
    };
    assert!(!info.permission.unwrap().can_publish);
    // Who left for good starts anew.
    world.api(remove("alice")).unwrap();
    world.join("alice");
    let Ok(ApiResponse::Participant(info)) = world.api(ApiRequest::GetParticipant("alice".into()))
    else {
        panic!()
    };
    assert!(info.permission.unwrap().can_publish);
}

#[test]
fn a_muted_source_stays_muted_when_its_publisher_starts_over() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone_sid, _) = world.publish(&alice);
    world
        .api(ApiRequest::MutePublishedTrack {
            identity: "alice".into(),
            track: microphone_sid.as_str().into(),
            muted: true,
        })
        .unwrap();
    // Its media path is gone: it is told to start over, and does.
    world.transport(
        world.last_transport(),
        plenum_types::TransportState::Failed(plenum_types::FailureCause::IceTimeout),
    );
    let alice = world.join("alice");
    world.say(
        &alice,
        livekit_protocol::signal_request::Message::AddTrack(microphone()),
    );
    assert!(world.seen(&alice).iter().any(|message| matches!(
        message,
        Message::TrackPublished(published) if published.track.as_ref().unwrap().muted
    )));
}

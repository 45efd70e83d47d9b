//! The server API and what participants change themselves.

use crate::world::*;
use livekit_protocol::{
    self as proto, request_response::Reason, signal_request::Message as Request,
    signal_response::Message,
};
use plenum_room::{ApiErrorCode, ApiRequest, ApiResponse, Limits, RoomOutput};
use plenum_types::{DataAudience, DataChannel, ShardCommand};
use prost::Message as _;
use std::collections::HashMap;

fn participant(result: Result<ApiResponse, plenum_room::ApiError>) -> proto::ParticipantInfo {
    match result {
        Ok(ApiResponse::Participant(info)) => *info,
        other => panic!("{other:?}"),
    }
}

fn mute(sid: &str, muted: bool) -> ApiRequest {
    ApiRequest::MutePublishedTrack {
        identity: "alice".into(),
        track: sid.into(),
        muted,
    }
}

#[test]
fn absent_participants_are_not_found() {
    let mut world = World::default();
    world.join("alice");
    for request in [
        ApiRequest::GetParticipant("bob".into()),
        remove("bob"),
        ApiRequest::UpdateParticipant(proto::UpdateParticipantRequest {
            identity: "bob".to_owned(),
            ..Default::default()
        }),
        mute("TR_none", true),
    ] {
        assert_eq!(world.api(request).unwrap_err().code, ApiErrorCode::NotFound);
    }
}

/// covers: RoomService.RemoveParticipant, out.leave
#[test]
fn a_removed_participant_gets_a_final_leave() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    world.forget_all();
    world.api(remove("alice")).unwrap();
    let leave = leaves(&world.seen(&alice)).pop().unwrap();
    assert_eq!(leave.reason(), proto::DisconnectReason::ParticipantRemoved);
    assert_eq!(leave.action(), proto::leave_request::Action::Disconnect);
    assert!(!leave.can_reconnect);
    let gone = updates(&world.seen(&bob)).pop().unwrap();
    assert_eq!(
        gone.disconnect_reason(),
        proto::DisconnectReason::ParticipantRemoved
    );
}

/// covers: RoomService.MutePublishedTrack, out.mute
#[test]
fn mute_reaches_the_publisher_and_unmute_needs_a_setting() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join("bob");
    let (microphone, _) = world.publish(&alice);
    world.forget_all();
    let Ok(ApiResponse::Track(info)) = world.api(mute(&microphone, true)) else {
        panic!()
    };
    assert!(info.muted);
    assert!(world.seen(&alice).iter().any(|message| matches!(
        message,
        Message::Mute(mute) if mute.muted && mute.sid == microphone
    )));
    assert!(
        updates(&world.seen(&bob))
            .pop()
            .unwrap()
            .tracks
            .iter()
            .any(|t| t.muted)
    );
    assert_eq!(
        world.api(mute(&microphone, false)).unwrap_err().code,
        ApiErrorCode::FailedPrecondition
    );
    let mut config = config();
    config.remote_unmute = true;
    let mut world = World::with(config);
    let alice = world.join("alice");
    let (microphone, _) = world.publish(&alice);
    world.api(mute(&microphone, true)).unwrap();
    assert!(world.api(mute(&microphone, false)).is_ok());
}

/// covers: RoomService.UpdateParticipant
#[test]
fn update_participant_merges_attributes_and_replaces_permission() {
    let mut world = World::default();
    let alice = world.join_as("alice", |join| {
        join.grants
            .attributes
            .insert("a".to_owned(), "1".to_owned());
        join.grants
            .attributes
            .insert("b".to_owned(), "2".to_owned());
    });
    world.forget_all();
    let info = participant(world.api(ApiRequest::UpdateParticipant(
        proto::UpdateParticipantRequest {
            identity: "alice".to_owned(),
            metadata: "new".to_owned(),
            attributes: HashMap::from([
                ("a".to_owned(), String::new()),
                ("c".to_owned(), "3".to_owned()),
            ]),
            permission: Some(proto::ParticipantPermission {
                can_publish: true,
                ..Default::default()
            }),
            ..Default::default()
        },
    )));
    assert_eq!(info.metadata, "new");
    assert_eq!(info.name, "ALICE");
    assert_eq!(
        info.attributes,
        HashMap::from([
            ("b".to_owned(), "2".to_owned()),
            ("c".to_owned(), "3".to_owned())
        ])
    );
    let permission = info.permission.unwrap();
    assert!(permission.can_publish && !permission.can_subscribe);
    // Stored before the caller hears of it.
    let stored = world
        .others
        .iter()
        .position(|output| matches!(output, RoomOutput::SnapshotChanged { before_next: true }));
    let answered = world
        .others
        .iter()
        .position(|output| matches!(output, RoomOutput::Api { .. }));
    assert!(stored.unwrap() < answered.unwrap());
    assert_eq!(world.tokens.last().unwrap().1.metadata, "new");
    assert!(!updates(&world.seen(&alice)).is_empty());
}

/// covers: RoomService.UpdateParticipant, grant.canSubscribe
#[test]
fn permission_to_subscribe_comes_and_goes() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    world.join("bob");
    assert_eq!(world.room.stats().subscriptions, 2);
    let mut set = |can_subscribe| {
        world
            .api(ApiRequest::UpdateParticipant(
                proto::UpdateParticipantRequest {
                    identity: "bob".to_owned(),
                    permission: Some(proto::ParticipantPermission {
                        can_subscribe,
                        ..Default::default()
                    }),
                    ..Default::default()
                },
            ))
            .unwrap();
        world.room.stats().subscriptions
    };
    assert_eq!(set(false), 0);
    assert_eq!(set(true), 2);
}

/// covers: RoomService.UpdateParticipant, grant.hidden
#[test]
fn a_participant_becomes_hidden_and_visible() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    let bob = world.join("bob");
    world.forget_all();
    let mut hide = |hidden| {
        world
            .api(ApiRequest::UpdateParticipant(
                proto::UpdateParticipantRequest {
                    identity: "alice".to_owned(),
                    permission: Some(proto::ParticipantPermission {
                        can_publish: true,
                        can_subscribe: true,
                        hidden,
                        ..Default::default()
                    }),
                    ..Default::default()
                },
            ))
            .unwrap();
        (
            updates(&world.take(&bob)).pop().unwrap().state(),
            world.room.stats().subscriptions,
        )
    };
    use proto::participant_info::State;
    assert_eq!(hide(true), (State::Disconnected, 0));
    assert_eq!(hide(false), (State::Active, 2));
}

/// covers: in.update_metadata, out.request_response, grant.canUpdateOwnMetadata
#[test]
fn own_metadata_needs_permission_and_has_limits() {
    let mut world = World::default();
    let alice = world.join("alice");
    let bob = world.join_as("bob", |join| {
        join.grants.permissions.can_update_metadata = true;
    });
    world.forget_all();
    let request = |metadata: String| {
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata,
            request_id: 5,
            ..Default::default()
        })
    };
    let reason = |world: &mut World, client| {
        world.take(client).iter().find_map(|message| match message {
            Message::RequestResponse(response) => {
                assert_eq!(response.request_id, 5);
                assert!(response.request.is_some());
                Some(response.reason())
            }
            _ => None,
        })
    };
    world.say(&alice, request("x".to_owned()));
    assert_eq!(reason(&mut world, &alice), Some(Reason::NotAllowed));
    world.say(&bob, request("x".repeat(512 * 1024 + 1)));
    assert_eq!(reason(&mut world, &bob), Some(Reason::LimitExceeded));
    world.say(&bob, request("x".repeat(1000)));
    assert_eq!(
        updates(&world.seen(&bob)).pop().unwrap().metadata.len(),
        1000
    );
    assert_eq!(reason(&mut world, &bob), Some(Reason::Ok));
}

/// covers: RoomService.UpdateRoomMetadata, out.room_update
#[test]
fn room_metadata_reaches_everyone_at_once() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    let Ok(ApiResponse::Room(room)) =
        world.api(ApiRequest::UpdateRoomMetadata("agenda".to_owned()))
    else {
        panic!()
    };
    assert_eq!(room.metadata, "agenda");
    assert!(world.seen(&alice).iter().any(|message| matches!(
        message,
        Message::RoomUpdate(update) if update.room.as_ref().unwrap().metadata == "agenda"
    )));
    assert_eq!(
        world
            .api(ApiRequest::UpdateRoomMetadata("x".repeat(600_000)))
            .unwrap_err()
            .code,
        ApiErrorCode::InvalidArgument
    );
}

/// covers: RoomService.UpdateSubscriptions
#[test]
fn the_server_subscribes_for_a_participant() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (microphone, _) = world.publish(&alice);
    world.join_as("bob", |join| join.settings.auto_subscribe = false);
    world
        .api(ApiRequest::UpdateSubscriptions(
            proto::UpdateSubscriptionsRequest {
                identity: "bob".to_owned(),
                track_sids: vec![microphone],
                subscribe: true,
                ..Default::default()
            },
        ))
        .unwrap();
    assert_eq!(world.room.stats().subscriptions, 1);
}

/// covers: RoomService.SendData
#[test]
fn data_of_the_server_goes_to_whom_it_names_and_once() {
    let mut world = World::default();
    world.join("alice");
    world.join("bob");
    world.forget_all();
    let request = proto::SendDataRequest {
        data: b"hello".to_vec(),
        kind: proto::data_packet::Kind::Lossy as i32,
        destination_identities: vec!["bob".to_owned()],
        topic: Some("chat".to_owned()),
        nonce: vec![9; 16],
        ..Default::default()
    };
    for _ in 0..2 {
        world.api(ApiRequest::SendData(request.clone())).unwrap();
    }
    let sent: Vec<_> = world
        .commands
        .iter()
        .filter_map(|command| match command {
            ShardCommand::SendData {
                audience,
                channel,
                packet,
            } => Some((audience, channel, packet)),
            _ => None,
        })
        .collect();
    let [(DataAudience::Only(ids), DataChannel::Lossy, packet)] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(ids.len(), 1);
    let packet = proto::DataPacket::decode(packet.as_slice()).unwrap();
    let Some(proto::data_packet::Value::User(user)) = packet.value else {
        panic!()
    };
    assert_eq!(user.payload, b"hello");
    assert_eq!(user.topic.as_deref(), Some("chat"));
}

/// covers: grant.canPublishData
#[test]
fn the_shard_knows_who_may_send_data() {
    let mut world = World::default();
    world.join_as("alice", |join| {
        join.grants.permissions.can_publish_data = false;
    });
    world.join_as("spy", |join| join.grants.permissions.hidden = true);
    let policies: Vec<_> = world
        .commands
        .iter()
        .filter_map(|command| match command {
            ShardCommand::SetDataPolicy(policy) => Some(policy),
            _ => None,
        })
        .collect();
    assert!(policies.is_sorted_by(|a, b| a.version < b.version));
    let last = &policies.last().unwrap().participants;
    assert_eq!(last.len(), 2);
    assert!(!last[0].can_publish_data && !last[0].hidden && last[0].downlink.is_some());
    assert!(last[1].hidden);
}

fn say_metadata(world: &mut World, client: &Client, metadata: String) {
    world.say(
        client,
        Request::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata,
            ..Default::default()
        }),
    );
}

fn bytes_of(world: &World, client: &Client) -> usize {
    let messages = world.raw(client).iter();
    messages.map(|message| message.binary().len()).sum()
}

/// May change its own metadata.
fn writer(join: &mut plenum_room::Join) {
    join.grants.permissions.can_update_metadata = true;
}

/// Half of what may wait for a client before it is cut.
const HARMLESS_BYTES: usize = 512 * 1024;

#[test]
fn a_burst_of_large_metadata_does_not_fill_the_queues_of_others() {
    let mut world = World::default();
    let mallory = world.join_as("mallory", writer);
    let bob = world.join("bob");
    world.forget_all();
    for index in 0..100 {
        say_metadata(&mut world, &mallory, format!("{index:60000}"));
    }
    assert!(bytes_of(&world, &bob) < HARMLESS_BYTES);
    // The last state arrives in time, and at a bounded rate.
    world.take(&bob);
    world.advance(std::time::Duration::from_secs(3));
    let seen = updates(&world.take(&bob));
    assert_eq!(seen.last().unwrap().metadata.trim(), "99");
    assert!(seen.len() <= 2, "{}", seen.len());
    // Who changes itself hears of each change at once: it waits for that.
    let own = updates(&world.seen(&mallory)).len();
    assert!(own >= 100, "{own}");
}

#[test]
fn many_who_burst_at_once_do_not_fill_the_queues_of_others_either() {
    let mut world = World::default();
    let crowd: Vec<_> = (0..20)
        .map(|index| world.join_as(&format!("mallory {index}"), writer))
        .collect();
    let bob = world.join("bob");
    world.forget_all();
    for round in 0..5 {
        for client in &crowd {
            say_metadata(&mut world, client, format!("{round:60000}"));
        }
    }
    assert!(bytes_of(&world, &bob) <= 2 * HARMLESS_BYTES);
    let mut last = std::collections::BTreeMap::new();
    for _ in 0..20 {
        for info in updates(&world.take(&bob)) {
            last.insert(info.identity, info.metadata.trim().to_owned());
        }
        world.advance(std::time::Duration::from_secs(1));
        assert!(bytes_of(&world, &bob) <= HARMLESS_BYTES);
    }
    assert_eq!(
        last.values().filter(|metadata| *metadata == "4").count(),
        20
    );
}

#[test]
fn small_changes_reach_everyone_at_once() {
    let mut world = World::default();
    let alice = world.join_as("alice", writer);
    let bob = world.join("bob");
    world.forget_all();
    for index in 0..100 {
        say_metadata(&mut world, &alice, format!("hand {index}"));
    }
    assert_eq!(updates(&world.seen(&bob)).len(), 100);
}

#[test]
fn room_metadata_and_data_are_taken_up_to_their_limits() {
    let mut world = World::default();
    world.join("alice");
    let metadata = |text: &str, times| ApiRequest::UpdateRoomMetadata(text.repeat(times));
    let limit = Limits::default().metadata_bytes;
    assert!(world.api(metadata("m", limit)).is_ok());
    assert!(world.api(metadata("\"", limit)).is_ok());
    for (refused, named) in [
        (metadata("m", limit + 1), "524288"),
        // Six times as long as JSON.
        (metadata("\u{1}", limit), "1048576"),
    ] {
        let refused = world.api(refused).unwrap_err();
        assert_eq!(refused.code, ApiErrorCode::InvalidArgument);
        assert!(refused.message.contains(named), "{refused}");
    }
    let data = |bytes: usize| {
        ApiRequest::SendData(proto::SendDataRequest {
            data: vec![7; bytes],
            ..Default::default()
        })
    };
    assert!(world.api(data(64_000)).is_ok());
    let refused = world.api(data(64_001)).unwrap_err();
    assert_eq!(refused.code, ApiErrorCode::InvalidArgument);
}

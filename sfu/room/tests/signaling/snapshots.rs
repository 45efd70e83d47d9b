//! What a room does not lose with its member.

use crate::world::*;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_room::{
    ApiErrorCode, ApiRequest, ApiResponse, DispatchSnapshot, EndReason, JobSnapshot, JoinRefusal,
    LeftOut, Limits, Room, RoomInput, RoomOutput, RoomSnapshot, SnapshotError,
    snapshot::MAX_SNAPSHOT_BYTES,
};
use plenum_types::Timestamp;
use rand_chacha::rand_core::SeedableRng as _;
use std::time::Duration;

/// The room on another member, whose clock started elsewhere.
fn moved(world: &World) -> World {
    let snapshot = stored(&world.room.snapshot().unwrap());
    let mut config = config();
    config.sid = "RM_other".into();
    let now = Timestamp::from_millis(77);
    config.wall.unix_nanos_at_zero =
        1_700_000_000_000_000_000 + world.now.as_nanos() - now.as_nanos();
    let room = Room::restore(
        config,
        &snapshot,
        rand_chacha::ChaCha12Rng::from_seed([2; 32]),
        now,
    )
    .unwrap();
    World::around(room, now)
}

/// A snapshot as the next home reads it.
fn stored(snapshot: &RoomSnapshot) -> RoomSnapshot {
    let bytes = serde_json::to_vec(snapshot).unwrap();
    assert!(bytes.len() <= plenum_room::snapshot::MAX_SNAPSHOT_BYTES);
    RoomSnapshot::parse(&bytes).unwrap()
}

fn update(world: &mut World, request: proto::UpdateParticipantRequest) {
    world.api(ApiRequest::UpdateParticipant(request)).unwrap();
}

/// Two hundred participants of this name, to each of whom the API has given permissions and a text.
fn crowd(name: &str) -> World {
    let mut world = World::default();
    for index in 0..200 {
        let identity = format!("guest {index}");
        world.join(&identity);
        update(
            &mut world,
            proto::UpdateParticipantRequest {
                identity,
                name: name.to_owned(),
                metadata: "m".repeat(2_000),
                permission: Some(proto::ParticipantPermission::default()),
                ..Default::default()
            },
        );
    }
    world
}

#[test]
fn sid_metadata_and_what_the_api_changed_survive() {
    let mut world = World::default();
    let alice = world.join("alice");
    let (muted_track, _) = world.publish(&alice);
    world
        .api(ApiRequest::UpdateRoomMetadata("agenda".to_owned()))
        .unwrap();
    update(
        &mut world,
        proto::UpdateParticipantRequest {
            identity: "alice".to_owned(),
            name: "Dr. Alice".to_owned(),
            permission: Some(proto::ParticipantPermission {
                can_publish: true,
                can_subscribe: true,
                ..Default::default()
            }),
            ..Default::default()
        },
    );
    world
        .api(ApiRequest::MutePublishedTrack {
            identity: "alice".into(),
            track: muted_track.as_str().into(),
            muted: true,
        })
        .unwrap();

    let mut world = moved(&world);
    assert_eq!(world.room.sid().as_str(), "RM_test");
    assert_eq!(world.room.info().metadata, "agenda");
    assert_eq!(world.room.info().creation_time, 1_700_000_000);
    let alice = world.join("alice");
    let Ok(ApiResponse::Participant(info)) = world.api(ApiRequest::GetParticipant("alice".into()))
    else {
        panic!()
    };
    assert_eq!(info.name, "Dr. Alice");
    assert!(!info.permission.unwrap().can_publish_data);
    // It publishes its microphone again, and learns that it is muted.
    world.say(&alice, Request::AddTrack(microphone()));
    let seen = world.seen(&alice);
    assert!(seen.iter().any(|message| matches!(
        message,
        Message::TrackPublished(published) if published.track.as_ref().unwrap().muted
    )));
    assert!(
        seen.iter()
            .any(|message| matches!(message, Message::Mute(_)))
    );
}

#[test]
fn participants_have_the_departure_timeout_to_come_back() {
    let mut world = World::default();
    world.join("alice");
    world.advance(Duration::from_secs(3600));
    let mut world = moved(&world);
    world.advance(Duration::from_secs(19));
    let ended = |world: &World| {
        world
            .others
            .iter()
            .any(|output| matches!(output, RoomOutput::Ended(EndReason::Closed)))
    };
    assert!(!ended(&world));
    world.advance(Duration::from_secs(2));
    assert!(ended(&world));
}

#[test]
fn an_empty_room_keeps_its_age_through_a_move() {
    let mut world = World::default();
    world.advance(Duration::from_secs(200));
    let mut world = moved(&world);
    world.advance(Duration::from_secs(99));
    assert!(world.others.is_empty());
    world.advance(Duration::from_secs(2));
    assert!(matches!(world.others.last(), Some(RoomOutput::Ended(_))));
}

#[test]
fn a_snapshot_always_fits() {
    let mut world = World::default();
    for index in 0..40 {
        let client = world.join_as(&format!("guest {index}"), |join| {
            join.grants.permissions.can_update_metadata = true;
        });
        world.say(
            &client,
            Request::UpdateMetadata(proto::UpdateParticipantMetadata {
                metadata: "x".repeat(20_000),
                ..Default::default()
            }),
        );
    }
    let snapshot = world.room.snapshot().unwrap();
    let left_out = snapshot.left_out;
    assert!(
        left_out.texts > 0 && left_out.participants == 0,
        "{left_out:?}"
    );
    stored(&snapshot);
}

#[test]
fn the_longest_metadata_costs_neither_permissions_nor_agents() {
    let mut world = World::default();
    // Two bytes each as JSON.
    let metadata = "\"".repeat(Limits::default().metadata_bytes);
    world
        .api(ApiRequest::UpdateRoomMetadata(metadata.clone()))
        .unwrap();
    for index in 0..200 {
        let identity = format!("guest {index}");
        world.join(&identity);
        world
            .api(ApiRequest::UpdateParticipant(
                proto::UpdateParticipantRequest {
                    identity,
                    metadata: "m".repeat(1_000),
                    permission: Some(proto::ParticipantPermission::default()),
                    ..Default::default()
                },
            ))
            .unwrap();
    }
    let agents: Vec<_> = (0..32)
        .map(|index| DispatchSnapshot {
            asked: format!("{index}{}", "a".repeat(4_000)),
            nameless: false,
            jobs: Vec::new(),
            ended: Vec::new(),
        })
        .collect();
    let snapshot = world.room.snapshot().unwrap().with_agents(agents.clone());
    assert_eq!(snapshot.left_out, LeftOut::default());
    let bytes = serde_json::to_vec(&snapshot).unwrap();
    let kept = RoomSnapshot::parse(&bytes).unwrap();
    assert_eq!(kept, snapshot);
    assert_eq!(kept.settings.metadata, metadata);
    assert_eq!(kept.participants.len(), 200);
    assert_eq!(kept.agents, agents);
}

#[test]
fn strange_snapshots_are_refused() {
    assert!(matches!(
        RoomSnapshot::parse(b"{"),
        Err(SnapshotError::Malformed(_))
    ));
    assert!(matches!(
        RoomSnapshot::parse(&vec![b' '; MAX_SNAPSHOT_BYTES + 1]),
        Err(SnapshotError::TooLarge(_))
    ));
    let world = World::default();
    let mut snapshot = world.room.snapshot().unwrap();
    snapshot.format = 99;
    let bytes = serde_json::to_vec(&snapshot).unwrap();
    assert!(matches!(
        RoomSnapshot::parse(&bytes),
        Err(SnapshotError::Format(99))
    ));
}

#[test]
fn an_ended_room_has_no_snapshot() {
    let mut world = World::default();
    world.input(RoomInput::End(EndReason::Moved));
    assert!(world.room.snapshot().is_none());
}

#[test]
fn one_large_text_costs_nobody_else_anything() {
    let mut world = World::default();
    for index in 0..20 {
        let identity = format!("guest {index}");
        let client = world.join_as(&identity, |join| {
            join.grants.permissions.can_update_metadata = true;
        });
        world.say(
            &client,
            Request::UpdateMetadata(proto::UpdateParticipantMetadata {
                metadata: if index < 10 {
                    "\u{1}".repeat(50_000)
                } else {
                    "role: guest".to_owned()
                },
                ..Default::default()
            }),
        );
        update(
            &mut world,
            proto::UpdateParticipantRequest {
                identity,
                permission: Some(proto::ParticipantPermission::default()),
                ..Default::default()
            },
        );
    }
    let snapshot = stored(&world.room.snapshot().unwrap());
    assert_eq!(snapshot.participants.len(), 20);
    for (identity, overrides) in &snapshot.participants {
        assert!(overrides.permissions.is_some(), "{identity}");
    }
    let kept = snapshot
        .participants
        .values()
        .filter(|overrides| overrides.metadata.as_deref() == Some("role: guest"))
        .count();
    assert_eq!(kept, 10);
}

#[test]
fn permissions_of_two_hundred_participants_fit_beside_their_texts() {
    let world = crowd(&"n".repeat(256));
    let snapshot = world.room.snapshot().unwrap();
    assert_eq!(snapshot.participants.len(), 200);
    assert!(
        snapshot
            .participants
            .values()
            .all(|overrides| overrides.permissions.is_some())
    );
    let texts = snapshot
        .participants
        .values()
        .filter(|overrides| overrides.metadata.is_some())
        .count();
    assert!(texts > 50, "{texts}");
}

#[test]
fn what_agents_were_asked_for_fits_beside_all_else() {
    let world = crowd("");
    let agents: Vec<_> = (0..32)
        .map(|index| DispatchSnapshot {
            asked: format!("{index}{}", "a".repeat(4_000)),
            nameless: false,
            jobs: vec![
                JobSnapshot {
                    job: "j".repeat(200),
                    restarts: 1,
                };
                16
            ],
            ended: vec!["e".repeat(200); 8],
        })
        .collect();
    let snapshot = world.room.snapshot().unwrap().with_agents(agents.clone());
    let snapshot = stored(&snapshot);
    assert_eq!(snapshot.participants.len(), 200);
    let asked = |agents: &[DispatchSnapshot]| -> Vec<_> {
        agents.iter().map(|agent| agent.asked.clone()).collect()
    };
    assert_eq!(asked(&snapshot.agents), asked(&agents));
    assert!(snapshot.agents.iter().all(|agent| agent.ended.is_empty()));
}

#[test]
fn a_snapshot_of_an_older_version_has_no_agents() {
    let world = World::default();
    let mut json = serde_json::to_value(world.room.snapshot().unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("agents");
    let snapshot = RoomSnapshot::parse(json.to_string().as_bytes()).unwrap();
    assert!(snapshot.agents.is_empty());
}

#[test]
fn revoked_tokens_let_nobody_in_here_or_elsewhere() {
    /// Joins with a token that counts from this second on; whether the room takes it.
    fn is_let_in(world: &mut World, identity: &str, not_before: i64) -> bool {
        world.others.clear();
        let mut join = world.join_input(identity);
        join.token_not_before = not_before;
        world.input(RoomInput::Join(Box::new(join)));
        !world.others.iter().any(|output| {
            matches!(
                output,
                RoomOutput::Refuse {
                    refusal: JoinRefusal::TokenRevoked,
                    ..
                }
            )
        })
    }
    let mut world = World::default();
    let alice = world.join("alice");
    world.join("bob");
    world
        .api(ApiRequest::RemoveParticipant {
            identity: "alice".into(),
            revoke_tokens_before: Some(1_700_000_000),
        })
        .unwrap();
    // Stored before the call is answered.
    assert!(
        world
            .others
            .iter()
            .any(|output| matches!(output, RoomOutput::SnapshotChanged { before_next: true }))
    );
    world.resume(&alice, |_| {});
    assert!(matches!(
        world.others.last(),
        Some(RoomOutput::Refuse {
            refusal: JoinRefusal::TokenRevoked,
            ..
        })
    ));
    let mut elsewhere = moved(&world);
    for world in [&mut world, &mut elsewhere] {
        assert!(!is_let_in(world, "alice", 0));
        assert!(!is_let_in(world, "alice", 1_699_999_999));
        assert!(is_let_in(world, "alice", 1_700_000_000));
        assert!(is_let_in(world, "bob", 0));
    }
}

#[test]
fn tokens_of_who_is_not_there_are_revoked_too() {
    let mut world = World::default();
    let refused = world.api(ApiRequest::RemoveParticipant {
        identity: "mallory".into(),
        revoke_tokens_before: Some(9),
    });
    assert_eq!(refused.unwrap_err().code, ApiErrorCode::NotFound);
    let mut join = world.join_input("mallory");
    join.token_not_before = 8;
    world.input(RoomInput::Join(Box::new(join)));
    assert!(matches!(
        world.others.last(),
        Some(RoomOutput::Refuse {
            refusal: JoinRefusal::TokenRevoked,
            ..
        })
    ));
}

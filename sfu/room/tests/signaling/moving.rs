//! MoveParticipant.

use livekit_protocol::{
    self as proto, leave_request::Action, signal_request::Message as Request,
    signal_response::Message,
};
use plenum_room::{
    ApiError, ApiErrorCode, ApiRequest, ApiResponse, RoomConfig, RoomInput, RoomOutput, Traveller,
};
use plenum_types::{ParticipantIdentity, RoomHandle, ShardCommand};

use crate::world::{Client, JOIN, World, config, leaves, offer, updates};

pub(crate) fn other_config() -> RoomConfig {
    RoomConfig {
        name: "hall".into(),
        sid: "RM_hall".into(),
        handle: RoomHandle(2),
        ..config()
    }
}

pub(crate) fn ask(
    world: &mut World,
    identity: &str,
    together: bool,
) -> Result<ApiResponse, ApiError> {
    world.api(ApiRequest::MoveParticipant {
        identity: ParticipantIdentity::from(identity),
        destination: "hall".into(),
        together,
    })
}

pub(crate) fn traveller(world: &mut World) -> Option<Box<Traveller>> {
    let place = world
        .others
        .iter()
        .position(|output| matches!(output, RoomOutput::Departed { .. }))?;
    match world.others.remove(place) {
        RoomOutput::Departed { traveller, .. } => Some(traveller),
        _ => None,
    }
}

fn arrived(world: &World) -> Option<proto::RoomMovedResponse> {
    world.others.iter().find_map(|output| match output {
        RoomOutput::Arrived { moved, .. } => Some((**moved).clone()),
        _ => None,
    })
}

/// Ada publishes in one room, Carol in the other, Bob stays behind.
fn moved() -> (World, World, [Client; 3], (String, String)) {
    let (mut lobby, mut hall) = (World::default(), World::with(other_config()));
    // Connections are unique on a member.
    for _ in 0..10 {
        hall.join_input("nobody");
    }
    let (ada, bob) = (lobby.join("ada"), lobby.join("bob"));
    let carol = hall.join("carol");
    let sids = lobby.publish(&ada);
    hall.publish(&carol);
    lobby.forget_all();
    hall.forget_all();
    assert_eq!(ask(&mut lobby, "ada", true), Ok(ApiResponse::Done));
    let traveller = traveller(&mut lobby).expect("a traveller");
    hall.input(RoomInput::Arrive(traveller));
    (lobby, hall, [ada, bob, carol], sids)
}

#[test]
fn a_participant_goes_on_in_the_other_room_with_its_tracks() {
    let (lobby, mut hall, [ada, bob, carol], (microphone, camera)) = moved();
    let gone = updates(&lobby.seen(&bob)).pop().unwrap();
    assert_eq!(gone.identity, "ada");
    assert_eq!(
        gone.state,
        proto::participant_info::State::Disconnected as i32
    );
    assert!(leaves(&lobby.seen(&ada)).is_empty());
    // Its Transport and tracks stay: they are the other room's now.
    assert!(!lobby.commands.iter().any(|command| matches!(
        command,
        ShardCommand::CloseTransport { .. } | ShardCommand::RemoveTrack { .. }
    )));
    assert!(hall.commands.iter().any(|command| matches!(
        command,
        ShardCommand::AdoptTransport {
            from: RoomHandle(1),
            ..
        }
    )));

    let told = arrived(&hall).unwrap();
    assert_eq!(told.room.unwrap().name, "hall");
    let me = told.participant.unwrap();
    assert_eq!(me.sid, ada.sid);
    assert_eq!(told.other_participants[0].identity, "carol");
    let seen = updates(&hall.seen(&carol)).pop().unwrap();
    assert_eq!(seen.identity, "ada");
    let sids: Vec<_> = seen.tracks.iter().map(|track| track.sid.as_str()).collect();
    assert_eq!(sids, [microphone.as_str(), camera.as_str()]);
    assert_eq!(hall.room.stats().participants, 2);
    assert_eq!(lobby.room.stats().participants, 1);

    // It speaks to the new room, and gets the new room's tracks with its next offer.
    hall.say(&ada, Request::Offer(offer(3, crate::world::PUBLISH)));
    let answers = crate::world::answers(&hall.seen(&ada));
    assert_eq!(answers.last().unwrap().mid_to_track_id.len(), 2);
    // And the others get its.
    hall.say(&carol, Request::Offer(offer(3, crate::world::PUBLISH)));
    let answers = crate::world::answers(&hall.seen(&carol));
    let mut sids: Vec<_> = answers
        .last()
        .unwrap()
        .mid_to_track_id
        .values()
        .map(String::as_str)
        .collect();
    sids.sort_unstable();
    let mut expected = [microphone.as_str(), camera.as_str()];
    expected.sort_unstable();
    assert_eq!(sids, expected);
}

#[test]
fn who_moved_can_move_back_and_resume() {
    let (mut lobby, mut hall, [ada, _, _], _) = moved();
    assert_eq!(
        hall.api(ApiRequest::MoveParticipant {
            identity: "ada".into(),
            destination: "lobby".into(),
            together: true,
        }),
        Ok(ApiResponse::Done)
    );
    let back = traveller(&mut hall).unwrap();
    lobby.input(RoomInput::Arrive(back));
    assert_eq!(lobby.room.stats().participants, 2);
    assert_eq!(hall.room.stats().participants, 1);
    let ada = lobby.resume(&ada, |_| {});
    assert!(
        lobby
            .seen(&ada)
            .iter()
            .any(|message| matches!(message, Message::Reconnect(_)))
    );
}

#[test]
fn who_has_the_same_identity_in_the_other_room_is_replaced() {
    let (mut lobby, mut hall) = (World::default(), World::with(other_config()));
    for _ in 0..10 {
        hall.join_input("nobody");
    }
    lobby.join("ada");
    let double = hall.join("ada");
    ask(&mut lobby, "ada", true).unwrap();
    let traveller = traveller(&mut lobby).unwrap();
    hall.input(RoomInput::Arrive(traveller));
    let leave = leaves(&hall.seen(&double)).pop().unwrap();
    assert_eq!(
        leave.reason,
        proto::DisconnectReason::DuplicateIdentity as i32
    );
    assert_eq!(hall.room.stats().participants, 1);
}

#[test]
fn a_client_that_can_not_go_on_is_told_to_start_over_with_a_token_for_the_other_room() {
    for (together, sdk) in [
        (false, proto::client_info::Sdk::Js),
        (true, proto::client_info::Sdk::Android),
    ] {
        let mut lobby = World::default();
        let ada = lobby.join_as("ada", |join| join.client.sdk = sdk as i32);
        assert_eq!(ask(&mut lobby, "ada", together), Ok(ApiResponse::Done));
        assert!(lobby.others.iter().any(|output| matches!(
            output,
            RoomOutput::TokenFor { room, .. } if room.as_str() == "hall"
        )));
        let leave = leaves(&lobby.seen(&ada)).pop().unwrap();
        assert_eq!(leave.action, Action::Reconnect as i32);
        assert!(lobby.closed.contains_key(&ada.connection));
        assert!(traveller(&mut lobby).is_none());
    }
}

#[test]
fn who_is_not_there_can_not_be_moved() {
    let mut lobby = World::default();
    let ada = lobby.join("ada");
    let code = |result: Result<ApiResponse, ApiError>| result.unwrap_err().code;
    assert_eq!(code(ask(&mut lobby, "bob", true)), ApiErrorCode::NotFound);
    lobby.input(RoomInput::ConnectionClosed {
        connection: ada.connection,
    });
    assert_eq!(
        code(ask(&mut lobby, "ada", true)),
        ApiErrorCode::FailedPrecondition
    );
}

#[test]
fn a_room_that_its_last_participant_left_closes_in_time() {
    let mut lobby = World::default();
    lobby.join_as("ada", |join| join.publisher_offer = Some(offer(1, JOIN)));
    ask(&mut lobby, "ada", true).unwrap();
    lobby.advance(std::time::Duration::from_secs(20));
    assert!(
        lobby
            .others
            .iter()
            .any(|output| matches!(output, RoomOutput::Ended(_)))
    );
}

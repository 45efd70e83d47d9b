//! What agents a room wants, and what becomes of that.

use livekit_protocol as proto;

use super::{at, home::*};
use crate::agents::{
    check,
    dispatch::{DispatchError, DispatchOutput, MAX_DISPATCHES},
    pool::Home,
};

#[test]
fn each_room_participant_and_publisher_gets_a_nameless_job_once() {
    let (mut rooms, first) = Rooms::with_room(&[]);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].r#type(), proto::JobType::JtRoom);
    let lobby = "lobby".into();
    for _ in 0..2 {
        rooms.dispatches.participant_came(&lobby, &person("ada"));
        rooms
            .dispatches
            .participant_publishes(&lobby, &person("ada"));
    }
    let kinds: Vec<_> = rooms.jobs().iter().map(proto::Job::r#type).collect();
    assert_eq!(
        kinds,
        [proto::JobType::JtParticipant, proto::JobType::JtPublisher]
    );
    rooms.comes(&agent("agent"));
    assert!(rooms.jobs().is_empty(), "agents serve no agents");
}

#[test]
fn named_agents_take_the_place_of_nameless_ones() {
    let (_, jobs) = Rooms::with_room(&[named("a"), named("b")]);
    let names: Vec<_> = jobs.iter().map(|job| job.agent_name.as_str()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"a") && names.contains(&"b"));
}

#[test]
fn a_nameless_job_without_a_worker_is_dropped_and_a_named_one_waits() {
    let (mut rooms, jobs) = Rooms::with_room(&[]);
    rooms.placed(&jobs[0], None);
    assert!(rooms.after(60_000).is_empty());
    assert!(rooms.listed().is_empty());

    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.placed(&jobs[0], None);
    assert!(rooms.after(4_000).is_empty());
    assert_eq!(rooms.after(1_000).len(), 1);
    rooms.placed(&jobs[0], None);
    rooms.dispatches.capacity(at(rooms.millis));
    assert_eq!(rooms.jobs()[0].id, jobs[0].id, "a worker came");
}

#[test]
fn jobs_end_with_their_dispatch_and_with_their_room() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a"), named("b")]);
    rooms.runs(&jobs[0], "w");
    rooms.runs(&jobs[1], "w");
    let id = &jobs[0].dispatch_id;
    let gone = rooms.dispatches.delete(at(9), &"lobby".into(), id).unwrap();
    assert_eq!(gone.state.unwrap().deleted_at, 9_000_000);
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::Terminate(job, Home::Here)] if job.as_str() == jobs[0].id
    ));
    assert!(matches!(
        rooms.dispatches.delete(at(9), &"lobby".into(), id),
        Err(DispatchError::NotFound(_))
    ));
    rooms.dispatches.room_ended(&"lobby".into(), true);
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::Terminate(job, _)] if job.as_str() == jobs[1].id
    ));
}

#[test]
fn a_job_that_was_taken_after_its_dispatch_was_deleted_ends() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    let id = jobs[0].dispatch_id.clone();
    rooms
        .dispatches
        .delete(at(1), &"lobby".into(), &id)
        .unwrap();
    rooms.runs(&jobs[0], "w");
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::Terminate(..)]
    ));
}

#[test]
fn a_dispatch_to_a_running_room_asks_who_is_there() {
    let (mut rooms, _) = Rooms::with_room(&[]);
    let made = rooms
        .dispatches
        .create(at(0), &"lobby".into(), &named("late"))
        .unwrap();
    let outputs = rooms.outputs();
    let asked = outputs.iter().find_map(|output| match output {
        DispatchOutput::ListParticipants(_, id) => Some(id.clone()),
        _ => None,
    });
    let id = asked.unwrap();
    assert_eq!(id.as_str(), made.id);
    rooms
        .dispatches
        .participants(&"lobby".into(), &id, &[person("ada")]);
    let jobs = rooms.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].participant.as_ref().unwrap().identity, "ada");
    // She leaves before a worker was found.
    rooms.placed(&jobs[0], None);
    rooms
        .dispatches
        .participant_left(at(0), &"lobby".into(), "ada");
    assert!(
        rooms
            .after(60_000)
            .iter()
            .all(|job| job.participant.is_none())
    );
}

#[test]
fn dispatches_are_bounded_and_say_so() {
    let (mut rooms, _) = Rooms::with_room(&[]);
    let lobby = "lobby".into();
    for n in 0..MAX_DISPATCHES {
        let wanted = named(&format!("a{n}"));
        rooms.dispatches.create(at(0), &lobby, &wanted).unwrap();
    }
    let refused = rooms.dispatches.create(at(0), &lobby, &named("more"));
    assert!(refused.unwrap_err().to_string().contains("32"));
    let long = proto::RoomAgentDispatch {
        metadata: "m".repeat(65 * 1024),
        ..named("a")
    };
    let error = check(std::slice::from_ref(&long)).unwrap_err();
    assert!(error.to_string().contains("65536"), "{error}");
    let half = proto::RoomAgentDispatch {
        metadata: "m".repeat(50 * 1024),
        ..named("a")
    };
    let error = check(&[half.clone(), half.clone()]).unwrap_err();
    assert!(error.to_string().contains("98304"), "{error}");
    let (mut other, _) = Rooms::with_room(std::slice::from_ref(&half));
    let error = other.dispatches.create(at(0), &lobby, &half).unwrap_err();
    assert!(error.to_string().contains("98304"), "{error}");
    assert_eq!(
        rooms
            .dispatches
            .create(at(0), &"nowhere".into(), &named("a")),
        Err(DispatchError::NoRoom)
    );
}

//! Jobs that fail, agents that leave, workers that are lost.

use livekit_protocol as proto;

use super::{at, home::*};
use crate::agents::{dispatch::DispatchOutput, pool::JobUpdate};

#[test]
fn a_failed_job_starts_again_three_times_and_only_if_wanted() {
    let (mut rooms, mut jobs) = Rooms::with_room(&[named("a")]);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        rooms.runs(&jobs[0], "w");
        rooms.fails(&jobs[0]);
        let mut pause = 0;
        let old = jobs[0].id.clone();
        jobs = Vec::new();
        while jobs.is_empty() && pause < 20 {
            pause += 1;
            jobs = rooms.after(1_000);
        }
        assert_ne!(jobs[0].id, old);
        pauses.push(pause);
    }
    assert_eq!(pauses, [1, 2, 4]);
    rooms.runs(&jobs[0], "w");
    rooms.fails(&jobs[0]);
    assert!(rooms.after(60_000).is_empty());
    let state = rooms.listed().remove(0).state.unwrap();
    assert_eq!(state.jobs.len(), 4);
    assert!(
        state
            .jobs
            .iter()
            .all(|job| job.state.as_ref().unwrap().error == "crash")
    );

    let never = proto::RoomAgentDispatch {
        restart_policy: proto::JobRestartPolicy::JrpNever as i32,
        ..named("a")
    };
    let (mut rooms, jobs) = Rooms::with_room(&[never]);
    rooms.runs(&jobs[0], "w");
    rooms.fails(&jobs[0]);
    assert!(rooms.after(60_000).is_empty());
}

#[test]
fn a_job_whose_worker_is_gone_goes_to_another_at_once_and_its_agent_leaves() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    let outputs = rooms.update(&jobs[0], &JobUpdate::Lost);
    assert!(matches!(
        outputs.as_slice(),
        [DispatchOutput::RemoveAgent { identity, .. }, DispatchOutput::Place(again)]
            if *identity == format!("agent-{}", jobs[0].id) && again.id != jobs[0].id
    ));
}

#[test]
fn an_agent_that_left_without_a_report_is_over_after_a_while() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    let agent = format!("agent-{}", jobs[0].id);
    rooms
        .dispatches
        .participant_left(at(0), &"lobby".into(), &agent);
    assert!(rooms.after(9_000).is_empty());
    rooms.dispatches.timer(at(10_000));
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::Terminate(..)]
    ));
    let state = rooms.listed().remove(0).state.unwrap();
    assert_eq!(
        state.jobs[0].state.as_ref().unwrap().error,
        "the agent left the room"
    );
}

#[test]
fn an_agent_that_comes_back_keeps_its_job() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    let lobby = "lobby".into();
    let identity = format!("agent-{}", jobs[0].id);
    rooms.dispatches.participant_left(at(0), &lobby, &identity);
    rooms.comes(&agent(&identity));
    assert!(rooms.after(60_000).is_empty());
    let state = rooms.listed().remove(0).state.unwrap();
    let status = state.jobs[0].state.as_ref().unwrap().status();
    assert_eq!(status, proto::JobStatus::JsRunning);
}

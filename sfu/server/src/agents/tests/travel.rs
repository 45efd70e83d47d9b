//! Rooms that go to another home, and workers that come back to another member.

use livekit_protocol::{self as proto, worker_message::Message as Says};
use plenum_cluster::Incarnation;

use super::{
    at,
    home::{Rooms, agent, named, person},
    pool::{Workers, job, offered_to, update},
};
use crate::agents::{
    dispatch::DispatchOutput,
    ids::JobId,
    pool::{Home, JobUpdate, PoolInput, PoolOutput},
    selector::Selector,
    wire::trimmed,
};

fn there(number: u64) -> Home {
    Home::There(Incarnation::new(number))
}

/// A job as the member of its worker reports it.
fn runs(job: &proto::Job, worker: &str) -> proto::Job {
    proto::Job {
        state: Some(proto::JobState {
            status: proto::JobStatus::JsRunning as i32,
            participant_identity: format!("agent-{}", job.id),
            worker_id: worker.to_owned(),
            ..Default::default()
        }),
        ..trimmed(job)
    }
}

fn selector(name: &str) -> Selector {
    Selector {
        agent_name: name.to_owned(),
        deployment: String::new(),
        job_type: proto::JobType::JtRoom as i32,
    }
}

fn claims(id: &str) -> Says {
    Says::MigrateJob(proto::MigrateJobRequest {
        job_ids: vec![id.to_owned()],
    })
}

#[test]
fn a_room_that_moves_keeps_its_dispatches_and_their_jobs() {
    let wanted = proto::RoomAgentDispatch {
        metadata: "tune".to_owned(),
        attributes: [("k".to_owned(), "v".to_owned())].into(),
        ..named("a")
    };
    let (mut rooms, jobs) = Rooms::with_room(&[wanted]);
    rooms.runs(&jobs[0], "w");
    let before = rooms.listed();
    let mut rooms = rooms.moved();
    let after = rooms.listed();
    assert_eq!(after, before);
    // The worker's member says that it runs it: nothing starts twice, though its agent takes a while to come back.
    assert!(
        rooms
            .reported(vec![(there(1), runs(&jobs[0], "w"))])
            .is_empty()
    );
    assert!(rooms.after(15_000).is_empty());
    rooms.comes(&agent(&format!("agent-{}", jobs[0].id)));
    assert!(rooms.after(60_000).is_empty());
    assert_eq!(rooms.running(), [jobs[0].id.clone()]);
    // It ends there with its dispatch.
    let dispatch = &jobs[0].dispatch_id;
    let deleted = rooms
        .dispatches
        .delete(at(0), &"lobby".into(), dispatch)
        .unwrap();
    assert_eq!(deleted.metadata, "tune");
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::Terminate(job, member)]
            if job.as_str() == jobs[0].id && *member == there(1)
    ));
}

#[test]
fn a_job_whose_worker_died_with_its_home_starts_again() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    let mut rooms = rooms.moved();
    assert!(rooms.reported(Vec::new()).is_empty());
    assert_eq!(rooms.running(), [jobs[0].id.clone()], "it may come back");
    rooms.millis += 9_000;
    rooms.dispatches.timer(at(rooms.millis));
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::Ask(_)]
    ));
    let again = rooms.after(1_500);
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].id, jobs[0].id);
    assert!(rooms.running().is_empty());
    let state = rooms.listed().remove(0).state.unwrap();
    assert_eq!(
        state.jobs[0].state.as_ref().unwrap().error,
        "its worker is gone"
    );
}

#[test]
fn an_agent_that_is_back_is_not_started_again_though_nobody_knows_its_worker() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    let mut rooms = rooms.moved();
    rooms.reported(Vec::new());
    let identity = format!("agent-{}", jobs[0].id);
    rooms.comes(&agent(&identity));
    assert!(rooms.after(60_000).is_empty());
    assert_eq!(rooms.running(), [jobs[0].id.clone()]);
    // Nobody can be told to end it: it is sent out of the room.
    let dispatch = &jobs[0].dispatch_id;
    rooms
        .dispatches
        .delete(at(0), &"lobby".into(), dispatch)
        .unwrap();
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::RemoveAgent { identity: sent, .. }] if *sent == identity
    ));
}

#[test]
fn an_agent_that_does_not_follow_its_room_is_replaced() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    let mut rooms = rooms.moved();
    rooms.reported(vec![(Home::Here, runs(&jobs[0], "w"))]);
    rooms.millis += 21_000;
    rooms.dispatches.timer(at(rooms.millis));
    assert!(matches!(
        rooms.outputs().as_slice(),
        [DispatchOutput::Terminate(old, Home::Here), DispatchOutput::Place(new)]
            if old.as_str() == jobs[0].id && new.id != jobs[0].id
    ));
}

#[test]
fn what_waited_for_a_worker_waits_on() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a"), named("b")]);
    rooms.placed(&jobs[0], None);
    // The other one is being offered to somebody.
    let mut rooms = rooms.moved();
    assert_eq!(rooms.after(1_000).len(), 0, "first it is asked what runs");
    let placed = rooms.reported(Vec::new());
    let [DispatchOutput::Place(first), DispatchOutput::Place(second)] = placed.as_slice() else {
        panic!("{placed:?}");
    };
    // Under other names, should the home before still place the old ones.
    for new in [first, second] {
        assert!(jobs.iter().all(|old| old.id != new.id));
    }
    rooms.placed(first, None);
    assert_eq!(rooms.after(5_000).len(), 1);
}

#[test]
fn a_job_that_began_in_the_last_moment_is_found_and_one_that_was_called_off_ends() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    // The home before died before it stored that the job was taken.
    let mut rooms = rooms.moved();
    assert!(
        rooms
            .reported(vec![(there(1), runs(&jobs[0], "w"))])
            .is_empty()
    );
    assert_eq!(rooms.running(), [jobs[0].id.clone()]);
    let publisher = proto::Job {
        id: "AJ_young".to_owned(),
        r#type: proto::JobType::JtPublisher as i32,
        participant: Some(person("ada")),
        ..runs(&jobs[0], "w")
    };
    let strange = proto::Job {
        id: "AJ_off".to_owned(),
        dispatch_id: "AD_gone".to_owned(),
        ..runs(&jobs[0], "w")
    };
    let outputs = rooms.reported(vec![(there(1), publisher), (there(2), strange)]);
    assert!(matches!(
        outputs.as_slice(),
        [DispatchOutput::Terminate(job, member)]
            if job.as_str() == "AJ_off" && *member == there(2)
    ));
    // She comes back and publishes: she has her agent.
    let lobby = "lobby".into();
    rooms
        .dispatches
        .participant_publishes(&lobby, &person("ada"));
    assert!(rooms.jobs().is_empty());
    assert_eq!(rooms.running().len(), 2);
}

#[test]
fn a_lost_job_for_somebody_who_is_not_back_starts_when_he_is() {
    let (mut rooms, _) = Rooms::with_room(&[named("a")]);
    let lobby = "lobby".into();
    rooms
        .dispatches
        .participant_publishes(&lobby, &person("ada"));
    let jobs = rooms.jobs();
    rooms.runs(&jobs[0], "w");
    let mut rooms = rooms.moved();
    rooms.reported(Vec::new());
    let placed = rooms.after(11_000);
    assert!(placed.iter().all(|job| job.participant.is_none()));
    rooms
        .dispatches
        .participant_publishes(&lobby, &person("ada"));
    assert_eq!(rooms.jobs().len(), 1);
}

#[test]
fn jobs_that_are_over_are_still_listed_and_stay_over() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    let done = JobUpdate::Status(proto::JobStatus::JsSuccess as i32, String::new());
    assert!(rooms.update(&jobs[0], &done).is_empty());
    let before = rooms.listed();
    let mut rooms = rooms.moved();
    rooms.reported(Vec::new());
    assert!(rooms.after(60_000).is_empty());
    assert_eq!(rooms.listed(), before);
}

#[test]
fn what_is_kept_is_stored_when_it_changes() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    let stored = |rooms: &mut Rooms| {
        let outputs: Vec<_> = rooms.dispatches.drain().collect();
        matches!(outputs.as_slice(), [DispatchOutput::Changed(_)])
    };
    let taken = crate::agents::pool::Taken::By("w".into(), "agent".to_owned());
    rooms.placed(&jobs[0], Some((Home::Here, taken)));
    assert!(stored(&mut rooms));
    let id = JobId::from(jobs[0].id.as_str());
    let done = JobUpdate::Status(proto::JobStatus::JsSuccess as i32, String::new());
    let lobby = "lobby".into();
    rooms
        .dispatches
        .updated(at(0), &lobby, &id, Home::Here, &done);
    assert!(stored(&mut rooms));
}

#[test]
fn a_snapshot_that_is_none_costs_nothing() {
    let (mut rooms, _) = Rooms::with_room(&[named("a")]);
    let mut kept = rooms.dispatches.kept(&"lobby".into());
    kept[0].jobs[0].job = "!".to_owned();
    kept[0].ended = vec!["AAAA".to_owned()];
    let mut spoilt = kept[0].clone();
    spoilt.asked = "?".to_owned();
    kept.push(spoilt);
    rooms.restored(&kept);
    assert!(rooms.reported(Vec::new()).is_empty());
    assert_eq!(rooms.listed().len(), 1);
}

#[test]
fn a_workers_member_that_is_gone_is_noticed_by_the_home() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.reported(vec![(there(1), runs(&jobs[0], "w"))]);
    rooms.comes(&agent(&format!("agent-{}", jobs[0].id)));
    rooms.dispatches.members_live(at(0), |_| true);
    let job = JobId::from(jobs[0].id.as_str());
    let give = |rooms: &Rooms| {
        rooms
            .dispatches
            .give(std::slice::from_ref(&job), &selector("a"), |_| false)
    };
    // Its worker comes back elsewhere.
    rooms.dispatches.members_live(at(0), |_| false);
    assert_eq!(give(&rooms)[0].id, jobs[0].id);
    assert!(
        rooms
            .dispatches
            .give(std::slice::from_ref(&job), &selector("b"), |_| false)
            .is_empty(),
        "another agent's"
    );
    let adopted = JobUpdate::Adopted("w2".into());
    assert!(rooms.update_from(there(2), &jobs[0], &adopted).is_empty());
    // What the old member still had to say comes too late.
    assert!(
        rooms
            .update_from(there(1), &jobs[0], &JobUpdate::Lost)
            .is_empty()
    );
    assert!(rooms.after(60_000).is_empty());
    let state = rooms.listed().remove(0).state.unwrap();
    let state = state.jobs[0].state.as_ref().unwrap();
    assert_eq!(
        (state.worker_id.as_str(), state.status()),
        ("w2", proto::JobStatus::JsRunning)
    );
}

#[test]
fn a_worker_takes_its_jobs_to_another_member() {
    let (mut first, mut second) = (Workers::new(), Workers::new());
    first.register("a", "");
    first.give(job("j", ""));
    first.answer("a", "j", true);
    second.register("a2", "");
    second.after(250);
    let asked = second.says("a2", claims("j"));
    let [PoolOutput::Find(worker, selector, jobs)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(worker.as_str(), "a2");
    // The first member has not noticed yet that the worker is gone: it is asked again.
    assert!(first.pool.release(jobs, selector).is_empty());
    first.give(PoolInput::Lost("a".into()));
    assert!(second.after(250).is_empty());
    let again = second.after(1_000);
    assert!(matches!(again.as_slice(), [PoolOutput::Find(..)]));
    let released = first.pool.release(jobs, selector);
    assert_eq!(released.len(), 1);
    let found: Vec<_> = released
        .into_iter()
        .map(|(job, _)| (job, there(1)))
        .collect();
    let adopted = second.give(PoolInput::Found("a2".into(), found));
    assert_eq!(update(&adopted), Some(&JobUpdate::Adopted("a2".into())));
    assert_eq!((first.pool.running(), second.pool.running()), (0, 1));
    let outputs = first.after(60_000);
    assert_eq!(update(&outputs), None, "it has nothing to lose");
    assert!(
        !second
            .after(60_000)
            .iter()
            .any(|output| matches!(output, PoolOutput::Find(..)))
    );
}

#[test]
fn a_claim_waits_for_the_workers_old_socket_and_not_for_ever() {
    let mut workers = Workers::new();
    workers.register("old", "");
    workers.give(job("j", ""));
    workers.answer("old", "j", true);
    workers.register("new", "");
    assert!(workers.says("new", claims("j")).is_empty());
    workers.after(12_000);
    workers.give(PoolInput::Lost("old".into()));
    let adopted = workers.after(250);
    assert_eq!(update(&adopted), Some(&JobUpdate::Adopted("new".into())));
    // What nobody has is not looked for any longer than that.
    assert!(matches!(
        workers.says("new", claims("nothing")).as_slice(),
        [PoolOutput::Find(..)]
    ));
    assert!(workers.after(20_000).is_empty());
    assert!(workers.after(20_000).is_empty());
}

#[test]
fn a_rooms_new_home_learns_what_runs_and_the_old_one_has_no_say_any_more() {
    let mut workers = Workers::new();
    workers.register("a", "");
    workers.register("b", "b");
    workers.give(job("j", ""));
    workers.answer("a", "j", true);
    // Another one is being offered.
    assert_eq!(offered_to(&workers.give(job("k", "b"))), Some("b"));
    let running = workers.pool.jobs_of("lobby", there(2));
    let ids: Vec<_> = running.iter().map(|job| job.id.as_str()).collect();
    assert_eq!(ids, ["j"]);
    assert!(workers.pool.jobs_of("hall", there(3)).is_empty());
    let called_off: Vec<_> = workers.pool.drain().collect();
    assert!(matches!(
        called_off.as_slice(),
        [PoolOutput::Offered(job, None)] if job.as_str() == "k"
    ));
    assert!(workers.answer("b", "k", true).is_empty(), "too late");
    let end = |home| PoolInput::Terminate("j".into(), home);
    assert!(workers.give(end(Home::Here)).is_empty());
    let failed = Says::UpdateJob(proto::UpdateJobStatus {
        job_id: "j".to_owned(),
        status: proto::JobStatus::JsRunning as i32,
        ..Default::default()
    });
    let told = workers.says("a", failed);
    assert!(matches!(
        told.as_slice(),
        [PoolOutput::Update { home, .. }] if *home == there(2)
    ));
    assert_eq!(workers.give(end(there(2))).len(), 1);
}

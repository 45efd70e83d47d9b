//! Pool and dispatches without sockets.

use std::time::Duration;

use fastrand::Rng;
use livekit_protocol::{self as proto, server_message::Message as ToWorker, worker_message};
use plenum_types::Timestamp;

use super::{
    dispatch::{DispatchError, DispatchOutput, Dispatches, MAX_DISPATCHES, Moment},
    ids::{JobId, WorkerId},
    pool::{Home, JobUpdate, Pool, PoolInput, PoolOutput, Taken},
};

fn at(millis: u64) -> Moment {
    Moment {
        now: Timestamp::from_nanos(1_000_000_000) + Duration::from_millis(millis),
        wall_ns: i64::try_from(millis).unwrap() * 1_000_000,
    }
}

/// One member with its pool.
struct Workers {
    pool: Pool,
    millis: u64,
}

impl Workers {
    fn new() -> Self {
        Self {
            pool: Pool::new(Rng::with_seed(7)),
            millis: 0,
        }
    }

    fn give(&mut self, input: PoolInput) -> Vec<PoolOutput> {
        let at = at(self.millis);
        self.pool.handle(at.now, at.wall_ns, input);
        self.pool.drain().collect()
    }

    fn after(&mut self, millis: u64) -> Vec<PoolOutput> {
        self.millis += millis;
        self.give(PoolInput::Timer)
    }

    fn register(&mut self, id: &str, name: &str) -> Vec<PoolOutput> {
        let request = proto::RegisterWorkerRequest {
            agent_name: name.to_owned(),
            ..Default::default()
        };
        self.give(PoolInput::Register(id.into(), request))
    }

    fn says(&mut self, id: &str, message: worker_message::Message) -> Vec<PoolOutput> {
        self.give(PoolInput::Message(id.into(), message))
    }

    fn answer(&mut self, id: &str, job: &str, available: bool) -> Vec<PoolOutput> {
        let answer = proto::AvailabilityResponse {
            job_id: job.to_owned(),
            available,
            ..Default::default()
        };
        self.says(id, worker_message::Message::Availability(answer))
    }

    fn load(&mut self, id: &str, load: f32, status: proto::WorkerStatus) -> Vec<PoolOutput> {
        let update = proto::UpdateWorkerStatus {
            status: Some(status as i32),
            load,
            ..Default::default()
        };
        self.says(id, worker_message::Message::UpdateWorker(update))
    }
}

fn job(id: &str, name: &str) -> PoolInput {
    let job = proto::Job {
        id: id.to_owned(),
        agent_name: name.to_owned(),
        room: Some(room("lobby")),
        ..Default::default()
    };
    PoolInput::Offer(Box::new(job), Home::Here)
}

fn room(name: &str) -> proto::Room {
    proto::Room {
        name: name.to_owned(),
        ..Default::default()
    }
}

fn offered_to(outputs: &[PoolOutput]) -> Option<&str> {
    outputs.iter().find_map(|output| match output {
        PoolOutput::Send(worker, ToWorker::Availability(_)) => Some(worker.as_str()),
        _ => None,
    })
}

fn result(outputs: &[PoolOutput]) -> Option<&Option<Taken>> {
    outputs.iter().find_map(|output| match output {
        PoolOutput::Offered(_, taken) => Some(taken),
        _ => None,
    })
}

fn update(outputs: &[PoolOutput]) -> Option<&JobUpdate> {
    outputs.iter().find_map(|output| match output {
        PoolOutput::Update { update, .. } => Some(update),
        _ => None,
    })
}

#[test]
fn a_job_goes_on_to_the_next_worker_after_a_refusal_and_after_silence() {
    let mut workers = Workers::new();
    for id in ["a", "b", "c"] {
        workers.register(id, "");
    }
    let first = workers.give(job("j", ""));
    let first = offered_to(&first).unwrap().to_owned();
    let second = workers.answer(&first, "j", false);
    let second = offered_to(&second).unwrap().to_owned();
    assert_ne!(first, second);
    workers.after(250);
    assert!(workers.after(9_000).is_empty());
    let third = workers.after(1_000);
    let third = offered_to(&third).unwrap().to_owned();
    assert!(third != first && third != second);
    // Too late.
    assert!(workers.answer(&second, "j", true).is_empty());
    let taken = workers.answer(&third, "j", true);
    let expected = Taken::By(third.as_str().into(), "agent-j".to_owned());
    assert_eq!(result(&taken), Some(&Some(expected)));
    assert!(taken.iter().any(
        |output| matches!(output, PoolOutput::Assign { worker, .. } if worker.as_str() == third)
    ));
}

#[test]
fn nobody_is_asked_who_serves_something_else_or_is_full() {
    let mut workers = Workers::new();
    workers.register("named", "other");
    workers.register("full", "");
    workers.load("full", 0.2, proto::WorkerStatus::WsFull);
    let outputs = workers.give(job("j", ""));
    assert_eq!(
        (offered_to(&outputs), result(&outputs)),
        (None, Some(&None))
    );
    workers.after(250);
    workers.load("full", 0.2, proto::WorkerStatus::WsAvailable);
    let free = workers.after(250);
    assert!(matches!(free.as_slice(), [PoolOutput::Capacity]));
    assert_eq!(offered_to(&workers.give(job("j2", ""))), Some("full"));
}

#[test]
fn three_refusals_are_enough() {
    let mut workers = Workers::new();
    for id in ["a", "b", "c", "d"] {
        workers.register(id, "");
    }
    let mut outputs = workers.give(job("j", ""));
    let mut asked = 0;
    while let Some(worker) = offered_to(&outputs).map(str::to_owned) {
        asked += 1;
        outputs = workers.answer(&worker, "j", false);
    }
    assert_eq!((asked, result(&outputs)), (3, Some(&None)));
}

#[test]
fn jobs_of_a_lost_worker_wait_for_its_return_and_are_lost_without_it() {
    let mut workers = Workers::new();
    workers.register("a", "");
    for id in ["j1", "j2"] {
        workers.give(job(id, ""));
        workers.answer("a", id, true);
    }
    assert!(workers.give(PoolInput::Lost("a".into())).is_empty());
    workers.register("again", "");
    workers.register("stranger", "other");
    let claim = |id: &str| {
        worker_message::Message::MigrateJob(proto::MigrateJobRequest {
            job_ids: vec![id.to_owned()],
        })
    };
    assert!(
        workers.says("stranger", claim("j1")).is_empty(),
        "not its job"
    );
    let adopted = workers.says("again", claim("j1"));
    assert_eq!(update(&adopted), Some(&JobUpdate::Adopted("again".into())));
    workers.after(250);
    let lost = workers.after(4_750);
    assert_eq!(update(&lost), Some(&JobUpdate::Lost));
    assert!(matches!(lost.as_slice(), [PoolOutput::Update { job, .. }] if job.as_str() == "j2"));
    assert_eq!(workers.pool.running(), 1);
}

/// covers: job.termination, worker.update_job
#[test]
fn a_job_ends_by_termination_and_by_the_workers_word() {
    let mut workers = Workers::new();
    workers.register("a", "");
    for id in ["j1", "j2"] {
        workers.give(job(id, ""));
        workers.answer("a", id, true);
    }
    let ended = workers.give(PoolInput::Terminate("j1".into()));
    assert!(matches!(
        ended.as_slice(),
        [PoolOutput::Send(_, ToWorker::Termination(termination))] if termination.job_id == "j1"
    ));
    let status = |id: &str, status: proto::JobStatus| {
        worker_message::Message::UpdateJob(proto::UpdateJobStatus {
            job_id: id.to_owned(),
            status: status as i32,
            error: "e".repeat(1000),
        })
    };
    assert!(
        workers
            .says("a", status("j1", proto::JobStatus::JsSuccess))
            .is_empty()
    );
    let failed = workers.says("a", status("j2", proto::JobStatus::JsFailed));
    let Some(JobUpdate::Status(code, error)) = update(&failed) else {
        panic!("{failed:?}");
    };
    assert_eq!(
        (*code, error.len()),
        (proto::JobStatus::JsFailed as i32, 256)
    );
    assert_eq!(workers.pool.running(), 0);
}

/// covers: worker.register
#[test]
fn registrations_and_answers_without_measure_are_refused() {
    let mut workers = Workers::new();
    let refused = workers.register("a", &"n".repeat(257));
    assert!(matches!(refused.as_slice(), [PoolOutput::Close(..)]));
    workers.register("b", "");
    workers.give(job("j", ""));
    let answer = proto::AvailabilityResponse {
        job_id: "j".to_owned(),
        available: true,
        participant_metadata: "m".repeat(40_000),
        ..Default::default()
    };
    let outputs = workers.says("b", worker_message::Message::Availability(answer));
    assert_eq!(result(&outputs), Some(&None));
    let again = workers.register("b", "");
    assert!(matches!(again.as_slice(), [PoolOutput::Close(..)]));
}

/// covers: worker.ping, job.pong
#[test]
fn pings_are_answered_with_their_time() {
    let mut workers = Workers::new();
    workers.register("a", "");
    workers.millis = 5;
    let ping = worker_message::Message::Ping(proto::WorkerPing { timestamp: 42 });
    let outputs = workers.says("a", ping);
    assert!(matches!(
        outputs.as_slice(),
        [PoolOutput::Send(_, ToWorker::Pong(pong))] if (pong.last_timestamp, pong.timestamp) == (42, 5)
    ));
}

/// One home with its rooms.
struct Rooms {
    dispatches: Dispatches,
    millis: u64,
}

impl Rooms {
    fn with_room(agents: &[proto::RoomAgentDispatch]) -> (Self, Vec<proto::Job>) {
        let mut rooms = Self {
            dispatches: Dispatches::new(Rng::with_seed(7)),
            millis: 0,
        };
        rooms.dispatches.room_opened(at(0), room("lobby"), agents);
        let jobs = rooms.jobs();
        (rooms, jobs)
    }

    fn outputs(&mut self) -> Vec<DispatchOutput> {
        self.dispatches.drain().collect()
    }

    fn jobs(&mut self) -> Vec<proto::Job> {
        self.outputs()
            .into_iter()
            .filter_map(|output| match output {
                DispatchOutput::Place(job) => Some(*job),
                _ => None,
            })
            .collect()
    }

    fn runs(&mut self, job: &proto::Job, worker: &str) {
        let taken = Taken::By(worker.into(), format!("agent-{}", job.id));
        self.placed(job, Some((Home::Here, taken)));
    }

    fn placed(&mut self, job: &proto::Job, taken: Option<(Home, Taken)>) {
        let id = JobId::from(job.id.as_str());
        let at = at(self.millis);
        self.dispatches.placed(at, &"lobby".into(), &id, taken);
    }

    fn update(&mut self, job: &proto::Job, update: &JobUpdate) -> Vec<DispatchOutput> {
        let id = JobId::from(job.id.as_str());
        let at = at(self.millis);
        self.dispatches.updated(at, &"lobby".into(), &id, update);
        self.outputs()
    }

    fn fails(&mut self, job: &proto::Job) {
        let failed = JobUpdate::Status(proto::JobStatus::JsFailed as i32, "crash".to_owned());
        assert!(self.update(job, &failed).is_empty());
    }

    fn after(&mut self, millis: u64) -> Vec<proto::Job> {
        self.millis += millis;
        let at = at(self.millis);
        self.dispatches.timer(at);
        self.jobs()
    }

    fn listed(&self) -> Vec<proto::AgentDispatch> {
        self.dispatches.list(&"lobby".into(), "").unwrap()
    }
}

fn named(name: &str) -> proto::RoomAgentDispatch {
    proto::RoomAgentDispatch {
        agent_name: name.to_owned(),
        ..Default::default()
    }
}

fn person(identity: &str) -> proto::ParticipantInfo {
    proto::ParticipantInfo {
        identity: identity.to_owned(),
        state: proto::participant_info::State::Active as i32,
        ..Default::default()
    }
}

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
    let agent = proto::ParticipantInfo {
        kind: proto::participant_info::Kind::Agent as i32,
        ..person("agent")
    };
    rooms.dispatches.participant_came(&lobby, &agent);
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
fn a_room_that_moves_keeps_its_agents() {
    let (mut rooms, jobs) = Rooms::with_room(&[named("a")]);
    rooms.runs(&jobs[0], "w");
    rooms.dispatches.room_ended(&"lobby".into(), false);
    assert!(rooms.outputs().is_empty());
    rooms.dispatches.room_restored(room("lobby"));
    assert!(rooms.outputs().is_empty());
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
    let agent = proto::ParticipantInfo {
        kind: proto::participant_info::Kind::Agent as i32,
        ..person(&identity)
    };
    rooms.dispatches.participant_came(&lobby, &agent);
    assert!(rooms.after(60_000).is_empty());
    let state = rooms.listed().remove(0).state.unwrap();
    let status = state.jobs[0].state.as_ref().unwrap().status();
    assert_eq!(status, proto::JobStatus::JsRunning);
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
    let error = super::check(std::slice::from_ref(&long)).unwrap_err();
    assert!(error.to_string().contains("65536"), "{error}");
    assert_eq!(
        rooms
            .dispatches
            .create(at(0), &"nowhere".into(), &named("a")),
        Err(DispatchError::NoRoom)
    );
}

#[test]
fn ids_have_the_shape_that_clients_know() {
    let id = WorkerId::random(&mut Rng::with_seed(1));
    assert!(id.as_str().starts_with("AW_") && id.as_str().len() == 15);
}

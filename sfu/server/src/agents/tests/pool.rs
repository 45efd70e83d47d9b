//! Workers and the jobs that they are offered.

use fastrand::Rng;
use livekit_protocol::{self as proto, server_message::Message as ToWorker, worker_message};

use super::{at, room};
use crate::agents::pool::{Home, JobUpdate, Pool, PoolInput, PoolOutput, Taken};

/// One member with its pool.
pub(super) struct Workers {
    pub(super) pool: Pool,
    millis: u64,
}

impl Workers {
    pub(super) fn new() -> Self {
        Self {
            pool: Pool::new(Rng::with_seed(7)),
            millis: 0,
        }
    }

    pub(super) fn give(&mut self, input: PoolInput) -> Vec<PoolOutput> {
        let at = at(self.millis);
        self.pool.handle(at.now, at.wall_ns, input);
        self.pool.drain().collect()
    }

    pub(super) fn after(&mut self, millis: u64) -> Vec<PoolOutput> {
        self.millis += millis;
        self.give(PoolInput::Timer)
    }

    pub(super) fn register(&mut self, id: &str, name: &str) -> Vec<PoolOutput> {
        let request = proto::RegisterWorkerRequest {
            agent_name: name.to_owned(),
            ..Default::default()
        };
        self.give(PoolInput::Register(id.into(), request))
    }

    pub(super) fn says(&mut self, id: &str, message: worker_message::Message) -> Vec<PoolOutput> {
        self.give(PoolInput::Message(id.into(), message))
    }

    pub(super) fn answer(&mut self, id: &str, job: &str, available: bool) -> Vec<PoolOutput> {
        let answer = proto::AvailabilityResponse {
            job_id: job.to_owned(),
            available,
            ..Default::default()
        };
        self.says(id, worker_message::Message::Availability(answer))
    }

    pub(super) fn load(
        &mut self,
        id: &str,
        load: f32,
        status: proto::WorkerStatus,
    ) -> Vec<PoolOutput> {
        let update = proto::UpdateWorkerStatus {
            status: Some(status as i32),
            load,
            ..Default::default()
        };
        self.says(id, worker_message::Message::UpdateWorker(update))
    }
}

pub(super) fn job(id: &str, name: &str) -> PoolInput {
    let job = proto::Job {
        id: id.to_owned(),
        agent_name: name.to_owned(),
        room: Some(room("lobby")),
        ..Default::default()
    };
    PoolInput::Offer(Box::new(job), Home::Here)
}

pub(super) fn offered_to(outputs: &[PoolOutput]) -> Option<&str> {
    outputs.iter().find_map(|output| match output {
        PoolOutput::Send(worker, ToWorker::Availability(_)) => Some(worker.as_str()),
        _ => None,
    })
}

pub(super) fn result(outputs: &[PoolOutput]) -> Option<&Option<Taken>> {
    outputs.iter().find_map(|output| match output {
        PoolOutput::Offered(_, taken) => Some(taken),
        _ => None,
    })
}

pub(super) fn update(outputs: &[PoolOutput]) -> Option<&JobUpdate> {
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
    let ended = workers.give(PoolInput::Terminate("j1".into(), Home::Here));
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

/// covers: worker.simulate_job
#[test]
fn a_simulated_job_is_for_the_worker_that_asked_and_nobody_else() {
    let mut workers = Workers::new();
    workers.register("a", "x");
    workers.register("b", "x");
    let asks = || {
        worker_message::Message::SimulateJob(proto::SimulateJobRequest {
            room: Some(room("lobby")),
            ..Default::default()
        })
    };
    let offer = workers.says("a", asks());
    assert_eq!(offered_to(&offer), Some("a"));
    let job = |outputs: &[PoolOutput]| match outputs {
        [PoolOutput::Send(_, ToWorker::Availability(request))] => request.job.clone().unwrap(),
        outputs => panic!("{outputs:?}"),
    };
    let first = job(&offer);
    assert_eq!((first.agent_name.as_str(), first.r#type), ("x", 0));
    assert_eq!(offered_to(&workers.answer("a", &first.id, false)), None);
    let second = job(&workers.says("a", asks()));
    let taken = workers.answer("a", &second.id, true);
    assert!(
        taken
            .iter()
            .any(|output| matches!(output, PoolOutput::Assign { .. }))
    );
    // No home hears of it, whatever becomes of it.
    let over = proto::UpdateJobStatus {
        job_id: second.id,
        status: proto::JobStatus::JsSuccess as i32,
        ..Default::default()
    };
    assert!(
        workers
            .says("a", worker_message::Message::UpdateJob(over))
            .is_empty()
    );
    assert_eq!(workers.pool.running(), 0);
}

/// covers: job.go_away
#[test]
fn workers_of_a_member_that_ends_are_told_to_go_and_get_nothing_more() {
    let mut workers = Workers::new();
    workers.register("a", "");
    let told = workers.give(PoolInput::GoAway);
    assert!(matches!(
        told.as_slice(),
        [PoolOutput::Send(worker, ToWorker::GoAway(go_away))]
            if worker.as_str() == "a" && !go_away.reason.is_empty()
    ));
    assert!(workers.pool.capacity().is_empty());
    assert_eq!(result(&workers.give(job("j", ""))), Some(&None));
}

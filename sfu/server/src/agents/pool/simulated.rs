//! `simulate_job`: a worker asks for a job itself, as the SDKs' command `connect` does.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use plenum_types::Timestamp;

use super::{MAX_JOBS, Pool, PoolOutput};
use crate::agents::ids::{JobId, WorkerId};

impl Pool {
    /// Offers the worker, and nobody else, a job for a room that it names. Whether it may be in that room was checked.
    pub(super) fn simulate(
        &mut self,
        now: Timestamp,
        wall_ns: i64,
        worker: WorkerId,
        request: proto::SimulateJobRequest,
    ) {
        let Some(entry) = self.workers.get(&worker) else {
            return;
        };
        if self.jobs.len() >= MAX_JOBS {
            let full = "this server has 20000 jobs already, which is its limit";
            return self.outputs.push(PoolOutput::Close(worker, full));
        }
        // As the reference has it, whatever the request says.
        let kind = match request.participant {
            Some(_) => proto::JobType::JtPublisher,
            None => proto::JobType::JtRoom,
        };
        let job = proto::Job {
            id: JobId::random(&mut self.rng).to_string(),
            r#type: kind as i32,
            room: request.room,
            participant: request.participant,
            agent_name: entry.selector.agent_name.clone(),
            deployment: entry.selector.deployment.clone(),
            ..Default::default()
        };
        self.offer_to(now, wall_ns, worker, job, None, BTreeSet::new());
    }
}

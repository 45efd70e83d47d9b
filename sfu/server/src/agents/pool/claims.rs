//! Jobs that change hands: workers that come back, perhaps to another member, and rooms that go to another home.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use livekit_protocol as proto;
use plenum_types::Timestamp;

use super::{Home, JobUpdate, Pool, PoolJob, PoolOutput, RETURN, Stage};
use crate::agents::{
    ids::{JobId, WorkerId},
    selector::Selector,
    wire::trimmed,
};

/// What workers say that they run and nobody has found: many times what one worker runs.
const MAX_CLAIMS: usize = 2_000;
/// A claim is pursued this long. Its job may still hang on the worker's old socket, which is found dead after 15 s.
const PURSUED: Duration = Duration::from_secs(20);
/// How often the other members are asked for what is claimed.
const FIND_AGAIN: Duration = Duration::from_secs(1);

/// What workers say that they run.
#[derive(Debug)]
pub(super) struct Claims {
    by_job: BTreeMap<JobId, (WorkerId, Timestamp)>,
    /// When the other members are asked again.
    find_at: Timestamp,
}

impl Claims {
    pub(super) const fn new() -> Self {
        Self {
            by_job: BTreeMap::new(),
            find_at: Timestamp::from_nanos(0),
        }
    }
}

impl Pool {
    /// A worker says that it still runs these.
    pub(super) fn claim(&mut self, now: Timestamp, worker: &WorkerId, ids: &[String]) {
        let until = now + PURSUED;
        for id in ids {
            let id = JobId::from(id.as_str());
            let is_own =
                |entry: &PoolJob| matches!(&entry.stage, Stage::Running(by) if by == worker);
            if self.claims.by_job.len() < MAX_CLAIMS && !self.jobs.get(&id).is_some_and(is_own) {
                self.claims.by_job.insert(id, (worker.clone(), until));
            }
        }
        self.claims.find_at = now;
        self.pursue_claims(now);
    }

    /// Gives jobs to those who claim them, once their old sockets are gone.
    pub(super) fn pursue_claims(&mut self, now: Timestamp) {
        let workers = &self.workers;
        self.claims
            .by_job
            .retain(|_, (worker, until)| *until > now && workers.contains_key(worker));
        let claims: Vec<_> = self
            .claims
            .by_job
            .iter()
            .map(|(job, (worker, _))| (job.clone(), worker.clone()))
            .collect();
        let mut unknown: BTreeMap<WorkerId, Vec<JobId>> = BTreeMap::new();
        for (id, worker) in claims {
            match self.jobs.get(&id) {
                Some(entry) if self.may_adopt(&worker, entry) => {
                    self.claims.by_job.remove(&id);
                    self.adopt(&id, worker);
                }
                // Its old socket is still open.
                Some(_) => {}
                None => unknown.entry(worker).or_default().push(id),
            }
        }
        if unknown.is_empty() || now < self.claims.find_at {
            return;
        }
        self.claims.find_at = now + FIND_AGAIN;
        for (worker, jobs) in unknown {
            if let Some(entry) = self.workers.get(&worker) {
                let find = PoolOutput::Find(worker, entry.selector.clone(), jobs);
                self.outputs.push(find);
            }
        }
    }

    fn may_adopt(&self, worker: &WorkerId, entry: &PoolJob) -> bool {
        matches!(entry.stage, Stage::Orphan { .. })
            && self
                .workers
                .get(worker)
                .is_some_and(|worker| worker.selector == Selector::of_job(&entry.job))
    }

    fn adopt(&mut self, id: &JobId, worker: WorkerId) {
        let Some(entry) = self.jobs.get_mut(id) else {
            return;
        };
        if let Some(state) = &mut entry.job.state {
            state.worker_id = worker.to_string();
        }
        entry.stage = Stage::Running(worker.clone());
        self.tell_home(id, JobUpdate::Adopted(worker));
    }

    /// What a worker claimed was found elsewhere, and is this member's now.
    pub(super) fn found(
        &mut self,
        now: Timestamp,
        worker: &WorkerId,
        jobs: Vec<(proto::Job, Home)>,
    ) {
        for (job, home) in jobs {
            let id = JobId::from(job.id.as_str());
            self.claims.by_job.remove(&id);
            let Entry::Vacant(place) = self.jobs.entry(id.clone()) else {
                continue;
            };
            place.insert(PoolJob {
                job,
                home: Some(home),
                // The worker may have been lost again meanwhile.
                stage: Stage::Orphan {
                    until: now + RETURN,
                },
            });
            if self.workers.contains_key(worker) {
                self.adopt(&id, worker.clone());
            }
        }
    }

    /// A worker of another member says that it runs these: those that were lost here are that member's now.
    pub fn release(&mut self, ids: &[JobId], selector: &Selector) -> Vec<(proto::Job, Home)> {
        let mut released = Vec::new();
        for id in ids {
            let is_lost = self.jobs.get(id).is_some_and(|entry| {
                matches!(entry.stage, Stage::Orphan { .. })
                    && entry.home.is_some()
                    && Selector::of_job(&entry.job) == *selector
            });
            if is_lost
                && let Some(PoolJob {
                    job,
                    home: Some(home),
                    ..
                }) = self.jobs.remove(id)
            {
                released.push((job, home));
            }
        }
        released
    }

    /// A room has this home now, which wants to know which of its jobs run here.
    pub fn jobs_of(&mut self, room: &str, home: Home) -> Vec<proto::Job> {
        let mut running = Vec::new();
        let mut called_off = Vec::new();
        for (id, entry) in &mut self.jobs {
            let is_of_room = entry.job.room.as_ref().is_some_and(|of| of.name == room);
            let Some(known) = &mut entry.home else {
                continue;
            };
            if !is_of_room {
                continue;
            }
            match entry.stage {
                Stage::Running(_) | Stage::Orphan { .. } => {
                    *known = home;
                    running.push(trimmed(&entry.job));
                }
                // The new home offers it itself.
                Stage::Offered { .. } if *known != home => called_off.push(id.clone()),
                Stage::Offered { .. } => {}
            }
        }
        for id in called_off {
            self.jobs.remove(&id);
            self.outputs.push(PoolOutput::Offered(id, None));
        }
        running
    }
}

//! Jobs whose room or whose worker has gone to another member: who has them is asked of all.

use std::sync::Arc;

use futures_util::future::join_all;
use livekit_protocol as proto;
use plenum_cluster::Incarnation;
use plenum_types::RoomName;
use serde::{Deserialize, Serialize};

use super::{
    driver::Agents,
    ids::{JobId, WorkerId},
    peers::ANSWER,
    pool::{Home, PoolInput},
    selector::Selector,
    wire::{decode, encode, running},
};

/// Body of `POST /internal/v1/agents/homes`: a room lives on this member now. What do your workers run of it?
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NewHome {
    room: String,
    home: Incarnation,
}

/// Body of `POST /internal/v1/agents/claims`: a worker that came to another member says that it runs these jobs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claim {
    jobs: Vec<JobId>,
    selector: Selector,
}

/// A job, and the home of its room.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Released {
    /// In protobuf and base64, as in all bodies.
    job: String,
    home: Incarnation,
}

impl Agents {
    /// Asks all members which jobs of a room their workers run: the room is here now.
    pub(super) async fn ask(self: Arc<Self>, room: RoomName) {
        let mut found: Vec<(Home, proto::Job)> = self
            .act(|state, _| state.jobs_of(room.as_str(), Home::Here))
            .into_iter()
            .map(|job| (Home::Here, job))
            .collect();
        if let Some(me) = self.incarnation() {
            let question = NewHome {
                room: room.as_str().to_owned(),
                home: me,
            };
            let asked = self.living_peers().into_iter().map(|peer| {
                let (agents, question) = (&self, &question);
                async move {
                    let reply = agents.post(peer, "homes", question, ANSWER).await?;
                    let jobs: Vec<String> = serde_json::from_slice(&reply.body).ok()?;
                    Some((peer, jobs))
                }
            });
            for (peer, jobs) in join_all(asked).await.into_iter().flatten() {
                let jobs = jobs.iter().filter_map(|job| decode(job));
                found.extend(jobs.map(|job| (Home::There(peer), job)));
            }
        }
        self.act(|state, at| state.dispatches().reported(at, &room, found));
    }

    /// Another member asks what runs here of a room that it serves now.
    pub(super) fn asked(self: &Arc<Self>, question: &NewHome) -> Vec<String> {
        let home = Home::There(question.home);
        self.act(|state, _| state.jobs_of(&question.room, home))
            .iter()
            .map(encode)
            .collect()
    }

    /// Finds the jobs that a worker of this member says it runs: with the members that it was on before, or with the homes.
    pub(super) async fn find(
        self: Arc<Self>,
        worker: WorkerId,
        selector: Selector,
        jobs: Vec<JobId>,
    ) {
        let Some(me) = self.incarnation() else {
            return;
        };
        let claim = Claim { jobs, selector };
        let asked = self.living_peers().into_iter().map(|peer| {
            let (agents, claim) = (&self, &claim);
            async move {
                let reply = agents.post(peer, "claims", claim, ANSWER).await?;
                serde_json::from_slice::<Vec<Released>>(&reply.body).ok()
            }
        });
        let mut released: Vec<Released> = join_all(asked)
            .await
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        released.extend(self.claimed(&claim));
        let found: Vec<_> = released
            .iter()
            .filter_map(|released| {
                let home = match released.home {
                    home if home == me => Home::Here,
                    home => Home::There(home),
                };
                Some((decode(&released.job)?, home))
            })
            .collect();
        if !found.is_empty() {
            self.act(|state, at| state.pool(at, PoolInput::Found(worker, found)));
        }
    }

    /// Jobs that a worker of another member may go on with, of this member's workers and of its rooms.
    pub(super) fn claimed(self: &Arc<Self>, claim: &Claim) -> Vec<Released> {
        let Some(me) = self.incarnation() else {
            return Vec::new();
        };
        let alive = self.known_members();
        let is_alive = |member: Home| match member {
            Home::Here => true,
            Home::There(member) => alive.contains(&member),
        };
        let released = |job: &proto::Job, home: Home| Released {
            job: encode(&running(job)),
            home: match home {
                Home::Here => me,
                Home::There(home) => home,
            },
        };
        self.act(|state, _| {
            let of_workers = state.release(&claim.jobs, &claim.selector);
            let of_rooms = state
                .dispatches()
                .give(&claim.jobs, &claim.selector, is_alive);
            of_workers
                .iter()
                .map(|(job, home)| released(job, *home))
                .chain(of_rooms.iter().map(|job| released(job, Home::Here)))
                .collect()
        })
    }

    /// Which members are there, for jobs whose workers' members may be gone.
    pub(super) fn members_live(self: &Arc<Self>) {
        let alive = self.known_members();
        self.act(|state, at| {
            state.dispatches().members_live(at, |member| match member {
                Home::Here => true,
                Home::There(member) => alive.contains(&member),
            });
        });
    }
}

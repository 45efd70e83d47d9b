//! Workers that come, say how they are, and go.

use livekit_protocol::{self as proto, server_message};
use plenum_types::Timestamp;

use super::{MAX_NAME_BYTES, Pool, PoolOutput, RETURN, Stage};
use crate::agents::{ids::WorkerId, selector::Selector};

/// Workers of one member: each is a process of its own somewhere, with tens of rooms.
const MAX_WORKERS: usize = 2_000;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) selector: Selector,
    pub(super) permissions: proto::ParticipantPermission,
    pub(super) takes_jobs: bool,
    pub(super) load: f32,
}

impl Pool {
    pub(super) fn register(&mut self, id: WorkerId, request: proto::RegisterWorkerRequest) {
        let too_long = [&request.agent_name, &request.deployment, &request.version]
            .into_iter()
            .any(|text| text.len() > MAX_NAME_BYTES);
        let refusal = if self.workers.contains_key(&id) {
            Some("registered twice")
        } else if self.workers.len() >= MAX_WORKERS {
            Some("this server has 2000 workers already, which is its limit")
        } else if proto::JobType::try_from(request.r#type).is_err() {
            Some("unknown job type")
        } else if too_long {
            Some("agent_name, deployment and version may have 256 bytes each")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.outputs.push(PoolOutput::Close(id, refusal));
            return;
        }
        let permissions =
            request
                .allowed_permissions
                .unwrap_or_else(|| proto::ParticipantPermission {
                    can_subscribe: true,
                    can_publish: true,
                    can_publish_data: true,
                    can_update_metadata: true,
                    ..Default::default()
                });
        let worker = Worker {
            selector: Selector {
                agent_name: request.agent_name,
                deployment: request.deployment,
                job_type: request.r#type,
            },
            permissions,
            takes_jobs: true,
            load: 0.0,
        };
        let answer = proto::RegisterWorkerResponse {
            worker_id: id.to_string(),
            ..Default::default()
        };
        self.workers.insert(id.clone(), worker);
        self.outputs.push(PoolOutput::Send(
            id,
            server_message::Message::Register(answer),
        ));
        self.has_gained = true;
    }

    pub(super) fn update_worker(&mut self, id: &WorkerId, update: proto::UpdateWorkerStatus) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        worker.load = update.load;
        let took_jobs = worker.takes_jobs;
        if let Some(status) = update.status {
            worker.takes_jobs = status == proto::WorkerStatus::WsAvailable as i32;
        }
        worker.takes_jobs &= !update.draining;
        self.has_gained |= worker.takes_jobs && !took_jobs;
    }

    pub(super) fn lost(&mut self, now: Timestamp, wall_ns: i64, worker: &WorkerId) {
        if self.workers.remove(worker).is_none() {
            return;
        }
        let mut offered = Vec::new();
        for (id, entry) in &mut self.jobs {
            match &entry.stage {
                Stage::Offered { to, .. } if to == worker => offered.push(id.clone()),
                Stage::Running(by) if by == worker => {
                    entry.stage = Stage::Orphan {
                        until: now + RETURN,
                    };
                }
                _ => {}
            }
        }
        for id in offered {
            self.pass_on(now, wall_ns, &id);
        }
    }

    /// The workers find another member, and take their jobs along.
    pub(super) fn go_away(&mut self) {
        self.is_ending = true;
        let reason = "this member is ending".to_owned();
        for worker in self.workers.keys() {
            let go_away = proto::agent_http::GoAway {
                reason: reason.clone(),
            };
            let go_away = server_message::Message::GoAway(go_away);
            self.outputs.push(PoolOutput::Send(worker.clone(), go_away));
        }
    }
}

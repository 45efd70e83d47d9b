//! A room under the eyes of somebody who looks for a fault: the Shards show what they see, the room adds names, permissions,
//! wishes and the reason why nothing flows.
//!
//! One look at a time: each asks the room's Shards once, and is answered when all have answered or a second is over.

mod reports;
mod view;
mod why;

pub use view::{
    DecisionReport, DemandReport, LayerReport, ParticipantView, Permitted, RoomView,
    SubscriptionReport, TrackReport, TransportReport,
};
pub use why::Stall;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plenum_types::{ParticipantIdentity, ShardCommand, ShardId, ShardView};

use crate::{ApiCallId, ApiError, ApiErrorCode, ApiResponse, Room, RoomOutput, timers::TimerKind};

/// Looks that wait for their turn. A page looks once a second, so this is a crowd.
const MAX_WAITING: usize = 32;
/// A Shard answers between two packets; one that takes this long is in trouble, which is worth knowing too.
const PATIENCE: Duration = Duration::from_secs(1);

/// Somebody who looks.
#[derive(Debug)]
pub(crate) struct Inspection {
    call: ApiCallId,
    decisions_of: Option<ParticipantIdentity>,
    query: u64,
    missing: BTreeSet<ShardId>,
    views: BTreeMap<ShardId, ShardView>,
}

impl Room {
    pub(crate) fn inspect(&mut self, call: ApiCallId, decisions_of: Option<ParticipantIdentity>) {
        if self.inspections.len() >= MAX_WAITING {
            return self.push(RoomOutput::Api {
                call,
                result: Err(ApiError {
                    code: ApiErrorCode::ResourceExhausted,
                    message: format!(
                        "{MAX_WAITING} others wait to look at this room; look less often"
                    ),
                }),
            });
        }
        self.inspections.push_back(Inspection {
            call,
            decisions_of,
            query: 0,
            missing: BTreeSet::new(),
            views: BTreeMap::new(),
        });
        if self.inspections.len() == 1 {
            self.begin_inspection();
        }
    }

    fn begin_inspection(&mut self) {
        let query = self.allocate_id();
        let shards = self.shards.clone();
        let Some(inspection) = self.inspections.front_mut() else {
            return;
        };
        inspection.query = query;
        inspection.missing.clone_from(&shards);
        let decisions_of = inspection
            .decisions_of
            .as_ref()
            .and_then(|identity| self.by_identity.get(identity))
            .copied();
        if shards.is_empty() {
            return self.finish_inspection();
        }
        self.timers.set(TimerKind::Inspection, self.now + PATIENCE);
        for shard in shards {
            self.command(
                shard,
                ShardCommand::Inspect {
                    query,
                    decisions_of,
                },
            );
        }
    }

    /// A Shard shows what it sees.
    pub(crate) fn shard_view(&mut self, shard: ShardId, view: ShardView) {
        let Some(inspection) = self
            .inspections
            .front_mut()
            .filter(|inspection| inspection.query == view.query)
        else {
            return;
        };
        inspection.missing.remove(&shard);
        inspection.views.insert(shard, view);
        if inspection.missing.is_empty() {
            self.finish_inspection();
        }
    }

    /// Answers with what has come, and lets the next one look.
    pub(crate) fn finish_inspection(&mut self) {
        self.timers.clear(TimerKind::Inspection);
        let Some(inspection) = self.inspections.pop_front() else {
            return;
        };
        let mut view = self.view(&inspection.views);
        view.silent_shards = inspection.missing.iter().map(|shard| shard.0).collect();
        self.push(RoomOutput::Api {
            call: inspection.call,
            result: Ok(ApiResponse::View(Box::new(view))),
        });
        self.begin_inspection();
    }
}

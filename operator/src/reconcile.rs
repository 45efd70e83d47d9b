//! One pass over a pool: read, plan, apply, until the plan is empty.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::apply::{Applier, Pass};
use crate::cluster::{Memory, Reader};
use crate::leader::Term;
use crate::metrics::Metrics;
use crate::plan::{Action, PoolKey, Step, plan};

/// Plans in one pass: a step's outcome often allows the next one at once (a room that was put gets its status). What is
/// left after this waits for the next pass.
const ROUNDS: usize = 5;
/// Room steps in flight: they touch one object or member each, and an API server takes many at once.
const ROOM_CONCURRENCY: usize = 32;
/// Room statuses written per second for their counts alone, over all pools: etcd keeps every write.
const COUNT_WRITES_PER_SECOND: f64 = 50.0;

/// Reads, plans and applies.
pub struct Reconciler {
    reader: Reader,
    applier: Applier,
    metrics: Metrics,
    memories: Mutex<HashMap<PoolKey, Memory>>,
    count_writes: Mutex<(Instant, f64)>,
}

impl Reconciler {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(reader: Reader, applier: Applier, metrics: Metrics) -> Self {
        let count_writes = Mutex::new((Instant::now(), COUNT_WRITES_PER_SECOND));
        Self {
            reader,
            applier,
            metrics,
            memories: Mutex::default(),
            count_writes,
        }
    }

    /// Every pool that anything refers to.
    #[must_use]
    pub fn known_pools(&self) -> BTreeSet<PoolKey> {
        let (rooms, nodes) = self.reader.caches.sizes();
        self.metrics.sizes(rooms, nodes);
        self.reader.caches.known_pools()
    }

    /// Waits until the caches are filled; `false` if they never will be.
    pub async fn synced(&self) -> bool {
        self.reader.caches.synced().await.is_ok()
    }

    /// A new term begins: everything is looked at anew.
    pub fn forget(&self) {
        self.memories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// One pass; says whether all of it succeeded. There is one pass per pool at a time.
    pub async fn pass(
        &self,
        key: &PoolKey,
        term: Term,
        leading: &watch::Receiver<Option<Term>>,
    ) -> bool {
        let mut memory = self
            .memories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .unwrap_or_default();
        let mut ok = true;
        for _ in 0..ROUNDS {
            let count_writes = self.count_budget();
            let Some(snapshot) = self.reader.read(key, &mut memory, count_writes).await else {
                break;
            };
            let steps = plan(&snapshot.observed);
            if steps.is_empty() {
                break;
            }
            self.spend_counts(&steps, count_writes);
            let (rooms, others): (Vec<Step>, Vec<Step>) =
                steps.into_iter().partition(|step| is_of_room(&step.action));
            let mut pass = Pass::new(&self.applier, &self.reader, key, term, &snapshot);
            for step in others {
                if *leading.borrow() != Some(term) {
                    return false;
                }
                ok &= self.count(&step, pass.apply(&step, &mut memory).await);
            }
            let pass = &pass;
            let outcomes: Vec<_> = futures_util::stream::iter(rooms)
                .map(|step| async move {
                    let outcome = if *leading.borrow() == Some(term) {
                        Some(pass.apply_room(&step).await)
                    } else {
                        None
                    };
                    (step, outcome)
                })
                .buffer_unordered(ROOM_CONCURRENCY)
                .collect()
                .await;
            for (step, outcome) in outcomes {
                let Some((result, learnt)) = outcome else {
                    return false;
                };
                ok &= self.count(&step, result);
                learnt
                    .into_iter()
                    .for_each(|learnt| learnt.remember(&mut memory));
            }
            if !ok {
                break;
            }
        }
        self.memories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), memory);
        ok
    }

    fn count(&self, step: &Step, result: anyhow::Result<()>) -> bool {
        self.metrics.action(step.action.name(), result.is_ok());
        match result {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    action = step.action.name(),
                    error = format!("{error:#}"),
                    "a step failed; it is planned again"
                );
                false
            }
        }
    }

    fn count_budget(&self) -> usize {
        let mut bucket = self
            .count_writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (at, tokens) = *bucket;
        let tokens = (tokens + at.elapsed().as_secs_f64() * COUNT_WRITES_PER_SECOND)
            .min(COUNT_WRITES_PER_SECOND);
        *bucket = (Instant::now(), tokens);
        // At most fifty, and never below zero.
        tokens.max(0.0) as usize
    }

    fn spend_counts(&self, steps: &[Step], granted: usize) {
        let writes = steps
            .iter()
            .filter(|step| matches!(step.action, Action::WriteRoomStatus { .. }))
            .count();
        self.count_writes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1 -= writes.min(granted) as f64;
    }
}

fn is_of_room(action: &Action) -> bool {
    matches!(
        action,
        Action::HoldRoom { .. }
            | Action::PutRoom { .. }
            | Action::EndRoom { .. }
            | Action::WriteRoomStatus { .. }
    )
}

//! Which pool is looked at next: a queue of pools that something happened to, one pass per pool at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::leader::Term;
use crate::metrics::Metrics;
use crate::plan::PoolKey;
use crate::reconcile::Reconciler;

/// All pools are looked at so often, whatever happened: deadlines pass, and a watch may be dead.
const RESYNC: Duration = Duration::from_secs(1);
/// First pause after a pass that failed, doubled each time.
const BACK_OFF: Duration = Duration::from_millis(200);
/// Longest pause after failures.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A work loop that has not turned for so long hangs.
const PULSE_STALE: Duration = Duration::from_secs(30);

/// Pools that wait for a pass.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<BTreeSet<PoolKey>>,
    bell: Notify,
}

impl Queue {
    /// Something happened to this pool. A pool that waits already is not added twice.
    pub fn add(&self, pool: PoolKey) {
        if self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(pool)
        {
            self.bell.notify_one();
        }
    }

    fn take(&self, ready: impl Fn(&PoolKey) -> bool) -> (Vec<PoolKey>, usize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<PoolKey> = waiting.iter().filter(|key| ready(key)).cloned().collect();
        for key in &taken {
            waiting.remove(key);
        }
        (taken, waiting.len())
    }
}

/// When the work loop last turned.
#[derive(Debug, Clone)]
pub struct Pulse {
    start: Instant,
    millis: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            millis: Arc::default(),
        }
    }
}

impl Pulse {
    fn beat(&self) {
        self.millis.store(self.now(), Ordering::Relaxed);
    }

    /// Beats while the caches are being filled: a cluster without the CRDs is a wait, not a hang.
    pub async fn beat_until_synced(self, synced: Arc<AtomicBool>) {
        let mut tick = interval(RESYNC);
        while !synced.load(Ordering::Relaxed) {
            tick.tick().await;
            self.beat();
        }
    }

    /// The loop turns.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.now()
            .saturating_sub(self.millis.load(Ordering::Relaxed))
            < millis(PULSE_STALE)
    }

    fn now(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Works while this process leads, until `leading` closes or shows no term after it had one.
pub async fn work(
    reconciler: Arc<Reconciler>,
    queue: Arc<Queue>,
    mut leading: watch::Receiver<Option<Term>>,
    pulse: Pulse,
    metrics: Metrics,
) {
    let mut running: JoinSet<(PoolKey, bool)> = JoinSet::new();
    let mut busy: BTreeSet<PoolKey> = BTreeSet::new();
    let mut failures: HashMap<PoolKey, (u32, Instant)> = HashMap::new();
    let mut resync = interval(RESYNC);
    loop {
        tokio::select! {
            _ = resync.tick() => {
                if leading.borrow().is_some() {
                    reconciler.known_pools().into_iter().for_each(|key| queue.add(key));
                }
            }
            () = queue.bell.notified() => {}
            Some(done) = running.join_next() => match done {
                Ok((key, ok)) => {
                    busy.remove(&key);
                    if ok {
                        failures.remove(&key);
                    } else {
                        let failed = failures.get(&key).map_or(0, |(failed, _)| *failed);
                        let pause = BACK_OFF.saturating_mul(1 << failed.min(10)).min(BACK_OFF_MAX);
                        failures.insert(key, (failed + 1, Instant::now() + pause));
                    }
                }
                Err(error) => {
                    // A pass that panicked tells no key: all that are not running any more may run again.
                    tracing::error!(%error, "a pass ended by a panic");
                    if running.is_empty() {
                        busy.clear();
                    }
                }
            },
            changed = leading.changed() => {
                if changed.is_err() {
                    return;
                }
                if leading.borrow().is_some() {
                    reconciler.forget();
                    reconciler.known_pools().into_iter().for_each(|key| queue.add(key));
                }
            }
        }
        pulse.beat();
        let Some(term) = *leading.borrow_and_update() else {
            continue;
        };
        let now = Instant::now();
        let (ready, waiting) = queue.take(|key| {
            !busy.contains(key) && failures.get(key).is_none_or(|(_, until)| *until <= now)
        });
        metrics.queue_depth(waiting);
        for key in ready {
            busy.insert(key.clone());
            let (reconciler, metrics) = (reconciler.clone(), metrics.clone());
            let leading = leading.clone();
            running.spawn(async move {
                let started = Instant::now();
                let ok = reconciler.pass(&key, term, &leading).await;
                metrics.pass(ok, started.elapsed().as_secs_f64());
                (key, ok)
            });
        }
    }
}

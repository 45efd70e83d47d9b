//! The hops of this edge.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::sleep};

use crate::metrics::Metrics;

/// Between two client sockets that a draining edge closes, so that they do not come back at once together.
const STAGGER: Duration = Duration::from_millis(20);
/// All of them together take no longer.
const STAGGER_TOTAL: Duration = Duration::from_secs(3);

/// Which hops begin here.
#[derive(Debug)]
pub struct Hops {
    open: Mutex<BTreeMap<u64, oneshot::Sender<()>>>,
    next: AtomicU64,
    pub(super) metrics: Arc<Metrics>,
}

/// A hop's place in the list.
pub(super) struct HopSlot {
    hops: Arc<Hops>,
    id: u64,
}

impl Hops {
    /// None yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            open: Mutex::default(),
            next: AtomicU64::new(0),
            metrics,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open().len()
    }

    /// Cuts the client sockets of all hops, one after the other; their clients resume through another edge.
    pub async fn release_all(&self) {
        let ids: Vec<u64> = self.open().keys().copied().collect();
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX).max(1);
        let pause = STAGGER.min(STAGGER_TOTAL / count);
        for id in ids {
            let release = self.open().remove(&id);
            if release.is_some_and(|release| release.send(()).is_ok()) {
                sleep(pause).await;
            }
        }
    }

    pub(super) fn add(self: &Arc<Self>) -> (HopSlot, oneshot::Receiver<()>) {
        let (release, released) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, release);
        let slot = HopSlot {
            hops: self.clone(),
            id,
        };
        (slot, released)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<()>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HopSlot {
    fn drop(&mut self) {
        self.hops.open().remove(&self.id);
    }
}

//! The fence: until when this member may serve (claims.md rule 6).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use plenum_types::Timestamp;

/// One moment that every Shard reads once per batch: past it nothing is sent. A process that was frozen and thawed
/// therefore forwards nothing from its socket buffers. Copies share the moment.
#[derive(Debug, Clone)]
pub struct ServeUntil(Arc<AtomicU64>);

impl ServeUntil {
    /// For a member that stands alone.
    #[must_use]
    pub fn forever() -> Self {
        Self(Arc::new(AtomicU64::new(Timestamp::FAR_FUTURE.as_nanos())))
    }

    /// Moves the moment.
    pub fn set(&self, until: Timestamp) {
        self.0.store(until.as_nanos(), Ordering::Release);
    }

    /// Whether serving is allowed at `now`.
    #[must_use]
    pub fn allows(&self, now: Timestamp) -> bool {
        now.as_nanos() < self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_served_from_the_moment_on() {
        let fence = ServeUntil::forever();
        let shard = fence.clone();
        let now = Timestamp::from_millis(5);
        assert!(shard.allows(now));
        fence.set(now);
        assert!(!shard.allows(now));
        assert!(shard.allows(Timestamp::from_millis(4)));
    }
}

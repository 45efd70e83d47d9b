//! The fence: until when this member may serve (claims.md rule 6).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// One moment that every Shard reads once per batch: past it nothing is sent. A process that was frozen and thawed
/// therefore forwards nothing from its socket buffers. Copies share the moment.
#[derive(Debug, Clone)]
pub struct ServeUntil(Arc<AtomicU64>);

impl ServeUntil {
    /// Without a bound.
    #[must_use]
    pub fn forever() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// As somebody else keeps it: nanoseconds on `CLOCK_BOOTTIME`, which runs through suspend; 0 is never, `u64::MAX`
    /// without a bound.
    #[must_use]
    pub const fn shared(deadline: Arc<AtomicU64>) -> Self {
        Self(deadline)
    }

    /// Whether serving is allowed now.
    #[must_use]
    pub fn allows(&self) -> bool {
        match self.0.load(Ordering::Acquire) {
            0 => false,
            u64::MAX => true,
            deadline => boottime_nanos() < deadline,
        }
    }
}

fn boottime_nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_served_from_the_moment_on() {
        const HOUR: u64 = 3_600_000_000_000;
        let deadline = Arc::new(AtomicU64::new(u64::MAX));
        let fence = ServeUntil::shared(deadline.clone());
        assert!(fence.allows());
        for (until, allowed) in [
            (0, false),
            (boottime_nanos().saturating_sub(1), false),
            (boottime_nanos() + HOUR, true),
        ] {
            deadline.store(until, Ordering::Release);
            assert_eq!(fence.allows(), allowed, "{until}");
        }
        assert!(ServeUntil::forever().allows());
    }
}

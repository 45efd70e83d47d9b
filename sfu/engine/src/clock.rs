//! The one clock of the process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plenum_transport::EpochInstant;
use plenum_types::{Timestamp, WallClock};

/// Monotonic time since the process made it, and the wall time that belongs to it. Copies tell the same time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    zero: Instant,
    wall: WallClock,
}

/// A kernel timestamp further back than this is taken for a step of the system's clock: no packet waits in a socket
/// buffer that long while its Shard lives.
const MAX_QUEUEING: Duration = Duration::from_millis(250);

impl Clock {
    /// Starts at zero.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // the one place where clocks are read
    pub fn start() -> Self {
        let zero = Instant::now();
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            zero,
            wall: WallClock {
                unix_nanos_at_zero: u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX),
            },
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.zero.elapsed()
    }

    /// Translates this clock's time to wall time. Fixed when the clock was started, so it never jumps.
    #[must_use]
    pub const fn wall(&self) -> WallClock {
        self.wall
    }

    /// Zero of this clock, for libraries that count in `Instant`.
    #[must_use]
    pub const fn epoch(&self) -> EpochInstant {
        EpochInstant::new(self.zero)
    }

    /// The system's wall time, which may step. For kernel timestamps only.
    #[allow(clippy::disallowed_methods)] // the one place where clocks are read
    pub(crate) fn system_unix() -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

/// When a packet arrived: the kernel's timestamp on our clock, if it is plausible, else now.
///
/// `now` and `system_now` were read at the same moment.
pub(crate) fn arrival(now: Timestamp, system_now: Duration, kernel: Option<Duration>) -> Timestamp {
    kernel
        .and_then(|kernel| system_now.checked_sub(kernel))
        .filter(|queued| *queued <= MAX_QUEUEING)
        .map_or(now, |queued| now.saturating_sub(queued))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_timestamp_becomes_monotonic() {
        let now = Timestamp::from_millis(10_000);
        let system = Duration::from_secs(1_700_000_000);
        let millis = Duration::from_millis;
        assert_eq!(
            arrival(now, system, Some(system - millis(3))),
            Timestamp::from_millis(9_997)
        );
    }

    #[test]
    fn a_stepped_clock_is_not_believed() {
        let now = Timestamp::from_millis(10_000);
        let system = Duration::from_secs(1_700_000_000);
        let hour = Duration::from_secs(3_600);
        for kernel in [None, Some(system + hour), Some(system - hour)] {
            assert_eq!(arrival(now, system, kernel), now);
        }
    }
}

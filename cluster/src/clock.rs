//! The crate's only clock reads. Everything else takes time as an argument.

use std::time::Duration;

/// Time since boot on `CLOCK_BOOTTIME`: it runs through suspend, never jumps, and is the same for all processes of a
/// host. Judges time silences on it, and [`crate::Membership::serve_until`] is an instant of it.
pub fn boottime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Unix time in milliseconds, for the epochs of a Directory in memory; Redis uses its own clock.
pub(crate) fn unix_millis() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

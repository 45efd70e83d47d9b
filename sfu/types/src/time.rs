//! Time enters the pure crates as a [`Timestamp`]; clocks are read in `engine` and `server` only.

use serde::{Deserialize, Serialize};
use std::{
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

/// Nanoseconds on the member's monotonic clock, from an arbitrary start.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// From nanoseconds since the start of the clock.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the start of the clock.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start of the clock.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start of the clock.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment less `by`, not before the start of the clock.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// Seconds since 1900 in 32.32 fixed point (RFC 3550 section 4).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NtpTime(pub u64);

/// Seconds from the NTP era (1900) to the Unix epoch (1970).
const NTP_UNIX_OFFSET_SECONDS: u64 = 2_208_988_800;

impl NtpTime {
    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_nanos(unix_nanos: u64) -> Self {
        let seconds = unix_nanos / 1_000_000_000 + NTP_UNIX_OFFSET_SECONDS;
        let fraction = ((unix_nanos % 1_000_000_000) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// The middle 32 bits, as reports echo them (LSR, RFC 3550 section 6.4.1).
    #[must_use]
    pub const fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// Maps the monotonic clock to wall time. The offset is slewed by whoever owns the clock, so wall time never jumps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallClock {
    /// Unix nanoseconds at [`Timestamp::ZERO`].
    pub unix_nanos_at_zero: u64,
}

impl WallClock {
    /// Nanoseconds since the Unix epoch at `at`.
    #[must_use]
    pub const fn unix_nanos(self, at: Timestamp) -> u64 {
        self.unix_nanos_at_zero.saturating_add(at.0)
    }

    /// Milliseconds since the Unix epoch at `at`, as the signaling protocol counts.
    #[must_use]
    pub const fn unix_millis(self, at: Timestamp) -> i64 {
        (self.unix_nanos(at) / 1_000_000) as i64
    }

    /// NTP time at `at`, for sender reports.
    #[must_use]
    pub const fn ntp(self, at: Timestamp) -> NtpTime {
        NtpTime::from_unix_nanos(self.unix_nanos(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_time_counts_from_1900_with_a_binary_fraction() {
        let ntp = NtpTime::from_unix_nanos(1_500_000_000);
        assert_eq!(ntp.0 >> 32, 2_208_988_801);
        assert_eq!(ntp.0 & 0xffff_ffff, 0x8000_0000);
    }

    #[test]
    fn time_does_not_run_below_zero() {
        assert_eq!(
            Timestamp::from_millis(1) - Timestamp::from_millis(5),
            Duration::ZERO
        );
        assert_eq!(
            Timestamp::from_millis(1).saturating_sub(Duration::from_secs(1)),
            Timestamp::ZERO
        );
    }
}

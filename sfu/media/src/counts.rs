//! Counters with a fixed set of labels, in plain integers.

use std::time::Duration;

use plenum_types::{DropReason, DtlsVersion, Queue, SrtpProfile};

/// Packets that were dropped before they were sent, by queue and reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops([[u64; DropReason::ALL.len()]; Queue::ALL.len()]);

impl Drops {
    pub(crate) fn add(&mut self, queue: Queue, why: DropReason) {
        if let Some(count) = self
            .0
            .get_mut(queue as usize)
            .and_then(|queue| queue.get_mut(why as usize))
        {
            *count += 1;
        }
    }

    /// Of one queue for one reason.
    #[must_use]
    pub fn get(&self, queue: Queue, why: DropReason) -> u64 {
        self.0
            .get(queue as usize)
            .and_then(|queue| queue.get(why as usize))
            .copied()
            .unwrap_or_default()
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}

/// Transports that connected for the first time, by what was negotiated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handshakes([[u64; DtlsVersion::ALL.len()]; SrtpProfile::ALL.len()]);

impl Handshakes {
    pub(crate) fn add(&mut self, srtp: SrtpProfile, dtls: DtlsVersion) {
        if let Some(count) = self
            .0
            .get_mut(srtp as usize)
            .and_then(|profile| profile.get_mut(dtls as usize))
        {
            *count += 1;
        }
    }

    /// With this profile and version.
    #[must_use]
    pub fn get(&self, srtp: SrtpProfile, dtls: DtlsVersion) -> u64 {
        self.0
            .get(srtp as usize)
            .and_then(|profile| profile.get(dtls as usize))
            .copied()
            .unwrap_or_default()
    }
}

/// Upper bounds of forward delays, microseconds. From what an idle machine takes to what a listener hears; the goal of 1 ms
/// at the 99th percentile lies in the middle.
const BOUNDS_MICROS: [u64; 12] = [
    50, 100, 200, 400, 700, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000,
];

/// How long packets were under way inside: from the kernel's arrival time until they were sealed and handed to the socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delays {
    /// One more than bounds: the last is for those above.
    counts: [u64; BOUNDS_MICROS.len() + 1],
    nanos: u64,
}

impl Delays {
    pub(crate) fn add(&mut self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS
            .iter()
            .position(|bound| nanos <= bound * 1_000)
            .unwrap_or(BOUNDS_MICROS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.nanos = self.nanos.saturating_add(nanos);
    }

    /// Upper bound in seconds and how many were not above it and above the one before; the last bound is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS_MICROS
            .iter()
            .map(|bound| *bound as f64 / 1e6)
            .chain([f64::INFINITY])
            .zip(self.counts)
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All delays together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// With those of another Shard.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.nanos = self.nanos.saturating_add(other.nanos);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_falls_into_the_first_bucket_that_holds_it() {
        let mut delays = Delays::default();
        for micros in [10, 50, 51, 900, 1_000, 1_000_000] {
            delays.add(Duration::from_micros(micros));
        }
        let counts: Vec<_> = delays.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(delays.count(), 6);
        assert_eq!(delays.sum(), Duration::from_micros(1_002_011));
        assert_eq!(delays.and(&delays).count(), 12);
    }

    #[test]
    fn drops_are_told_apart() {
        let mut drops = Drops::default();
        drops.add(Queue::Video, DropReason::Full);
        drops.add(Queue::Audio, DropReason::Late);
        drops.add(Queue::Audio, DropReason::Late);
        assert_eq!(drops.get(Queue::Audio, DropReason::Late), 2);
        assert_eq!(drops.get(Queue::Audio, DropReason::Full), 0);
        assert_eq!(drops.total(), 3);
    }
}

//! Memory, processor time and age of this process, as the kernel counts them.

use std::{fmt, fs};

use plenum_engine::Clock;
use plenum_types::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Clock ticks of `/proc` a second: fixed for programs, whatever the kernel's own timer does (proc(5)).
const TICKS_A_SECOND: f64 = 100.0;
/// Fields of `/proc/self/stat` after the name, which ends with the last parenthesis: user and system time.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;

/// Reads `/proc` when asked.
pub(super) struct Process {
    clock: Clock,
    started: Timestamp,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}

impl Process {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            started: clock.now(),
            clock,
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let uptime = self.clock.now().saturating_since(self.started);
        let metric = encoder.encode_descriptor(
            "process_uptime",
            "Time since the process began to serve",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        ConstGauge::new(uptime.as_secs_f64()).encode(metric)?;
        if let Some(bytes) = fs::read_to_string("/proc/self/status")
            .ok()
            .and_then(|status| resident_bytes(&status))
        {
            let metric = encoder.encode_descriptor(
                "process_resident_memory",
                "Memory that the process holds",
                Some(&Unit::Bytes),
                MetricType::Gauge,
            )?;
            ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(metric)?;
        }
        if let Some(seconds) = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|stat| cpu_seconds(&stat))
        {
            let metric = encoder.encode_descriptor(
                "process_cpu",
                "Processor time of all threads, user and system",
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        Ok(())
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_ascii_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t3\n"),
            Some(2 << 20)
        );
        assert_eq!(resident_bytes("nothing"), None);
        let stat = "17 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 3 0 9 9 9";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(cpu_seconds("17 (x) S"), None);
    }
}

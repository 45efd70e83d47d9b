//! What Shards count with labels: drops, handshakes, delays.

use std::{fmt, sync::Arc};

use plenum_engine::{Delays, Engine, ShardHealth, ShardStats};
use plenum_types::{DropReason, DtlsVersion, Queue, SrtpProfile};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Reads the copies that Shards publish once a second.
pub(super) struct Media {
    pub(super) engine: Arc<Engine>,
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Media")
    }
}

impl Collector for Media {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.engine.status();
        let running = shards
            .iter()
            .filter(|shard| shard.health == ShardHealth::Running)
            .count();
        let transports: usize = shards.iter().map(|shard| shard.stats.transports).sum();
        for (name, help, value) in [
            ("shards", "Media threads", shards.len()),
            (
                "shards_running",
                "Media threads that finish their passes",
                running,
            ),
            ("transports", "Associations with clients", transports),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
        }

        let mut dropped = encoder.encode_descriptor(
            "media_packets_dropped",
            "Packets dropped before they were sent, by the subscriber's queue and reason",
            None,
            MetricType::Counter,
        )?;
        for queue in Queue::ALL {
            for why in DropReason::ALL {
                let count: u64 = shards
                    .iter()
                    .map(|shard| shard.stats.dropped.get(queue, why))
                    .sum();
                let labels = [("queue", queue.name()), ("reason", why.name())];
                ConstCounter::new(count).encode(dropped.encode_family(&labels)?)?;
            }
        }
        // The socket is a queue too, shared by all subscribers of a Shard.
        let blocked: u64 = shards.iter().map(|shard| shard.stats.blocked_dropped).sum();
        let labels = [("queue", "socket"), ("reason", "full")];
        ConstCounter::new(blocked).encode(dropped.encode_family(&labels)?)?;

        let mut refused = encoder.encode_descriptor(
            "media_packets_refused",
            "Packets of clients that were not taken, by reason",
            None,
            MetricType::Counter,
        )?;
        type Count = fn(&ShardStats) -> u64;
        let reasons: [(&str, Count); 6] = [
            ("unopened", |stats| stats.unopened),
            ("malformed", |stats| stats.malformed),
            ("unrouted", |stats| stats.unrouted),
            ("duplicate", |stats| stats.duplicates),
            ("unknown_sender", |stats| stats.unknown_datagrams),
            ("contested_path", |stats| stats.contested_paths),
        ];
        for (reason, count) in reasons {
            let count: u64 = shards.iter().map(|shard| count(&shard.stats)).sum();
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(refused.encode_family(&labels)?)?;
        }

        let mut handshakes = encoder.encode_descriptor(
            "transports_connected",
            "Transports that connected, by protection of media and version of DTLS",
            None,
            MetricType::Counter,
        )?;
        for srtp in SrtpProfile::ALL {
            for dtls in DtlsVersion::ALL {
                let count: u64 = shards
                    .iter()
                    .map(|shard| shard.stats.handshakes.get(srtp, dtls))
                    .sum();
                let labels = [("srtp", srtp.name()), ("dtls", dtls.name())];
                ConstCounter::new(count).encode(handshakes.encode_family(&labels)?)?;
            }
        }

        let delays = shards
            .iter()
            .fold(Delays::default(), |sum, shard| sum.and(&shard.stats.delays));
        let buckets: Vec<_> = delays.buckets().collect();
        let mut metric = encoder.encode_descriptor(
            "forward_delay",
            "Time from a packet's arrival at the kernel until it was handed to the socket, without retransmissions",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        metric.encode_histogram::<NoLabelSet>(
            delays.sum().as_secs_f64(),
            delays.count(),
            &buckets,
            None,
        )
    }
}

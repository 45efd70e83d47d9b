//! `/metrics`: counters, and what is read at the moment of the scrape.

use std::{fmt, sync::Arc};

use plenum_cluster::{detector::Health, membership::DirectoryHealth};
use plenum_engine::{Clock, Engine, ShardHealth, ShardStatus};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{Metrics, media::Media, process::Process};
use crate::cluster::Cluster;

/// All metrics of this member.
pub struct Exposition {
    registry: Registry,
}

impl Exposition {
    /// Everything there is.
    #[must_use]
    pub fn new(
        metrics: &Metrics,
        cluster: Arc<Cluster>,
        engine: Arc<Engine>,
        clock: Clock,
    ) -> Self {
        let mut registry = Registry::with_prefix("plenum");
        metrics.register(&mut registry);
        registry.register_collector(Box::new(Process::new(clock)));
        registry.register_collector(Box::new(Media {
            engine: engine.clone(),
        }));
        registry.register_collector(Box::new(Planes { cluster, engine }));
        Self { registry }
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// Never in practice: writing to a string.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// Media type of [`Exposition::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Planes {
    cluster: Arc<Cluster>,
    engine: Arc<Engine>,
}

impl fmt::Debug for Planes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planes")
    }
}

/// A number of a Shard by name.
type Reading = (&'static str, &'static str, fn(&ShardStatus) -> u64);

const SHARD_COUNTERS: &[Reading] = &[
    ("rtp_received", "RTP packets received", |s| {
        s.stats.rtp_received
    }),
    ("rtp_received_bytes", "Bytes of RTP received", |s| {
        s.stats.rtp_received_bytes
    }),
    ("rtp_sent", "RTP packets sent", |s| s.stats.rtp_sent),
    ("rtp_sent_bytes", "Bytes of RTP sent", |s| {
        s.stats.rtp_sent_bytes
    }),
    ("rtx_sent", "Retransmissions sent", |s| s.stats.rtx_sent),
    ("rtcp_received", "RTCP datagrams received", |s| {
        s.stats.rtcp_received
    }),
    ("rtcp_sent", "RTCP datagrams sent", |s| s.stats.rtcp_sent),
    ("runs_sent", "Runs of datagrams sent", |s| s.stats.runs_sent),
    ("unknown_datagrams", "Datagrams of no transport", |s| {
        s.stats.unknown_datagrams
    }),
    (
        "unopened_packets",
        "Packets that failed authentication or were replayed",
        |s| s.stats.unopened,
    ),
    (
        "contested_paths",
        "Connectivity checks from addresses that another participant uses",
        |s| s.stats.contested_paths,
    ),
    ("malformed_packets", "Packets whose lengths disagree", |s| {
        s.stats.malformed
    }),
    ("unrouted_packets", "Packets of no known track", |s| {
        s.stats.unrouted
    }),
    (
        "over_rate_packets",
        "Packets of publishers above what any encoder sends, dropped",
        |s| s.stats.over_rate,
    ),
    (
        "uplink_lost",
        "Packets of publishers that did not come at first",
        |s| s.stats.uplink_lost,
    ),
    (
        "nacks_sent",
        "Packets asked for again from publishers",
        |s| s.stats.nacks_sent,
    ),
    (
        "nacks_received",
        "Packets that subscribers asked for again",
        |s| s.stats.nacks_received,
    ),
    (
        "nacks_refused",
        "Packets asked for again and not sent",
        |s| s.stats.nacks_refused,
    ),
    (
        "key_frame_requests_sent",
        "Key frames asked for from publishers",
        |s| s.stats.key_frame_requests_sent,
    ),
    (
        "key_frame_requests_received",
        "Key frames asked for by subscribers",
        |s| s.stats.key_frame_requests_received,
    ),
    ("layer_switches", "Layer switches of subscriptions", |s| {
        s.stats.layer_switches
    }),
    (
        "egress_dropped",
        "Packets dropped in queues to subscribers",
        |s| s.stats.dropped.total(),
    ),
    (
        "blocked_dropped",
        "Datagrams dropped since the socket stayed full",
        |s| s.stats.blocked_dropped,
    ),
    (
        "indices_refused",
        "Packets not sent since their SRTP index had been used, a fault",
        |s| s.stats.indices_refused,
    ),
    (
        "commands_ignored",
        "Commands about unknown ids or above a bound",
        |s| s.stats.commands_ignored,
    ),
    (
        "commands_refused",
        "Commands that found a full queue",
        |s| s.commands_refused,
    ),
    (
        "data_sent",
        "Data messages routed, once per receiver",
        |s| s.stats.data_sent,
    ),
    ("data_refused", "Data messages refused", |s| {
        s.stats.data_refused
    }),
    (
        "data_over_rate",
        "Data messages above their sender's rate to receivers for whom much waits",
        |s| s.stats.data_over_rate,
    ),
    (
        "receive_calls",
        "Receive calls that brought something",
        |s| s.io.receive_calls,
    ),
    ("datagrams_received", "Datagrams received", |s| {
        s.io.datagrams_received
    }),
    (
        "receive_dropped",
        "Datagrams that the kernel dropped since a receive buffer was full",
        |s| s.io.receive_dropped,
    ),
    ("send_calls", "Send calls", |s| s.io.send_calls),
    ("datagrams_sent", "Datagrams sent", |s| s.io.datagrams_sent),
    (
        "send_blocked",
        "Send calls that found the socket full",
        |s| s.io.send_blocked,
    ),
    (
        "send_errors",
        "Datagrams lost to errors of send calls",
        |s| s.io.send_errors,
    ),
    (
        "backlog_dropped",
        "STUN and DTLS datagrams dropped since too many waited",
        |s| s.io.backlog_dropped,
    ),
    (
        "streams_refused",
        "TCP connections closed since there were too many or their check named nobody here",
        |s| s.io.streams_refused,
    ),
    (
        "stream_dropped",
        "Packets dropped since their TCP connection did not keep up",
        |s| s.io.stream_dropped,
    ),
    (
        "restarts",
        "Panics after which the shard was made anew",
        |s| s.restarts,
    ),
    (
        "fenced_datagrams",
        "Datagrams not handled since this member may not serve",
        |s| s.io.fenced,
    ),
    (
        "events_held",
        "Passes that could not hand over all events",
        |s| s.io.events_held,
    ),
    ("passes", "Passes of the loop", |s| s.io.passes),
    ("busy_nanoseconds", "Time spent in passes", |s| {
        s.io.busy_nanos
    }),
];

const SHARD_GAUGES: &[Reading] = &[
    ("up", "1 if the shard finishes its passes", |s| {
        u64::from(s.health == ShardHealth::Running)
    }),
    ("transports", "Transports", |s| s.stats.transports as u64),
    ("streams", "TCP connections of clients", |s| s.io.streams),
    ("tracks", "Published tracks", |s| s.stats.tracks as u64),
    ("subscriptions", "Tracks forwarded to participants", |s| {
        s.stats.subscriptions as u64
    }),
    ("history_bytes", "Bytes kept for retransmission", |s| {
        s.stats.history_bytes as u64
    }),
];

impl Collector for Planes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shards = self.engine.status();
        for (kind, readings) in [
            (MetricType::Counter, SHARD_COUNTERS),
            (MetricType::Gauge, SHARD_GAUGES),
        ] {
            for (name, help, read) in readings {
                let name = format!("shard_{name}");
                let mut metric = encoder.encode_descriptor(&name, help, None, kind)?;
                for shard in &shards {
                    let label = [("shard", shard.shard.to_string())];
                    let labelled = metric.encode_family(&label)?;
                    match kind {
                        MetricType::Counter => ConstCounter::new(read(shard)).encode(labelled)?,
                        _ => gauge(read(shard)).encode(labelled)?,
                    }
                }
            }
        }
        self.encode_tcp_port(&mut encoder)?;
        let view = self.cluster.membership().view();
        let rooms = self.cluster.rooms.list();
        let total = |count: fn(&plenum_room::RoomStats) -> usize| {
            rooms.iter().map(|room| count(&room.stats)).sum::<usize>() as u64
        };
        for (name, help, value) in [
            (
                "directory_up",
                "1 if the directory answers",
                u64::from(view.directory != DirectoryHealth::Down),
            ),
            (
                "members",
                "Members of the pool that are known here",
                view.members.len() as u64,
            ),
            (
                "members_alive",
                "Members of the pool that look alive from here",
                view.members
                    .values()
                    .filter(|member| member.health == Health::Alive)
                    .count() as u64,
            ),
            (
                "ready",
                "1 if balancers may send clients here",
                u64::from(self.cluster.member.is_ready()),
            ),
            (
                "proxied_sockets",
                "Client sockets here whose rooms live elsewhere",
                self.cluster.proxied_sockets() as u64,
            ),
            ("rooms", "Rooms whose home is here", rooms.len() as u64),
            (
                "participants",
                "Participants in them",
                total(|s| s.participants),
            ),
            (
                "publishers",
                "Participants that publish",
                total(|s| s.publishers),
            ),
            ("tracks", "Published tracks", total(|s| s.tracks)),
            (
                "subscriptions",
                "Tracks forwarded to participants",
                total(|s| s.subscriptions),
            ),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge(value).encode(metric)?;
        }
        Ok(())
    }
}

impl Planes {
    /// What became of connections to the media TCP port.
    fn encode_tcp_port(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.engine.acceptor_stats();
        let mut metric = encoder.encode_descriptor(
            "media_tcp_connections",
            "Connections to the media TCP port, by what became of them",
            None,
            MetricType::Counter,
        )?;
        for (outcome, count) in [
            ("accepted", stats.accepted),
            ("handed_over", stats.handed_over),
            ("timed_out", stats.timed_out),
            ("displaced", stats.displaced),
            ("refused", stats.refused),
        ] {
            let label = [("outcome", outcome)];
            let labelled = metric.encode_family(&label)?;
            ConstCounter::new(count).encode(labelled)?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

//! What a Shard counts. Plain integers: the thread that owns it publishes a copy now and then.

use crate::counts::{Delays, Drops, Handshakes};

/// Counters since the start of the Shard, and a few gauges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// RTP packets that were opened.
    pub rtp_received: u64,
    /// Their bytes on the wire.
    pub rtp_received_bytes: u64,
    /// RTP packets sent to subscribers, with retransmissions.
    pub rtp_sent: u64,
    /// Their bytes on the wire.
    pub rtp_sent_bytes: u64,
    /// Retransmissions among them.
    pub rtx_sent: u64,
    /// RTCP datagrams that were opened.
    pub rtcp_received: u64,
    /// RTCP datagrams sent.
    pub rtcp_sent: u64,
    /// Runs handed to the sink.
    pub runs_sent: u64,
    /// Datagrams from addresses or with names that belong to no Transport.
    pub unknown_datagrams: u64,
    /// Connectivity checks from an address that another participant uses: dropped.
    pub contested_paths: u64,
    /// Packets that failed authentication, were replayed or came before the keys.
    pub unopened: u64,
    /// Packets whose lengths disagree.
    pub malformed: u64,
    /// Packets of no known track.
    pub unrouted: u64,
    /// Packets above what any encoder sends.
    pub over_rate: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that publishers sent and that did not come at first.
    pub uplink_lost: u64,
    /// Packets asked for again from publishers.
    pub nacks_sent: u64,
    /// Packets that subscribers asked for again.
    pub nacks_received: u64,
    /// Of those, not answered: answered a moment ago, or not kept any more.
    pub nacks_refused: u64,
    /// Key frames asked for from publishers.
    pub key_frame_requests_sent: u64,
    /// Key frames asked for by subscribers.
    pub key_frame_requests_received: u64,
    /// Layer switches of subscriptions.
    pub layer_switches: u64,
    /// Packets dropped in queues to subscribers.
    pub dropped: Drops,
    /// Datagrams dropped since the socket stayed full.
    pub blocked_dropped: u64,
    /// Packets not sent since their SRTP index had been used: a fault of this program, never to be other than 0.
    pub indices_refused: u64,
    /// Commands about unknown ids, or above a bound.
    pub commands_ignored: u64,
    /// Data messages routed, counted once per receiver.
    pub data_sent: u64,
    /// Data messages refused: not allowed, malformed, repeated, or the receiver too slow.
    pub data_refused: u64,
    /// Of those, messages above their sender's rate to receivers for whom much waits.
    pub data_over_rate: u64,
    /// Transports that connected, by what was negotiated.
    pub handshakes: Handshakes,
    /// From the arrival of packets until they were sent; retransmissions are not among them.
    pub delays: Delays,
    /// Bytes that histories hold now.
    pub history_bytes: usize,
    /// Transports now.
    pub transports: usize,
    /// Tracks now.
    pub tracks: usize,
    /// Subscriptions now.
    pub subscriptions: usize,
}

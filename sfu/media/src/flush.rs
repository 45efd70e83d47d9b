//! Sealing and sending: equal packets of one subscriber lie side by side in one buffer and leave in one call.

use std::time::Duration;

use plenum_transport::{MAX_SRTP_OVERHEAD, SealError};
use plenum_types::{DropReason, NtpTime, Path, Subject, Timestamp};
use smallvec::SmallVec;

use crate::{
    egress::{Priority, Queued},
    keys::TransportKey,
    sender::{Departure, write_packet},
    shard::Shard,
    sink::{Run, TransmitSink, Transmitted},
};

/// Datagrams of a run: the kernel's limit for UDP GSO.
const MAX_SEGMENTS: usize = 64;
/// Bytes of a run, below the 64 KB of an IP packet.
const MAX_RUN: usize = 60_000;
/// Longest packet that is sent: what an Ethernet frame carries over IPv4.
const MAX_PACKET: usize = 1_472;
/// Packets that waited longer than this are too late for conversation; what they belong to can be asked for again.
const MAX_AGE: Duration = Duration::from_millis(500);
/// How long a run may wait for a full socket.
const MAX_BLOCKED: Duration = Duration::from_millis(5);

/// The buffer that packets are sealed into, and what a full socket left over.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    buffer: Vec<u8>,
    kept: Vec<u8>,
    runs: SmallVec<[(Path, usize, usize); 2]>,
    blocked_since: Option<Timestamp>,
}

impl SendBuffer {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; MAX_RUN + MAX_PACKET + MAX_SRTP_OVERHEAD],
            kept: Vec::new(),
            runs: SmallVec::new(),
            blocked_since: None,
        }
    }

    /// When what is kept must be tried or dropped.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.blocked_since.map(|since| since + MAX_BLOCKED)
    }
}

/// A run under way: `start..end` of the buffer.
#[derive(Debug, Clone, Copy)]
struct Builder {
    path: Path,
    start: usize,
    end: usize,
    segment: usize,
}

impl Builder {
    fn is_full(&self) -> bool {
        self.segment > 0
            && ((self.end - self.start) / self.segment >= MAX_SEGMENTS || self.end >= MAX_RUN)
    }
}

impl Shard {
    /// Sends media; `false` if the sink is full.
    pub(crate) fn flush_media(&mut self, now: Timestamp, sink: &mut impl TransmitSink) -> bool {
        if !self.flush_kept(now, sink) {
            return false;
        }
        let ntp = self.wall.ntp(now);
        while let Some(key) = self.ready.front().copied() {
            if !self.flush_transport(now, ntp, key, sink) {
                return false;
            }
            self.ready.pop_front();
            if let Some(entry) = self.transports.get_mut(key) {
                entry.egress.ready = false;
            }
        }
        true
    }

    fn flush_kept(&mut self, now: Timestamp, sink: &mut impl TransmitSink) -> bool {
        let Some(since) = self.send.blocked_since else {
            return true;
        };
        let expired = now.saturating_since(since) >= MAX_BLOCKED;
        let mut at = 0;
        let mut done = 0;
        for (path, len, segment) in &self.send.runs {
            let contents = self.send.kept.get(at..at + len).unwrap_or_default();
            let run = Run {
                path: *path,
                contents,
                segment_size: *segment,
            };
            let segments = run.segments();
            match sink.transmit(run) {
                Transmitted::Sent => self.stats.runs_sent += 1,
                Transmitted::WouldBlock if expired => {
                    self.stats.blocked_dropped += segments as u64;
                }
                Transmitted::WouldBlock => break,
            }
            at += len;
            done += 1;
        }
        self.send.runs.drain(..done);
        self.send.kept.drain(..at);
        if self.send.runs.is_empty() {
            self.send.blocked_since = None;
            return true;
        }
        false
    }

    /// Seals and sends what waits for one client; `false` if the sink is full.
    fn flush_transport(
        &mut self,
        now: Timestamp,
        ntp: NtpTime,
        key: TransportKey,
        sink: &mut impl TransmitSink,
    ) -> bool {
        let Some(path) = self
            .transports
            .get(key)
            .and_then(|entry| entry.transport.send_path())
        else {
            self.drop_egress(now, key);
            return true;
        };
        let mut run = Builder {
            path,
            start: 0,
            end: 0,
            segment: 0,
        };
        while let Some((priority, queued)) = self
            .transports
            .get_mut(key)
            .and_then(|entry| entry.egress.pop())
        {
            let fresh = now.saturating_since(queued.since) <= MAX_AGE;
            let sealed = fresh.then(|| self.seal(key, ntp, priority, queued, run.end));
            let Some(len) = sealed.flatten() else {
                let why = if fresh {
                    DropReason::Gone
                } else {
                    DropReason::Late
                };
                self.drop_queued(now, key, priority, &queued, why);
                continue;
            };
            if priority != Priority::Retransmission {
                self.stats.delays.add(now.saturating_since(queued.since));
            }
            if run.segment == 0 {
                run.segment = len;
            } else if len > run.segment {
                // The new packet begins a run of its own, where it lies.
                let rest = (run.end, run.end + len);
                if !self.transmit(now, &mut run, sink) {
                    self.keep(path, rest.0, rest.1, len);
                    return false;
                }
                run.start = rest.0;
                run.end = rest.0;
                run.segment = len;
            }
            run.end += len;
            if (len < run.segment || run.is_full()) && !self.transmit(now, &mut run, sink) {
                return false;
            }
        }
        run.end == run.start || self.transmit(now, &mut run, sink)
    }

    /// Sends the run and begins an empty one; `false` if the sink is full: then it is kept.
    fn transmit(
        &mut self,
        now: Timestamp,
        run: &mut Builder,
        sink: &mut impl TransmitSink,
    ) -> bool {
        let contents = self.send.buffer.get(run.start..run.end).unwrap_or_default();
        let sent = sink.transmit(Run {
            path: run.path,
            contents,
            segment_size: run.segment,
        });
        if sent == Transmitted::WouldBlock {
            self.keep(run.path, run.start, run.end, run.segment);
            self.send.blocked_since = Some(now);
            return false;
        }
        self.stats.runs_sent += 1;
        run.start = 0;
        run.end = 0;
        run.segment = 0;
        true
    }

    fn keep(&mut self, path: Path, start: usize, end: usize, segment: usize) {
        let SendBuffer {
            buffer, kept, runs, ..
        } = &mut self.send;
        if let Some(contents) = buffer.get(start..end) {
            kept.extend_from_slice(contents);
            runs.push((path, contents.len(), segment));
        }
    }

    fn drop_egress(&mut self, now: Timestamp, key: TransportKey) {
        while let Some((priority, queued)) = self
            .transports
            .get_mut(key)
            .and_then(|entry| entry.egress.pop())
        {
            self.drop_queued(now, key, priority, &queued, DropReason::NoPath);
        }
    }

    fn drop_queued(
        &mut self,
        now: Timestamp,
        key: TransportKey,
        priority: Priority,
        queued: &Queued,
        why: DropReason,
    ) {
        let about = match self.subscriptions.get_mut(queued.subscription.index()) {
            Some(subscription) => {
                if why == DropReason::Late {
                    subscription.note_drop(now);
                }
                Subject::Subscription(subscription.id)
            }
            None => Subject::Transport,
        };
        self.note_drop(now, key, about, (priority.queue(), why));
    }

    /// Writes and seals a packet at `at` of the buffer; its length, or `None` if it can't be sent any more.
    fn seal(
        &mut self,
        key: TransportKey,
        ntp: NtpTime,
        priority: Priority,
        queued: Queued,
        at: usize,
    ) -> Option<usize> {
        let subscription = self.subscriptions.get_mut(queued.subscription.index())?;
        let track = self.tracks.get(subscription.track.index())?;
        let segment = subscription.segment_of(queued.out)?;
        let packet = track
            .layers
            .get(usize::from(segment.layer))?
            .history
            .get(segment.source(queued.out))?;
        let entry = self.transports.entries.get_mut(key.index())?;
        let clock_offset = packet.info.capture.and_then(|_| {
            self.rooms
                .get(track.room.index())?
                .clocks
                .get(&track.participant)?
                .offset()
        });
        let rtx = (priority == Priority::Retransmission).then_some(subscription.rtx_next);
        let departure = Departure {
            ntp,
            transport_sequence: entry.transport_sequence,
            with_mid: !subscription.acknowledged,
            clock_offset,
            out: queued.out,
            rtx,
        };
        let buffer = self.send.buffer.get_mut(at..at + MAX_PACKET)?;
        let written = write_packet(
            buffer.get_mut(..MAX_PACKET - MAX_SRTP_OVERHEAD)?,
            &subscription.params,
            &subscription.layout,
            segment,
            &packet,
            &departure,
        )?;
        let sealed = entry.transport.sealer()?.seal_rtp(
            rtx.unwrap_or(queued.out),
            written.header_len,
            buffer,
            written.len,
        );
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => {
                // It would be a fault of ours; the guard keeps it from being a leak.
                self.stats.indices_refused += u64::from(error == SealError::IndexUsed);
                return None;
            }
        };
        if subscription.layout.has_transport_cc() {
            entry.transport_sequence = entry.transport_sequence.wrapping_add(1);
        }
        if rtx.is_some() {
            subscription.rtx_next += 1;
            self.stats.rtx_sent += 1;
        } else {
            subscription.meter.add(sealed);
            subscription.packets = subscription.packets.wrapping_add(1);
            subscription.octets = subscription
                .octets
                .wrapping_add((written.len - written.header_len) as u32);
        }
        self.stats.rtp_sent += 1;
        self.stats.rtp_sent_bytes += sealed as u64;
        Some(sealed)
    }
}

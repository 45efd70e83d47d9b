//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).

use plenum_types::{Ssrc, Timestamp};

use super::RtcpWriter;
use crate::bytes::{u8_at, u16_at, u24_at};

/// Nanoseconds of a delta.
const DELTA_NANOS: u64 = 250_000;
/// Nanoseconds of the reference time's unit.
const REFERENCE_NANOS: u64 = 64_000_000;
/// Deltas in a unit of the reference time.
const DELTAS_PER_REFERENCE: u64 = REFERENCE_NANOS / DELTA_NANOS;
/// Most statuses in a message that we write: 256 packets are 100 ms at 30 Mbit/s.
pub const MAX_STATUSES: usize = 256;
/// Longest run of a run-length chunk (13 bits).
const MAX_RUN: usize = 0x1fff;
/// Symbols of a vector chunk with two bits each.
const VECTOR: usize = 7;

const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

/// A feedback message as it came.
#[derive(Debug, Clone, Copy)]
pub struct TransportFeedback<'a> {
    /// Number of the first packet.
    pub base_sequence: u16,
    /// How many packets it tells of.
    pub status_count: u16,
    /// Arrival time before the first delta, in 64 ms, 24 bits, signed.
    pub reference_time: i32,
    /// Grows with each message.
    pub feedback_count: u8,
    chunks: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            base_sequence: u16_at(body, 8)?,
            status_count: u16_at(body, 10)?,
            reference_time: (u24_at(body, 12)? << 8).cast_signed() >> 8,
            feedback_count: u8_at(body, 15)?,
            chunks: body.get(16..)?,
        })
    }

    /// Walks the packets as (sequence, arrival in units of 250 µs on the receiver's clock if it arrived). Ends early if the
    /// message does.
    #[must_use]
    pub fn packets(&self) -> Statuses<'a> {
        // Deltas follow the chunks, so their start is known after one walk over the chunks.
        let mut left = usize::from(self.status_count);
        let mut at = 0;
        while left > 0 {
            let Some(chunk) = u16_at(self.chunks, at) else {
                break;
            };
            at += 2;
            left = left.saturating_sub(chunk_len(chunk));
        }
        Statuses {
            chunks: self.chunks.get(..at).unwrap_or_default(),
            deltas: self.chunks.get(at..).unwrap_or_default(),
            chunk: 0,
            chunk_left: 0,
            left: self.status_count,
            sequence: self.base_sequence,
            time: i64::from(self.reference_time) * DELTAS_PER_REFERENCE as i64,
        }
    }
}

fn chunk_len(chunk: u16) -> usize {
    match chunk >> 14 {
        0b10 => 14,
        0b11 => VECTOR,
        _ => usize::from(chunk) & MAX_RUN,
    }
}

/// See [`TransportFeedback::packets`].
#[derive(Debug, Clone, Copy)]
pub struct Statuses<'a> {
    chunks: &'a [u8],
    deltas: &'a [u8],
    chunk: u16,
    chunk_left: usize,
    left: u16,
    sequence: u16,
    time: i64,
}

impl Statuses<'_> {
    fn symbol(&mut self) -> Option<u8> {
        while self.chunk_left == 0 {
            let (chunk, rest) = self.chunks.split_first_chunk::<2>()?;
            self.chunks = rest;
            self.chunk = u16::from_be_bytes(*chunk);
            self.chunk_left = chunk_len(self.chunk);
        }
        self.chunk_left -= 1;
        Some(match self.chunk >> 14 {
            0b10 => ((self.chunk >> self.chunk_left) & 1) as u8,
            0b11 => ((self.chunk >> (2 * self.chunk_left)) & 3) as u8,
            _ => ((self.chunk >> 13) & 3) as u8,
        })
    }
}

impl Iterator for Statuses<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let symbol = self.symbol()?;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let delta = match symbol {
            SMALL_DELTA => {
                let (delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                i64::from(*delta)
            }
            LARGE_DELTA => {
                let (delta, rest) = self.deltas.split_first_chunk::<2>()?;
                self.deltas = rest;
                i64::from(i16::from_be_bytes(*delta))
            }
            _ => return Some((sequence, None)),
        };
        self.time += delta;
        Some((sequence, Some(self.time)))
    }
}

/// The head of a message to write.
#[derive(Debug, Clone, Copy)]
pub struct FeedbackHead {
    /// Us.
    pub sender: Ssrc,
    /// Any stream of the publisher.
    pub media: Ssrc,
    /// Number of the first status.
    pub base_sequence: u16,
    /// Grows with each message.
    pub feedback_count: u8,
}

/// Appends a message about the packets from `head.base_sequence` on; `None` stands for one that did not arrive. Gives how
/// many of them it tells of: fewer than all if there are more than [`MAX_STATUSES`] or two arrivals lie too far apart, 0 if
/// nothing arrived or the buffer ends.
pub fn write(
    writer: &mut RtcpWriter<'_>,
    head: FeedbackHead,
    arrivals: &[Option<Timestamp>],
) -> usize {
    let Some(first) = arrivals.iter().flatten().next() else {
        return 0;
    };
    let reference = first.as_nanos() / REFERENCE_NANOS;
    let mut symbols = [NOT_RECEIVED; MAX_STATUSES];
    let mut deltas = [0i16; MAX_STATUSES];
    let mut count = 0;
    let mut time = (reference * DELTAS_PER_REFERENCE).cast_signed();
    for ((arrival, symbol), delta) in arrivals.iter().zip(&mut symbols).zip(&mut deltas) {
        if let Some(arrival) = arrival {
            let now = (arrival.as_nanos() / DELTA_NANOS).cast_signed();
            let Ok(step) = i16::try_from(now - time) else {
                break;
            };
            time = now;
            *delta = step;
            *symbol = if (0..=255).contains(&step) {
                SMALL_DELTA
            } else {
                LARGE_DELTA
            };
        }
        count += 1;
    }
    let (symbols, deltas) = (
        symbols.get(..count).unwrap_or_default(),
        deltas.get(..count).unwrap_or_default(),
    );
    let written = writer.packet(
        super::PT_TRANSPORT_FEEDBACK,
        super::FMT_TRANSPORT_CC,
        |body| {
            body.u32(head.sender.0)?;
            body.u32(head.media.0)?;
            body.u16(head.base_sequence)?;
            body.u16(count as u16)?;
            body.u32(((reference as u32) << 8) | u32::from(head.feedback_count))?;
            let mut rest = symbols;
            while let Some(&symbol) = rest.first() {
                let run = rest
                    .iter()
                    .take_while(|next| **next == symbol)
                    .count()
                    .min(MAX_RUN);
                if run >= VECTOR || run == rest.len() {
                    body.u16((u16::from(symbol) << 13) | run as u16)?;
                    rest = rest.get(run..).unwrap_or_default();
                } else {
                    let mut chunk = 0b11u16 << 14;
                    for (place, symbol) in rest.iter().take(VECTOR).enumerate() {
                        chunk |= u16::from(*symbol) << (2 * (VECTOR - 1 - place));
                    }
                    body.u16(chunk)?;
                    rest = rest.get(VECTOR..).unwrap_or_default();
                }
            }
            for (symbol, delta) in symbols.iter().zip(deltas) {
                match *symbol {
                    SMALL_DELTA => body.u8(*delta as u8)?,
                    LARGE_DELTA => body.u16(delta.cast_unsigned())?,
                    _ => {}
                }
            }
            body.pad()
        },
    );
    if written { count } else { 0 }
}

/// What a receiver's status list says, for the units above: arrival in nanoseconds.
#[must_use]
pub fn arrival_nanos(units: i64) -> i64 {
    units.saturating_mul(DELTA_NANOS as i64)
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    fn round_trip(arrivals: &[Option<Timestamp>]) -> (usize, Vec<(u16, Option<i64>)>) {
        let mut buffer = [0u8; 1500];
        let mut writer = RtcpWriter::new(&mut buffer);
        let head = FeedbackHead {
            sender: Ssrc(1),
            media: Ssrc(2),
            base_sequence: 65_530,
            feedback_count: 9,
        };
        let count = write(&mut writer, head, arrivals);
        let len = writer.len();
        assert_eq!(len % 4, 0);
        let read = Compound::new(&buffer[..len])
            .filter_map(|packet| match packet {
                RtcpPacket::TransportFeedback(feedback) => Some(feedback),
                _ => None,
            })
            .flat_map(|feedback| feedback.packets().collect::<Vec<_>>())
            .collect();
        (count, read)
    }

    #[test]
    fn arrivals_read_back_in_quarter_milliseconds() {
        let arrivals: Vec<_> = (0..100u64)
            .map(|n| {
                (n % 11 != 3).then(|| {
                    Timestamp::from_nanos(5_000_000_000 + n * 700_000 + (n % 5) * 90_000_000)
                })
            })
            .collect();
        let (count, read) = round_trip(&arrivals);
        assert_eq!(count, 100);
        assert_eq!(read.len(), 100);
        for (n, ((sequence, time), sent)) in read.iter().zip(&arrivals).enumerate() {
            assert_eq!(*sequence, 65_530u16.wrapping_add(n as u16));
            assert_eq!(
                *time,
                sent.map(|at| (at.as_nanos() / DELTA_NANOS).cast_signed())
            );
        }
    }

    #[test]
    fn a_gap_too_long_for_a_delta_ends_the_message() {
        let arrivals = [
            Some(Timestamp::from_millis(1)),
            Some(Timestamp::from_millis(20_000)),
        ];
        let (count, read) = round_trip(&arrivals);
        assert_eq!((count, read.len()), (1, 1));
    }

    #[test]
    fn nothing_received_writes_nothing() {
        assert_eq!(round_trip(&[None, None]), (0, Vec::new()));
    }
}

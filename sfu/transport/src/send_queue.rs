//! Messages that wait for room in the SCTP association, whose own sending gets slow with a long backlog.

use plenum_types::{DataChannel, Timestamp};
use std::{collections::VecDeque, time::Duration};

/// Most bytes of reliable messages that wait for one client.
const MAX_RELIABLE: usize = 1 << 20;
/// Longest that a reliable message waits: a client that takes nothing for so long is better off with a new connection.
const MAX_RELIABLE_AGE: Duration = Duration::from_secs(5);
/// Most bytes of messages that wait on each lossy channel: a fraction of a second on a slow link. Beyond, the oldest is
/// worth least.
const MAX_LOSSY: usize = 64 * 1024;
/// What a queued message costs besides its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

/// Too many reliable messages wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// A message and its channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueuedMessage {
    pub(crate) channel: DataChannel,
    pub(crate) payload: Vec<u8>,
    queued_at: Timestamp,
}

#[derive(Default)]
struct Fifo {
    messages: VecDeque<QueuedMessage>,
    bytes: usize,
}

impl Fifo {
    fn push(&mut self, message: QueuedMessage) {
        self.bytes += message.payload.len() + OVERHEAD;
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<QueuedMessage> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.len() + OVERHEAD;
        Some(message)
    }
}

/// Messages to one client by channel, sent in turns so that none starves another.
#[derive(Default)]
pub(crate) struct SendQueue {
    reliable: Fifo,
    lossy: Fifo,
    data_track: Fifo,
    /// Whose turn it was, as a position in [`DataChannel::ALL`].
    turn: usize,
    dropped: u64,
}

impl SendQueue {
    /// Adds a message. A lossy one that finds no room takes that of the oldest.
    pub(crate) fn push(
        &mut self,
        channel: DataChannel,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<(), Overflow> {
        let needed = payload.len() + OVERHEAD;
        let message = QueuedMessage {
            channel,
            payload: payload.to_vec(),
            queued_at: now,
        };
        let is_reliable = channel == DataChannel::Reliable;
        let mut dropped = 0;
        let fifo = self.fifo(channel);
        if is_reliable && fifo.bytes + needed > MAX_RELIABLE {
            return Err(Overflow);
        }
        while !is_reliable && fifo.bytes + needed > MAX_LOSSY && fifo.pop().is_some() {
            dropped += 1;
        }
        fifo.push(message);
        self.dropped += dropped;
        Ok(())
    }

    /// The next message to send.
    pub(crate) fn pop(&mut self) -> Option<QueuedMessage> {
        let count = DataChannel::ALL.len();
        for offset in 1..=count {
            let turn = (self.turn + offset) % count;
            if let Some(channel) = DataChannel::ALL.get(turn)
                && let Some(message) = self.fifo(*channel).pop()
            {
                self.turn = turn;
                return Some(message);
            }
        }
        None
    }

    /// When the oldest reliable message will have waited too long.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let oldest = self.reliable.messages.front()?;
        Some(oldest.queued_at + MAX_RELIABLE_AGE)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        for channel in DataChannel::ALL {
            *self.fifo(channel) = Fifo::default();
        }
    }

    /// Bytes that wait on a channel.
    pub(crate) const fn waiting(&self, channel: DataChannel) -> usize {
        match channel {
            DataChannel::Reliable => self.reliable.bytes,
            DataChannel::Lossy => self.lossy.bytes,
            DataChannel::DataTrack => self.data_track.bytes,
        }
    }

    const fn fifo(&mut self, channel: DataChannel) -> &mut Fifo {
        match channel {
            DataChannel::Reliable => &mut self.reliable,
            DataChannel::Lossy => &mut self.lossy,
            DataChannel::DataTrack => &mut self.data_track,
        }
    }

    /// Lossy messages that made room for newer ones.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::ZERO;

    #[test]
    fn reliable_messages_are_bounded_in_bytes_and_age() {
        let mut queue = SendQueue::default();
        assert_eq!(queue.deadline(), None);
        let message = vec![0; 60_000];
        let taken = (0..100)
            .take_while(|_| queue.push(DataChannel::Reliable, &message, NOW).is_ok())
            .count();
        assert_eq!(taken, 17);
        assert_eq!(queue.deadline(), Some(NOW + MAX_RELIABLE_AGE));
        let mut queue = SendQueue::default();
        let empty =
            (0..1_000_000).take_while(|_| queue.push(DataChannel::Reliable, &[], NOW).is_ok());
        assert_eq!(empty.count(), MAX_RELIABLE / OVERHEAD);
    }

    #[test]
    fn the_oldest_lossy_message_makes_room() {
        let mut queue = SendQueue::default();
        for number in 0..100u8 {
            queue
                .push(DataChannel::Lossy, &[number; 1000], NOW)
                .unwrap();
        }
        assert_eq!(queue.dropped(), 100 - 61);
        assert_eq!(queue.pop().unwrap().payload[0], 39);
    }

    #[test]
    fn no_channel_starves_another() {
        let mut queue = SendQueue::default();
        for _ in 0..2 {
            queue.push(DataChannel::Reliable, &[0], NOW).unwrap();
            queue.push(DataChannel::Lossy, &[1], NOW).unwrap();
            queue.push(DataChannel::DataTrack, &[2], NOW).unwrap();
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|message| message.payload[0])
            .collect();
        assert_eq!(order, [1, 2, 0, 1, 2, 0]);
    }
}

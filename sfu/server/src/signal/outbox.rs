//! Frames on their way to one client: bounded, and a client that does not read loses its connection, nobody else's.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// What may wait for a client.
#[derive(Debug, Clone, Copy)]
struct Bound {
    messages: usize,
    /// One message may be larger, if nothing else waits.
    bytes: usize,
}

/// Until a client has read all that it got as it came in, everybody's state among it: 250 participants with 128 KiB of
/// metadata and attributes each, in as many messages, and what happens meanwhile.
const GREETING: Bound = Bound {
    messages: 1024,
    bytes: 32 * 1024 * 1024,
};
/// From then on.
const TALK: Bound = Bound {
    messages: 256,
    bytes: 1024 * 1024,
};

/// What the socket's writer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// An encoded `livekit.SignalResponse`.
    Frame(Bytes),
    /// Close with this reason; nothing follows.
    Close(&'static str),
    /// Cut the connection without a Leave: the client resumes. Nothing follows.
    Cut,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Outgoing>,
    /// The client has begun to read.
    has_read: bool,
    /// It has had nothing left to read.
    caught_up: bool,
}

impl State {
    fn is_full_for(&self, frame: &Bytes) -> bool {
        let bound = if self.caught_up { TALK } else { GREETING };
        self.frames.len() >= bound.messages
            || (!self.frames.is_empty() && self.bytes + frame.len() > bound.bytes)
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room's end. Dropping it cuts the connection after what was sent.
#[derive(Debug)]
pub struct Outbox(Arc<Shared>);

/// The socket's end.
#[derive(Debug)]
pub struct OutboxReader(Arc<Shared>);

/// A queue to one client.
#[must_use]
pub fn outbox() -> (Outbox, OutboxReader) {
    let shared = Arc::new(Shared::default());
    (Outbox(shared.clone()), OutboxReader(shared))
}

impl Outbox {
    /// Queues a frame. `false` if the client reads too slowly: what waited is dropped and the connection is cut.
    pub fn send(&self, frame: Bytes) -> bool {
        let mut state = self.0.state();
        if state.end.is_some() {
            return !matches!(state.end, Some(Outgoing::Cut));
        }
        let full = state.is_full_for(&frame);
        if full {
            *state = State {
                end: Some(Outgoing::Cut),
                ..State::default()
            };
        } else {
            state.bytes += frame.len();
            state.frames.push_back(frame);
        }
        drop(state);
        self.0.changed.notify_one();
        !full
    }

    /// Closes the connection after what was sent.
    pub fn close(&self, reason: &'static str) {
        self.end(Outgoing::Close(reason));
    }

    fn end(&self, how: Outgoing) {
        self.0.state().end.get_or_insert(how);
        self.0.changed.notify_one();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end(Outgoing::Cut);
    }
}

impl OutboxReader {
    /// The next frame, or how the connection ends. After the end it says the same again.
    pub async fn next(&mut self) -> Outgoing {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.0.state();
                if let Some(frame) = state.frames.pop_front() {
                    state.bytes -= frame.len();
                    state.has_read = true;
                    return Outgoing::Frame(frame);
                }
                if let Some(end) = &state.end {
                    return end.clone();
                }
                state.caught_up = state.has_read;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn frames_arrive_in_order_and_then_the_close() {
        let (outbox, mut reader) = outbox();
        assert!(outbox.send(Bytes::from_static(b"a")));
        outbox.close("bye");
        assert!(outbox.send(Bytes::from_static(b"late")));
        drop(outbox);
        assert_eq!(
            reader.next().await,
            Outgoing::Frame(Bytes::from_static(b"a"))
        );
        assert_eq!(reader.next().await, Outgoing::Close("bye"));
        assert_eq!(reader.next().await, Outgoing::Close("bye"));
    }

    /// To a client that has read its greeting.
    fn talking() -> (Outbox, OutboxReader) {
        let (outbox, mut reader) = outbox();
        assert!(outbox.send(Bytes::from_static(b"hello")));
        assert!(reader.next().now_or_never().is_some());
        assert!(reader.next().now_or_never().is_none());
        (outbox, reader)
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut() {
        let (outbox, mut reader) = talking();
        for _ in 0..TALK.messages {
            assert!(outbox.send(Bytes::from_static(b"x")));
        }
        assert!(!outbox.send(Bytes::from_static(b"x")));
        assert_eq!(reader.next().await, Outgoing::Cut);
    }

    #[tokio::test]
    async fn bytes_are_bounded_but_one_large_message_passes() {
        let (outbox, mut reader) = talking();
        let large = Bytes::from(vec![0; TALK.bytes + 1]);
        assert!(outbox.send(large.clone()));
        assert_eq!(reader.next().await, Outgoing::Frame(large.clone()));
        assert!(outbox.send(large));
        assert!(!outbox.send(Bytes::from_static(b"x")));
        assert_eq!(reader.next().await, Outgoing::Cut);
    }

    #[tokio::test]
    async fn a_room_of_many_with_large_metadata_can_be_joined_and_resumed() {
        let (outbox, mut reader) = outbox();
        let part = Bytes::from(vec![0; 128 * 1024]);
        // The first answer is taken before the socket is read.
        assert!(outbox.send(part.clone()));
        assert_eq!(reader.next().await, Outgoing::Frame(part.clone()));
        for _ in 0..200 {
            assert!(outbox.send(part.clone()));
        }
        for _ in 0..100 {
            assert!(!outbox.send(part.clone()) || outbox.0.state().bytes <= GREETING.bytes);
        }
        assert_eq!(reader.next().await, Outgoing::Cut);
    }

    #[tokio::test]
    async fn a_dropped_room_cuts_its_connections() {
        let (outbox, mut reader) = outbox();
        drop(outbox);
        assert_eq!(reader.next().await, Outgoing::Cut);
    }
}

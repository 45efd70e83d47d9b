//! Frames on their way to one client: bounded, and a client that does not read loses its connection, nobody else's.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

/// Most messages that wait for a client. A join to a full room is a few dozen.
const MAX_MESSAGES: usize = 256;
/// Most bytes that wait for a client. One message may be larger, if nothing else waits.
const MAX_BYTES: usize = 1024 * 1024;

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
        let full = state.frames.len() >= MAX_MESSAGES
            || (!state.frames.is_empty() && state.bytes + frame.len() > MAX_BYTES);
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
                    return Outgoing::Frame(frame);
                }
                if let Some(end) = &state.end {
                    return end.clone();
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut() {
        let (outbox, mut reader) = outbox();
        for _ in 0..MAX_MESSAGES {
            assert!(outbox.send(Bytes::from_static(b"x")));
        }
        assert!(!outbox.send(Bytes::from_static(b"x")));
        assert_eq!(reader.next().await, Outgoing::Cut);
    }

    #[tokio::test]
    async fn bytes_are_bounded_but_one_large_message_passes() {
        let (outbox, mut reader) = outbox();
        let large = Bytes::from(vec![0; MAX_BYTES + 1]);
        assert!(outbox.send(large.clone()));
        assert_eq!(reader.next().await, Outgoing::Frame(large.clone()));
        assert!(outbox.send(large));
        assert!(!outbox.send(Bytes::from_static(b"x")));
        assert_eq!(reader.next().await, Outgoing::Cut);
    }

    #[tokio::test]
    async fn a_dropped_room_cuts_its_connections() {
        let (outbox, mut reader) = outbox();
        drop(outbox);
        assert_eq!(reader.next().await, Outgoing::Cut);
    }
}

//! Clients and callers that wait for a room: so many, and no more.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// As many as come back at once when a large room has moved. With bodies of 2 MiB each they are most of what a member has.
const PLACES: usize = 1024;

/// The places of one room. Its inbox has no bound of its own, since what Shards and members say must not be lost; joins
/// and calls take a place each, and are refused when there is none.
#[derive(Debug, Clone)]
pub(super) struct Waiting(Arc<Semaphore>);

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place(
    #[expect(dead_code, reason = "frees the place when dropped")] OwnedSemaphorePermit,
);

/// All places are taken.
#[derive(Debug, thiserror::Error)]
#[error("{PLACES} clients and calls wait for the room already; try again")]
pub(super) struct Busy;

impl Waiting {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }

    pub(super) fn take(&self) -> Result<Place, Busy> {
        let permit = self.0.clone().try_acquire_owned();
        permit.map(Place).map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::task::RoomMessage;
    use plenum_room::ApiRequest;
    use tokio::sync::{mpsc, oneshot};

    #[test]
    fn a_room_that_hangs_refuses_calls_once_so_many_wait() {
        let waiting = Waiting::new();
        let (messages, mut inbox) = mpsc::unbounded_channel();
        let call = || -> Result<(), Busy> {
            let place = waiting.take()?;
            let (answer, _) = oneshot::channel();
            let request = Box::new(ApiRequest::GetRoom);
            let _ = messages.send(RoomMessage::Call(request, answer, place));
            Ok(())
        };
        for _ in 0..PLACES {
            call().unwrap();
        }
        assert!(call().unwrap_err().to_string().contains("try again"));
        // It goes on.
        drop(inbox.try_recv());
        call().unwrap();
        assert!(call().is_err());
    }
}

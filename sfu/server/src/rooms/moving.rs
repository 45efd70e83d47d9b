//! A planned move, as the room's task sees it.

use std::{fmt, pin::Pin};

use bytes::Bytes;

/// The room stays here, or never was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// There is no such room on this member any more.
    #[error("the room is not here")]
    NotHere,
    /// It has no snapshot: it is ending.
    #[error("the room is ending")]
    Ending,
    /// No other member takes it now.
    #[error("{0}")]
    NoTarget(String),
}

type Moving = Pin<Box<dyn Future<Output = Result<(), MoveError>> + Send>>;

/// What makes another member the home of a room, given the room's last snapshot.
pub struct Mover(Box<dyn FnOnce(Bytes) -> Moving + Send>);

impl Mover {
    /// From an asynchronous function.
    pub fn new<F: Future<Output = Result<(), MoveError>> + Send + 'static>(
        work: impl FnOnce(Bytes) -> F + Send + 'static,
    ) -> Self {
        Self(Box::new(|snapshot| Box::pin(work(snapshot))))
    }

    pub(super) async fn carry_out(self, snapshot: Bytes) -> Result<(), MoveError> {
        (self.0)(snapshot).await
    }
}

impl fmt::Debug for Mover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mover")
    }
}

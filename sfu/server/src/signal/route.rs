//! Which room's task a connection's frames go to.

use std::sync::{Arc, Mutex, PoisonError};

use plenum_room::ConnectionId;
use tokio::sync::mpsc;

use super::Inbound;

/// The task that gets a connection's frames: another one after a move to another room.
#[derive(Debug, Clone)]
pub struct FrameRoute(Arc<Mutex<mpsc::UnboundedSender<(ConnectionId, Inbound)>>>);

impl FrameRoute {
    /// To one room.
    #[must_use]
    pub fn new(inbox: mpsc::UnboundedSender<(ConnectionId, Inbound)>) -> Self {
        Self(Arc::new(Mutex::new(inbox)))
    }

    /// Where frames go now.
    #[must_use]
    pub fn inbox(&self) -> mpsc::UnboundedSender<(ConnectionId, Inbound)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Frames go elsewhere from now on.
    pub fn turn(&self, inbox: mpsc::UnboundedSender<(ConnectionId, Inbound)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = inbox;
    }
}

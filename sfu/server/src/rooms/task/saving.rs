//! What outlives this member is stored beside the claim (claims.md rule 15).

use std::time::Duration;

use plenum_cluster::membership::DirectoryHealth;
use plenum_room::RoomSnapshot;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{DIRECTORY_WAIT, RoomTask};
use crate::rooms::{MoveError, Mover};

/// Changes that clients made to what must not be lost are gathered this long (claims.md rule 15).
const SAVE_DELAY: Duration = Duration::from_millis(250);

impl RoomTask {
    /// The snapshot goes to the member that becomes the room's home.
    pub(super) async fn move_out(&mut self, mover: Mover) -> Result<(), MoveError> {
        self.saved().await;
        let snapshot = self
            .snapshot()
            .and_then(|snapshot| serde_json::to_vec(&snapshot).ok())
            .ok_or(MoveError::Ending)?;
        mover.carry_out(snapshot.into()).await
    }

    /// With the agents, which the room itself knows nothing of.
    fn snapshot(&self) -> Option<RoomSnapshot> {
        let snapshot = self.room.snapshot()?;
        Some(snapshot.with_agents(self.rooms.config.agents.kept(&self.name)))
    }

    /// Stores the snapshot before anything else happens.
    pub(super) async fn save_now(&mut self) {
        self.saved().await;
        self.start_save();
        // What can't be written now is kept by the membership, which writes it later.
        if self.rooms.config.membership.view().directory != DirectoryHealth::Down {
            self.saved().await;
        }
    }

    /// Stores the snapshot with what else changes in the next moment.
    pub(super) fn save_soon(&mut self) {
        if self.save_at.is_none() {
            self.save_at = Some(self.now() + SAVE_DELAY);
        }
    }

    pub(super) fn save_if_due(&mut self) {
        if self.save_at.is_none_or(|at| at > self.now()) {
            return;
        }
        if self
            .saving
            .as_ref()
            .is_some_and(|saving| !saving.is_finished())
        {
            self.save_at = Some(self.now() + SAVE_DELAY);
        } else {
            self.start_save();
        }
    }

    /// Waits until what is being stored is stored.
    async fn saved(&mut self) {
        if let Some(saving) = self.saving.take() {
            let _ = saving.await;
        }
    }

    fn start_save(&mut self) {
        self.save_at = None;
        let Some(snapshot) = self.snapshot() else {
            return;
        };
        let bytes = match serde_json::to_vec(&snapshot) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "the room's snapshot can't be written");
                return;
            }
        };
        let membership = self.rooms.config.membership.clone();
        let key = self.key.clone();
        let save = async move {
            let saved = timeout(DIRECTORY_WAIT, membership.save_snapshot(&key, bytes.into())).await;
            let failed = match saved {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", DIRECTORY_WAIT.as_secs()),
            };
            tracing::debug!(error = failed, "the room's snapshot is not stored yet");
        };
        self.saving = Some(tokio::spawn(save.in_current_span()));
    }
}

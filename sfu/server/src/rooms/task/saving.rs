//! What outlives this member is stored beside the claim (claims.md rule 15).

use std::time::Duration;

use plenum_cluster::{
    DirectoryError,
    directory::{self, Refused},
    membership::{CallError, DirectoryHealth},
};
use plenum_room::{LeftOut, RoomSnapshot, snapshot};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{DIRECTORY_WAIT, RoomTask};
use crate::rooms::{MoveError, Mover};

/// Changes that clients made to what must not be lost are gathered this long (claims.md rule 15).
const SAVE_DELAY: Duration = Duration::from_millis(250);
// What a room writes the Directory takes.
const _: () = assert!(snapshot::MAX_SNAPSHOT_BYTES <= directory::MAX_SNAPSHOT_BYTES);

/// Why a snapshot is not in the Directory, in a word for metrics.
pub(in crate::rooms) fn fault_of(error: &CallError) -> &'static str {
    match error {
        CallError::Directory(DirectoryError::Refused(Refused::TooLarge { .. })) => "too_large",
        CallError::HeldBy(_) | CallError::NotHome(_) | CallError::NotServing(_) => "refused",
        _ => "unavailable",
    }
}

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
    fn snapshot(&mut self) -> Option<RoomSnapshot> {
        let snapshot = self.room.snapshot()?;
        let snapshot = snapshot.with_agents(self.rooms.config.agents.kept(&self.name));
        self.tell_left_out(snapshot.left_out);
        Some(snapshot)
    }

    /// Counts each time and logs the first of each kind, since the next change may bring it again.
    fn tell_left_out(&mut self, now: LeftOut) {
        if now == LeftOut::default() {
            return;
        }
        self.rooms.config.metrics.snapshot_fault("left_out");
        let before = self.left_out;
        self.left_out = LeftOut {
            texts: before.texts.max(now.texts),
            jobs: before.jobs.max(now.jobs),
            participants: before.participants.max(now.participants),
        };
        let is_first = |before: usize, now: usize| before == 0 && now > 0;
        if is_first(before.texts, now.texts)
            || is_first(before.jobs, now.jobs)
            || is_first(before.participants, now.participants)
        {
            tracing::warn!(
                texts = now.texts,
                jobs = now.jobs,
                participants = now.participants,
                limit = snapshot::MAX_SNAPSHOT_BYTES,
                "the room's snapshot has no place for all texts of participants, jobs of agents and permissions"
            );
        }
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
        let metrics = self.rooms.config.metrics.clone();
        let key = self.key.clone();
        let save = async move {
            let saved = timeout(DIRECTORY_WAIT, membership.save_snapshot(&key, bytes.into())).await;
            let (fault, error) = match saved {
                Ok(Ok(())) => return,
                Ok(Err(error)) => (fault_of(&error), error.to_string()),
                Err(_) => (
                    "unavailable",
                    format!("no answer within {} s", DIRECTORY_WAIT.as_secs()),
                ),
            };
            metrics.snapshot_fault(fault);
            if fault == "too_large" {
                tracing::warn!(
                    error,
                    "the room's snapshot is not stored; the one before stays"
                );
            } else {
                tracing::debug!(error, "the room's snapshot is not stored yet");
            }
        };
        self.saving = Some(tokio::spawn(save.in_current_span()));
    }
}

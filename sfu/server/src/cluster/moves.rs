//! Planned moves (claims.md rule 14): the target acknowledges the room's snapshot, the source changes the claim, the target
//! opens the room, and then the source sends its participants there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use plenum_cluster::{
    Epoch, RoomKey,
    clock::boottime,
    member_api::{MemberState, Refusal},
    membership::MemberView,
};
use plenum_room::RoomSnapshot;
use plenum_types::RoomName;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Cluster;
use crate::rooms::{Held, MoveError, Mover};

/// The target forgets a preparation that is not used.
const PREPARED_FOR: Duration = Duration::from_secs(10);
/// Rooms that may be prepared at a time; a drain prepares one after the other.
const MAX_PREPARED: usize = 1024;
/// How long the target may take for each of its two steps.
const STEP: Duration = Duration::from_secs(1);

/// Body of `PUT /internal/v1/moves/{room}`: will you take this room?
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PrepareMove {
    /// JSON of the room's snapshot.
    pub(crate) snapshot: String,
}

/// Body of `POST /internal/v1/moves/{room}`: it is yours.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FinishMove {
    /// Epoch of the new claim.
    pub(crate) epoch: Epoch,
}

/// Rooms that this member has agreed to take.
#[derive(Debug, Default)]
pub struct Prepared(Mutex<HashMap<RoomKey, (Duration, Bytes)>>);

/// There is no preparation of this room, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no move of this room was prepared in the last {} s", PREPARED_FOR.as_secs())]
pub struct UnknownMove;

impl Prepared {
    /// Keeps a snapshot for a while; `false` if too many are kept.
    fn keep(&self, now: Duration, room: &RoomKey, snapshot: Bytes) -> bool {
        let mut prepared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.retain(|_, (until, _)| *until > now);
        if prepared.len() >= MAX_PREPARED {
            return false;
        }
        prepared.insert(room.clone(), (now + PREPARED_FOR, snapshot));
        true
    }

    fn take(&self, now: Duration, room: &RoomKey) -> Result<Bytes, UnknownMove> {
        let mut prepared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match prepared.remove(room) {
            Some((until, snapshot)) if until > now => Ok(snapshot),
            _ => Err(UnknownMove),
        }
    }
}

impl Cluster {
    /// The target's first step.
    ///
    /// # Errors
    /// This member does not take the room.
    pub(crate) fn prepare_move(&self, room: &RoomKey, snapshot: String) -> Result<(), Refusal> {
        let refuse = |reason: &str, message: String| {
            Err(Refusal {
                reason: reason.to_owned(),
                message,
            })
        };
        let state = self.membership.view().state;
        if state != MemberState::Serving {
            return refuse(
                "Draining",
                format!("this member is {state:?} and takes no rooms"),
            );
        }
        let limit = self.rooms.defaults().max_rooms;
        if limit > 0 && self.rooms.count() >= limit {
            return refuse(
                "AtCapacity",
                format!("this member serves {limit} rooms, its limit"),
            );
        }
        if let Err(error) = RoomSnapshot::parse(snapshot.as_bytes()) {
            return refuse("AtCapacity", format!("the snapshot can't be used: {error}"));
        }
        if self.prepared.keep(boottime(), room, snapshot.into()) {
            Ok(())
        } else {
            refuse(
                "AtCapacity",
                format!("{MAX_PREPARED} moves are prepared already; try again"),
            )
        }
    }

    /// The target's second step: the claim is ours, the room opens.
    ///
    /// # Errors
    /// Nothing was prepared, or this member is fenced. The claim brings the room here all the same.
    pub(crate) async fn finish_move(
        self: &Arc<Self>,
        room: &RoomKey,
        epoch: Epoch,
    ) -> anyhow::Result<()> {
        let snapshot = self.prepared.take(boottime(), room)?;
        self.membership
            .accept(room, epoch, Some(snapshot.clone()))?;
        let name: RoomName = room.name().into();
        let held = Held {
            epoch,
            snapshot: Some(snapshot),
        };
        let settings = self.rooms.defaults().settings.clone();
        self.rooms.create(&name, settings, held).await?;
        Ok(())
    }

    /// The source's part of the move of one room.
    ///
    /// # Errors
    /// The room is gone, or stays here.
    pub(crate) async fn move_room(self: &Arc<Self>, name: &RoomName) -> Result<(), MoveError> {
        let key = RoomKey::new(name.as_str()).map_err(|_| MoveError::NotHere)?;
        let no_target = |error: &dyn std::fmt::Display| MoveError::NoTarget(error.to_string());
        let target = self
            .membership
            .choose_target(&key)
            .map_err(|error| no_target(&error))?;
        let cluster = self.clone();
        let mover =
            Mover::new(
                move |snapshot| async move { cluster.hand_over(&key, &target, snapshot).await },
            );
        self.rooms.move_out(name, mover).await?;
        self.metrics.rooms_moved.inc();
        Ok(())
    }

    async fn hand_over(
        &self,
        room: &RoomKey,
        target: &MemberView,
        snapshot: Bytes,
    ) -> Result<(), MoveError> {
        let node = &target.record.holder.node;
        let no_target = |why: String| MoveError::NoTarget(format!("{node}: {why}"));
        let text = String::from_utf8(snapshot.to_vec())
            .map_err(|_| no_target("the snapshot is no text".to_owned()))?;
        let address = &target.record.internal_address;
        let path = format!("moves/{}", room.escaped());
        let body = PrepareMove { snapshot: text };
        let reply = self
            .peers
            .send(Method::PUT, address, &path, &body, STEP)
            .await
            .map_err(|error| no_target(error.to_string()))?;
        if reply.status != 204 {
            return Err(no_target(String::from_utf8_lossy(&reply.body).into_owned()));
        }
        let epoch = self
            .membership
            .hand_over(room, &target.record.holder, snapshot)
            .await
            .map_err(|error| no_target(error.to_string()))?;
        tracing::info!(room = %room.escaped(), to = %node, %epoch, "room moved");
        // From here on the room is the target's, whatever it answers: its claim says so, too.
        match self
            .peers
            .send(Method::POST, address, &path, &FinishMove { epoch }, STEP)
            .await
        {
            Ok(reply) if reply.status == 204 => {}
            Ok(reply) => {
                tracing::warn!(room = %room.escaped(), to = %node, status = reply.status, "the room opens there with its next join");
            }
            Err(error) => {
                tracing::warn!(room = %room.escaped(), to = %node, %error, "the room opens there with its next join");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unused_preparation_is_forgotten() {
        let prepared = Prepared::default();
        let room = RoomKey::new("a").unwrap();
        let start = Duration::from_secs(100);
        assert!(prepared.keep(start, &room, Bytes::from_static(b"{}")));
        assert_eq!(prepared.take(start + PREPARED_FOR, &room), Err(UnknownMove));
        assert!(prepared.keep(start, &room, Bytes::from_static(b"{}")));
        assert!(prepared.take(start, &room).is_ok());
        assert_eq!(prepared.take(start, &room), Err(UnknownMove));
    }

    #[test]
    fn so_many_moves_are_prepared_and_no_more_until_they_are_forgotten() {
        let prepared = Prepared::default();
        let start = Duration::from_secs(100);
        let keep = |number: usize, now| {
            let room = RoomKey::new(format!("room-{number}")).unwrap();
            prepared.keep(now, &room, Bytes::from_static(b"{}"))
        };
        assert!((0..MAX_PREPARED).all(|number| keep(number, start)));
        assert!(!keep(MAX_PREPARED, start));
        assert!(keep(MAX_PREPARED, start + PREPARED_FOR));
    }
}

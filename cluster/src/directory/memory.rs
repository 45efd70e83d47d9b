//! The Directory of a standalone process, and of tests with several members in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Beat, Changed, Claim, Claimed, Directory, DirectoryError, EndReason, Ended, Holder,
    MAX_SNAPSHOT_BYTES, MAX_SPEC_BYTES, MemberRecord, MemberRow, Members, Move, Refused,
    Registered, SpecStored, Taken, check_size,
};
use crate::clock::unix_millis;
use crate::member_api::RoomSpec;
use crate::{Epoch, Incarnation, NodeId, RoomKey};

/// A Directory that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<NodeId, MemberRow>,
    tombstones: BTreeSet<Incarnation>,
    claims: BTreeMap<RoomKey, Stored>,
    ended: BTreeMap<RoomKey, Ended>,
    specs: BTreeMap<RoomKey, RoomSpec>,
    highest: Epoch,
}

#[derive(Debug)]
struct Stored {
    holder: Holder,
    epoch: Epoch,
    snapshot: Option<Bytes>,
}

impl Stored {
    fn claim(&self, room: &RoomKey) -> Claim {
        Claim {
            room: room.clone(),
            holder: self.holder.clone(),
            epoch: self.epoch,
        }
    }

    fn is(&self, claim: &Claim) -> bool {
        self.holder.incarnation == claim.holder.incarnation && self.epoch == claim.epoch
    }
}

impl State {
    fn next_epoch(&mut self, seen: Epoch) -> Epoch {
        self.highest = self.highest.max(seen).next().max(Epoch::new(unix_millis()));
        self.highest
    }

    fn living(&self, incarnation: Incarnation) -> Result<(), DirectoryError> {
        if self.tombstones.contains(&incarnation) {
            return Err(DirectoryError::Refused(Refused::Tombstoned(incarnation)));
        }
        Ok(())
    }

    fn set(
        &mut self,
        room: &RoomKey,
        holder: &Holder,
        seen: Epoch,
        snapshot: Option<Bytes>,
    ) -> Epoch {
        let epoch = self.next_epoch(seen);
        self.claims.insert(
            room.clone(),
            Stored {
                holder: holder.clone(),
                epoch,
                snapshot,
            },
        );
        epoch
    }
}

impl MemoryDirectory {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change below is complete before the guard is dropped, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Directory for MemoryDirectory {
    async fn register(&self, record: &MemberRecord) -> Result<Registered, DirectoryError> {
        let mut state = self.state();
        let me = &record.holder;
        if state.tombstones.contains(&me.incarnation) {
            return Ok(Registered::Tombstoned);
        }
        let mut replaced = None;
        if let Some(row) = state.members.get(&me.node)
            && row.record.holder.incarnation != me.incarnation
        {
            if row.record.internal_address != record.internal_address {
                return Ok(Registered::NameTaken {
                    by: Box::new(row.record.clone()),
                });
            }
            let before = row.record.holder.incarnation;
            state.tombstones.insert(before);
            replaced = Some(before);
        }
        state.members.insert(
            me.node.clone(),
            MemberRow {
                record: record.clone(),
                beats: 0,
            },
        );
        Ok(Registered::Accepted { replaced })
    }

    async fn heartbeat(&self, record: &MemberRecord, counter: u64) -> Result<Beat, DirectoryError> {
        let mut state = self.state();
        let me = &record.holder;
        if state.tombstones.contains(&me.incarnation) {
            return Ok(Beat::Tombstoned);
        }
        let Some(row) = state.members.get_mut(&me.node) else {
            return Ok(Beat::Unknown);
        };
        if row.record.holder.incarnation != me.incarnation {
            return Ok(Beat::Replaced {
                by: row.record.holder.incarnation,
            });
        }
        let previous = row.beats;
        *row = MemberRow {
            record: record.clone(),
            beats: counter,
        };
        Ok(Beat::Accepted { previous })
    }

    async fn members(&self) -> Result<Members, DirectoryError> {
        let state = self.state();
        Ok(Members {
            rows: state.members.values().cloned().collect(),
            tombstones: state.tombstones.clone(),
        })
    }

    async fn tombstone(&self, dead: &Holder) -> Result<(), DirectoryError> {
        let mut state = self.state();
        state.tombstones.insert(dead.incarnation);
        if state
            .members
            .get(&dead.node)
            .is_some_and(|row| row.record.holder.incarnation == dead.incarnation)
        {
            state.members.remove(&dead.node);
        }
        Ok(())
    }

    async fn claim(
        &self,
        room: &RoomKey,
        holder: &Holder,
        floor: Epoch,
        snapshot: Option<Bytes>,
    ) -> Result<Claimed, DirectoryError> {
        check_size(
            "a room's snapshot",
            snapshot.as_ref().map_or(0, Bytes::len),
            MAX_SNAPSHOT_BYTES,
        )?;
        let mut state = self.state();
        state.living(holder.incarnation)?;
        let mut snapshot = snapshot;
        let mut seen = floor;
        let mut new = true;
        if let Some(stored) = state.claims.get(room) {
            if stored.holder.incarnation == holder.incarnation {
                if stored.epoch >= floor {
                    return Ok(Claimed::Yours {
                        epoch: stored.epoch,
                        snapshot: stored.snapshot.clone(),
                        new: false,
                    });
                }
                new = false;
            } else if !state.tombstones.contains(&stored.holder.incarnation) {
                return Ok(Claimed::HeldBy(stored.claim(room)));
            }
            seen = seen.max(stored.epoch);
            snapshot = stored.snapshot.clone();
        }
        state.ended.remove(room);
        let epoch = state.set(room, holder, seen, snapshot.clone());
        Ok(Claimed::Yours {
            epoch,
            snapshot,
            new,
        })
    }

    async fn reassert(
        &self,
        claim: &Claim,
        snapshot: Option<Bytes>,
    ) -> Result<Changed, DirectoryError> {
        check_size(
            "a room's snapshot",
            snapshot.as_ref().map_or(0, Bytes::len),
            MAX_SNAPSHOT_BYTES,
        )?;
        let mut state = self.state();
        state.living(claim.holder.incarnation)?;
        if let Some(stored) = state.claims.get(&claim.room) {
            let mine = stored.holder.incarnation == claim.holder.incarnation;
            if mine && stored.epoch >= claim.epoch {
                return Ok(Changed::Done {
                    epoch: stored.epoch,
                });
            }
            let stored_counts_more =
                (stored.epoch, stored.holder.incarnation) > (claim.epoch, claim.holder.incarnation);
            if !mine && stored_counts_more && !state.tombstones.contains(&stored.holder.incarnation)
            {
                return Ok(Changed::HeldBy(stored.claim(&claim.room)));
            }
        }
        state.highest = state.highest.max(claim.epoch);
        let stored = Stored {
            holder: claim.holder.clone(),
            epoch: claim.epoch,
            snapshot,
        };
        state.claims.insert(claim.room.clone(), stored);
        Ok(Changed::Done { epoch: claim.epoch })
    }

    async fn lookup(&self, room: &RoomKey) -> Result<Option<Claim>, DirectoryError> {
        Ok(self
            .state()
            .claims
            .get(room)
            .map(|stored| stored.claim(room)))
    }

    async fn save_snapshot(&self, claim: &Claim, snapshot: Bytes) -> Result<(), DirectoryError> {
        check_size("a room's snapshot", snapshot.len(), MAX_SNAPSHOT_BYTES)?;
        match self.state().claims.get_mut(&claim.room) {
            None => Err(DirectoryError::Refused(Refused::NoClaim)),
            Some(stored) if stored.is(claim) => {
                stored.snapshot = Some(snapshot);
                Ok(())
            }
            Some(stored) => Err(DirectoryError::Refused(Refused::NotHome(
                stored.claim(&claim.room),
            ))),
        }
    }

    async fn hand_over(
        &self,
        from: &Claim,
        to: &Holder,
        snapshot: Bytes,
    ) -> Result<Changed, DirectoryError> {
        check_size("a room's snapshot", snapshot.len(), MAX_SNAPSHOT_BYTES)?;
        let mut state = self.state();
        state.living(to.incarnation)?;
        if let Some(stored) = state.claims.get(&from.room) {
            if stored.holder.incarnation == to.incarnation {
                return Ok(Changed::Done {
                    epoch: stored.epoch,
                });
            }
            if !stored.is(from) {
                return Ok(Changed::HeldBy(stored.claim(&from.room)));
            }
        }
        let epoch = state.set(&from.room, to, from.epoch, Some(snapshot));
        Ok(Changed::Done { epoch })
    }

    async fn release(&self, claim: &Claim, ended: Option<EndReason>) -> Result<(), DirectoryError> {
        let mut state = self.state();
        match state.claims.get(&claim.room) {
            Some(stored) if !stored.is(claim) => {
                return Err(DirectoryError::Refused(Refused::NotHome(
                    stored.claim(&claim.room),
                )));
            }
            Some(_) => {
                state.claims.remove(&claim.room);
            }
            None => {}
        }
        if let Some(reason) = ended {
            state.ended.insert(
                claim.room.clone(),
                Ended {
                    epoch: claim.epoch,
                    reason,
                },
            );
        }
        Ok(())
    }

    async fn last_end(&self, room: &RoomKey) -> Result<Option<Ended>, DirectoryError> {
        Ok(self.state().ended.get(room).copied())
    }

    async fn held_by(&self, incarnation: Incarnation) -> Result<Vec<Taken>, DirectoryError> {
        let state = self.state();
        let mine = state
            .claims
            .iter()
            .filter(|(_, stored)| stored.holder.incarnation == incarnation);
        Ok(mine
            .map(|(room, s)| Taken {
                room: room.clone(),
                epoch: s.epoch,
                snapshot: s.snapshot.clone(),
            })
            .collect())
    }

    async fn sweep(
        &self,
        dead: Incarnation,
        moves: Vec<Move>,
    ) -> Result<Vec<Claim>, DirectoryError> {
        let mut state = self.state();
        state.tombstones.insert(dead);
        let mut moved = Vec::new();
        for Move { room, to } in moves {
            let Some(stored) = state.claims.get(&room) else {
                continue;
            };
            if stored.holder.incarnation != dead || state.tombstones.contains(&to.incarnation) {
                continue;
            }
            let (seen, snapshot) = (stored.epoch, stored.snapshot.clone());
            let epoch = state.set(&room, &to, seen, snapshot);
            moved.push(Claim {
                room,
                holder: to,
                epoch,
            });
        }
        Ok(moved)
    }

    async fn rooms(&self) -> Result<Vec<Claim>, DirectoryError> {
        Ok(self
            .state()
            .claims
            .iter()
            .map(|(room, stored)| stored.claim(room))
            .collect())
    }

    async fn put_spec(
        &self,
        room: &RoomKey,
        spec: &RoomSpec,
    ) -> Result<SpecStored, DirectoryError> {
        check_size(
            "a room's spec",
            spec.metadata.len() + spec.uid.len(),
            MAX_SPEC_BYTES,
        )?;
        let mut state = self.state();
        if let Some(stored) = state.specs.get(room)
            && stored.uid != spec.uid
        {
            return Ok(SpecStored::NameTaken {
                by: stored.uid.clone(),
            });
        }
        state.specs.insert(room.clone(), spec.clone());
        Ok(SpecStored::Stored)
    }

    async fn get_spec(&self, room: &RoomKey) -> Result<Option<RoomSpec>, DirectoryError> {
        Ok(self.state().specs.get(room).cloned())
    }

    async fn remove_spec(&self, room: &RoomKey, uid: &str) -> Result<(), DirectoryError> {
        let mut state = self.state();
        if state
            .specs
            .get(room)
            .is_some_and(|stored| stored.uid == uid)
        {
            state.specs.remove(room);
        }
        Ok(())
    }
}

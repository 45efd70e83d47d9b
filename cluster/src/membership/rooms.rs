//! The rooms that this member is home of, as it knows itself: what it re-asserts when Redis has lost it, and what it
//! compares with the Directory. A plain table; the lock around it is in `Shared`.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::directory::{EndReason, Taken};
use crate::{Epoch, RoomKey};

/// Rooms that were let go, remembered so that a reading from before does not bring them back. A reading is never older
/// than a few seconds, so the oldest of this many may be forgotten.
const REMEMBERED_GONE: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct OwnRooms {
    serving: BTreeMap<RoomKey, Serving>,
    ended: BTreeMap<RoomKey, (Epoch, EndReason)>,
    gone: BTreeMap<RoomKey, Epoch>,
    /// Rooms with a call to the Directory on its way; its answer says more than any reading.
    busy: BTreeMap<RoomKey, u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Serving {
    pub(super) epoch: Epoch,
    pub(super) snapshot: Option<Bytes>,
    /// The Directory has the claim and this snapshot.
    pub(super) written: bool,
}

/// What a reading of the Directory says beyond the table.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Rooms that came here.
    pub(super) taken: Vec<Taken>,
    /// Rooms that the Directory does not know to be here.
    pub(super) missing: Vec<(RoomKey, Epoch)>,
}

impl OwnRooms {
    pub(super) fn get(&self, room: &RoomKey) -> Option<&Serving> {
        self.serving.get(room)
    }

    pub(super) fn count(&self) -> usize {
        self.serving.len()
    }

    pub(super) fn insert(&mut self, room: &RoomKey, serving: Serving) {
        self.ended.remove(room);
        self.serving.insert(room.clone(), serving);
    }

    /// Keeps a snapshot; `None` if the room is not served here.
    pub(super) fn keep_snapshot(&mut self, room: &RoomKey, snapshot: &Bytes) -> Option<Epoch> {
        let serving = self.serving.get_mut(room)?;
        serving.snapshot = Some(snapshot.clone());
        serving.written = false;
        Some(serving.epoch)
    }

    /// The Directory has stored this claim with this snapshot.
    pub(super) fn written(&mut self, room: &RoomKey, epoch: Epoch, snapshot: Option<&Bytes>) {
        if let Some(serving) = self.serving.get_mut(room) {
            serving.epoch = serving.epoch.max(epoch);
            serving.written = serving.snapshot.as_ref() == snapshot;
        }
    }

    /// The Directory has lost history: everything has to be written again.
    pub(super) fn nothing_is_written(&mut self) {
        for serving in self.serving.values_mut() {
            serving.written = false;
        }
    }

    pub(super) fn not_written(&mut self, room: &RoomKey) {
        if let Some(serving) = self.serving.get_mut(room) {
            serving.written = false;
        }
    }

    /// The call has ended; the claim is still to be released.
    pub(super) fn end(&mut self, room: &RoomKey, reason: EndReason) -> Option<Epoch> {
        let epoch = self.forget(room)?;
        self.ended.insert(room.clone(), (epoch, reason));
        Some(epoch)
    }

    pub(super) fn released(&mut self, room: &RoomKey, epoch: Epoch) {
        if self
            .ended
            .get(room)
            .is_some_and(|(ended, _)| *ended == epoch)
        {
            self.ended.remove(room);
        }
    }

    /// The room is served elsewhere, or nowhere.
    pub(super) fn forget(&mut self, room: &RoomKey) -> Option<Epoch> {
        let epoch = self.serving.remove(room)?.epoch;
        while self.gone.len() >= REMEMBERED_GONE {
            let oldest = self
                .gone
                .iter()
                .min_by_key(|(_, epoch)| **epoch)
                .map(|(room, _)| room.clone());
            oldest.and_then(|room| self.gone.remove(&room));
        }
        self.gone.insert(room.clone(), epoch);
        Some(epoch)
    }

    pub(super) fn clear(&mut self) {
        *self = Self {
            busy: std::mem::take(&mut self.busy),
            ..Self::default()
        };
    }

    pub(super) fn begin(&mut self, room: &RoomKey) {
        *self.busy.entry(room.clone()).or_insert(0) += 1;
    }

    pub(super) fn finish(&mut self, room: &RoomKey) {
        if let Some(count) = self.busy.get_mut(room) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(room);
            }
        }
    }

    pub(super) fn epochs(&self) -> Vec<(RoomKey, Epoch)> {
        self.serving
            .iter()
            .map(|(room, serving)| (room.clone(), serving.epoch))
            .collect()
    }

    pub(super) fn unwritten(&self) -> Vec<(RoomKey, Serving)> {
        let mine = self
            .serving
            .iter()
            .filter(|(room, serving)| !serving.written && !self.busy.contains_key(*room));
        mine.map(|(room, serving)| (room.clone(), serving.clone()))
            .collect()
    }

    pub(super) fn unreleased(&self) -> Vec<(RoomKey, Epoch, EndReason)> {
        let ended = self
            .ended
            .iter()
            .filter(|(room, _)| !self.busy.contains_key(*room));
        ended
            .map(|(room, (epoch, reason))| (room.clone(), *epoch, *reason))
            .collect()
    }

    /// Something is held that is not served.
    pub(super) fn has_new(&self, held: &[Taken]) -> bool {
        held.iter()
            .any(|taken| !self.serving.contains_key(&taken.room))
    }

    /// Compares with what the Directory says is held by this incarnation. `before` is [`OwnRooms::epochs`] from before
    /// the Directory was asked: what came later can't be missing.
    pub(super) fn compare(&mut self, before: &[(RoomKey, Epoch)], held: Vec<Taken>) -> Difference {
        let mut difference = Difference::default();
        let in_directory: BTreeMap<RoomKey, Epoch> =
            held.iter().map(|t| (t.room.clone(), t.epoch)).collect();
        for taken in held {
            if self.busy.contains_key(&taken.room) {
                continue;
            }
            if let Some(serving) = self.serving.get_mut(&taken.room) {
                // An operator may have asked for a higher epoch of a claim that was ours already.
                serving.epoch = serving.epoch.max(taken.epoch);
            } else if self
                .gone
                .get(&taken.room)
                .is_none_or(|gone| *gone < taken.epoch)
            {
                let serving = Serving {
                    epoch: taken.epoch,
                    snapshot: taken.snapshot.clone(),
                    written: true,
                };
                self.insert(&taken.room, serving);
                difference.taken.push(taken);
            }
        }
        for (room, epoch) in before {
            let unchanged = self
                .serving
                .get(room)
                .is_some_and(|s| s.epoch == *epoch && s.written);
            if unchanged && !in_directory.contains_key(room) && !self.busy.contains_key(room) {
                difference.missing.push((room.clone(), *epoch));
            }
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn room(name: &str) -> RoomKey {
        RoomKey::new(name).unwrap()
    }

    fn taken(name: &str, epoch: u64) -> Taken {
        Taken {
            room: room(name),
            epoch: Epoch::new(epoch),
            snapshot: None,
        }
    }

    fn serving(epoch: u64) -> Serving {
        Serving {
            epoch: Epoch::new(epoch),
            snapshot: None,
            written: true,
        }
    }

    #[test]
    fn a_room_that_was_swept_here_is_taken_once() {
        let mut own = OwnRooms::default();
        assert_eq!(own.compare(&[], vec![taken("a", 5)]).taken.len(), 1);
        assert!(
            own.compare(&own.epochs(), vec![taken("a", 5)])
                .taken
                .is_empty()
        );
    }

    #[test]
    fn a_reading_from_before_a_hand_over_does_not_bring_the_room_back() {
        let mut own = OwnRooms::default();
        own.insert(&room("a"), serving(5));
        own.forget(&room("a"));
        assert!(own.compare(&[], vec![taken("a", 5)]).taken.is_empty());
        assert_eq!(own.compare(&[], vec![taken("a", 6)]).taken.len(), 1);
    }

    #[test]
    fn a_room_that_is_being_claimed_is_left_to_its_caller() {
        let mut own = OwnRooms::default();
        own.begin(&room("a"));
        assert!(own.compare(&[], vec![taken("a", 5)]).taken.is_empty());
        own.finish(&room("a"));
        assert_eq!(own.compare(&[], vec![taken("a", 5)]).taken.len(), 1);
    }

    #[test]
    fn a_room_claimed_after_the_question_is_not_missing() {
        let mut own = OwnRooms::default();
        own.insert(&room("old"), serving(1));
        let before = own.epochs();
        own.insert(&room("new"), serving(2));
        let missing = own.compare(&before, vec![]).missing;
        assert_eq!(missing, vec![(room("old"), Epoch::new(1))]);
    }

    #[test]
    fn an_ended_room_stays_to_be_released_until_the_directory_knows() {
        let mut own = OwnRooms::default();
        own.insert(&room("a"), serving(5));
        own.end(&room("a"), EndReason::Expired);
        assert!(own.compare(&[], vec![taken("a", 5)]).taken.is_empty());
        assert_eq!(
            own.unreleased(),
            vec![(room("a"), Epoch::new(5), EndReason::Expired)]
        );
        own.released(&room("a"), Epoch::new(5));
        assert!(own.unreleased().is_empty());
    }

    #[test]
    fn what_was_let_go_is_remembered_up_to_a_bound_and_the_oldest_forgotten() {
        let mut own = OwnRooms::default();
        for number in 0..REMEMBERED_GONE as u64 + 2 {
            let name = room(&format!("room-{number}"));
            own.insert(&name, serving(number + 1));
            own.forget(&name);
        }
        assert_eq!(own.gone.len(), REMEMBERED_GONE);
        assert_eq!(own.compare(&[], vec![taken("room-2", 3)]).taken.len(), 0);
        assert_eq!(own.compare(&[], vec![taken("room-1", 2)]).taken.len(), 1);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Claim(u8),
        End(u8),
        Forget(u8),
        Read { of: u8, back: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u8).prop_map(Step::Claim),
            (0..3_u8).prop_map(Step::End),
            (0..3_u8).prop_map(Step::Forget),
            (0..3_u8, 0..4_usize).prop_map(|(of, back)| Step::Read { of, back }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// A reading of the Directory may be as old as it likes: a room comes at most once under each epoch, and an epoch
        /// that is served never falls.
        #[test]
        fn old_readings_bring_nothing_back(steps in prop::collection::vec(step(), 1..80)) {
            let mut own = OwnRooms::default();
            let mut epochs: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
            let mut clock = 0;
            for step in steps {
                let before: BTreeMap<RoomKey, Epoch> = own.epochs().into_iter().collect();
                clock += 1;
                match step {
                    Step::Claim(name) => {
                        own.insert(&room(&name.to_string()), serving(clock));
                        epochs.entry(name).or_default().push(clock);
                    }
                    Step::End(name) => {
                        own.end(&room(&name.to_string()), EndReason::Expired);
                    }
                    Step::Forget(name) => {
                        own.forget(&room(&name.to_string()));
                    }
                    Step::Read { of, back } => {
                        let Some(epoch) = epochs.get(&of).and_then(|all| all.iter().rev().nth(back)) else {
                            continue;
                        };
                        let read = own.compare(&[], vec![taken(&of.to_string(), *epoch)]);
                        prop_assert!(read.taken.is_empty(), "epoch {epoch} of {of} came again");
                    }
                }
                for (room, epoch) in own.epochs() {
                    prop_assert!(before.get(&room).is_none_or(|before| *before <= epoch));
                }
            }
        }
    }
}

//! What follows from a verdict: tombstones, takeovers, and the comparison of own rooms with the Directory.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::spawn_local;
use tracing::{error, info, warn};

use super::driver::Driver;
use super::rooms::Serving;
use super::{DirectoryHealth, Event};
use crate::clock::boottime;
use crate::detector::{Evidence, Health, Verdict, turn};
use crate::directory::{Changed, Claim, DirectoryError, Holder, Refused, Taken};
use crate::retry::RetryPolicy;
use crate::{Incarnation, sweep};

/// Each living member with a lower NodeId gets this much time to sweep first; a takeover takes some 10 ms.
const TURN: Duration = Duration::from_millis(100);
/// Nobody waits longer for others to sweep: with more members than this it is better done twice.
const LONGEST_TURN: usize = 5;
/// Claims on their way to the Directory at once when history was lost.
const CLAIMS_IN_FLIGHT: usize = 32;
/// How long a leaving member tries to give its rooms away.
const LEAVING: Duration = Duration::from_secs(3);
/// Between its attempts.
const LEAVE_RETRY: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(1),
};

impl Driver {
    /// Carries out what the detector finds.
    pub(super) fn judge(self: &Rc<Self>) {
        let now = boottime();
        let (verdicts, calm) = {
            let core = self.core.borrow();
            (
                core.detector.verdicts(now),
                self.directory_health(&core) == DirectoryHealth::Up,
            )
        };
        let mut frozen = BTreeSet::new();
        for verdict in verdicts {
            match verdict {
                Verdict::Dead { holder, evidence } if calm => {
                    let turn = self.turn(now).min(LONGEST_TURN);
                    self.start_takeover(
                        holder,
                        Some(evidence),
                        TURN * u32::try_from(turn).unwrap_or(0),
                    );
                }
                // No tombstones while the Directory recovers (claims.md rule 8); the verdict will still stand.
                Verdict::Dead { .. } => {}
                Verdict::Frozen {
                    holder,
                    living,
                    needed,
                } => {
                    if !self.core.borrow().frozen.contains(&holder.node) {
                        warn!(node = %holder.node, living, needed, "looks dead, but too few members live to say so: frozen");
                    }
                    frozen.insert(holder.node);
                }
            }
        }
        self.core.borrow_mut().frozen = frozen;
    }

    pub(super) fn turn(&self, now: Duration) -> usize {
        let core = self.core.borrow();
        let living = core
            .detector
            .known()
            .filter(|h| core.detector.health(now, h.incarnation) == Some(Health::Alive));
        turn(&core.me.node, living.map(|holder| holder.node.clone()))
    }

    /// Tombstone, then rooms; after `wait`, unless somebody else has done it by then.
    pub(super) fn start_takeover(
        self: &Rc<Self>,
        dead: Holder,
        evidence: Option<Evidence>,
        wait: Duration,
    ) {
        if !self.core.borrow_mut().taking_over.insert(dead.incarnation) {
            return;
        }
        let driver = Rc::clone(self);
        spawn_local(async move {
            tokio::time::sleep(wait).await;
            if let Err(error) = driver.take_over(&dead, evidence).await {
                warn!(node = %dead.node, %error, "a takeover failed and is tried again");
            }
            driver
                .core
                .borrow_mut()
                .taking_over
                .remove(&dead.incarnation);
        });
    }

    async fn take_over(
        self: &Rc<Self>,
        dead: &Holder,
        evidence: Option<Evidence>,
    ) -> Result<(), DirectoryError> {
        let still_accused = |driver: &Self| {
            driver
                .core
                .borrow()
                .detector
                .known()
                .any(|known| known == dead)
        };
        if evidence.is_some() && !still_accused(self) {
            return Ok(());
        }
        let mut placement = self.shared.placement(Some(dead.incarnation));
        let done = sweep::take_over(self.directory.as_ref(), dead, &mut placement).await?;
        for claim in &done.moved {
            self.shared.note_placed(&claim.holder);
        }
        info!(node = %dead.node, incarnation = %dead.incarnation, ?evidence, rooms = done.moved.len(), "tombstoned, rooms moved");
        if let Some((rooms, why)) = done.homeless {
            error!(rooms, %why, "rooms of a dead member have no place to go");
        }
        self.core
            .borrow_mut()
            .swept
            .push((boottime(), dead.incarnation));
        self.buried(dead, evidence);
        // The new homes hear of it now and not with their next beat.
        self.ping_all();
        Ok(())
    }

    /// A life of a member is over, whoever said so.
    pub(super) fn buried(self: &Rc<Self>, dead: &Holder, evidence: Option<Evidence>) {
        let known = {
            let mut core = self.core.borrow_mut();
            core.rows.remove(&dead.incarnation);
            core.detector.bury(dead.incarnation)
        };
        if known {
            self.emit(Event::MemberDead {
                dead: dead.clone(),
                evidence,
            });
            self.publish();
        }
        self.start_reconcile();
    }

    /// Looks which rooms the Directory has for this member; one reading at a time, and another one after it if asked for
    /// meanwhile.
    pub(super) fn start_reconcile(self: &Rc<Self>) {
        {
            let mut core = self.core.borrow_mut();
            if core.reconciling {
                core.reconcile_again = true;
                return;
            }
            core.reconciling = true;
        }
        let driver = Rc::clone(self);
        spawn_local(async move {
            loop {
                if let Err(error) = driver.reconcile().await {
                    info!(%error, "own rooms are compared with the directory later");
                }
                let mut core = driver.core.borrow_mut();
                if !std::mem::take(&mut core.reconcile_again) {
                    core.reconciling = false;
                    return;
                }
            }
        });
    }

    async fn reconcile(self: &Rc<Self>) -> Result<(), DirectoryError> {
        let (me, registered) = {
            let core = self.core.borrow();
            (core.me.clone(), core.registered)
        };
        if !registered {
            return Ok(());
        }
        let before = self.shared.own().epochs();
        let claims = self.directory.rooms().await?.into_iter();
        let mine = claims.filter(|claim| claim.holder.incarnation == me.incarnation);
        let mut held: Vec<Taken> = mine
            .map(|c| Taken {
                room: c.room,
                epoch: c.epoch,
                snapshot: None,
            })
            .collect();
        if self.shared.own().has_new(&held) {
            // Only now are the snapshots worth reading.
            held = self.directory.held_by(me.incarnation).await?;
        }
        if !self.is_still(&me) {
            return Ok(());
        }
        let difference = self.shared.own().compare(&before, held);
        if !difference.taken.is_empty() {
            info!(rooms = difference.taken.len(), "rooms came here");
            self.emit(Event::RoomsTaken(difference.taken));
        }
        for (room, epoch) in difference.missing {
            let claim = self.directory.lookup(&room).await?;
            if !self.is_still(&me) {
                return Ok(());
            }
            match claim {
                Some(claim)
                    if claim.holder.incarnation != me.incarnation && claim.epoch > epoch =>
                {
                    self.lost(claim);
                }
                _ => self.shared.own().not_written(&room),
            }
        }
        Ok(())
    }

    /// Writes what the Directory does not have yet: claims after lost history, snapshots and ends from its absence.
    pub(super) async fn flush(self: &Rc<Self>) {
        let me = self.core.borrow().me.clone();
        let unwritten = self.shared.own().unwritten();
        futures_util::stream::iter(unwritten)
            .for_each_concurrent(CLAIMS_IN_FLIGHT, |(room, serving): (_, Serving)| {
                let claim = Claim {
                    room,
                    holder: me.clone(),
                    epoch: serving.epoch,
                };
                async move { self.assert(claim, serving).await }
            })
            .await;
        let unreleased = self.shared.own().unreleased();
        for (room, epoch, reason) in unreleased {
            let claim = Claim {
                room,
                holder: me.clone(),
                epoch,
            };
            match self.directory.release(&claim, Some(reason)).await {
                Ok(()) | Err(DirectoryError::Refused(_)) => {
                    self.shared.own().released(&claim.room, epoch);
                }
                Err(_) => return,
            }
        }
    }

    async fn assert(self: &Rc<Self>, claim: Claim, serving: Serving) {
        let me = claim.holder.clone();
        let mut outcome = self
            .directory
            .reassert(&claim, serving.snapshot.clone())
            .await;
        if let (Ok(Changed::Done { epoch }), Some(snapshot)) = (&outcome, &serving.snapshot) {
            // A claim that was there already keeps the snapshot that it had.
            let written = Claim {
                epoch: *epoch,
                ..claim.clone()
            };
            if let Err(error) = self
                .directory
                .save_snapshot(&written, snapshot.clone())
                .await
            {
                outcome = Err(error);
            }
        }
        if !self.is_still(&me) {
            return;
        }
        match outcome {
            Ok(Changed::Done { epoch }) => {
                self.shared
                    .own()
                    .written(&claim.room, epoch, serving.snapshot.as_ref());
            }
            Ok(Changed::HeldBy(by)) | Err(DirectoryError::Refused(Refused::NotHome(by))) => {
                self.lost(by);
            }
            // The next beat says "tombstoned", or the next flush tries again.
            Err(error) => info!(room = claim.room.escaped(), %error, "a claim is asserted later"),
        }
    }

    fn lost(self: &Rc<Self>, to: Claim) {
        if self.shared.own().forget(&to.room).is_some() {
            warn!(room = to.room.escaped(), home = %to.holder.node, "the claim of a room is lost");
            self.emit(Event::ClaimLost {
                room: to.room.clone(),
                to,
            });
        }
    }

    fn is_still(&self, me: &Holder) -> bool {
        let core = self.core.borrow();
        core.registered && core.me == *me
    }

    /// The lowest living NodeId finishes takeovers that stopped halfway, and sweeps the claims of members that nobody knows.
    pub(super) fn start_orphans(self: &Rc<Self>) {
        let calm = self.directory_health(&self.core.borrow()) == DirectoryHealth::Up;
        if calm && self.turn(boottime()) == 0 {
            let driver = Rc::clone(self);
            spawn_local(async move {
                if let Err(error) = driver.orphans().await {
                    info!(%error, "claims without a home are looked for later");
                }
            });
        }
    }

    async fn orphans(self: &Rc<Self>) -> Result<(), DirectoryError> {
        let members = self.directory.members().await?;
        let holders: BTreeSet<Holder> = self
            .directory
            .rooms()
            .await?
            .into_iter()
            .map(|claim| claim.holder)
            .collect();
        let registered: BTreeSet<Incarnation> = members
            .rows
            .iter()
            .map(|row| row.record.holder.incarnation)
            .collect();
        let now = boottime();
        let mut dead = Vec::new();
        {
            let mut core = self.core.borrow_mut();
            core.orphans.retain(|incarnation, _| {
                holders
                    .iter()
                    .any(|holder| holder.incarnation == *incarnation)
            });
            for holder in holders {
                let incarnation = holder.incarnation;
                let known = incarnation == core.me.incarnation
                    || registered.contains(&incarnation)
                    || core
                        .detector
                        .known()
                        .any(|known| known.incarnation == incarnation);
                if known {
                    core.orphans.remove(&incarnation);
                    continue;
                }
                let since = *core.orphans.entry(incarnation).or_insert(now);
                if members.tombstones.contains(&incarnation)
                    || now.saturating_sub(since) >= self.timing().orphan
                {
                    dead.push(holder);
                }
            }
        }
        for holder in dead {
            self.start_takeover(holder, None, Duration::ZERO);
        }
        Ok(())
    }

    /// Gives the rooms that are still here away and says that this life is over.
    pub(super) async fn leave(self: &Rc<Self>) {
        let me = self.core.borrow().me.clone();
        if !self.core.borrow().registered {
            return;
        }
        let deadline = boottime() + LEAVING;
        let mut random = fastrand::Rng::new();
        for attempt in 1.. {
            let mut placement = self.shared.placement(Some(me.incarnation));
            match sweep::take_over(self.directory.as_ref(), &me, &mut placement).await {
                Ok(done) => {
                    info!(rooms = done.moved.len(), "left the pool");
                    self.core
                        .borrow_mut()
                        .swept
                        .push((boottime(), me.incarnation));
                    self.say_goodbye().await;
                    return;
                }
                Err(error) => {
                    let Some(pause) = LEAVE_RETRY.pause(
                        attempt,
                        deadline.saturating_sub(boottime()),
                        &mut random,
                    ) else {
                        warn!(%error, "left without telling the directory; the others will find out");
                        return;
                    };
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

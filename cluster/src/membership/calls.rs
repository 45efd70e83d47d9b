//! What the server asks for: where a room lives, and the changes of its claim.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::rooms::Serving;
use super::{
    Command, DirectoryHealth, MemberView, MembersView, Membership, PeerRooms, Shared,
    find_by_asking,
};
use crate::detector::Health;
use crate::directory::{
    Changed, Claim, Claimed, DirectoryError, EndReason, Holder, MAX_SNAPSHOT_BYTES, Refused,
    check_size,
};
use crate::member_api::MemberState;
use crate::placement::NoPlace;
use crate::{Epoch, RoomKey};

/// What to do with a room that nobody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfAbsent {
    /// Place it and claim it for the member that placement names.
    Place,
    /// Say so.
    Report,
}

/// Where a room lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// Here. Open it from the snapshot if it is not open.
    Here {
        /// Serve it under this epoch.
        epoch: Epoch,
        /// What was stored for it last.
        snapshot: Option<Bytes>,
    },
    /// There: hop.
    There {
        /// The home; the hop names both parts.
        holder: Holder,
        /// Its internal address.
        address: String,
        /// The epoch of its claim.
        epoch: Epoch,
    },
    /// Nowhere, and [`IfAbsent::Report`] was asked for.
    Nowhere,
}

/// Why a call about a room failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// 503 with Retry-After of 1 s: the Directory is away and no peer holds the room, or not all peers could be asked.
    #[error("the room's home can't be told now: {0}; try again in a second")]
    Unavailable(String),
    /// 503 with Retry-After of 1 s, after the join was held as long as the caller would wait: the home is suspected, or
    /// alive but out of reach from here. Never a reason to take the room.
    #[error("the room lives on {}, which does not answer; try again in a second", .0.node)]
    HomeSilent(Holder),
    /// 503: no member may take it.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// This member is fenced or has not registered yet.
    #[error("this member is {0:?} and serves no rooms; go to another one")]
    NotServing(MemberState),
    /// The room is not served here.
    #[error("this member is not the home of {0:?}")]
    NotHome(RoomKey),
    /// Another member is its home; an [`super::Event::ClaimLost`] tells the server too.
    #[error("the room lives on {} since epoch {}", .0.holder.node, .0.epoch)]
    HeldBy(Claim),
    /// The Directory refused, e.g. a snapshot that is too large, or it is away (`is_transient`).
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// What became of a member whose connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its life is over: locate its rooms anew, answer clients with `Leave{STATE_MISMATCH, RECONNECT}`.
    Dead,
    /// It was heard since: close clients' sockets *without* Leave, so that they resume.
    Alive,
    /// Neither, within the given time: close without Leave too; the next join is held or gets a 503.
    Silent,
}

/// How often a held join looks again whether its room has a living home.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Membership {
    /// Where the room lives, as [`Membership::locate_now`] finds it; a join to a suspected home waits up to `patience`
    /// (4 s by claims.md rule 12) for it to answer again, or for its rooms to be moved.
    pub async fn locate(
        &self,
        room: &RoomKey,
        if_absent: IfAbsent,
        peers: &dyn PeerRooms,
        patience: Duration,
    ) -> Result<Located, CallError> {
        let deadline = crate::clock::boottime() + patience;
        loop {
            match self.locate_now(room, if_absent, peers).await {
                Err(CallError::HomeSilent(_)) if crate::clock::boottime() < deadline => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// A hop to this member was lost (claims.md rule 12): probes it, and waits until it is heard or dead, or for `patience`.
    pub async fn fate(&self, holder: &Holder, patience: Duration) -> Fate {
        let began = crate::clock::boottime();
        self.suspect(&holder.node);
        loop {
            let view = self.view();
            match view.by_incarnation(holder.incarnation) {
                None => return Fate::Dead,
                Some(member) if member.heard_at > began && member.health == Health::Alive => {
                    return Fate::Alive;
                }
                Some(_) if crate::clock::boottime().saturating_sub(began) >= patience => {
                    return Fate::Silent;
                }
                Some(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Where the room lives: here if it is served here, else as the Directory says, else as the peers say. Nothing of this
    /// waits longer than the Directory's bounds, and not at all for a Directory that is known to be away.
    pub async fn locate_now(
        &self,
        room: &RoomKey,
        if_absent: IfAbsent,
        peers: &dyn PeerRooms,
    ) -> Result<Located, CallError> {
        let view = self.view();
        if let Some(serving) = self.shared.own().get(room) {
            return Ok(Located::Here {
                epoch: serving.epoch,
                snapshot: serving.snapshot.clone(),
            });
        }
        if view.state == MemberState::Fenced {
            return Err(CallError::NotServing(view.state));
        }
        if view.directory == DirectoryHealth::Down {
            return self
                .by_asking_only(&view, room, peers, "the directory is away")
                .await;
        }
        let claim = match self.directory.lookup(room).await {
            Ok(claim) => claim,
            Err(error) if error.is_transient() => {
                return self
                    .by_asking_only(&view, room, peers, &error.to_string())
                    .await;
            }
            Err(error) => return Err(error.into()),
        };
        match claim {
            Some(claim) => self.at_holder(&view, claim).await,
            None => self.absent(&view, room, if_absent, peers).await,
        }
    }

    /// Claims a room for this member, whatever placement says: for `PUT /internal/v1/rooms/{room}`, and for a hop that
    /// names this member as the home. Already held here is success. The epoch is at least `floor`.
    pub async fn claim_here(
        &self,
        room: &RoomKey,
        floor: Epoch,
        snapshot: Option<Bytes>,
    ) -> Result<Located, CallError> {
        let view = self.view();
        if matches!(view.state, MemberState::Fenced | MemberState::Starting) {
            return Err(CallError::NotServing(view.state));
        }
        self.claim_for(&view, room, &view.me, floor, snapshot).await
    }

    /// The epoch under which the room is served here.
    pub fn epoch(&self, room: &RoomKey) -> Option<Epoch> {
        self.shared.own().get(room).map(|serving| serving.epoch)
    }

    /// Keeps what the room must not lose, here at once and in the Directory before this returns `Ok`. If the Directory is
    /// away the driver writes it as soon as it is back. One above [`MAX_SNAPSHOT_BYTES`] is refused and the one before stays:
    /// a claim whose snapshot no Directory takes could not be written again after Redis lost it.
    pub async fn save_snapshot(&self, room: &RoomKey, snapshot: Bytes) -> Result<(), CallError> {
        check_size("a room's snapshot", snapshot.len(), MAX_SNAPSHOT_BYTES)?;
        let _busy = Busy::begin(&self.shared, room);
        let kept = self.shared.own().keep_snapshot(room, &snapshot);
        let epoch = kept.ok_or_else(|| CallError::NotHome(room.clone()))?;
        let claim = self.own_claim(room, epoch);
        match self.directory.save_snapshot(&claim, snapshot.clone()).await {
            Ok(()) => {
                self.shared.own().written(room, epoch, Some(&snapshot));
                Ok(())
            }
            Err(DirectoryError::Refused(Refused::NoClaim)) => {
                // History was lost a moment ago: the claim and its snapshot are written together.
                match self
                    .directory
                    .reassert(&claim, Some(snapshot.clone()))
                    .await?
                {
                    Changed::Done { epoch } => {
                        self.shared.own().written(room, epoch, Some(&snapshot));
                    }
                    Changed::HeldBy(claim) => return Err(self.lost(claim)),
                }
                Ok(())
            }
            Err(DirectoryError::Refused(Refused::NotHome(claim))) => Err(self.lost(claim)),
            Err(error) => Err(error.into()),
        }
    }

    /// The call has ended: the claim goes, why it ended is kept for a day. If the Directory is away the driver does it
    /// later; nothing to wait for.
    pub async fn room_ended(&self, room: &RoomKey, reason: EndReason) {
        let _busy = Busy::begin(&self.shared, room);
        let Some(epoch) = self.shared.own().end(room, reason) else {
            return;
        };
        match self
            .directory
            .release(&self.own_claim(room, epoch), Some(reason))
            .await
        {
            Ok(()) | Err(DirectoryError::Refused(_)) => self.shared.own().released(room, epoch),
            Err(error) => {
                tracing::info!(room = room.escaped(), %error, "the claim of an ended room is released later");
            }
        }
    }

    /// Where a room of this member should move, by placement without this member.
    pub fn choose_target(&self, room: &RoomKey) -> Result<MemberView, NoPlace> {
        let view = self.view();
        let holder = self
            .shared
            .placement(Some(view.me.incarnation))
            .place(room, None)?;
        let nobody = NoPlace::NobodyServes {
            members: view.members.len(),
        };
        view.by_incarnation(holder.incarnation)
            .cloned()
            .ok_or(nobody)
    }

    /// The source's step of a planned move (claims.md rule 14), after the target has acknowledged the snapshot: changes
    /// the claim by compare-and-set. From `Ok` on the room is the target's; close it here with `Leave{RECONNECT}` and tell
    /// the target the epoch.
    ///
    /// With the Directory away the hand-over goes on from member to member: the epoch is the next one, and the target
    /// writes it when the Directory is back ([`Membership::accept`]).
    pub async fn hand_over(
        &self,
        room: &RoomKey,
        to: &Holder,
        snapshot: Bytes,
    ) -> Result<Epoch, CallError> {
        let _busy = Busy::begin(&self.shared, room);
        let epoch = self
            .epoch(room)
            .ok_or_else(|| CallError::NotHome(room.clone()))?;
        let moved = match self
            .directory
            .hand_over(&self.own_claim(room, epoch), to, snapshot)
            .await
        {
            Ok(Changed::Done { epoch }) => epoch,
            Ok(Changed::HeldBy(claim)) => return Err(self.lost(claim)),
            Err(error) if error.is_transient() => epoch.next(),
            Err(error) => return Err(error.into()),
        };
        self.shared.own().forget(room);
        self.shared.note_placed(to);
        Ok(moved)
    }

    /// The target's step of a planned move: the source has handed the room over under this epoch.
    pub fn accept(
        &self,
        room: &RoomKey,
        epoch: Epoch,
        snapshot: Option<Bytes>,
    ) -> Result<(), CallError> {
        let mut own = self.shared.own();
        let state = self.view().state;
        if state == MemberState::Fenced || state == MemberState::Starting {
            return Err(CallError::NotServing(state));
        }
        // Written or not, asserting it once more is harmless, and it is needed if the Directory was away.
        own.insert(
            room,
            Serving {
                epoch,
                snapshot,
                written: false,
            },
        );
        Ok(())
    }

    /// Compares at once what is served here with what the Directory says, instead of at the next turn.
    pub fn reconcile(&self) {
        self.tell(Command::Reconcile);
    }

    async fn by_asking_only(
        &self,
        view: &MembersView,
        room: &RoomKey,
        peers: &dyn PeerRooms,
        why: &str,
    ) -> Result<Located, CallError> {
        let asked = find_by_asking(view, room, peers, self.shared.config.timing.ask).await;
        match asked.home {
            Some(found) => Ok(Located::There {
                holder: found.holder,
                address: found.address,
                epoch: found.epoch,
            }),
            None => Err(CallError::Unavailable(format!(
                "{why}, and no other member that answered holds the room"
            ))),
        }
    }

    async fn at_holder(&self, view: &MembersView, claim: Claim) -> Result<Located, CallError> {
        if claim.holder.incarnation == view.me.incarnation {
            return self
                .claim_for(view, &claim.room, &view.me, Epoch::ZERO, None)
                .await;
        }
        match view.by_incarnation(claim.holder.incarnation) {
            Some(member) if member.health == Health::Alive => Ok(Located::There {
                holder: claim.holder,
                address: member.record.internal_address.clone(),
                epoch: claim.epoch,
            }),
            Some(_) => {
                self.suspect(&claim.holder.node);
                Err(CallError::HomeSilent(claim.holder))
            }
            // A life that is not in the view: if it is tombstoned the claim script gives the room to a new home, else it
            // says who holds it, and the next look may know that member.
            None => {
                let to = self.shared.placement(None).place(&claim.room, None)?;
                match self
                    .claim_for(view, &claim.room, &to, Epoch::ZERO, None)
                    .await
                {
                    Err(CallError::HeldBy(held)) => Err(CallError::HomeSilent(held.holder)),
                    outcome => outcome,
                }
            }
        }
    }

    async fn absent(
        &self,
        view: &MembersView,
        room: &RoomKey,
        if_absent: IfAbsent,
        peers: &dyn PeerRooms,
    ) -> Result<Located, CallError> {
        if view.directory == DirectoryHealth::Recovering {
            let asked = find_by_asking(view, room, peers, self.shared.config.timing.ask).await;
            if let Some(found) = asked.home {
                return Ok(Located::There {
                    holder: found.holder,
                    address: found.address,
                    epoch: found.epoch,
                });
            }
            if let Some(silent) = asked.unanswered.first() {
                let why = format!(
                    "the directory has just come back, and {silent} did not say whether it holds the room"
                );
                return Err(CallError::Unavailable(why));
            }
        }
        if if_absent == IfAbsent::Report {
            return Ok(Located::Nowhere);
        }
        let to = self.shared.placement(None).place(room, None)?;
        match self.claim_for(view, room, &to, Epoch::ZERO, None).await {
            // Somebody was faster, perhaps a member that this view does not know yet.
            Err(CallError::HeldBy(claim)) => match view.by_incarnation(claim.holder.incarnation) {
                Some(member) => Ok(Located::There {
                    address: member.record.internal_address.clone(),
                    holder: claim.holder,
                    epoch: claim.epoch,
                }),
                None => Err(CallError::HomeSilent(claim.holder)),
            },
            outcome => outcome,
        }
    }

    async fn claim_for(
        &self,
        view: &MembersView,
        room: &RoomKey,
        to: &Holder,
        floor: Epoch,
        snapshot: Option<Bytes>,
    ) -> Result<Located, CallError> {
        let _busy = Busy::begin(&self.shared, room);
        let claimed = self.directory.claim(room, to, floor, snapshot).await;
        match claimed {
            Ok(Claimed::Yours {
                epoch,
                snapshot,
                new,
            }) => {
                if new {
                    self.shared.note_placed(to);
                }
                if to.incarnation == view.me.incarnation {
                    self.keep(view, room, epoch, snapshot)
                } else {
                    let address = view
                        .by_incarnation(to.incarnation)
                        .map(|m| m.record.internal_address.clone());
                    let address = address.ok_or_else(|| CallError::HomeSilent(to.clone()))?;
                    Ok(Located::There {
                        holder: to.clone(),
                        address,
                        epoch,
                    })
                }
            }
            Ok(Claimed::HeldBy(claim)) => Err(CallError::HeldBy(claim)),
            Err(error) if error.is_transient() => Err(CallError::Unavailable(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// The Directory has given the room to this incarnation, which may have been fenced meanwhile.
    fn keep(
        &self,
        view: &MembersView,
        room: &RoomKey,
        epoch: Epoch,
        snapshot: Option<Bytes>,
    ) -> Result<Located, CallError> {
        let mut own = self.shared.own();
        let now = self.view();
        if now.me != view.me || now.state == MemberState::Fenced {
            return Err(CallError::NotServing(now.state));
        }
        let newer = own
            .get(room)
            .filter(|serving| serving.snapshot.is_some())
            .and_then(|serving| serving.snapshot.clone());
        let written = newer.is_none();
        let snapshot = newer.or(snapshot);
        own.insert(
            room,
            Serving {
                epoch,
                snapshot: snapshot.clone(),
                written,
            },
        );
        Ok(Located::Here { epoch, snapshot })
    }

    fn lost(&self, to: Claim) -> CallError {
        // The driver finds the same difference, lets the room go and tells the server.
        self.reconcile();
        CallError::HeldBy(to)
    }

    fn own_claim(&self, room: &RoomKey, epoch: Epoch) -> Claim {
        Claim {
            room: room.clone(),
            holder: self.me(),
            epoch,
        }
    }
}

/// Marks a room as being changed for as long as it lives.
struct Busy {
    shared: Arc<Shared>,
    room: RoomKey,
}

impl Busy {
    fn begin(shared: &Arc<Shared>, room: &RoomKey) -> Self {
        shared.own().begin(room);
        Self {
            shared: Arc::clone(shared),
            room: room.clone(),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.own().finish(&self.room);
    }
}

//! Where members and claims are registered: [`MemoryDirectory`] in a standalone process, [`RedisDirectory`] in a cluster.
//!
//! The Directory is the lock for *changing* homes, and an index. It is not the truth about a running room: that is the
//! room's living home. Both implementations pass one suite, `tests/cluster/directory_contract.rs`.

mod link;
mod memory;
mod redis_directory;
mod scripts;

pub use link::RedisSettings;
pub use memory::MemoryDirectory;
pub use redis_directory::RedisDirectory;

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::member_api::{Load, MemberState, RoomSpec};
use crate::{Epoch, Incarnation, NodeId, RoomKey};

/// Largest snapshot of a room (claims.md rule 15): the room's metadata of 512 KiB, which JSON may double, and as much again
/// of permissions of participants and of what agents were asked for.
pub const MAX_SNAPSHOT_BYTES: usize = 1536 * 1024;
/// Largest stored [`RoomSpec`]: metadata is at most 64 KiB in the protocol, the rest is small.
pub const MAX_SPEC_BYTES: usize = 128 * 1024;

/// A life of a member, as the holder of claims.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The member.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
}

/// The record "this room lives on that member, in that epoch".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The room.
    pub room: RoomKey,
    /// Its home.
    pub holder: Holder,
    /// Grows with every change of home.
    pub epoch: Epoch,
}

/// A claim with what the room must not lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The room.
    pub room: RoomKey,
    /// The epoch to serve it under.
    pub epoch: Epoch,
    /// What the home before had written; outside data for whoever parses it.
    pub snapshot: Option<Bytes>,
}

/// Hard bounds of one member; 0 means no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Capacity {
    /// Rooms.
    pub rooms: u32,
    /// Participants.
    pub participants: u32,
    /// Tracks forwarded to participants.
    pub subscriptions: u32,
}

/// What a member says of itself, with every heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberRecord {
    /// The member, and this life of it.
    #[serde(flatten)]
    pub holder: Holder,
    /// Its internal port, `ip:port`, where peers, hops and the operator reach it.
    pub internal_address: String,
    /// Where it stands; only `Serving` members get new rooms.
    pub state: MemberState,
    /// What it carries.
    #[serde(default)]
    pub load: Load,
    /// What it may carry at most.
    #[serde(default)]
    pub capacity: Capacity,
    /// Its share of rooms relative to others, e.g. its number of Shards. 0 counts as 1.
    #[serde(default)]
    pub weight: u32,
    /// Number of the internal protocol of its build.
    pub protocol: u32,
    /// Version of its build, for people.
    #[serde(default)]
    pub version: String,
}

/// A registered member with its heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRow {
    /// What it says of itself.
    pub record: MemberRecord,
    /// Its counter. Only its *changes* mean something, timed on the reader's clock.
    pub beats: u64,
}

/// All that the Directory knows of members.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Members {
    /// Registered ones, one per [`NodeId`].
    pub rows: Vec<MemberRow>,
    /// Lives that were judged dead or have left. They never come back.
    pub tombstones: BTreeSet<Incarnation>,
}

/// Answer to [`Directory::register`].
#[derive(Debug, Clone, PartialEq)]
pub enum Registered {
    /// The record is stored, its counter is 0.
    Accepted {
        /// A life of the same member at the same address that was replaced, and is tombstoned now: sweep its rooms.
        replaced: Option<Incarnation>,
    },
    /// Another living member has the NodeId, at another address (claims.md rule 13).
    NameTaken {
        /// Who.
        by: Box<MemberRecord>,
    },
    /// This incarnation was tombstoned: start a new one.
    Tombstoned,
}

/// Answer to [`Directory::heartbeat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Stored.
    Accepted {
        /// The counter stored before. If it is not the one sent last, the Directory has lost history (claims.md rule 8).
        previous: u64,
    },
    /// No record of this member: history was lost, register again.
    Unknown,
    /// Another life of this member is registered.
    Replaced {
        /// Which.
        by: Incarnation,
    },
    /// This incarnation was judged dead: its rooms are elsewhere.
    Tombstoned,
}

/// Answer to [`Directory::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The holder has the room, since now or since before.
    Yours {
        /// The epoch to serve under.
        epoch: Epoch,
        /// What was stored for the room: the caller's own snapshot for a new one.
        snapshot: Option<Bytes>,
        /// Nobody held it before this call.
        new: bool,
    },
    /// Another living member has it.
    HeldBy(Claim),
}

/// Answer to [`Directory::hand_over`] and [`Directory::reassert`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The claim is as asked for, since now or since before.
    Done {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Somebody else has a claim that counts more.
    HeldBy(Claim),
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EndReason {
    /// Nobody came, or all have left, for as long as its timeouts allow.
    Expired,
    /// The server API's DeleteRoom.
    EndedByApi,
    /// Its Room resource was closed or deleted.
    Closed,
}

impl EndReason {
    const ALL: [Self; 3] = [Self::Expired, Self::EndedByApi, Self::Closed];

    /// As a Room's condition gives it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "Expired",
            Self::EndedByApi => "EndedByApi",
            Self::Closed => "Closed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// The last end of a room's call, kept for a day so that its Room resource can say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Epoch of the claim that ended.
    pub epoch: Epoch,
    /// Why.
    pub reason: EndReason,
}

/// Answer to [`Directory::put_spec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecStored {
    /// Stored.
    Stored,
    /// The name belongs to another Room resource.
    NameTaken {
        /// UID of the Room that holds the name.
        by: String,
    },
}

/// Why the Directory did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DirectoryError {
    /// It can't be reached now, or did not answer in time. Nothing of a running room waits for it.
    #[error("the directory ({place}) is unavailable: {why}; it is tried again by itself")]
    Unavailable {
        /// Host and port, without credentials.
        place: String,
        /// What happened.
        why: String,
    },
    /// It says no; asking again gives the same answer.
    #[error("refused: {0}")]
    Refused(Refused),
    /// It answers what no version of this program writes.
    #[error(
        "the directory ({place}) holds something unreadable: {why}; see whether another program writes to its keys"
    )]
    Unreadable {
        /// Host and port, without credentials.
        place: String,
        /// What could not be read.
        why: String,
    },
}

/// What the Directory refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The holder was judged dead.
    #[error("incarnation {0} is tombstoned; register with a new one")]
    Tombstoned(Incarnation),
    /// The claim is not the caller's (any more).
    #[error("the room is held by {} (incarnation {}) since epoch {}", .0.holder.node, .0.holder.incarnation, .0.epoch)]
    NotHome(Claim),
    /// Nobody holds the room.
    #[error("nobody holds the room; claim it first")]
    NoClaim,
    /// A snapshot or spec above its limit.
    #[error(
        "{what} of {bytes} bytes; at most {limit} are stored: make the room's metadata smaller"
    )]
    TooLarge {
        /// Snapshot or spec.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl DirectoryError {
    /// It may succeed when tried again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A change of homes in a sweep: this room goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The room.
    pub room: RoomKey,
    /// Its new home.
    pub to: Holder,
}

/// Members, claims and room specs of one pool. No call blocks longer than about two seconds, whatever the store does.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Stores a member. Replaces a life of the same NodeId only from the same internal address (claims.md rule 13).
    async fn register(&self, record: &MemberRecord) -> Result<Registered, DirectoryError>;

    /// Says "I live": stores `counter` and the record, answers with what was stored before.
    async fn heartbeat(&self, record: &MemberRecord, counter: u64) -> Result<Beat, DirectoryError>;

    /// All members and tombstones.
    async fn members(&self) -> Result<Members, DirectoryError>;

    /// Declares one life of a member dead, before any room leaves it (claims.md rule 5). From then on it can't claim.
    /// Doing it again is success.
    async fn tombstone(&self, dead: &Holder) -> Result<(), DirectoryError>;

    /// Makes `holder` the room's home if it has none, or one that is tombstoned. The epoch is above `floor`, above every
    /// one given before, and at least the store's clock in milliseconds (claims.md rule 1).
    /// `snapshot` is stored for a room that was not there; otherwise the stored one stays.
    async fn claim(
        &self,
        room: &RoomKey,
        holder: &Holder,
        floor: Epoch,
        snapshot: Option<Bytes>,
    ) -> Result<Claimed, DirectoryError>;

    /// Writes a claim that its holder already serves under: if the store has none, or a lower one (claims.md rule 8).
    async fn reassert(
        &self,
        claim: &Claim,
        snapshot: Option<Bytes>,
    ) -> Result<Changed, DirectoryError>;

    /// Who has the room.
    async fn lookup(&self, room: &RoomKey) -> Result<Option<Claim>, DirectoryError>;

    /// Replaces the snapshot beside the claim, which must still be this one. At most [`MAX_SNAPSHOT_BYTES`].
    async fn save_snapshot(&self, claim: &Claim, snapshot: Bytes) -> Result<(), DirectoryError>;

    /// Compare-and-set by the source of a planned move (claims.md rule 14): `from` must be the present claim.
    async fn hand_over(
        &self,
        from: &Claim,
        to: &Holder,
        snapshot: Bytes,
    ) -> Result<Changed, DirectoryError>;

    /// Removes the claim if it is this one, and keeps why the call ended, if it did. Already gone is success.
    async fn release(&self, claim: &Claim, ended: Option<EndReason>) -> Result<(), DirectoryError>;

    /// How the last call of this name ended; `None` once it is claimed again.
    async fn last_end(&self, room: &RoomKey) -> Result<Option<Ended>, DirectoryError>;

    /// All rooms of one life of a member, with their snapshots.
    async fn held_by(&self, incarnation: Incarnation) -> Result<Vec<Taken>, DirectoryError>;

    /// Moves rooms of a tombstoned life; a room that is no longer held by it is left alone (already moved is success).
    /// Answers with the claims that this call made. See [`crate::take_over`] for the whole of a takeover.
    async fn sweep(
        &self,
        dead: Incarnation,
        moves: Vec<Move>,
    ) -> Result<Vec<Claim>, DirectoryError>;

    /// All claims of the pool.
    async fn rooms(&self) -> Result<Vec<Claim>, DirectoryError>;

    /// Keeps what a Room resource says under its name; the name belongs to the first UID until it is removed.
    async fn put_spec(&self, room: &RoomKey, spec: &RoomSpec)
    -> Result<SpecStored, DirectoryError>;

    /// What a Room resource says of this name.
    async fn get_spec(&self, room: &RoomKey) -> Result<Option<RoomSpec>, DirectoryError>;

    /// Frees the name if `uid` holds it; otherwise nothing happens.
    async fn remove_spec(&self, room: &RoomKey, uid: &str) -> Result<(), DirectoryError>;
}

pub(crate) fn check_size(
    what: &'static str,
    bytes: usize,
    limit: usize,
) -> Result<(), DirectoryError> {
    if bytes > limit {
        return Err(DirectoryError::Refused(Refused::TooLarge {
            what,
            bytes,
            limit,
        }));
    }
    Ok(())
}

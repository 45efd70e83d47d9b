//! What a room must not lose when its member dies.

use std::collections::BTreeMap;

use plenum_types::{ParticipantIdentity, RoomSid};
use serde::{Deserialize, Serialize};

use crate::{Permissions, RoomSettings};

/// Most bytes of a snapshot (claims.md rule 15).
pub const MAX_SNAPSHOT_BYTES: usize = 256 * 1024;

/// What outlives a member: enough for the same room to open elsewhere. Media and sessions are made anew by their clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSnapshot {
    /// Version of this format.
    pub format: u16,
    /// Kept through moves.
    pub sid: RoomSid,
    /// Unix milliseconds.
    pub created_at_unix_ms: i64,
    /// As set by the API, metadata included.
    pub settings: RoomSettings,
    /// Somebody has been in the room: `departure_timeout` counts, else `empty_timeout`.
    pub was_joined: bool,
    /// Since when nobody is in the room, Unix milliseconds.
    pub empty_since_unix_ms: Option<i64>,
    /// What the API changed about participants that are there, by identity: it wins over their tokens.
    pub participants: BTreeMap<ParticipantIdentity, ParticipantOverrides>,
}

/// What the API or the participant itself changed since it signed in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParticipantOverrides {
    /// Replaces the token's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// Replaces the token's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Replaces the token's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Replaces the token's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// Sources muted by the API: a republished track of such a source starts muted (`livekit.TrackSource`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub muted_sources: Vec<i32>,
}

/// A snapshot that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Larger than any that is written.
    #[error("room snapshot of {0} bytes; at most {MAX_SNAPSHOT_BYTES} are read")]
    TooLarge(usize),
    /// Not what is written.
    #[error("room snapshot can't be parsed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written by a later version.
    #[error("room snapshot has format {0}; this version reads {FORMAT}")]
    Format(u16),
}

/// The format that this version writes and reads.
const FORMAT: u16 = 1;

impl RoomSnapshot {
    /// Reads what `encode` wrote, perhaps on another member.
    ///
    /// # Errors
    /// Too large, malformed, or of an unknown format.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > MAX_SNAPSHOT_BYTES {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        let snapshot: Self = serde_json::from_slice(bytes)?;
        if snapshot.format != FORMAT {
            return Err(SnapshotError::Format(snapshot.format));
        }
        Ok(snapshot)
    }
}

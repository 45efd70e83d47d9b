//! What a room must not lose when its member dies.

use std::collections::BTreeMap;

use plenum_types::{ParticipantIdentity, RoomSid, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Grants, Permissions, Revocations, Room, RoomConfig, RoomSettings, config::METADATA_BYTES,
};

/// Most bytes of the room's metadata as JSON, without its quotes. Quotation marks, backslashes and line breaks take two bytes
/// each there, so that only a text of many other control characters, six bytes each, is too long before it has
/// [`METADATA_BYTES`].
pub(crate) const MAX_METADATA_JSON_BYTES: usize = 2 * METADATA_BYTES;
/// Most bytes of all else: 160 KiB of what agents were asked for, revoked tokens, permissions and mutes of a thousand
/// participants, and as many of their texts and jobs as there is place for.
const MAX_REST_BYTES: usize = 512 * 1024;
/// Most bytes of a snapshot (claims.md rule 15): the sum, so that what may be set is kept.
pub const MAX_SNAPSHOT_BYTES: usize = MAX_METADATA_JSON_BYTES + MAX_REST_BYTES;

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
    /// Tokens that it takes no more.
    #[serde(default, skip_serializing_if = "Revocations::is_empty")]
    pub revoked: Revocations,
    /// The agents that the room wants and has. Only the server reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<DispatchSnapshot>,
    /// What did not fit.
    #[serde(skip)]
    pub left_out: LeftOut,
}

/// What of a room its snapshot has no place for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Names, metadata and attributes of participants, whose latest tokens have them too.
    pub texts: usize,
    /// Jobs of agents, whose workers name those that they run.
    pub jobs: usize,
    /// Participants whose permissions and mutes are nowhere else.
    pub participants: usize,
}

/// One dispatch of agents to the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatchSnapshot {
    /// What was asked for, as the server encodes it.
    pub asked: String,
    /// Nobody asked for it.
    #[serde(default)]
    pub nameless: bool,
    /// Jobs that wait or run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobSnapshot>,
    /// Jobs that are over, for those who ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<String>,
}

/// A job of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSnapshot {
    /// The job, as the server encodes it.
    pub job: String,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u32,
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
    /// Reads the JSON of a snapshot, written perhaps on another member.
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

    /// With the agents of the room, as far as they fit: what was asked for always does, since it is bounded.
    #[must_use]
    pub fn with_agents(mut self, agents: Vec<DispatchSnapshot>) -> Self {
        self.agents = agents;
        self.fit();
        self
    }

    /// Leaves out what can be spared until all but the room's metadata, which has a place of its own, fits in
    /// [`MAX_REST_BYTES`]: jobs that are over, then the largest texts of participants, whose latest tokens have them too,
    /// then jobs, whose workers name those that they run. What the API took away stays: permissions of more participants
    /// than one room serves fit without the texts, and if they don't, the last identities' go.
    fn fit(&mut self) {
        let excess = |snapshot: &Self| {
            json_bytes(snapshot)
                .saturating_sub(bytes_in_json(&snapshot.settings.metadata))
                .saturating_sub(MAX_REST_BYTES)
        };
        if excess(self) == 0 {
            return;
        }
        for dispatch in &mut self.agents {
            dispatch.ended.clear();
        }
        self.drop_texts(excess(self));
        if excess(self) > 0 {
            for dispatch in &mut self.agents {
                self.left_out.jobs += dispatch.jobs.len();
                dispatch.jobs.clear();
            }
        }
        let mut over = excess(self);
        while over > 0
            && let Some((_, overrides)) = self.participants.pop_last()
        {
            self.left_out.participants += 1;
            over = over.saturating_sub(json_bytes(&overrides));
        }
    }

    /// The largest texts of participants go, until so many bytes are saved.
    fn drop_texts(&mut self, mut excess: usize) {
        let mut texts: Vec<_> = self
            .participants
            .iter()
            .flat_map(|(identity, overrides)| {
                Text::ALL.map(|text| (overrides.bytes_of(text), identity.clone(), text))
            })
            .filter(|(bytes, _, _)| *bytes > 0)
            .collect();
        texts.sort();
        while excess > 0
            && let Some((bytes, identity, text)) = texts.pop()
        {
            if let Some(overrides) = self.participants.get_mut(&identity) {
                overrides.drop_text(text);
            }
            self.left_out.texts += 1;
            excess = excess.saturating_sub(bytes);
        }
        self.participants
            .retain(|_, overrides| *overrides != ParticipantOverrides::default());
    }
}

fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// Bytes of a text in JSON, without its quotes.
pub(crate) fn bytes_in_json(text: &str) -> usize {
    json_bytes(&text).saturating_sub(2)
}

/// A text of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Text {
    Name,
    Metadata,
    Attributes,
}

impl Text {
    const ALL: [Self; 3] = [Self::Name, Self::Metadata, Self::Attributes];
}

impl ParticipantOverrides {
    /// As JSON.
    fn bytes_of(&self, text: Text) -> usize {
        match text {
            Text::Name => self.name.as_ref().map_or(0, json_bytes),
            Text::Metadata => self.metadata.as_ref().map_or(0, json_bytes),
            Text::Attributes => self.attributes.as_ref().map_or(0, json_bytes),
        }
    }

    fn drop_text(&mut self, text: Text) {
        match text {
            Text::Name => self.name = None,
            Text::Metadata => self.metadata = None,
            Text::Attributes => self.attributes = None,
        }
    }

    /// What a token says, changed by what was changed since it was signed.
    pub(crate) fn apply_to(&self, grants: &mut Grants) {
        if let Some(permissions) = &self.permissions {
            grants.permissions = permissions.clone();
        }
        if let Some(name) = &self.name {
            grants.name.clone_from(name);
        }
        if let Some(metadata) = &self.metadata {
            grants.metadata.clone_from(metadata);
        }
        if let Some(attributes) = &self.attributes {
            grants.attributes.clone_from(attributes);
        }
    }
}

impl Room {
    /// A room that lived elsewhere before. Who was in it has `departure_timeout` from now to come back.
    ///
    /// # Errors
    /// The snapshot has a format that this version doesn't know.
    pub fn restore(
        mut config: RoomConfig,
        snapshot: &RoomSnapshot,
        rng: rand_chacha::ChaCha12Rng,
        now: Timestamp,
    ) -> Result<Self, SnapshotError> {
        if snapshot.format != FORMAT {
            return Err(SnapshotError::Format(snapshot.format));
        }
        config.sid = snapshot.sid.clone();
        config.created_at_unix_ms = snapshot.created_at_unix_ms;
        config.settings = snapshot.settings.clone();
        let mut room = Self::new(config, rng, now);
        room.was_joined = snapshot.was_joined;
        room.empty_since_unix_ms = snapshot.empty_since_unix_ms.or(room.empty_since_unix_ms);
        room.restored = snapshot.participants.clone();
        room.revoked = snapshot.revoked.clone();
        room.reset_empty_timer();
        Ok(room)
    }

    /// What outlives this member, at most [`MAX_SNAPSHOT_BYTES`] as JSON; `None` once the room has ended.
    #[must_use]
    pub fn snapshot(&self) -> Option<RoomSnapshot> {
        if self.ended {
            return None;
        }
        let mut participants = self.restored.clone();
        participants.extend(
            self.participants
                .values()
                .filter(|p| p.overrides != ParticipantOverrides::default())
                .map(|p| (p.identity().clone(), p.overrides.clone())),
        );
        let mut snapshot = RoomSnapshot {
            format: FORMAT,
            sid: self.config.sid.clone(),
            created_at_unix_ms: self.config.created_at_unix_ms,
            settings: self.config.settings.clone(),
            was_joined: self.was_joined,
            empty_since_unix_ms: self.empty_since_unix_ms,
            participants,
            revoked: self.revoked.clone(),
            agents: Vec::new(),
            left_out: LeftOut::default(),
        };
        snapshot.fit();
        Some(snapshot)
    }
}

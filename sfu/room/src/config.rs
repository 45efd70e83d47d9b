//! What a room is told when it opens.

use std::time::Duration;

use livekit_protocol as proto;
use plenum_types::{Fingerprint, MediaPolicy, RoomHandle, RoomName, RoomSid, WallClock};
use serde::{Deserialize, Serialize};

use crate::{
    MemberAllowances,
    snapshot::{MAX_METADATA_JSON_BYTES, bytes_in_json},
};

/// Bytes of a participant's or the room's metadata, as in the reference. A room's snapshot has a place for as much.
pub(crate) const METADATA_BYTES: usize = 512 * 1024;

/// Everything a room knows of its surroundings.
#[derive(Debug, Clone)]
pub struct RoomConfig {
    /// Its name.
    pub name: RoomName,
    /// Its `RM_` sid; a restored room keeps the sid of its snapshot instead.
    pub sid: RoomSid,
    /// Its id on this member.
    pub handle: RoomHandle,
    /// When it was created, Unix milliseconds; a restored room keeps that of its snapshot.
    pub created_at_unix_ms: i64,
    /// What CreateRoom or a token's `roomConfig` may set; a restored room keeps those of its snapshot.
    pub settings: RoomSettings,
    /// Translates `now` into the wall time that clients see.
    pub wall: WallClock,
    /// What clients read about the server.
    pub server: ServerIdentity,
    /// How often clients ping; whoever owns the socket answers.
    pub keep_alive: KeepAlive,
    /// Certificate of all Transports of this process.
    pub fingerprint: Fingerprint,
    /// Codecs that clients may use, and how.
    pub media: MediaPolicy,
    /// STUN and TURN servers for clients.
    pub ice_servers: Vec<proto::IceServer>,
    /// The server API may unmute a participant's track.
    pub remote_unmute: bool,
    /// Participants may publish data tracks.
    pub data_tracks: bool,
    /// Bounds on what one client or call may hold.
    pub limits: Limits,
}

/// What CreateRoom, a token's `roomConfig` or a Room resource may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSettings {
    /// How long a room that nobody ever joined stays open.
    pub empty_timeout: Duration,
    /// How long it stays open after the last participant has left.
    pub departure_timeout: Duration,
    /// 0 means no limit.
    pub max_participants: u32,
    /// Free text of the application.
    pub metadata: String,
}

impl Default for RoomSettings {
    /// The reference's defaults: 300 s, 20 s, no limit, no metadata.
    fn default() -> Self {
        Self {
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 0,
            metadata: String::new(),
        }
    }
}

/// What clients read about the server (`livekit.ServerInfo`).
#[derive(Debug, Clone, Default)]
pub struct ServerIdentity {
    /// Id of the member.
    pub node_id: String,
    /// Region, may be empty.
    pub region: String,
    /// A version in the numbering of the reference server, for example `1.13.5`: clients switch features by it.
    pub version: String,
}

/// Application pings of the signaling protocol.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// How often the client pings.
    pub interval: Duration,
    /// After which silence the client gives its socket up.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(15),
        }
    }
}

/// Bounds on what one client or call may hold. Defaults are the reference's where it has one.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a participant's or the room's metadata.
    pub metadata_bytes: usize,
    /// Bytes of all keys and values of a participant's attributes.
    pub attributes_bytes: usize,
    /// Bytes of a participant's name.
    pub name_bytes: usize,
    /// Tracks that one participant may publish at a time.
    pub tracks_per_participant: usize,
    /// Tracks that may be published in a room at a time; 0 means no limit.
    pub tracks_per_room: usize,
    /// Data tracks that one participant may publish at a time.
    pub data_tracks_per_participant: usize,
    /// Tracks that one participant may be forwarded at a time; 0 means no limit.
    pub subscriptions_per_participant: usize,
    /// Tracks that may be forwarded in a room at a time, counted once for each who gets them; 0 means no limit.
    pub subscriptions_per_room: usize,
    /// What all rooms of the member may hold together.
    pub member: MemberAllowances,
    /// AddTrack requests of one participant that wait for their media.
    pub pending_tracks: usize,
    /// Bytes of one SDP.
    pub sdp_bytes: usize,
    /// Bytes of a SendData payload.
    pub data_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            metadata_bytes: METADATA_BYTES,
            attributes_bytes: 64 * 1024,
            name_bytes: 256,
            // A person has camera, microphone and a screen with sound; bots that inject films have a dozen.
            tracks_per_participant: 50,
            // Each of 1,000 participants with camera and microphone; a room's tracks share one Shard.
            tracks_per_room: 2_000,
            // All of them are in each update of their publisher.
            data_tracks_per_participant: 50,
            subscriptions_per_participant: 0,
            subscriptions_per_room: 0,
            member: MemberAllowances::default(),
            pending_tracks: 20,
            // 100 sections of 4 KB, and then room for growth; a message is at most 2 MiB.
            sdp_bytes: 1024 * 1024,
            // Clients keep packets below 64,000 bytes; with the envelope it must fit one SCTP message of 256 KiB.
            data_bytes: 64_000,
        }
    }
}

/// Metadata that a room does not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomMetadataError {
    /// Longer than the limit.
    #[error("room metadata has {bytes} bytes; at most {limit} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A snapshot of the room would not hold it.
    #[error(
        "room metadata has {bytes} bytes as JSON, where a control character takes up to six; at most {MAX_METADATA_JSON_BYTES} are kept"
    )]
    TooLongAsJson {
        /// Its length as JSON.
        bytes: usize,
    },
}

impl Limits {
    /// Whether a room may have this metadata: what it gets its snapshot holds, whatever else is in there.
    ///
    /// # Errors
    /// It is too long.
    pub fn check_room_metadata(&self, metadata: &str) -> Result<(), RoomMetadataError> {
        let (bytes, limit) = (metadata.len(), self.metadata_bytes);
        if bytes > limit {
            return Err(RoomMetadataError::TooLong { bytes, limit });
        }
        let bytes = bytes_in_json(metadata);
        if bytes > MAX_METADATA_JSON_BYTES {
            return Err(RoomMetadataError::TooLongAsJson { bytes });
        }
        Ok(())
    }
}

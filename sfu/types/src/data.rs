//! Data messages: who may send to whom. The room decides, the Shard routes.

use serde::{Deserialize, Serialize};

use crate::{ParticipantId, ParticipantIdentity, ParticipantSid, TransportId};

/// The data channels of the protocol (protocol.md 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataChannel {
    /// `_reliable`: ordered, retransmitted.
    Reliable,
    /// `_lossy`: unordered, sent once.
    Lossy,
    /// `_data_track`: unordered, sent once.
    DataTrack,
}

impl DataChannel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reliable, Self::Lossy, Self::DataTrack];

    /// Label in DCEP.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reliable => "_reliable",
            Self::Lossy => "_lossy",
            Self::DataTrack => "_data_track",
        }
    }

    /// The channel with this label.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.label() == label)
    }
}

/// Everything the Shard must know to route data messages of a room. Each one replaces the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPolicy {
    /// Grows with each change.
    pub version: u64,
    /// All participants of the room.
    pub participants: Vec<DataParticipant>,
}

/// A participant as data routing sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataParticipant {
    /// Who it is on Shards.
    pub participant: ParticipantId,
    /// Written into each packet it sends, unless it is hidden.
    pub identity: ParticipantIdentity,
    /// Written into each packet it sends, unless it is hidden.
    pub sid: ParticipantSid,
    /// The Transport whose channels carry messages to it. It may send on any of its Transports.
    pub downlink: Option<TransportId>,
    /// Its packets carry no identity.
    pub hidden: bool,
    /// May send at all.
    pub can_publish_data: bool,
    /// Receives metrics packets.
    pub can_subscribe_metrics: bool,
    /// An agent or SIP participant: may send transcriptions and speak for another identity.
    pub agent: bool,
}

/// Whom a message of the server goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataAudience {
    /// Everyone in the room.
    Everyone,
    /// These only.
    Only(Vec<ParticipantId>),
}

/// A participant that receives a data track (protocol.md 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataTrackSubscriber {
    /// Who.
    pub participant: ParticipantId,
    /// The number under which it knows the track; written into each packet.
    pub handle: u16,
    /// Most frames a second that it wants; `None` means all.
    pub frames_per_second: Option<u32>,
}

/// How a call of the server ended at the participant (protocol.md 6.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RpcAnswer {
    /// What its handler returned.
    Payload(String),
    /// What went wrong, in the protocol's own codes.
    Error {
        /// `livekit.RpcError.code`
        code: u32,
        /// For a person.
        message: String,
        /// For the caller's program, may be empty.
        data: String,
    },
    /// It is longer than the protocol allows, or in no form that we read.
    Unreadable,
}

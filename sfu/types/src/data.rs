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

//! What happens to a room.

use livekit_protocol as proto;
use plenum_types::{Candidate, ParticipantSid, ShardEvent, ShardId};

use crate::{ApiCallId, ApiRequest, Grants, Limits, Traveller};

/// A client's signal connection (one WebSocket), unique on this member. Not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One thing that happens to a room.
#[derive(Debug)]
pub enum RoomInput {
    /// A client connects, anew or to resume. The first `Send` to its connection is the answer to be waited for: `join`,
    /// `reconnect` or `leave`.
    Join(Box<Join>),
    /// A client's message.
    Signal {
        /// On which connection.
        connection: ConnectionId,
        /// What it says. Pings are answered before.
        request: Box<proto::SignalRequest>,
    },
    /// A connection ended, by whomever.
    ConnectionClosed {
        /// Which one.
        connection: ConnectionId,
    },
    /// A Shard has something to say.
    Shard {
        /// Which one.
        shard: ShardId,
        /// What.
        event: ShardEvent,
    },
    /// A server API call about this room; answered by one `RoomOutput::Api`, perhaps followed by `Ended`.
    Api {
        /// Comes back with the answer.
        call: ApiCallId,
        /// What to do.
        request: Box<ApiRequest>,
    },
    /// A participant comes from another room on the same Shard, with its connection and its media.
    Arrive(Box<Traveller>),
    /// The moment of `Room::next_timer` has come.
    Timer,
    /// The candidates that clients reach a Shard by have changed; used in descriptions from now on.
    CandidatesChanged {
        /// Whose.
        shard: ShardId,
        /// All of them, best first.
        candidates: Vec<Candidate>,
    },
    /// Other limits from now on; what is there already stays.
    LimitsChanged(Box<Limits>),
    /// All participants get a new token: those that they have may not count much longer.
    RefreshTokens,
    /// A Shard is lost with all its Transports: its participants get a reconnecting Leave.
    ShardLost {
        /// Which one.
        shard: ShardId,
    },
    /// The room has a new home that is ready: all participants get Leave MIGRATION with action RECONNECT, publishers
    /// first, and the room ends here.
    Move,
    /// The room ends.
    End(EndReason),
}

/// Why a room ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// DeleteRoom, or its resource was deleted: ROOM_DELETED, final.
    Deleted,
    /// Its time was over: ROOM_CLOSED, final.
    Closed,
    /// It lives elsewhere now.
    Moved,
    /// This member lost the right to serve it: participants get STATE_MISMATCH with action RECONNECT and find its home.
    Fenced,
    /// The process ends and nobody takes over: SERVER_SHUTDOWN with action RECONNECT.
    Shutdown,
}

/// One peer connection or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMode {
    /// `/rtc/v1`: the client offers for both directions.
    Single,
    /// `/rtc`: the client offers for what it sends, the server for what it sends.
    Dual,
}

/// A client that connects, with everything its URL said.
#[derive(Debug, Clone)]
pub struct Join {
    /// Its connection.
    pub connection: ConnectionId,
    /// What its token says.
    pub grants: Grants,
    /// The Unix second from which its token counts (`nbf`); 0 if it doesn't say.
    pub token_not_before: i64,
    /// What it says about itself; `protocol` decides about features.
    pub client: proto::ClientInfo,
    /// What it wants.
    pub settings: ConnectionSettings,
    /// By its path.
    pub mode: SessionMode,
    /// Metadata that replaces the token's, if the token allows it; empty means none given.
    pub metadata: String,
    /// Attributes that are added to the token's, if the token allows it.
    pub attributes: std::collections::HashMap<String, String>,
    /// As if sent right after the join.
    pub add_track_requests: Vec<proto::AddTrackRequest>,
    /// An offer that came with the join, answered right after it.
    pub publisher_offer: Option<proto::SessionDescription>,
    /// What a resuming v1 client had, as if sent right after the join.
    pub sync_state: Option<Box<proto::SyncState>>,
    /// The client wants to go on with a session.
    pub resume: Option<Resume>,
    /// Shard for a new session's Transports; a resumed session stays on its own.
    pub shard: ShardId,
    /// Where clients reach that Shard, best first.
    pub candidates: Vec<Candidate>,
}

/// A session to go on with.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Its `PA_` sid.
    pub sid: ParticipantSid,
    /// Why the client came back (`livekit.ReconnectReason`).
    pub reason: i32,
}

/// What a client wants of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Everything that is allowed is subscribed without asking.
    pub auto_subscribe: bool,
    /// The client reports visibility and size of its video elements.
    pub adaptive_stream: bool,
    /// A picture may pause where the client's bandwidth doesn't take it; otherwise its smallest layer comes all the same.
    pub allow_pause: bool,
    /// Data tracks are subscribed without asking too.
    pub auto_subscribe_data_track: bool,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            auto_subscribe: true,
            adaptive_stream: false,
            allow_pause: true,
            auto_subscribe_data_track: false,
        }
    }
}

/// Why a room takes no client in. The server answers with an HTTP status if the connection is not upgraded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRefusal {
    /// `max_participants` is reached.
    Full,
    /// All rooms of the member together have as many participants as it takes.
    MemberFull {
        /// How many.
        limit: usize,
    },
    /// RemoveParticipant has revoked its token in this room.
    TokenRevoked,
    /// The room is ending.
    Ending,
}

//! What a member's internal port answers to other members and to the operator: JSON over HTTP, guarded by the cluster
//! secret (`Authorization: Bearer ...`, compared in constant time). The types are here, and not in the server, because the
//! operator speaks them too.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET  /internal/v1/member` | | [`MemberReport`] |
//! | `GET  /internal/v1/rooms/{room}` | | 200 [`RoomReport`] if this member is the room's home, else 404 |
//! | `PUT  /internal/v1/desired-state` | [`SetDesiredState`] | 204, or 409 with [`Refusal`] |
//! | `PUT  /internal/v1/addresses` | [`SetAddresses`] | 204, or 409 with [`Refusal`] |
//! | `PUT  /internal/v1/rooms/{room}` | [`PutRoom`] | 200 [`RoomReport`], or 409 or 503 with [`Refusal`] |
//! | `DELETE /internal/v1/rooms/{room}` | [`EndRoom`] | 204 also when it was not there |
//! | `POST /internal/v1/ping` | [`Ping`] | [`Pong`] |
//! | `GET  /internal/v1/hop?...` (WebSocket) | frames of the client, see the server's `hop` | |
//! | `POST /internal/v1/twirp/{service}/{method}` | a server API call for a room whose home this is | its answer |
//!
//! Unknown fields are ignored on reading, so that a member speaks with its neighbours of one version before and after.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

use crate::{Epoch, Incarnation, NodeId};

/// Number of the internal protocol; a member speaks with this number and the one before it.
pub const INTERNAL_PROTOCOL: u32 = 1;

/// Where a member stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum MemberState {
    /// Not registered yet: no advertised address, or neither Directory nor peer has answered.
    Starting,
    /// Takes new rooms and clients.
    Serving,
    /// Keeps its rooms, takes no new ones.
    Cordoned,
    /// Hands its rooms over and ends when empty. Final.
    Draining,
    /// Has lost its claims (claims.md rule 6); registers anew with a new incarnation.
    Fenced,
}

/// What the operator wants of a member. `Draining` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum DesiredState {
    /// Serve.
    Active,
    /// Keep rooms, take no new ones.
    Cordoned,
    /// Hand rooms over, end when empty.
    Draining,
}

/// How much a member carries. Placement and the operator's choice of the emptiest read this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Load {
    /// Rooms whose home the member is.
    pub rooms: u32,
    /// Participants in them.
    pub participants: u32,
    /// Participants with at least one published track.
    pub publishers: u32,
    /// Tracks forwarded to participants.
    pub subscriptions: u32,
    /// Client sockets that end here but whose room lives elsewhere.
    pub proxied_sockets: u32,
}

/// State of one member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberReport {
    /// Stable identity of the pod.
    pub node_id: NodeId,
    /// This life of it.
    pub incarnation: Incarnation,
    /// [`INTERNAL_PROTOCOL`] of its build.
    pub protocol: u32,
    /// Version of its build.
    pub version: String,
    /// Where it stands.
    pub state: MemberState,
    /// Advertised media addresses; empty until the operator has set them.
    pub addresses: Vec<AdvertisedAddress>,
    /// What it carries.
    pub load: Load,
    /// The rooms whose home it is.
    pub rooms: Vec<RoomReport>,
}

/// State of one room on its home.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomReport {
    /// Name in the protocol.
    pub name: String,
    /// `RM_...`, kept through moves.
    pub sid: String,
    /// Epoch of the claim under which it is served.
    pub epoch: Epoch,
    /// Participants that are joined.
    pub participants: u32,
    /// Participants with at least one published track.
    pub publishers: u32,
    /// When the call began, Unix milliseconds.
    pub started_at_ms: i64,
}

/// One place where media can be sent to: `ip:port` as clients see it, for the shard with this index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvertisedAddress {
    /// IPv4 or IPv6 address.
    pub ip: IpAddr,
    /// UDP port; may differ from the bound one.
    pub port: u16,
    /// Index of the Shard whose socket is behind it.
    pub shard: u16,
}

/// Body of `PUT desired-state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetDesiredState {
    /// What is wanted.
    pub state: DesiredState,
    /// Lease term of the operator that says so; a lower one than seen before is refused.
    pub term: u64,
}

/// Body of `PUT addresses`: replaces all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAddresses {
    /// All of them, at least one per shard.
    pub addresses: Vec<AdvertisedAddress>,
    /// As in [`SetDesiredState::term`].
    pub term: u64,
}

/// Body of `PUT rooms/{room}`: opens the room here if it is not open, then applies what the protocol can change in a running call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutRoom {
    /// What the Room resource asks for.
    pub spec: RoomSpec,
    /// As in [`SetDesiredState::term`].
    pub term: u64,
    /// The epoch of the Room's status: a claim made for it gets a higher one.
    pub epoch_floor: Epoch,
}

/// What a Room resource says of the call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomSpec {
    /// UID of the Room resource that holds the name.
    pub uid: String,
    /// 0 means no limit.
    pub max_participants: u32,
    /// Seconds an opened room waits for its first participant; `None`: the member's default, or for ever for a room from a resource.
    pub empty_timeout_seconds: Option<u32>,
    /// Seconds a room stays after its last participant left.
    pub departure_timeout_seconds: Option<u32>,
    /// Room metadata of the protocol.
    pub metadata: String,
    /// The room may not be opened, and ends with ROOM_DELETED if it is.
    pub closed: bool,
}

/// Body of `DELETE rooms/{room}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndRoom {
    /// As in [`SetDesiredState::term`].
    pub term: u64,
}

/// Body of `POST ping`: members tell each other that they live, and whom they hear (claims.md rule 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    /// Who asks.
    pub from: NodeId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its state.
    pub state: MemberState,
    /// Whom it has not heard, with its measure of the silence in milliseconds.
    pub silent: Vec<Silence>,
    /// Lives whose rooms it moved in the last seconds: the receiver looks at once whether any came to it.
    #[serde(default)]
    pub swept: Vec<Incarnation>,
}

/// One member that the sender has not heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    /// The silent one.
    pub node: NodeId,
    /// The incarnation that was heard last.
    pub incarnation: Incarnation,
    /// For how long, on the sender's clock.
    pub millis: u64,
    /// A fresh probe was refused or went unanswered.
    pub probe_failed: bool,
    /// It was refused twice, 50 ms apart: the process is gone (claims.md rule 4).
    #[serde(default)]
    pub refused: bool,
}

/// Answer to [`Ping`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    /// Who answers.
    pub node: NodeId,
    /// Its incarnation: a change means that the one before is dead.
    pub incarnation: Incarnation,
    /// Its state.
    pub state: MemberState,
    /// Whom the answering member has not heard.
    pub silent: Vec<Silence>,
}

/// Why a request was not carried out, for a person to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// One of a fixed list: `StaleTerm`, `Draining`, `NotHome`, `AtCapacity`, `DirectoryUnavailable`, `Closed`, `NameTaken`,
    /// `InvalidSpec`, `BadAddresses`, `NotServing`.
    pub reason: String,
    /// Names the thing, the limit and the mend.
    pub message: String,
}

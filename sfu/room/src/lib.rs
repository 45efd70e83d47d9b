//! The Room: participants, permissions, tracks, and the signaling protocol of LiveKit as a server must speak it.
//!
//! [`Room`] is the state of one call. [`Room::handle`] takes one [`RoomInput`] (a join, a signal message, a Shard's event,
//! a server API call, a timer) and leaves [`RoomOutput`]s to drain: messages to connections, commands to Shards, answers to
//! API calls. The same inputs with the same seed give the same outputs.
//!
//! It owns no socket, clock, task or secret. It never touches media: Shards get typed commands, and SDP stays between the
//! client and `plenum-negotiation`. Keep-alive pings never arrive here: whoever owns the socket answers them.
#![forbid(unsafe_code)]

pub mod allowance;
mod api;
pub mod config;
pub mod grants;
pub mod input;
pub mod inspect;
pub mod output;
pub mod room;
pub mod snapshot;

mod backup;
mod bandwidth;
mod calls;
mod candidates;
mod client;
mod data;
mod data_blobs;
mod data_tracks;
mod dynacast;
mod fall_back;
mod join;
mod leave;
mod matching;
mod metadata;
mod negotiate;
mod pace;
mod participant;
mod permissions;
mod places;
mod publish;
mod quality;
mod recent;
mod regression;
mod resume;
mod revocations;
mod rpc;
mod settings;
mod shard_events;
mod sids;
mod simulate;
mod speakers;
mod subscribe;
mod timers;
mod track_changes;
mod track_info;
mod travel;
mod updates;

pub use allowance::{Allowance, MemberAllowances, Place};
pub use api::{ApiCallId, ApiError, ApiErrorCode, ApiRequest, ApiResponse};
pub use config::{KeepAlive, Limits, RoomConfig, RoomMetadataError, RoomSettings, ServerIdentity};
pub use data::SERVER_PROTOCOL;
pub use grants::{Grants, ParticipantKind, Permissions};
pub use input::{
    ConnectionId, ConnectionSettings, EndReason, Join, JoinRefusal, Resume, RoomInput, SessionMode,
};
pub use inspect::{RoomView, Stall};
pub use output::{JoinStep, RoomOutput, SignalMessage};
pub use revocations::Revocations;
pub use room::{Room, RoomStats};
pub use rpc::{MAX_RPC_TIMEOUT, rpc_timeout};
pub use snapshot::{DispatchSnapshot, JobSnapshot, LeftOut, RoomSnapshot, SnapshotError};
pub use travel::{Traveller, room_moved};

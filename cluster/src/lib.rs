//! Who owns a room: Directory, placement, claims, failure detection, fencing.
#![forbid(unsafe_code)]

pub mod breaker;
pub mod clock;
pub mod directory;
mod ids;
pub mod member_api;
pub mod placement;
pub mod retry;

pub use directory::{Directory, DirectoryError};
pub use ids::{
    BUCKETS, Bucket, Epoch, IdError, Incarnation, MAX_EXACT_INTEGER, MAX_NODE_ID_BYTES, MAX_ROOM_NAME_BYTES, NodeId, PoolKey, RoomKey,
};

//! Who owns a room: Directory, placement, claims, failure detection, fencing.
//!
//! One room has one home. [`Directory`] is where homes are registered and changed (in memory, or in Redis),
//! [`Membership`] is one member's place among the others: it beats, pings, judges, fences itself, and tells the server
//! which rooms came and went. [`placement::Placement`] says where a room without a home goes. The rules are those of
//! `claims.md`; their numbers stand where they are kept. What does not wait on anything is pure and takes time as an
//! argument: [`detector`], [`fence`], [`placement`], [`retry`], [`breaker`].
//!
//! It must never make a running room wait for the Directory, compare the clocks of two members, take a room from a
//! member that has no tombstone, or know anything of media or Kubernetes.
//!
//! # How a server uses it
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use plenum_cluster::directory::{Capacity, RedisDirectory, RedisSettings};
//! use plenum_cluster::member_api::MemberState;
//! use plenum_cluster::membership::*;
//! use plenum_cluster::{Membership, NodeId, PoolKey, RoomKey, Timing};
//!
//! async fn serve(peers: Arc<dyn Peers>, rooms: Arc<dyn PeerRooms>) -> Result<(), Box<dyn std::error::Error>> {
//!     // Bind the internal port first. Then one Directory for the driver's thread and one for calls.
//!     let settings = RedisSettings::new("redis://127.0.0.1:6379");
//!     let connect = || RedisDirectory::new(&settings, PoolKey::new("main", "default")?).map_err(Box::<dyn std::error::Error>::from);
//!     let directories = Directories { driver: Arc::new(connect()?), calls: Arc::new(connect()?) };
//!     let config = MembershipConfig {
//!         node: NodeId::new("sfu-0")?,
//!         internal_address: "10.0.0.7:7882".to_owned(),
//!         seeds: Vec::new(),
//!         capacity: Capacity::default(),
//!         weight: 4,
//!         version: "0.1.0".to_owned(),
//!         timing: Timing::default(),
//!     };
//!     let (membership, mut events) = Membership::start(config, directories, peers)?;
//!     let _deadline = membership.serve_until(); // give it to the engine
//!     membership.set_state(MemberState::Serving); // once media addresses are known: registers, becomes ready
//!
//!     // A join: serve it here or hop.
//!     let room = RoomKey::new("standup")?;
//!     match membership.locate(&room, IfAbsent::Place, rooms.as_ref(), Duration::from_secs(4)).await? {
//!         Located::Here { epoch, snapshot } => { /* open it if it is not open: then membership.save_snapshot(..) */ }
//!         Located::There { holder, address, epoch } => { /* hop; if that breaks: membership.fate(&holder, ..) */ }
//!         Located::Nowhere => {}
//!     }
//!
//!     while let Some(event) = events.recv().await {
//!         match event {
//!             Event::RoomsTaken(rooms) => { /* open those that are not open, from their snapshots */ }
//!             Event::Fenced(_) => { /* Leave RECONNECT to all, drop every room, then: */ membership.rejoin(); }
//!             Event::ClaimLost { room, .. } => { /* Leave RECONNECT to the room, drop it */ }
//!             _ => {}
//!         }
//!     }
//!     Err("the membership thread has died: end the process".into())
//! }
//! ```
//! `POST /internal/v1/ping` is [`Membership::answer_ping`]. The end of a call is [`Membership::room_ended`], a drain is
//! [`Membership::choose_target`], [`Membership::hand_over`] (source) and [`Membership::accept`] (target), then
//! [`Membership::leave`]. A standalone process uses [`directory::MemoryDirectory`] with [`membership::Directories::same`]
//! and takes the same way.
#![forbid(unsafe_code)]

pub mod breaker;
pub mod clock;
pub mod detector;
pub mod directory;
pub mod fence;
mod ids;
pub mod member_api;
pub mod membership;
pub mod placement;
pub mod retry;
mod sweep;
mod timing;

pub use directory::{Directory, DirectoryError};
pub use ids::{
    BUCKETS, Bucket, Epoch, IdError, Incarnation, MAX_EXACT_INTEGER, MAX_NODE_ID_BYTES,
    MAX_ROOM_NAME_BYTES, NodeId, PoolKey, RoomKey,
};
pub use membership::Membership;
pub use sweep::{TakenOver, take_over};
pub use timing::Timing;

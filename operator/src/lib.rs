//! The Plenum operator: MediaPools become MediaNodes and Pods, Rooms get a home, and both say how they are.
//!
//! * [`plan::plan`] is the whole of the logic: a pure function from what was seen to what is to be done.
//! * [`reconcile::Reconciler`] reads, plans and applies, one pool at a time; only the holder of the Lease
//!   ([`leader::campaign`]) does so.
//! * [`members::Members`] speaks with the SFU members by their internal API: the Directory behind them decides where a room
//!   lives, a Room's status only reports it.
//!
//! It must never end a member that serves because of a guess: a member that is silent is left to its peers, a drain asks
//! first, and a pool of which nothing is known is left as it is. Calls go on without it.
#![forbid(unsafe_code)]

pub mod apply;
pub mod cluster;
pub mod events;
pub mod http;
pub mod leader;
pub mod members;
pub mod metrics;
pub mod overlay;
pub mod plan;
pub mod reconcile;
pub mod resources;
mod run;
pub mod settings;
mod teardown;
pub mod work;

pub use run::run;
pub use teardown::teardown;

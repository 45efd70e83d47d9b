//! Agents: programs that workers run in rooms (protocol.md 11).
//!
//! A worker keeps a WebSocket to any member ([`socket`]) and is one of that member's [`Pool`]. What agents a room wants is
//! decided by the [`Dispatches`] of the room's home. Both are pure; [`Agents`] drives them: it carries offers from homes to
//! pools, on this member or another one ([`peers`]), signs the agents' tokens, and hears from the rooms what happens in them.
//! Media of agents goes as anyone's: an agent is a participant.
//!
//! A room that goes elsewhere takes its dispatches along in its snapshot, and a worker that comes back elsewhere names its
//! jobs there ([`moves`]).
//!
//! A worker never learns a secret: it gets tokens for the rooms of its jobs, with the permissions that it registered with.

mod assignment;
pub mod dispatch;
mod driver;
pub mod ids;
mod moves;
mod of_rooms;
mod pace;
mod peers;
pub mod pool;
pub mod selector;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
mod wire;

pub use dispatch::{DispatchError, check};
pub use driver::{Agents, AgentsConfig};
pub(crate) use of_rooms::OpenedWith;
pub(crate) use peers::routes;
pub(crate) use socket::WorkerEnd;

#[cfg(doc)]
use {dispatch::Dispatches, pool::Pool};

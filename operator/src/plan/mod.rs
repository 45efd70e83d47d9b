//! What is to be done, as a function of what was seen: `plan(observed) -> steps`. No I/O, no clock, no chance: time and
//! the seed of names are part of what was seen.
//!
//! * [`pool`]: how many members there are to be, and which one goes
//! * [`ports`]: which UDP ports a member gets
//! * [`node`]: the life of one member, from its Pod to its end
//! * [`rooms`]: where rooms live
//! * [`pool_status`], [`node_status`], [`room_status`]: what the statuses say

mod action;
mod conditions;
mod counts;
mod node;
mod node_status;
mod observed;
mod pool;
mod pool_status;
mod ports;
mod room_status;
mod rooms;
#[cfg(test)]
mod testing;
mod verdict;

pub use action::{About, Action, Step, Tell};
pub use observed::{
    Applied, LastRefusal, MemberView, NodeView, Observed, PodState, PodView, PoolKey, PoolView,
    PresentPod, RoomId, RoomView,
};
pub use rooms::missing;

/// Everything that is to be done for one pool, in order. Steps of a later pass may follow from these: a caller plans
/// again until nothing is left.
#[must_use]
pub fn plan(observed: &Observed) -> Vec<Step> {
    let mut steps = Vec::new();
    let shortage = pool::plan(observed, &mut steps);
    for node in &observed.nodes {
        node::plan(observed, node, &mut steps);
        node_status::plan(observed, node, &mut steps);
    }
    rooms::plan(observed, &mut steps);
    pool_status::plan(observed, shortage.as_ref(), &mut steps);
    steps
}

//! The Kubernetes side: caches of everything that the operator looks at, look-ups of what it reads seldom, and
//! `read`, which makes a plan's input of them.

mod caches;
mod lookups;
mod read;

pub use caches::Caches;
pub use lookups::Lookups;
pub use read::{Memory, Reader, Snapshot};

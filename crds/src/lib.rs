//! Kubernetes resources of Plenum, group `plenum.dev`, version `v1alpha1`.
//!
//! * [`MediaPool`]: what users edit and an autoscaler scales; a realm of members with one configuration.
//! * [`MediaNode`]: one member of a pool, with one Pod for life; made by the operator, never by hand.
//! * [`Room`]: a call that is to exist; placed on a member of its pool.
//!
//! [`all`] gives the definitions that the chart ships (`plenum-crds` prints them). The rules that need no controller
//! (immutable fields, a drain that is final, an epoch that only grows) are CEL rules in the schema, so that the API
//! server itself holds them. This crate must never talk to a cluster or decide anything: it is types, names and words.
#![forbid(unsafe_code)]
#![allow(
    unreachable_pub,
    reason = "the KubeSchema derive copies each struct, `pub` and all, into a function body"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns have one type each, and several have the same"
)]

pub mod conditions;
mod definitions;
mod media_node;
mod media_pool;
pub mod names;
mod room;

pub use definitions::all;
pub use media_node::{
    MediaNode, MediaNodePhase, MediaNodeSpec, MediaNodeStatus, MemberAddress, WantedState,
};
pub use media_pool::{
    AllowedNamespaces, Capacity, Drain, MediaPool, MediaPoolSpec, MediaPoolStatus, NamespacesFrom,
    Network, NetworkMode, PoolRef, PortRange, SecretKey, SecretRefs,
};
pub use room::{Assignment, Room, RoomPhase, RoomPoolRef, RoomResourceSpec, RoomStatus};

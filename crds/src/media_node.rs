//! MediaNode: one member of a pool, with one Pod for life.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PoolRef, PortRange};

/// What a member is to be. The operator writes it; people change `desiredState` only.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "plenum.dev",
    version = "v1alpha1",
    kind = "MediaNode",
    plural = "medianodes",
    namespaced,
    status = "MediaNodeStatus",
    derive = "PartialEq",
    shortname = "mn",
    category = "plenum",
    doc = "One SFU member of a MediaPool, with one Pod for life: a dead one is replaced by a new MediaNode.",
    selectable = ".spec.poolRef.name",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
    printcolumn(name = "Wanted", type_ = "string", json_path = ".spec.desiredState"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Rooms", type_ = "integer", json_path = ".status.rooms"),
    printcolumn(
        name = "Participants",
        type_ = "integer",
        json_path = ".status.participants"
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        json_path = ".status.addresses[0].ip",
        priority = 1
    ),
    printcolumn(
        name = "Port",
        type_ = "integer",
        json_path = ".status.addresses[0].port",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MediaNodeSpec {
    /// The pool, in the same namespace.
    #[x_kube(validation = Rule::new("self == oldSelf").message("poolRef can't change"))]
    pub pool_ref: PoolRef,
    /// Hash of the pool's template that the Pod was made from.
    #[schemars(length(max = 63))]
    pub template_revision: String,
    /// What the member is to do. `Draining` is final.
    #[serde(default)]
    #[x_kube(validation = Rule::new("oldSelf != 'Draining' || self == 'Draining'").message("a drain can't be taken back: the pool gets a new MediaNode instead"))]
    pub desired_state: WantedState,
    /// UDP ports that the member binds, one per shard.
    #[x_kube(validation = Rule::new("self == oldSelf").message("ports can't change: the Pod has bound them"))]
    pub ports: PortRange,
}

/// What a member is to do.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WantedState {
    /// Serve.
    #[default]
    Active,
    /// Keep rooms, take no new ones.
    Cordoned,
    /// Hand rooms over and end. Final.
    Draining,
}

/// What a member is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct MediaNodeStatus {
    /// Where it stands.
    pub phase: MediaNodePhase,
    /// Name of its Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// Where clients send media to, as the member was told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<MemberAddress>,
    /// The life of the member that this status describes; new at every start of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Rooms whose home it is.
    pub rooms: i32,
    /// Participants in them.
    pub participants: i32,
    /// When its drain began, as RFC 3339; its deadline counts from here, over restarts of the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_started_at: Option<String>,
    /// `Reachable` and `Ready`, see [`crate::conditions`].
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a member stands, for a person who reads `kubectl get medianodes`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MediaNodePhase {
    /// Its Pod is not running.
    #[default]
    Pending,
    /// Its process runs but does not serve.
    Starting,
    /// Takes rooms and clients.
    Serving,
    /// Keeps its rooms, takes no new ones.
    Cordoned,
    /// Hands its rooms over.
    Draining,
    /// Its Pod has ended as wanted.
    Ended,
    /// Its Pod has ended by itself; a new MediaNode takes its place.
    Failed,
}

/// One place where clients send media to.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
#[serde(rename_all = "camelCase")]
pub struct MemberAddress {
    /// IPv4 or IPv6 address.
    pub ip: IpAddr,
    /// UDP port.
    pub port: u16,
    /// Index of the shard whose socket is behind it.
    pub shard: u16,
}

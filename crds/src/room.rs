//! Room: a call that is to exist.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a room is to be.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "plenum.dev",
    version = "v1alpha1",
    kind = "Room",
    plural = "rooms",
    namespaced,
    status = "RoomStatus",
    derive = "PartialEq",
    category = "plenum",
    doc = "A call that is to exist: placed on a member of its pool, moved when that one ends, ended when deleted.",
    selectable = ".spec.poolRef.name",
    selectable = ".status.assignment.node",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.poolRef.name"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.assignment.node"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Participants",
        type_ = "integer",
        json_path = ".status.participants"
    ),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.assignment.url",
        priority = 1
    )
)]
// Held by the API server: whoever writes the status, an epoch never shrinks and never disappears.
#[kube(validation = Rule::new(
    "!has(oldSelf.status) || !has(oldSelf.status.epoch) || (has(self.status) && has(self.status.epoch) && self.status.epoch >= oldSelf.status.epoch)"
).message("status.epoch only grows and can't be removed"))]
#[x_kube(validation = Rule::new(
    "has(self.roomName) == has(oldSelf.roomName) && (!has(self.roomName) || self.roomName == oldSelf.roomName)"
).message("roomName can't change: make a new Room"))]
#[serde(rename_all = "camelCase")]
pub struct RoomResourceSpec {
    /// The pool whose members serve the room.
    #[x_kube(validation = Rule::new("self == oldSelf").message("poolRef can't change: make a new Room"))]
    pub pool_ref: RoomPoolRef,
    /// Name in the protocol, unique in the pool; the default is the name of the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("size(bytes(self)) <= 256").message("roomName has at most 256 bytes in UTF-8"))]
    #[schemars(length(min = 1, max = 256))]
    pub room_name: Option<String>,
    /// Title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// Participants at most; 0 means no limit.
    #[serde(default)]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub max_participants: u32,
    /// Seconds the room waits for its first participant before the call ends; without it the room stays while empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub empty_timeout: Option<u32>,
    /// Seconds the call stays after its last participant left; without it the room stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub departure_timeout: Option<u32>,
    /// Room metadata of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    // What the Directory keeps beside the claim (`plenum_cluster::directory::MAX_SPEC_BYTES`) has space for 64 KiB.
    #[schemars(length(max = 65_536))]
    pub metadata: Option<String>,
    /// Ends the call and refuses joins, but keeps the object.
    #[serde(default)]
    pub closed: bool,
}

/// Names a pool.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RoomPoolRef {
    /// Name of the MediaPool.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace, if it is another one; the pool must allow this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// What a room is. The Directory decides, this reports.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomStatus {
    /// Highest epoch seen: only grows, and is the floor of every later claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// Where it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
    /// Where it stands.
    pub phase: RoomPhase,
    /// Participants that are joined; up to 10 s old.
    pub participants: i32,
    /// Participants with at least one published track.
    pub publishers: i32,
    /// When the call began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `Placed` and `Ready`, see [`crate::conditions`].
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a room lives.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Name of the MediaNode.
    pub node: String,
    /// The life of its member.
    pub incarnation: String,
    /// What clients connect to.
    pub url: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// Where a room stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RoomPhase {
    /// Not placed; the condition `Placed` says why.
    #[default]
    Pending,
    /// Has a home, and nobody is in it.
    Assigned,
    /// Has participants.
    Active,
    /// Its home ended; the next one is not ready.
    Moving,
    /// Ended by `spec.closed`, a timeout or the server API.
    Closed,
    /// Can't be: the condition `Accepted` says why.
    Failed,
}

impl Room {
    /// Name in the protocol.
    #[must_use]
    pub fn room_name(&self) -> &str {
        self.spec
            .room_name
            .as_deref()
            .or(self.metadata.name.as_deref())
            .unwrap_or_default()
    }
}

//! MediaPool: a realm of members with one configuration, one URL and one set of API keys.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names;

/// What a pool of SFU members is to be.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "plenum.dev",
    version = "v1alpha1",
    kind = "MediaPool",
    plural = "mediapools",
    namespaced,
    status = "MediaPoolStatus",
    derive = "PartialEq",
    shortname = "mp",
    category = "plenum",
    doc = "A pool of SFU members: scaled by replicas or an autoscaler, drained and replaced by the operator.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Wanted", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Serving", type_ = "integer", json_path = ".status.serving"),
    printcolumn(name = "Draining", type_ = "integer", json_path = ".status.draining"),
    printcolumn(name = "Rooms", type_ = "integer", json_path = ".status.rooms"),
    printcolumn(
        name = "Participants",
        type_ = "integer",
        json_path = ".status.participants"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
// The name becomes that of Services and a prefix of Pod names; both are DNS labels of 63 characters.
#[kube(validation = Rule::new("size(self.metadata.name) <= 50").message("the name of a MediaPool has at most 50 characters: its Services and Pods are named after it"))]
#[serde(rename_all = "camelCase")]
pub struct MediaPoolSpec {
    /// Number of members that serve. Leave it out of manifests when an autoscaler owns it.
    #[serde(default = "defaults::replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// Image with the SFU.
    #[schemars(length(min = 1))]
    pub image: String,
    /// Pull policy of the image; the default is Kubernetes' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^(Always|IfNotPresent|Never)$"))]
    pub image_pull_policy: Option<String>,
    /// Resources of the SFU container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// More environment of the SFU container. What the operator sets itself wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Kubernetes nodes that may carry members.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that members tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// How media reaches the members.
    #[serde(default)]
    pub network: Network,
    /// Media threads per member, one UDP port each.
    #[serde(default = "defaults::shards")]
    #[schemars(range(min = 1, max = 64))]
    pub shards: u16,
    /// How much one member carries at most.
    #[serde(default)]
    pub capacity: Capacity,
    /// How members are drained.
    #[serde(default)]
    pub drain: Drain,
    /// Secrets of the pool's namespace.
    pub secret_refs: SecretRefs,
    /// URL of the Redis that is the Directory, if it holds no password; else use `secretRefs.redis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis_url: Option<String>,
    /// Which namespaces may have Rooms in this pool.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// The operator of this class looks after the pool.
    #[serde(default = "defaults::operator_class")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("operatorClass can't change: make a new MediaPool"))]
    #[schemars(length(min = 1, max = 63))]
    pub operator_class: String,
}

/// How media reaches the members of a pool.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Network {
    /// Which addresses the members advertise.
    pub mode: NetworkMode,
    /// UDP ports. With `HostPort` each member gets its own part of the range, so that several fit one Kubernetes node.
    pub port_range: PortRange,
    /// What clients connect to, as `Room.status.assignment.url` shows it; the default is the client Service's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub public_url: Option<String>,
    /// IP addresses by name of the Kubernetes node, where the node's own addresses are not those that clients reach.
    /// What is no IP address is passed over (ICE candidates can't be names).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub address_overrides: BTreeMap<String, Vec<String>>,
}

/// Which addresses the members of a pool advertise.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// The Kubernetes node's address and a host port of the Pod.
    #[default]
    HostPort,
    /// The Pod's own address: for clients inside the cluster's network.
    PodIP,
}

/// A range of UDP ports, both ends included.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[x_kube(validation = Rule::new("self.min <= self.max").message("portRange: min is greater than max"))]
#[serde(rename_all = "camelCase")]
pub struct PortRange {
    /// First port.
    #[schemars(range(min = 1, max = 65535))]
    pub min: u16,
    /// Last port.
    #[schemars(range(min = 1, max = 65535))]
    pub max: u16,
}

/// How much one member carries at most; what is not given has no limit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Capacity {
    /// Rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub rooms: Option<u32>,
    /// Participants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub participants: Option<u32>,
    /// Tracks forwarded to participants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4_294_967_295_u32))]
    pub subscriptions: Option<u32>,
}

/// How members are drained.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// Seconds after which a draining member ends though rooms are left. The Pod's grace period is 10 s longer.
    #[schemars(range(min = 1, max = 86400))]
    pub deadline_seconds: u32,
}

/// Secrets of the pool's namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRefs {
    /// API keys of the pool (`PLENUM_KEYS` of the SFU); default key `keys`.
    pub api_keys: SecretKey,
    /// What members and operator prove to each other; default key `secret`.
    pub cluster_secret: SecretKey,
    /// URL of Redis with its password; default key `url`. Wins over `redisUrl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<SecretKey>,
}

/// One entry of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Which namespaces may have Rooms in a pool.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("self.from != 'Selector' || has(self.selector)").message("allowedNamespaces: from Selector needs a selector"))]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Which ones.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces, with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How [`AllowedNamespaces`] chooses.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespacesFrom {
    /// Only the pool's own.
    #[default]
    Same,
    /// All that the operator watches.
    All,
    /// Those whose labels match.
    Selector,
}

/// Names a pool in the same namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolRef {
    /// Name of the MediaPool.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What a pool is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct MediaPoolStatus {
    /// Members that `/scale` counts: those that serve. An autoscaler that saw draining ones would swing.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Members that take rooms and clients.
    pub serving: i32,
    /// Members that hand their rooms over.
    pub draining: i32,
    /// Labels of the serving Pods, as `/scale` wants them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Rooms on all members.
    pub rooms: i32,
    /// Participants in them.
    pub participants: i32,
    /// Generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Available` and `Valid`, see [`crate::conditions`].
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

mod defaults {
    use super::{Drain, PortRange, names};

    pub(super) fn replicas() -> i32 {
        1
    }

    pub(super) fn shards() -> u16 {
        1
    }

    pub(super) fn operator_class() -> String {
        names::DEFAULT_OPERATOR_CLASS.to_owned()
    }

    impl Default for PortRange {
        // Below the range that Linux hands out to outgoing connections (32768 to 60999) and outside of NodePorts
        // (30000 to 32767): nothing else takes these by chance. A hundred members of one shard fit one Kubernetes node.
        fn default() -> Self {
            Self {
                min: 20000,
                max: 20099,
            }
        }
    }

    impl Default for Drain {
        // Moving 20 rooms takes at most 10 s; with its 10 s of grace on top the Pod ends within a minute.
        fn default() -> Self {
            Self {
                deadline_seconds: 30,
            }
        }
    }
}

impl SecretKey {
    /// The key in the Secret, `default` if none is named.
    #[must_use]
    pub fn key_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.key.as_deref().unwrap_or(default)
    }
}

//! The MediaNode object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use plenum_crds::{MediaNode, MediaNodeSpec, MediaPool, PoolRef, PortRange, WantedState, names};

use super::{labels, owner, pod};

/// A new MediaNode of a pool.
#[must_use]
pub fn media_node(pool: &MediaPool, name: &str, ports: PortRange) -> MediaNode {
    let pool_name = pool.name_any();
    MediaNode {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: pool.namespace(),
            labels: Some(labels(&pool_name)),
            finalizers: Some(vec![names::FINALIZER_NODE.to_owned()]),
            owner_references: owner(pool),
            ..ObjectMeta::default()
        },
        spec: MediaNodeSpec {
            pool_ref: PoolRef { name: pool_name },
            template_revision: pod::revision(&pool.spec),
            desired_state: WantedState::Active,
            ports,
        },
        status: None,
    }
}

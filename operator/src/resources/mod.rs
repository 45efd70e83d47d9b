//! The objects that the operator makes, as functions of a pool and a MediaNode.

pub mod node;
pub mod pod;
pub mod service;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use plenum_crds::names;

/// Labels of everything that belongs to a pool.
#[must_use]
pub fn labels(pool: &str) -> BTreeMap<String, String> {
    [
        (names::LABEL_APP_NAME, names::APP_NAME),
        (names::LABEL_APP_COMPONENT, names::COMPONENT_SFU),
        (names::LABEL_MANAGED_BY, names::FIELD_MANAGER),
        (names::LABEL_POOL, pool),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The owner that an object is removed with. `None` for an object that the API server has not named yet.
fn owner<K: Resource<DynamicType = ()>>(object: &K) -> Option<Vec<OwnerReference>> {
    object
        .controller_owner_ref(&())
        .map(|reference| vec![reference])
}

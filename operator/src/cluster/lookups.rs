//! What is read by name and seldom: Secrets, Kubernetes nodes, namespaces. Not watched, so that the operator needs no
//! right to list them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret};
use kube::{Api, Client, ResourceExt};
use plenum_crds::{SecretKey, names};
use tokio::time::Instant;

/// What was found is read again after this: a rotated secret is taken up within half a minute.
const KEEP_FOUND: Duration = Duration::from_secs(30);
/// What was not found is looked for again soon: people create it while they watch.
const KEEP_MISSING: Duration = Duration::from_secs(2);

/// Namespace and name.
type Key = (String, String);

struct Memo<V>(Mutex<HashMap<Key, (Instant, Option<V>)>>);

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<V: Clone> Memo<V> {
    async fn get(
        &self,
        namespace: &str,
        name: &str,
        read: impl Future<Output = kube::Result<Option<V>>>,
    ) -> Option<V> {
        let key = (namespace.to_owned(), name.to_owned());
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some((at, value)) = &known {
            let keep = if value.is_some() {
                KEEP_FOUND
            } else {
                KEEP_MISSING
            };
            if at.elapsed() < keep {
                return value.clone();
            }
        }
        let value = match read.await {
            Ok(value) => value,
            Err(error) => {
                tracing::debug!(namespace, name, %error, "a look-up failed");
                // The API server being away is no reason to forget what was there.
                known.and_then(|(_, value)| value)
            }
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, (Instant::now(), value.clone()));
        value
    }
}

/// Looks things up, and keeps them for a time.
pub struct Lookups {
    client: Client,
    secrets: Memo<BTreeMap<String, Vec<u8>>>,
    nodes: Memo<Vec<IpAddr>>,
    namespaces: Memo<BTreeMap<String, String>>,
}

impl Lookups {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            secrets: Memo::default(),
            nodes: Memo::default(),
            namespaces: Memo::default(),
        }
    }

    /// An entry of a Secret as text.
    ///
    /// # Errors
    /// What is missing, for a person.
    pub async fn secret(
        &self,
        namespace: &str,
        reference: &SecretKey,
        default: &str,
    ) -> Result<String, String> {
        let (name, key) = (&reference.name, reference.key_or(default));
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let read = async {
            let secret = api.get_opt(name).await?;
            Ok(secret.map(|secret| {
                secret
                    .data
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(key, value)| (key, value.0))
                    .collect()
            }))
        };
        let Some(data) = self.secrets.get(namespace, name, read).await else {
            return Err(format!(
                "Secret {namespace}/{name} does not exist, or the operator may not read it"
            ));
        };
        let Some(value) = data.get(key).filter(|value| !value.is_empty()) else {
            return Err(format!("Secret {namespace}/{name} has no key {key}"));
        };
        match String::from_utf8(value.clone()) {
            Ok(text) => Ok(text.trim_end().to_owned()),
            Err(_) => Err(format!("key {key} of Secret {namespace}/{name} is no text")),
        }
    }

    /// Addresses of a Kubernetes node under which clients may reach it: what its annotation says, else external ones
    /// before internal ones. Empty if the node can't be read.
    pub async fn node_addresses(&self, name: &str) -> Vec<IpAddr> {
        let api: Api<Node> = Api::all(self.client.clone());
        let read = async { Ok(api.get_opt(name).await?.map(|node| addresses_of(&node))) };
        self.nodes.get("", name, read).await.unwrap_or_default()
    }

    /// A Pod as the API server has it now: asked before a missing one is called dead, since a cache can be behind.
    ///
    /// # Errors
    /// When the API server does not answer; then nothing is known.
    pub async fn pod(&self, namespace: &str, name: &str) -> kube::Result<Option<Pod>> {
        Api::<Pod>::namespaced(self.client.clone(), namespace)
            .get_opt(name)
            .await
    }

    /// Labels of a namespace. Empty if it can't be read.
    pub async fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let read = async {
            Ok(api
                .get_metadata_opt(name)
                .await?
                .map(|namespace| namespace.labels().clone()))
        };
        self.namespaces
            .get("", name, read)
            .await
            .unwrap_or_default()
    }
}

fn addresses_of(node: &Node) -> Vec<IpAddr> {
    if let Some(text) = node.annotations().get(names::ANNOTATION_MEDIA_ADDRESSES) {
        return parse_list(text);
    }
    let addresses = node
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten());
    let of = |kind: &str| {
        addresses
            .clone()
            .filter(|address| address.type_ == kind)
            .filter_map(|address| address.address.parse().ok())
            .collect::<Vec<IpAddr>>()
    };
    let mut found = of("ExternalIP");
    for ip in of("InternalIP") {
        if !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

/// Comma-separated IP addresses; what is none is passed over.
pub(super) fn parse_list(text: &str) -> Vec<IpAddr> {
    text.split(',')
        .filter_map(|part| part.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{NodeAddress, NodeStatus};

    fn node(addresses: &[(&str, &str)]) -> Node {
        let addresses = addresses
            .iter()
            .map(|(kind, address)| NodeAddress {
                type_: (*kind).to_owned(),
                address: (*address).to_owned(),
            })
            .collect();
        Node {
            status: Some(NodeStatus {
                addresses: Some(addresses),
                ..NodeStatus::default()
            }),
            ..Node::default()
        }
    }

    #[test]
    fn external_addresses_come_first_and_names_are_passed_over() {
        let node = node(&[
            ("InternalIP", "10.0.0.1"),
            ("Hostname", "n"),
            ("ExternalIP", "192.0.2.7"),
            ("ExternalIP", "2001:db8::1"),
        ]);
        let texts: Vec<String> = addresses_of(&node)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts, ["192.0.2.7", "2001:db8::1", "10.0.0.1"]);
    }

    #[test]
    fn an_annotation_says_it_better() {
        let mut node = node(&[("InternalIP", "10.0.0.1")]);
        node.annotations_mut().insert(
            names::ANNOTATION_MEDIA_ADDRESSES.to_owned(),
            "198.51.100.2, nonsense".to_owned(),
        );
        assert_eq!(
            addresses_of(&node),
            ["198.51.100.2".parse::<IpAddr>().unwrap()]
        );
    }
}

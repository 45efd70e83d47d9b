//! The two Services of a pool.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use plenum_crds::{MediaPool, names};

use super::{labels, owner};

/// The client Service (serving members only) and the headless one of all members.
#[must_use]
pub fn services(pool: &MediaPool) -> [Service; 2] {
    [client(pool), peers(pool)]
}

/// Signaling, page and server API. Selects serving members: a draining one gets no new clients from the moment its label
/// goes, whatever its readiness probe says.
fn client(pool: &MediaPool) -> Service {
    let name = pool.name_any();
    let mut service = service(
        pool,
        &names::client_service(&name),
        "http",
        names::PORT_SIGNAL,
    );
    if let Some(spec) = &mut service.spec {
        let selector = spec.selector.get_or_insert_default();
        selector.insert(names::LABEL_SERVING.to_owned(), "true".to_owned());
    }
    service
}

/// By this name members find each other before they know an address from the Directory, draining ones too.
fn peers(pool: &MediaPool) -> Service {
    let name = pool.name_any();
    let mut service = service(
        pool,
        &names::peers_service(&name),
        "internal",
        names::PORT_INTERNAL,
    );
    if let Some(spec) = &mut service.spec {
        spec.cluster_ip = Some("None".to_owned());
        spec.publish_not_ready_addresses = Some(true);
    }
    service
}

fn service(pool: &MediaPool, name: &str, port_name: &str, port: u16) -> Service {
    let pool_name = pool.name_any();
    Service {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: pool.namespace(),
            labels: Some(labels(&pool_name)),
            owner_references: owner(pool),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            selector: Some([(names::LABEL_POOL.to_owned(), pool_name)].into()),
            ports: Some(vec![ServicePort {
                name: Some(port_name.to_owned()),
                port: i32::from(port),
                target_port: Some(IntOrString::Int(i32::from(port))),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The Service in the cluster has what this one asks for, and is ours to change.
#[must_use]
pub fn is_current(present: &Service, wanted: &Service) -> bool {
    let (Some(present), Some(wanted)) = (&present.spec, &wanted.spec) else {
        return false;
    };
    let ports = |spec: &ServiceSpec| {
        spec.ports
            .iter()
            .flatten()
            .map(|p| (p.name.clone(), p.port, p.target_port.clone()))
            .collect::<Vec<_>>()
    };
    present.selector == wanted.selector
        && ports(present) == ports(wanted)
        && present.publish_not_ready_addresses.unwrap_or(false)
            == wanted.publish_not_ready_addresses.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_crds::MediaPoolSpec;

    fn pool() -> MediaPool {
        let spec: MediaPoolSpec = serde_json::from_value(serde_json::json!({
            "image": "sfu",
            "secretRefs": {"apiKeys": {"name": "keys"}, "clusterSecret": {"name": "cluster"}},
        }))
        .unwrap();
        let mut pool = MediaPool::new("main", spec);
        pool.metadata.uid = Some("uid".to_owned());
        pool
    }

    #[test]
    fn clients_reach_serving_members_and_peers_reach_all() {
        let [client, peers] = services(&pool());
        assert_eq!(client.name_any(), "main-sfu");
        assert_eq!(
            client
                .spec
                .as_ref()
                .unwrap()
                .selector
                .as_ref()
                .unwrap()
                .len(),
            2
        );
        let peers = peers.spec.unwrap();
        assert_eq!(peers.selector.unwrap().len(), 1);
        assert_eq!(
            (
                peers.cluster_ip.as_deref(),
                peers.publish_not_ready_addresses
            ),
            (Some("None"), Some(true))
        );
    }

    #[test]
    fn a_changed_selector_is_noticed() {
        let [client, peers] = services(&pool());
        assert!(is_current(&client, &client) && is_current(&peers, &peers));
        let mut changed = client.clone();
        changed.spec.as_mut().unwrap().selector = None;
        assert!(!is_current(&changed, &client));
    }
}

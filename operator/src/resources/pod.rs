//! The Pod of a MediaNode.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    HTTPGetAction, ObjectFieldSelector, Pod, PodSecurityContext, PodSpec, Probe, SeccompProfile,
    SecretKeySelector, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use plenum_crds::{MediaNode, MediaPool, MediaPoolSpec, NetworkMode, SecretKey, names};
use sha2::{Digest, Sha256};

use super::{labels, owner};

/// Beyond the drain deadline: the process ends by itself first, and says so in its log.
const GRACE_BEYOND_DEADLINE_SECONDS: i64 = 10;
/// User of the image, as in distroless images.
const USER: i64 = 65532;
/// Scratch space of the process: the root file system is read-only.
const SCRATCH: &str = "/tmp";
/// Bound of the scratch space.
const SCRATCH_LIMIT: &str = "64Mi";
/// A member waits for its addresses and for the Directory before it is ready, but it lives from its first second.
const STARTUP_FAILURES: i32 = 60;
/// Six unanswered probes of five seconds: a liveness kill ends calls, so it must be sure.
const LIVENESS_FAILURES: i32 = 6;
const LIVENESS_PERIOD_SECONDS: i32 = 5;
const PROBE_TIMEOUT_SECONDS: i32 = 2;
/// Log lines of a cluster are read by machines, unless the pool says otherwise.
const LOG_JSON: &str = "PLENUM_LOG_JSON";
/// Media over TCP needs a port that clients reach at the member's own address: off, unless the pool says otherwise.
const TCP_PORT: &str = "RTC_TCP_PORT";

/// Hash of what a Pod is made from: MediaNodes of another revision were made from another template.
#[must_use]
pub fn revision(spec: &MediaPoolSpec) -> String {
    let template = serde_json::json!([
        spec.image,
        spec.image_pull_policy,
        spec.resources,
        spec.env,
        spec.node_selector,
        spec.tolerations,
        spec.network.mode,
        spec.shards,
        spec.drain,
        spec.secret_refs,
        spec.redis_url,
        spec.capacity,
    ]);
    let digest = Sha256::digest(template.to_string().as_bytes());
    digest
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The Pod of a MediaNode. `install` names this installation in the Directory.
#[must_use]
pub fn pod(pool: &MediaPool, node: &MediaNode, install: &str) -> Pod {
    let name = node.name_any();
    let pool_name = pool.name_any();
    let mut pod_labels = labels(&pool_name);
    pod_labels.insert(names::LABEL_NODE.to_owned(), name.clone());
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: node.namespace(),
            labels: Some(pod_labels),
            annotations: Some(annotations()),
            owner_references: owner(node),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![container(pool, node, install)],
            // A member never comes back as itself: a dead one is replaced by a new MediaNode.
            restart_policy: Some("Never".to_owned()),
            termination_grace_period_seconds: Some(
                i64::from(pool.spec.drain.deadline_seconds) + GRACE_BEYOND_DEADLINE_SECONDS,
            ),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            node_selector: Some(pool.spec.node_selector.clone())
                .filter(|selector| !selector.is_empty()),
            tolerations: Some(pool.spec.tolerations.clone())
                .filter(|tolerations| !tolerations.is_empty()),
            topology_spread_constraints: Some(vec![spread(&pool_name)]),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            volumes: Some(vec![Volume {
                name: "scratch".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: Some(Quantity(SCRATCH_LIMIT.to_owned())),
                    ..EmptyDirVolumeSource::default()
                }),
                ..Volume::default()
            }]),
            ..PodSpec::default()
        }),
        status: None,
    }
}

fn annotations() -> BTreeMap<String, String> {
    [
        // An autoscaler of Kubernetes nodes must not remove one under a call.
        (names::ANNOTATION_SAFE_TO_EVICT, "false".to_owned()),
        // What a Prometheus that finds its targets by annotations looks for.
        ("prometheus.io/scrape", "true".to_owned()),
        ("prometheus.io/port", names::PORT_ADMIN.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Members of one pool over Kubernetes nodes as evenly as they fit.
fn spread(pool: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some([(names::LABEL_POOL.to_owned(), pool.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}

fn container(pool: &MediaPool, node: &MediaNode, install: &str) -> Container {
    Container {
        name: names::CONTAINER_SFU.to_owned(),
        image: Some(pool.spec.image.clone()),
        image_pull_policy: pool.spec.image_pull_policy.clone(),
        command: Some(vec![names::SFU_PROGRAM.to_owned()]),
        env: Some(environment(pool, node, install)),
        ports: Some(container_ports(pool, node)),
        resources: pool.spec.resources.clone(),
        readiness_probe: Some(probe("/health/ready", 1, 1)),
        startup_probe: Some(probe("/health/live", 1, STARTUP_FAILURES)),
        liveness_probe: Some(probe(
            "/health/live",
            LIVENESS_PERIOD_SECONDS,
            LIVENESS_FAILURES,
        )),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: "scratch".to_owned(),
            mount_path: SCRATCH.to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

fn container_ports(pool: &MediaPool, node: &MediaNode) -> Vec<ContainerPort> {
    let tcp = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mut ports = vec![
        tcp("http", names::PORT_SIGNAL),
        tcp("internal", names::PORT_INTERNAL),
        tcp("admin", names::PORT_ADMIN),
    ];
    for (shard, port) in (node.spec.ports.min..=node.spec.ports.max).enumerate() {
        ports.push(ContainerPort {
            name: Some(format!("media-{shard}")),
            container_port: i32::from(port),
            // The same number inside and outside: what the member binds is what clients reach.
            host_port: (pool.spec.network.mode == NetworkMode::HostPort).then_some(i32::from(port)),
            protocol: Some("UDP".to_owned()),
            ..ContainerPort::default()
        });
    }
    ports
}

/// The pool's own environment first; what the operator must set wins, being later.
fn environment(pool: &MediaPool, node: &MediaNode, install: &str) -> Vec<EnvVar> {
    let plain = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let secret = |name: &str, reference: &SecretKey, default: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: reference.name.clone(),
                key: reference.key_or(default).to_owned(),
                optional: Some(false),
            }),
            ..EnvVarSource::default()
        }),
    };
    let spec = &pool.spec;
    let ports = node.spec.ports;
    let mut ours = vec![
        EnvVar {
            name: "POD_IP".to_owned(),
            value: None,
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "status.podIP".to_owned(),
                    ..ObjectFieldSelector::default()
                }),
                ..EnvVarSource::default()
            }),
        },
        plain("SERVER_INSTANCE_ID", node.name_any()),
        plain("PLENUM_INSTALL", install.to_owned()),
        // The uid, not the name: a pool made anew under an old name starts with an empty Directory.
        plain("PLENUM_POOL", pool.uid().unwrap_or_default()),
        plain(
            "PLENUM_INTERNAL_ADDRESS",
            format!("$(POD_IP):{}", names::PORT_INTERNAL),
        ),
        // Prometheus scrapes from outside the pod, as the operator's own port is scraped.
        plain(
            "PLENUM_ADMIN_ADDRESS",
            format!("$(POD_IP):{}", names::PORT_ADMIN),
        ),
        plain("PLENUM_WAIT_FOR_ADDRESSES", "true".to_owned()),
        plain("PLENUM_SHARDS", spec.shards.to_string()),
        plain("RTC_MIN_PORT", ports.min.to_string()),
        plain("RTC_MAX_PORT", ports.max.to_string()),
        secret(
            "PLENUM_KEYS",
            &spec.secret_refs.api_keys,
            names::SECRET_KEY_API_KEYS,
        ),
        secret(
            "PLENUM_CLUSTER_SECRET",
            &spec.secret_refs.cluster_secret,
            names::SECRET_KEY_CLUSTER,
        ),
    ];
    match (&spec.secret_refs.redis, &spec.redis_url) {
        (Some(reference), _) => ours.push(secret("REDIS_URL", reference, names::SECRET_KEY_REDIS)),
        (None, Some(url)) => ours.push(plain("REDIS_URL", url.clone())),
        (None, None) => {}
    }
    ours.push(plain(
        "PLENUM_DRAIN_SECONDS",
        spec.drain.deadline_seconds.to_string(),
    ));
    if let Some(rooms) = spec.capacity.rooms {
        ours.push(plain("PLENUM_MAX_ROOMS", rooms.to_string()));
    }
    for (name, default) in [(LOG_JSON, "true"), (TCP_PORT, "0")] {
        if spec.env.iter().all(|env| env.name != name) {
            ours.push(plain(name, default.to_owned()));
        }
    }
    let set: BTreeSet<&str> = ours.iter().map(|env| env.name.as_str()).collect();
    let theirs = spec
        .env
        .iter()
        .filter(|env| !set.contains(env.name.as_str()))
        .cloned();
    theirs.chain(ours.iter().cloned()).collect()
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(names::PORT_SIGNAL)),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        failure_threshold: Some(failures),
        timeout_seconds: Some(PROBE_TIMEOUT_SECONDS),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::node::media_node;
    use plenum_crds::PortRange;

    fn pool(more: &serde_json::Value) -> MediaPool {
        let mut spec = serde_json::json!({
            "image": "sfu",
            "secretRefs": {"apiKeys": {"name": "keys"}, "clusterSecret": {"name": "cluster"}, "redis": {"name": "redis"}},
        });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let mut pool = MediaPool::new("main", serde_json::from_value(spec).unwrap());
        pool.metadata.uid = Some("pool-uid".to_owned());
        pool.metadata.namespace = Some("ns".to_owned());
        pool
    }

    fn made(pool: &MediaPool) -> PodSpec {
        let mut node = media_node(
            pool,
            "main-x",
            PortRange {
                min: 20004,
                max: 20005,
            },
        );
        node.metadata.uid = Some("node-uid".to_owned());
        pod(pool, &node, "plenum").spec.unwrap()
    }

    fn value(pod: &PodSpec, name: &str) -> Option<String> {
        pod.containers[0]
            .env
            .as_ref()
            .unwrap()
            .iter()
            .find(|env| env.name == name)
            .and_then(|env| env.value.clone())
    }

    #[test]
    fn media_ports_are_host_ports_of_the_same_number() {
        let spec = made(&pool(&serde_json::json!({})));
        let media: Vec<_> = spec.containers[0]
            .ports
            .iter()
            .flatten()
            .filter(|p| p.protocol.as_deref() == Some("UDP"))
            .collect();
        assert_eq!(media.len(), 2);
        assert!(
            media
                .iter()
                .all(|port| port.host_port == Some(port.container_port))
        );
        assert_eq!(value(&spec, "RTC_MIN_PORT").as_deref(), Some("20004"));
        assert_eq!(value(&spec, "RTC_MAX_PORT").as_deref(), Some("20005"));
    }

    #[test]
    fn prometheus_finds_the_admin_port_of_a_pod() {
        let pool = pool(&serde_json::json!({}));
        let mut node = media_node(&pool, "main-x", PortRange { min: 1, max: 1 });
        node.metadata.uid = Some("node-uid".to_owned());
        let pod = pod(&pool, &node, "plenum");
        let annotations = pod.metadata.annotations.unwrap();
        assert_eq!(annotations["prometheus.io/port"], "7870");
        let spec = pod.spec.unwrap();
        assert_eq!(
            value(&spec, "PLENUM_ADMIN_ADDRESS").as_deref(),
            Some("$(POD_IP):7870")
        );
        let ports = spec.containers[0].ports.as_ref().unwrap();
        assert!(ports.iter().any(|port| port.container_port == 7870));
    }

    #[test]
    fn with_pod_addresses_there_are_no_host_ports() {
        let spec = made(&pool(&serde_json::json!({"network": {"mode": "PodIP"}})));
        assert!(
            spec.containers[0]
                .ports
                .iter()
                .flatten()
                .all(|port| port.host_port.is_none())
        );
    }

    #[test]
    fn what_the_operator_sets_wins_over_the_pool_s_environment() {
        let env = serde_json::json!({"env": [{"name": "PLENUM_POOL", "value": "other"}, {"name": "LOG_LEVEL", "value": "debug"}]});
        let spec = made(&pool(&env));
        assert_eq!(value(&spec, "PLENUM_POOL").as_deref(), Some("pool-uid"));
        assert_eq!(value(&spec, "LOG_LEVEL").as_deref(), Some("debug"));
        let all = spec.containers[0].env.as_ref().unwrap();
        assert_eq!(
            all.iter().filter(|env| env.name == "PLENUM_POOL").count(),
            1
        );
    }

    #[test]
    fn the_pod_can_do_nothing_that_it_needs_not() {
        let spec = made(&pool(&serde_json::json!({})));
        let context = spec.containers[0].security_context.as_ref().unwrap();
        assert_eq!(context.read_only_root_filesystem, Some(true));
        assert_eq!(
            context.capabilities.as_ref().unwrap().drop.as_deref(),
            Some(&["ALL".to_owned()][..])
        );
        assert_eq!(
            spec.security_context.as_ref().unwrap().run_as_non_root,
            Some(true)
        );
        assert_eq!(spec.automount_service_account_token, Some(false));
        assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
        assert_eq!(spec.termination_grace_period_seconds, Some(40));
    }

    #[test]
    fn the_revision_follows_the_template_and_not_the_size() {
        let one = pool(&serde_json::json!({"replicas": 1}));
        let nine = pool(&serde_json::json!({"replicas": 9}));
        let other = pool(&serde_json::json!({"image": "sfu:2"}));
        assert_eq!(revision(&one.spec), revision(&nine.spec));
        assert_ne!(revision(&one.spec), revision(&other.spec));
    }
}

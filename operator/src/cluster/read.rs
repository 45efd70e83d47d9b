//! Makes a plan's input of the caches, the members' reports and what this operator remembers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::core::{Expression, Selector, SelectorExt};
use kube::{Resource, ResourceExt};
use plenum_crds::{MediaNode, MediaNodePhase, MediaPool, NamespacesFrom, NetworkMode, Room, names};

use super::caches::Caches;
use super::lookups::{Lookups, parse_list};
use crate::members::{Members, Target};
use crate::plan::{
    Applied, LastRefusal, NodeView, Observed, PodState, PodView, PoolKey, PoolView, PresentPod,
    RoomId, RoomView, missing,
};
use crate::resources::service;

/// What this operator remembers of a pool between passes; lost with the process, and nothing depends on it but pace.
#[derive(Debug, Default)]
pub struct Memory {
    /// The members were asked once.
    pub asked: bool,
    /// Specs that members have taken, by uid of the Room.
    pub applied: HashMap<String, Applied>,
    /// Last refusals, by uid of the Room.
    pub refusals: HashMap<String, LastRefusal>,
    /// Since when no member reports a room, by uid of the Room.
    pub missing: HashMap<String, Timestamp>,
    /// Last status writes, by uid.
    pub written: HashMap<String, Timestamp>,
}

/// A plan's input, with the objects that it was made of.
pub struct Snapshot {
    /// The input.
    pub observed: Observed,
    /// The pool.
    pub pool: Option<Arc<MediaPool>>,
    /// MediaNodes by name.
    pub nodes: HashMap<String, Arc<MediaNode>>,
    /// Rooms by uid.
    pub rooms: HashMap<String, Arc<Room>>,
}

/// Reads.
pub struct Reader {
    /// What is watched.
    pub caches: Caches,
    /// What is looked up.
    pub lookups: Lookups,
    /// What members say.
    pub members: Arc<Members>,
    /// Pools of this class are ours.
    pub operator_class: String,
}

impl Reader {
    /// All that is to be known of a pool; `None` if another operator looks after it.
    pub async fn read(
        &self,
        key: &PoolKey,
        memory: &mut Memory,
        count_writes: usize,
    ) -> Option<Snapshot> {
        let now = Timestamp::now();
        let pool = self.caches.pools.list(|pool| is(pool, key)).pop();
        if pool
            .as_ref()
            .is_some_and(|pool| pool.spec.operator_class != self.operator_class)
        {
            return None;
        }
        let in_pool = |namespace: Option<String>, name: &str| {
            namespace.as_deref() == Some(&*key.namespace) && name == key.name
        };
        let nodes = self
            .caches
            .nodes
            .list(|node| in_pool(node.namespace(), &node.spec.pool_ref.name));
        let pods = self.caches.pods.list(|pod| {
            in_pool(
                pod.namespace(),
                pod.labels().get(names::LABEL_POOL).map_or("", |name| name),
            )
        });
        let rooms = self.caches.rooms.list(|room| {
            let namespace = room
                .spec
                .pool_ref
                .namespace
                .clone()
                .or_else(|| room.namespace());
            in_pool(namespace, &room.spec.pool_ref.name)
        });
        let (secret, secret_problem) = self.secrets(key, pool.as_deref()).await;
        let pods: BTreeMap<String, Arc<Pod>> =
            pods.into_iter().map(|pod| (pod.name_any(), pod)).collect();
        self.track(key, &pods, secret);
        if !memory.asked {
            self.members.ask_all(key).await;
            memory.asked = true;
        }
        let mut node_views = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let pod = self.pod_of(node, pods.get(&node.name_any())).await?;
            let pod = match pod {
                Some(pod) => PodView::Present(self.present(pool.as_deref(), node, &pod).await),
                None => PodView::Absent,
            };
            node_views.push(self.node_view(key, node, pod, memory));
        }
        // A fixed order makes logs and ties the same in every pass.
        node_views.sort_by(|a, b| a.name.cmp(&b.name));
        let mut room_views = Vec::with_capacity(rooms.len());
        for room in &rooms {
            let admitted = self.admitted(pool.as_deref(), room).await;
            room_views.push(room_view(room, admitted, memory));
        }
        room_views.sort_by(|a, b| a.id.cmp(&b.id));
        let pool_view = pool.as_ref().map(|pool| PoolView {
            generation: pool.metadata.generation.unwrap_or(0),
            deleting: pool.metadata.deletion_timestamp.is_some(),
            spec: pool.spec.clone(),
            status: pool.status.clone().unwrap_or_default(),
            services_current: self.services_current(pool),
            secret_problem,
            counts_written: pool.uid().and_then(|uid| memory.written.get(&uid).copied()),
        });
        let mut observed = Observed {
            now,
            seed: fastrand::u64(..),
            key: key.clone(),
            pool: pool_view,
            nodes: node_views,
            rooms: room_views,
            count_writes,
        };
        note_missing(&mut observed, memory);
        Some(Snapshot {
            observed,
            pool,
            nodes: nodes
                .into_iter()
                .map(|node| (node.name_any(), node))
                .collect(),
            rooms: rooms
                .into_iter()
                .filter_map(|room| room.uid().map(|uid| (uid, room)))
                .collect(),
        })
    }

    /// The Pod of a MediaNode. One that existed and is not in the cache is looked for once more: a member must not be
    /// called dead because a watch is behind. `None` outside: it can't be known now, and nothing is to be done.
    async fn pod_of(
        &self,
        node: &MediaNode,
        cached: Option<&Arc<Pod>>,
    ) -> Option<Option<Arc<Pod>>> {
        let status = node.status.as_ref();
        let existed =
            status.is_some_and(|s| s.pod_name.is_some() && s.phase != MediaNodePhase::Failed);
        let pod = match cached {
            Some(pod) => Some(pod.clone()),
            None if existed => {
                let found = self.lookups.pod(&node.namespace()?, &node.name_any()).await;
                found
                    .inspect_err(|error| tracing::warn!(%error, "a Pod can't be looked up"))
                    .ok()?
                    .map(Arc::new)
            }
            None => None,
        };
        Some(pod.filter(|pod| pod.controller_owner_is(node)))
    }

    /// The cluster secret, and what is missing of the pool's Secrets.
    async fn secrets(
        &self,
        key: &PoolKey,
        pool: Option<&MediaPool>,
    ) -> (Option<String>, Option<String>) {
        let Some(pool) = pool else {
            return (None, None);
        };
        let references = &pool.spec.secret_refs;
        let read = |reference, default| self.lookups.secret(&key.namespace, reference, default);
        let cluster = read(&references.cluster_secret, names::SECRET_KEY_CLUSTER).await;
        let keys = read(&references.api_keys, names::SECRET_KEY_API_KEYS).await;
        let redis = match &references.redis {
            Some(reference) => read(reference, names::SECRET_KEY_REDIS).await.map(|_| ()),
            None => Ok(()),
        };
        let problem = cluster
            .as_ref()
            .err()
            .or(keys.as_ref().err())
            .or(redis.as_ref().err())
            .cloned();
        (cluster.ok(), problem)
    }

    fn track(&self, key: &PoolKey, pods: &BTreeMap<String, Arc<Pod>>, secret: Option<String>) {
        if pods.is_empty() {
            self.members.track(key, Vec::new());
        }
        // Without the secret the members can't be asked; what they said last stays.
        let Some(secret) = secret else { return };
        let running = pods
            .values()
            .filter(|pod| pod_state(pod) == PodState::Running);
        let targets = running.filter_map(|pod| {
            let ip = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
            Some(Target {
                node: pod.name_any(),
                ip,
                secret: secret.clone(),
            })
        });
        self.members.track(key, targets.collect());
    }

    async fn present(&self, pool: Option<&MediaPool>, node: &MediaNode, pod: &Pod) -> PresentPod {
        let conditions = pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        PresentPod {
            state: pod_state(pod),
            ready: conditions
                .clone()
                .any(|c| c.type_ == "Ready" && c.status == "True"),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            serving_label: pod
                .labels()
                .get(names::LABEL_SERVING)
                .is_some_and(|value| value == "true"),
            media_addresses: self.media_addresses(pool, node, pod).await,
        }
    }

    /// Where clients reach a Pod: by override, by annotation of the MediaNode, by the Kubernetes node's own addresses, by
    /// the host address that the Pod was told.
    async fn media_addresses(
        &self,
        pool: Option<&MediaPool>,
        node: &MediaNode,
        pod: &Pod,
    ) -> Vec<IpAddr> {
        let parse = |texts: Vec<&String>| {
            texts
                .into_iter()
                .filter_map(|text| text.parse().ok())
                .collect::<Vec<IpAddr>>()
        };
        if let Some(text) = node.annotations().get(names::ANNOTATION_MEDIA_ADDRESSES) {
            return parse_list(text);
        }
        let (Some(pool), Some(status)) = (pool, &pod.status) else {
            return Vec::new();
        };
        let network = &pool.spec.network;
        match network.mode {
            NetworkMode::PodIP => {
                let ips = parse(status.pod_ips.iter().flatten().map(|ip| &ip.ip).collect());
                if ips.is_empty() {
                    parse(status.pod_ip.iter().collect())
                } else {
                    ips
                }
            }
            NetworkMode::HostPort => {
                let Some(host) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref())
                else {
                    return Vec::new();
                };
                if let Some(addresses) = network.address_overrides.get(host) {
                    return parse(addresses.iter().collect());
                }
                let addresses = self.lookups.node_addresses(host).await;
                if addresses.is_empty() {
                    let ips = parse(status.host_ips.iter().flatten().map(|ip| &ip.ip).collect());
                    if ips.is_empty() {
                        parse(status.host_ip.iter().collect())
                    } else {
                        ips
                    }
                } else {
                    addresses
                }
            }
        }
    }

    fn node_view(
        &self,
        key: &PoolKey,
        node: &MediaNode,
        pod: PodView,
        memory: &Memory,
    ) -> NodeView {
        NodeView {
            name: node.name_any(),
            generation: node.metadata.generation.unwrap_or(0),
            wanted: node.spec.desired_state,
            ports: node.spec.ports,
            delete_first: node
                .annotations()
                .get(names::ANNOTATION_DELETE_FIRST)
                .is_some_and(|value| value == "true"),
            deleting: node.metadata.deletion_timestamp.is_some(),
            held: node
                .finalizers()
                .iter()
                .any(|finalizer| finalizer == names::FINALIZER_NODE),
            status: node.status.clone().unwrap_or_default(),
            pod,
            member: self.members.view(key, &node.name_any()),
            counts_written: node.uid().and_then(|uid| memory.written.get(&uid).copied()),
        }
    }

    async fn admitted(&self, pool: Option<&MediaPool>, room: &Room) -> bool {
        let Some(pool) = pool else { return true };
        let namespace = room.namespace().unwrap_or_default();
        if pool.namespace().as_deref() == Some(&*namespace) {
            return true;
        }
        match pool.spec.allowed_namespaces.from {
            NamespacesFrom::Same => false,
            NamespacesFrom::All => true,
            NamespacesFrom::Selector => {
                let selector = pool
                    .spec
                    .allowed_namespaces
                    .selector
                    .clone()
                    .unwrap_or_default();
                // An empty selector matches everything in Kubernetes; a malformed one must match nothing.
                let selector = Selector::try_from(selector)
                    .unwrap_or_else(|_| Expression::Equal(String::new(), String::new()).into());
                selector.matches(&self.lookups.namespace_labels(&namespace).await)
            }
        }
    }

    fn services_current(&self, pool: &MediaPool) -> bool {
        let present = self
            .caches
            .services
            .list(|service| service.namespace() == pool.namespace());
        service::services(pool).iter().all(|wanted| {
            present.iter().any(|service| {
                service.name_any() == wanted.name_any() && service::is_current(service, wanted)
            })
        })
    }
}

fn is<K: ResourceExt>(object: &K, key: &PoolKey) -> bool {
    object.namespace().as_deref() == Some(&*key.namespace) && object.name_any() == key.name
}

trait ControlledBy {
    /// Its controller is this very object, not one of the same name before it.
    fn controller_owner_is<K: Resource<DynamicType = ()>>(&self, owner: &K) -> bool;
}

impl ControlledBy for Pod {
    fn controller_owner_is<K: Resource<DynamicType = ()>>(&self, owner: &K) -> bool {
        let uid = owner.meta().uid.as_deref();
        self.owner_references()
            .iter()
            .any(|reference| reference.controller == Some(true) && Some(&*reference.uid) == uid)
    }
}

fn pod_state(pod: &Pod) -> PodState {
    let Some(status) = &pod.status else {
        return PodState::Waiting(None);
    };
    let container = status
        .container_statuses
        .iter()
        .flatten()
        .find(|container| container.name == names::CONTAINER_SFU);
    let state = container.and_then(|container| container.state.as_ref());
    if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
        let reason = ended.reason.as_deref().unwrap_or("no reason given");
        return PodState::Ended(format!(
            "its process ended with exit code {} ({reason})",
            ended.exit_code
        ));
    }
    match status.phase.as_deref() {
        Some(phase @ ("Failed" | "Succeeded")) => {
            let reason = status
                .reason
                .as_deref()
                .or(status.message.as_deref())
                .unwrap_or("no reason given");
            PodState::Ended(format!("its Pod is {phase} ({reason})"))
        }
        Some("Running") => PodState::Running,
        _ => {
            let waiting = state.and_then(|state| state.waiting.as_ref());
            let pull = waiting
                .and_then(|waiting| waiting.message.clone().or_else(|| waiting.reason.clone()));
            let scheduling = status
                .conditions
                .iter()
                .flatten()
                .find(|c| c.type_ == "PodScheduled" && c.status == "False");
            PodState::Waiting(
                pull.or_else(|| scheduling.and_then(|condition| condition.message.clone())),
            )
        }
    }
}

fn room_view(room: &Room, admitted: bool, memory: &Memory) -> RoomView {
    let uid = room.uid().unwrap_or_default();
    RoomView {
        id: RoomId {
            namespace: room.namespace().unwrap_or_default(),
            name: room.name_any(),
            uid: uid.clone(),
        },
        created: room
            .creation_timestamp()
            .map_or(Timestamp::MIN, |time| time.0),
        generation: room.metadata.generation.unwrap_or(0),
        deleting_since: room.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        held: room
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == names::FINALIZER_ROOM),
        admitted,
        spec: room.spec.clone(),
        status: room.status.clone().unwrap_or_default(),
        applied: memory.applied.get(&uid).cloned(),
        missing_since: None,
        refusal: memory.refusals.get(&uid).cloned(),
        counts_written: memory.written.get(&uid).copied(),
    }
}

/// Times the absence of rooms, and forgets what is gone.
fn note_missing(observed: &mut Observed, memory: &mut Memory) {
    let now = observed.now;
    let missing: HashSet<String> = missing(observed).into_iter().map(|room| room.uid).collect();
    memory.missing.retain(|uid, _| missing.contains(uid));
    for uid in missing {
        memory.missing.entry(uid).or_insert(now);
    }
    for room in &mut observed.rooms {
        room.missing_since = memory.missing.get(&room.id.uid).copied();
    }
    let live: HashSet<&str> = observed
        .rooms
        .iter()
        .map(|room| room.id.uid.as_str())
        .collect();
    memory.applied.retain(|uid, _| live.contains(uid.as_str()));
    memory.refusals.retain(|uid, _| live.contains(uid.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{
        ContainerState, ContainerStateTerminated, ContainerStatus, PodCondition, PodStatus,
    };

    fn pod(status: PodStatus) -> Pod {
        Pod {
            status: Some(status),
            ..Pod::default()
        }
    }

    #[test]
    fn a_terminated_container_is_an_end_before_the_phase_says_so() {
        let terminated = ContainerStateTerminated {
            exit_code: 137,
            reason: Some("Error".to_owned()),
            ..Default::default()
        };
        let container = ContainerStatus {
            name: names::CONTAINER_SFU.to_owned(),
            state: Some(ContainerState {
                terminated: Some(terminated),
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
        };
        let state = pod_state(&pod(PodStatus {
            phase: Some("Running".to_owned()),
            container_statuses: Some(vec![container]),
            ..PodStatus::default()
        }));
        assert!(matches!(state, PodState::Ended(how) if how.contains("137")));
    }

    #[test]
    fn an_unschedulable_pod_says_why() {
        let condition = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            message: Some("0/1 nodes are available: port taken".to_owned()),
            ..PodCondition::default()
        };
        let state = pod_state(&pod(PodStatus {
            phase: Some("Pending".to_owned()),
            conditions: Some(vec![condition]),
            ..PodStatus::default()
        }));
        assert_eq!(
            state,
            PodState::Waiting(Some("0/1 nodes are available: port taken".to_owned()))
        );
    }
}

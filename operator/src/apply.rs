//! Carries out the steps of a plan. Every write names the version of the object that the plan has seen, so that a writer
//! who came between makes it a conflict and the plan is made anew.

use std::collections::HashMap;

use anyhow::{Context, anyhow};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use plenum_cluster::member_api::{PutRoom, Refusal, RoomSpec};
use plenum_cluster::{Epoch, RoomKey};
use plenum_crds::conditions::events;
use plenum_crds::{MediaNode, MediaPool, Room, RoomStatus, names};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::{Memory, Reader, Snapshot};
use crate::events::{Events, Notice};
use crate::leader::Term;
use crate::members::{CallError, Target};
use crate::plan::{About, Action, Applied, LastRefusal, PoolKey, RoomId, Step, Tell};
use crate::resources::{node as node_resource, pod as pod_resource, service as service_resource};

/// What writing needs, whatever the pool.
pub struct Applier {
    /// Speaks with the API server.
    pub client: Client,
    /// Where events go.
    pub events: Events,
    /// Name of this installation in the Directory.
    pub install: String,
}

/// The steps of one plan.
pub struct Pass<'a> {
    applier: &'a Applier,
    reader: &'a Reader,
    key: &'a PoolKey,
    term: Term,
    snapshot: &'a Snapshot,
    /// Versions of MediaNodes that this pass itself has written.
    written: HashMap<String, String>,
}

/// What a step taught that the next plan must know.
#[derive(Debug)]
pub enum Learnt {
    /// A member has taken a room's spec.
    Taken(String, Applied),
    /// A member has refused it.
    Refused(String, LastRefusal),
    /// A status was written.
    Written(String, k8s_openapi::jiff::Timestamp),
}

impl Learnt {
    /// Puts it where the next plan reads it.
    pub fn remember(self, memory: &mut Memory) {
        match self {
            Self::Taken(uid, applied) => {
                memory.refusals.remove(&uid);
                memory.applied.insert(uid, applied);
            }
            Self::Refused(uid, refusal) => {
                memory.refusals.insert(uid, refusal);
            }
            Self::Written(uid, at) => {
                memory.written.insert(uid, at);
            }
        }
    }
}

impl<'a> Pass<'a> {
    /// Of one plan.
    #[must_use]
    pub fn new(
        applier: &'a Applier,
        reader: &'a Reader,
        key: &'a PoolKey,
        term: Term,
        snapshot: &'a Snapshot,
    ) -> Self {
        Self {
            applier,
            reader,
            key,
            term,
            snapshot,
            written: HashMap::new(),
        }
    }

    /// Carries out a step that concerns the pool or a member, and tells of it.
    ///
    /// # Errors
    /// What the API server or the member said.
    pub async fn apply(&mut self, step: &Step, memory: &mut Memory) -> anyhow::Result<()> {
        match &step.action {
            Action::EnsureServices => self.ensure_services().await?,
            Action::CreateNode { name, ports } => {
                let pool = self.snapshot.pool.as_ref().context("its pool is gone")?;
                let node = node_resource::media_node(pool, name, *ports);
                let made = self
                    .api::<MediaNode>()
                    .create(&PostParams::default(), &node)
                    .await?;
                self.reader.caches.nodes.overlay.wrote(made);
            }
            Action::DrainNode { node } => {
                let patch = json!({"metadata": {"resourceVersion": self.version(node)?}, "spec": {"desiredState": "Draining"}});
                self.patch_node(node, &patch).await?;
            }
            Action::ReleaseNode { node } => {
                let object = self.node(node)?;
                let patch = without_finalizer(
                    object.finalizers(),
                    names::FINALIZER_NODE,
                    &self.version(node)?,
                );
                self.patch_node(node, &patch).await?;
            }
            Action::DeleteNode { node } => {
                let uid = self.node(node)?.uid();
                self.delete::<MediaNode>(node, uid).await?;
            }
            Action::CreatePod { node } => self.create_pod(node).await?,
            Action::DeletePod { node } => self.delete::<Pod>(node, None).await?,
            Action::LabelServing { node, serving } => {
                let value = if *serving { json!("true") } else { Value::Null };
                let patch = json!({"metadata": {"labels": {names::LABEL_SERVING: value}}});
                let pod = self
                    .api::<Pod>()
                    .patch(node, &PatchParams::default(), &Patch::Merge(&patch))
                    .await?;
                self.reader.caches.pods.overlay.wrote(pod);
            }
            Action::SetAddresses { node, addresses } => {
                let members = &self.reader.members;
                members
                    .set_addresses(&self.target(node)?, addresses.clone(), self.term)
                    .await?;
                members.took_addresses(self.key, node, addresses.clone());
            }
            Action::SetDesired { node, state } => {
                self.reader
                    .members
                    .set_desired(&self.target(node)?, *state, self.term)
                    .await?;
            }
            Action::WriteNodeStatus { node, status } => {
                let body = status_body::<MediaNode>(
                    node,
                    &self.key.namespace,
                    &self.version(node)?,
                    status,
                );
                let object = self
                    .api::<MediaNode>()
                    .patch_status(node, &apply_params(), &Patch::Apply(&body))
                    .await?;
                memory
                    .written
                    .extend(object.uid().map(|uid| (uid, self.snapshot.observed.now)));
                self.wrote_node(object);
            }
            Action::WritePoolStatus { status } => {
                let pool = self.snapshot.pool.as_ref().context("its pool is gone")?;
                let body = status_body::<MediaPool>(
                    &self.key.name,
                    &self.key.namespace,
                    &pool.resource_version().unwrap_or_default(),
                    status,
                );
                let object = self
                    .api::<MediaPool>()
                    .patch_status(&self.key.name, &apply_params(), &Patch::Apply(&body))
                    .await?;
                memory
                    .written
                    .extend(object.uid().map(|uid| (uid, self.snapshot.observed.now)));
                self.reader.caches.pools.overlay.wrote(object);
            }
            Action::HoldRoom { .. }
            | Action::PutRoom { .. }
            | Action::EndRoom { .. }
            | Action::WriteRoomStatus { .. } => {
                return Err(anyhow!("{} is a step of a Room", step.action.name()));
            }
        }
        step.tells.iter().for_each(|tell| self.tell(tell));
        Ok(())
    }

    /// Carries out a step that concerns a Room, and tells of it.
    pub async fn apply_room(&self, step: &Step) -> (anyhow::Result<()>, Option<Learnt>) {
        let (result, learnt) = match &step.action {
            Action::HoldRoom { room } => (self.hold_room(room).await, None),
            Action::PutRoom { room, node } => match self.put_room(room, node).await {
                Ok(learnt) => (Ok(()), Some(learnt)),
                Err(error) => (Err(error), None),
            },
            Action::EndRoom { room, nodes } => (self.end_room(room, nodes).await, None),
            Action::WriteRoomStatus { room, status } => {
                let learnt = Learnt::Written(room.uid.clone(), self.snapshot.observed.now);
                (self.write_room(room, status).await, Some(learnt))
            }
            other => (Err(anyhow!("{} is no step of a Room", other.name())), None),
        };
        if result.is_ok() {
            step.tells.iter().for_each(|tell| self.tell(tell));
        }
        (result, learnt)
    }

    async fn ensure_services(&self) -> anyhow::Result<()> {
        let pool = self.snapshot.pool.as_ref().context("its pool is gone")?;
        let api = self.api::<Service>();
        for service in service_resource::services(pool) {
            let name = service.name_any();
            if let Some(present) = api.get_opt(&name).await? {
                let ours = present
                    .owner_references()
                    .iter()
                    .any(|reference| Some(&reference.uid) == pool.uid().as_ref());
                if !ours {
                    return Err(anyhow!(
                        "Service {}/{name} exists and is not this pool's; rename the pool or remove it",
                        self.key.namespace
                    ));
                }
            }
            let applied = api
                .patch(&name, &apply_params(), &Patch::Apply(&service))
                .await?;
            self.reader.caches.services.overlay.wrote(applied);
        }
        Ok(())
    }

    async fn create_pod(&self, node: &str) -> anyhow::Result<()> {
        let pool = self.snapshot.pool.as_ref().context("its pool is gone")?;
        let object = self.node(node)?;
        let pod = pod_resource::pod(pool, object, &self.applier.install);
        match self.api::<Pod>().create(&PostParams::default(), &pod).await {
            Ok(made) => {
                self.reader.caches.pods.overlay.wrote(made);
                Ok(())
            }
            // Made by a pass whose answer was lost; the cache will show it.
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => {
                let note = format!("the Pod could not be made: {error}");
                self.tell(&Tell::warning(
                    About::Node(node.to_owned()),
                    events::POD_REFUSED,
                    note,
                ));
                Err(error.into())
            }
        }
    }

    async fn hold_room(&self, id: &RoomId) -> anyhow::Result<()> {
        let room = self.room(id)?;
        let mut finalizers = room.finalizers().to_vec();
        finalizers.push(names::FINALIZER_ROOM.to_owned());
        let patch = json!({"metadata": {"resourceVersion": room.resource_version(), "finalizers": finalizers}});
        self.patch_room(id, &patch).await
    }

    async fn put_room(&self, id: &RoomId, node: &str) -> anyhow::Result<Learnt> {
        let room = self.room(id)?;
        let name = room.room_name();
        let epoch = room
            .status
            .as_ref()
            .and_then(|status| status.epoch)
            .unwrap_or(0);
        let body = PutRoom {
            spec: room_spec(room),
            term: self.term.0,
            epoch_floor: Epoch::new(u64::try_from(epoch).unwrap_or(0)),
        };
        let incarnation = self
            .incarnation(node)
            .with_context(|| format!("member {node} does not answer"))?;
        let taken = || Applied {
            generation: room.metadata.generation.unwrap_or(0),
            node: node.to_owned(),
            incarnation,
        };
        let at = self.snapshot.observed.now;
        let refused = |reason: String, message: String| {
            Learnt::Refused(
                id.uid.clone(),
                LastRefusal {
                    reason,
                    message,
                    at,
                },
            )
        };
        Ok(
            match self
                .reader
                .members
                .put_room(&self.target(node)?, &RoomKey::new(name)?, &body)
                .await
            {
                Ok(report) if room.spec.closed => {
                    self.reader.members.ended_room(self.key, node, &report.name);
                    Learnt::Taken(id.uid.clone(), taken())
                }
                Ok(report) => {
                    self.reader.members.took_room(self.key, node, report);
                    Learnt::Taken(id.uid.clone(), taken())
                }
                Err(CallError::Refused {
                    refusal: Refusal { reason, .. },
                    ..
                }) if reason == "Closed" && room.spec.closed => {
                    self.reader.members.ended_room(self.key, node, name);
                    Learnt::Taken(id.uid.clone(), taken())
                }
                Err(CallError::Refused { refusal, .. }) => refused(refusal.reason, refusal.message),
                Err(error) => refused(String::new(), error.to_string()),
            },
        )
    }

    /// Ends the call and lets the object go, whatever the members answer: a Room must be deletable.
    async fn end_room(&self, id: &RoomId, nodes: &[String]) -> anyhow::Result<()> {
        let room = self.room(id)?;
        if let Ok(key) = RoomKey::new(room.room_name()) {
            for node in nodes {
                let Ok(target) = self.target(node) else {
                    continue;
                };
                match self.reader.members.end_room(&target, &key, self.term).await {
                    Ok(()) => self
                        .reader
                        .members
                        .ended_room(self.key, node, room.room_name()),
                    Err(error) => {
                        let note = format!("{error}; the call ends there by its own timeouts");
                        self.tell(&Tell::warning(
                            About::Room(id.clone()),
                            events::END_UNCONFIRMED,
                            note,
                        ));
                    }
                }
            }
        }
        let version = room.resource_version().unwrap_or_default();
        let patch = without_finalizer(room.finalizers(), names::FINALIZER_ROOM, &version);
        match self.patch_room(id, &patch).await {
            Err(error) if is_not_found(&error) => Ok(()),
            result => result,
        }
    }

    async fn write_room(&self, id: &RoomId, status: &RoomStatus) -> anyhow::Result<()> {
        let version = self.room(id)?.resource_version().unwrap_or_default();
        let body = status_body::<Room>(&id.name, &id.namespace, &version, status);
        let room = self
            .rooms(id)
            .patch_status(&id.name, &apply_params(), &Patch::Apply(&body))
            .await?;
        self.reader.caches.rooms.overlay.wrote(room);
        Ok(())
    }

    async fn patch_room(&self, id: &RoomId, patch: &Value) -> anyhow::Result<()> {
        let room = self
            .rooms(id)
            .patch(&id.name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        // Without a finalizer the object may be gone already, and must not come back by the overlay.
        if room.metadata.deletion_timestamp.is_none() {
            self.reader.caches.rooms.overlay.wrote(room);
        }
        Ok(())
    }

    async fn patch_node(&mut self, node: &str, patch: &Value) -> anyhow::Result<()> {
        let object = self
            .api::<MediaNode>()
            .patch(node, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        if object.metadata.deletion_timestamp.is_none() || !object.finalizers().is_empty() {
            self.wrote_node(object);
        }
        Ok(())
    }

    fn wrote_node(&mut self, object: MediaNode) {
        self.written.extend(
            object
                .resource_version()
                .map(|version| (object.name_any(), version)),
        );
        self.reader.caches.nodes.overlay.wrote(object);
    }

    async fn delete<K>(&self, name: &str, uid: Option<String>) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug,
    {
        let preconditions = uid.map(|uid| Preconditions {
            uid: Some(uid),
            resource_version: None,
        });
        let parameters = DeleteParams {
            preconditions,
            ..DeleteParams::background()
        };
        match self.api::<K>().delete(name, &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.applier.client.clone(), &self.key.namespace)
    }

    fn rooms(&self, id: &RoomId) -> Api<Room> {
        Api::namespaced(self.applier.client.clone(), &id.namespace)
    }

    fn node(&self, name: &str) -> anyhow::Result<&MediaNode> {
        self.snapshot
            .nodes
            .get(name)
            .map(AsRef::as_ref)
            .with_context(|| format!("MediaNode {name} is gone"))
    }

    fn room(&self, id: &RoomId) -> anyhow::Result<&Room> {
        self.snapshot
            .rooms
            .get(&id.uid)
            .map(AsRef::as_ref)
            .with_context(|| format!("Room {id} is gone"))
    }

    fn version(&self, node: &str) -> anyhow::Result<String> {
        match self.written.get(node) {
            Some(version) => Ok(version.clone()),
            None => self
                .node(node)?
                .resource_version()
                .context("an object without a version"),
        }
    }

    fn target(&self, node: &str) -> anyhow::Result<Target> {
        self.reader
            .members
            .target(self.key, node)
            .with_context(|| format!("member {node} has no address yet"))
    }

    fn incarnation(&self, node: &str) -> Option<plenum_cluster::Incarnation> {
        let node = self
            .snapshot
            .observed
            .nodes
            .iter()
            .find(|view| view.name == node)?;
        node.report().map(|report| report.incarnation)
    }

    fn tell(&self, tell: &Tell) {
        let about = match &tell.about {
            About::Pool => self.snapshot.pool.as_ref().map(|pool| pool.object_ref(&())),
            About::Node(name) => self
                .snapshot
                .nodes
                .get(name)
                .map(|node| node.object_ref(&())),
            About::Room(id) => self
                .snapshot
                .rooms
                .get(&id.uid)
                .map(|room| room.object_ref(&())),
        };
        let Some(about) = about else { return };
        // The version of the moment would make each event one of another object to some tools.
        let about = ObjectReference {
            resource_version: None,
            ..about
        };
        self.applier.events.publish(Notice {
            about,
            warning: tell.warning,
            reason: tell.reason,
            note: tell.note.clone(),
        });
    }
}

fn room_spec(room: &Room) -> RoomSpec {
    let spec = &room.spec;
    RoomSpec {
        uid: room.uid().unwrap_or_default(),
        max_participants: spec.max_participants,
        empty_timeout_seconds: spec.empty_timeout,
        departure_timeout_seconds: spec.departure_timeout,
        metadata: spec.metadata.clone().unwrap_or_default(),
        closed: spec.closed,
    }
}

fn apply_params() -> PatchParams {
    PatchParams::apply(names::FIELD_MANAGER).force()
}

fn status_body<K: Resource<DynamicType = ()>>(
    name: &str,
    namespace: &str,
    version: &str,
    status: &impl Serialize,
) -> Value {
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": version},
        "status": status,
    })
}

fn without_finalizer(finalizers: &[String], ours: &str, version: &str) -> Value {
    let left: Vec<&String> = finalizers
        .iter()
        .filter(|finalizer| *finalizer != ours)
        .collect();
    json!({"metadata": {"resourceVersion": version, "finalizers": left}})
}

fn is_not_found(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<kube::Error>(), Some(kube::Error::Api(status)) if status.is_not_found())
}

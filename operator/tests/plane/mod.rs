//! A namespace of its own on a real API server, with operators and the work of kubelets.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt};
use plenum_crds::{MediaPool, Room};
use plenum_operator::settings::Settings;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::member::Member;

/// Long enough for a slow machine, short enough to see that something hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "between-members";
/// Members of all tests have addresses of their own: 127.77.0.x.
static NEXT_ADDRESS: AtomicU8 = AtomicU8::new(1);

/// Waits until a thing is there.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < give_up,
            "waited {} s for {what}",
            PATIENCE.as_secs()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// A namespace with the definitions and the Secrets of a pool.
pub(crate) struct Plane {
    config: Config,
    client: Client,
    namespace: String,
}

/// An operator in this process.
pub(crate) struct Operator {
    stop: watch::Sender<bool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Operator {
    /// As by SIGTERM.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }

    /// Waits for its own end.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        let result = self.task.await.unwrap();
        drop(self.stop);
        result
    }
}

impl Plane {
    /// Connects; fails, naming what is missing, if there is no control plane.
    pub(crate) async fn new() -> Self {
        let Some(path) = std::env::var_os("PLENUM_KUBECONFIG") else {
            panic!(
                "no control plane: PLENUM_KUBECONFIG names none; tests/run control-plane starts one"
            )
        };
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        let namespace = format!("plenum-{:08x}", fastrand::u32(..));
        config.default_namespace.clone_from(&namespace);
        let client = Client::try_from(config.clone()).unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        for definition in plenum_crds::all() {
            let name = definition.name_any();
            definitions
                .patch(
                    &name,
                    &PatchParams::apply("test").force(),
                    &Patch::Apply(&definition),
                )
                .await
                .unwrap();
            until("the definition to be established", || async {
                let conditions = definitions.get(&name).await.ok()?.status?.conditions?;
                conditions
                    .into_iter()
                    .find(|c| c.type_ == "Established" && c.status == "True")
            })
            .await;
        }
        let named = |name: &str| ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = Namespace {
            metadata: named(&namespace),
            ..Namespace::default()
        };
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        for (name, key, value) in [
            ("keys", "keys", "devkey: secret"),
            ("cluster", "secret", SECRET),
        ] {
            let data = [(key.to_owned(), value.to_owned())].into();
            let secret = Secret {
                metadata: named(name),
                string_data: Some(data),
                ..Secret::default()
            };
            secrets
                .create(&PostParams::default(), &secret)
                .await
                .unwrap();
        }
        Self {
            config,
            client,
            namespace,
        }
    }

    /// An API of this namespace.
    pub(crate) fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(
        &self,
    ) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Starts an operator.
    pub(crate) fn operator(&self, name: &str) -> Operator {
        let settings = Settings {
            namespace: None,
            all_namespaces: false,
            operator_class: "plenum".to_owned(),
            install: self.namespace.clone(),
            lease_name: "plenum-operator".to_owned(),
            lease_namespace: None,
            pod_name: Some(name.to_owned()),
            listen: "127.0.0.1:0".parse().unwrap(),
        };
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(plenum_operator::run(self.config.clone(), settings, stopped));
        Operator { stop, task }
    }

    /// Makes a pool.
    pub(crate) async fn pool(&self, name: &str, replicas: i32) {
        let pool: MediaPool = serde_json::from_value(json!({
            "apiVersion": "plenum.dev/v1alpha1", "kind": "MediaPool", "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "image": "plenum-sfu:test",
                "network": {"mode": "HostPort", "portRange": {"min": 21000, "max": 21009}},
                "secretRefs": {"apiKeys": {"name": "keys"}, "clusterSecret": {"name": "cluster"}},
            },
        }))
        .unwrap();
        self.api()
            .create(&PostParams::default(), &pool)
            .await
            .unwrap();
    }

    /// As `kubectl scale` does.
    pub(crate) async fn scale(&self, pool: &str, replicas: i32) {
        let patch = json!({"spec": {"replicas": replicas}});
        self.api::<MediaPool>()
            .patch_scale(pool, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// As `plenum-operator teardown` does.
    pub(crate) async fn teardown(&self, deadline: Duration) -> anyhow::Result<()> {
        plenum_operator::teardown(self.config.clone(), None, deadline).await
    }

    /// Makes a Room.
    pub(crate) async fn try_room(
        &self,
        name: &str,
        spec: &serde_json::Value,
    ) -> kube::Result<Room> {
        let room: Room = serde_json::from_value(json!({
            "apiVersion": "plenum.dev/v1alpha1", "kind": "Room", "metadata": {"name": name}, "spec": spec,
        }))
        .unwrap();
        self.api().create(&PostParams::default(), &room).await
    }

    /// Makes a Room that must be taken.
    pub(crate) async fn room(&self, name: &str, spec: &serde_json::Value) -> Room {
        self.try_room(name, spec).await.unwrap()
    }

    /// Runs every Pod that does not run yet, with a member each; ordered by name.
    pub(crate) async fn run_pods(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for pod in self
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .unwrap()
        {
            if pod
                .status
                .as_ref()
                .is_some_and(|status| status.phase.as_deref() == Some("Running"))
            {
                continue;
            }
            let name = pod.name_any();
            let ip: IpAddr = format!("127.77.0.{}", NEXT_ADDRESS.fetch_add(1, Ordering::Relaxed))
                .parse()
                .unwrap();
            members.push(Member::start(&name, ip, SECRET));
            self.bind(&name).await;
            let status = json!({"status": {
                "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}],
                "containerStatuses": [{
                    "name": "sfu", "ready": true, "restartCount": 0, "image": "x", "imageID": "x",
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }],
            }});
            self.api::<Pod>()
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                .await
                .unwrap();
        }
        members
    }

    /// As the scheduler does, to a Kubernetes node that nobody looks after.
    async fn bind(&self, pod: &str) {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod, "namespace": self.namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"},
        });
        let api: Api<Pod> = self.api();
        let _: serde_json::Value = api
            .create_subresource("binding", pod, &PostParams::default(), &binding)
            .await
            .unwrap();
    }

    /// As a kubelet reports a container that was killed.
    pub(crate) async fn end_pod(&self, pod: &str, exit_code: i32) {
        let status = json!({"status": {
            "phase": "Failed",
            "containerStatuses": [{
                "name": "sfu", "ready": false, "restartCount": 0, "image": "x", "imageID": "x",
                "state": {"terminated": {"exitCode": exit_code, "reason": "Error"}},
            }],
        }});
        self.api::<Pod>()
            .patch_status(pod, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }

    /// As a kubelet does once the container of a deleted Pod has ended.
    pub(crate) async fn remove_pod(&self, pod: &str) {
        let parameters = DeleteParams::default().grace_period(0);
        if let Err(error) = self.api::<Pod>().delete(pod, &parameters).await {
            assert!(
                matches!(&error, kube::Error::Api(status) if status.is_not_found()),
                "{error}"
            );
        }
    }
}

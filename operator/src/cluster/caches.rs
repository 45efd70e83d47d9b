//! Watch caches. Every replica keeps them warm, so that a new leader starts from what is there.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use plenum_crds::{MediaNode, MediaPool, Room, names};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::overlay::Overlay;
use crate::plan::PoolKey;
use crate::work::Queue;

/// A dead watch is noticed after this plus 5 s; kube's own default would be 295 s.
const WATCH_TIMEOUT_SECONDS: u32 = 30;

/// One kind of object: as watched, and with our own writes over it.
pub struct Cache<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    /// Our own writes.
    pub overlay: Arc<Overlay<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + Debug + 'static> Cache<K> {
    /// Objects that belong, with own writes over them.
    pub fn list(&self, belongs: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let cached = self.store.state_filter(|object| belongs(object));
        self.overlay.over(cached, &belongs)
    }

    fn len(&self) -> usize {
        self.store.len()
    }
}

/// Everything that is watched.
pub struct Caches {
    /// Pools.
    pub pools: Cache<MediaPool>,
    /// Members.
    pub nodes: Cache<MediaNode>,
    /// Rooms.
    pub rooms: Cache<Room>,
    /// Pods of members.
    pub pods: Cache<Pod>,
    /// Services of pools.
    pub services: Cache<Service>,
}

impl Caches {
    /// The caches of a namespace, or of all, and the task that fills them for ever. What happens goes to the queue.
    pub fn new(
        client: &Client,
        namespace: Option<&str>,
        queue: &Arc<Queue>,
        metrics: &Metrics,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let ours = watcher::Config::default().labels(&format!(
            "{}={}",
            names::LABEL_MANAGED_BY,
            names::FIELD_MANAGER
        ));
        let all = watcher::Config::default;
        let wiring = Wiring {
            client,
            namespace,
            queue,
            metrics,
        };
        let (pools, watch_pools) = wiring.cache(all(), pool_of_pool);
        let (nodes, watch_nodes) = wiring.cache(all(), pool_of_node);
        let (rooms, watch_rooms) = wiring.cache(all(), pool_of_room);
        let (pods, watch_pods) = wiring.cache(ours.clone(), pool_by_label::<Pod>);
        let (services, watch_services) = wiring.cache(ours, pool_by_label::<Service>);
        let watches: Vec<BoxFuture<'static, ()>> = vec![
            watch_pools,
            watch_nodes,
            watch_rooms,
            watch_pods,
            watch_services,
        ];
        (
            Self {
                pools,
                nodes,
                rooms,
                pods,
                services,
            },
            join_all(watches).map(|_| ()),
        )
    }

    /// Waits until all caches are filled.
    ///
    /// # Errors
    /// When the task that fills them has ended.
    pub async fn synced(&self) -> Result<(), reflector::store::WriterDropped> {
        self.pools.store.wait_until_ready().await?;
        self.nodes.store.wait_until_ready().await?;
        self.rooms.store.wait_until_ready().await?;
        self.pods.store.wait_until_ready().await?;
        self.services.store.wait_until_ready().await
    }

    /// Every pool that anything refers to, also those that do not exist.
    #[must_use]
    pub fn known_pools(&self) -> BTreeSet<PoolKey> {
        let pools = self
            .pools
            .list(|_| true)
            .into_iter()
            .filter_map(|pool| pool_of_pool(&pool));
        let nodes = self
            .nodes
            .list(|_| true)
            .into_iter()
            .filter_map(|node| pool_of_node(&node));
        let rooms = self
            .rooms
            .list(|_| true)
            .into_iter()
            .filter_map(|room| pool_of_room(&room));
        pools.chain(nodes).chain(rooms).collect()
    }

    /// Rooms and MediaNodes in the caches.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.rooms.len(), self.nodes.len())
    }
}

struct Wiring<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
    queue: &'a Arc<Queue>,
    metrics: &'a Metrics,
}

impl Wiring<'_> {
    fn cache<K>(
        &self,
        config: watcher::Config,
        pool_of: fn(&K) -> Option<PoolKey>,
    ) -> (Cache<K>, BoxFuture<'static, ()>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let api: Api<K> = match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let (store, writer) = reflector::store();
        let overlay = Arc::new(Overlay::default());
        let cache = Cache {
            store,
            overlay: overlay.clone(),
        };
        let (queue, metrics) = (self.queue.clone(), self.metrics.clone());
        let watch = async move {
            let stream = watcher(api, config.timeout(WATCH_TIMEOUT_SECONDS))
                .default_backoff()
                .reflect(writer);
            let mut stream = std::pin::pin!(stream);
            let mut begun = Instant::now();
            while let Some(event) = stream.next().await {
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        overlay.saw(&object, false);
                        pool_of(&object)
                            .into_iter()
                            .for_each(|pool| queue.add(pool));
                    }
                    Ok(Event::Delete(object)) => {
                        overlay.saw(&object, true);
                        pool_of(&object)
                            .into_iter()
                            .for_each(|pool| queue.add(pool));
                    }
                    Ok(Event::Init) => begun = Instant::now(),
                    Ok(Event::InitDone) => overlay.listed(begun),
                    Err(error) => {
                        metrics.watch_error();
                        tracing::warn!(kind = %K::kind(&()), %error, "a watch broke; it starts again");
                    }
                }
            }
        };
        (cache, watch.boxed())
    }
}

fn pool_of_pool(pool: &MediaPool) -> Option<PoolKey> {
    Some(PoolKey {
        namespace: pool.namespace()?,
        name: pool.name_any(),
    })
}

fn pool_of_node(node: &MediaNode) -> Option<PoolKey> {
    Some(PoolKey {
        namespace: node.namespace()?,
        name: node.spec.pool_ref.name.clone(),
    })
}

fn pool_of_room(room: &Room) -> Option<PoolKey> {
    let namespace = room
        .spec
        .pool_ref
        .namespace
        .clone()
        .or_else(|| room.namespace())?;
    Some(PoolKey {
        namespace,
        name: room.spec.pool_ref.name.clone(),
    })
}

fn pool_by_label<K: ResourceExt>(object: &K) -> Option<PoolKey> {
    Some(PoolKey {
        namespace: object.namespace()?,
        name: object.labels().get(names::LABEL_POOL)?.clone(),
    })
}

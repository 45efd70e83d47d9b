//! Labels, annotations, finalizers, ports and Secret keys: what the operator, the chart and the tests must agree on.

/// API group of all resources.
pub const GROUP: &str = "plenum.dev";
/// API version of all resources.
pub const VERSION: &str = "v1alpha1";
/// Field manager of the operator in server-side apply.
pub const FIELD_MANAGER: &str = "plenum-operator";
/// Class of a pool that names none; an operator leaves the pools of other classes alone.
pub const DEFAULT_OPERATOR_CLASS: &str = "plenum";

/// Label on MediaNodes, Pods and Services: name of the pool.
pub const LABEL_POOL: &str = "plenum.dev/pool";
/// Label on a Pod: name of its MediaNode.
pub const LABEL_NODE: &str = "plenum.dev/node";
/// Label on a Pod, `true` while its member takes rooms and clients; the client Service and `/scale` select it.
pub const LABEL_SERVING: &str = "plenum.dev/serving";
/// Kubernetes' recommended label for the name of the application.
pub const LABEL_APP_NAME: &str = "app.kubernetes.io/name";
/// Kubernetes' recommended label for the part of it.
pub const LABEL_APP_COMPONENT: &str = "app.kubernetes.io/component";
/// Kubernetes' recommended label for who manages the object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_APP_NAME`] on SFU Pods.
pub const APP_NAME: &str = "plenum";
/// Value of [`LABEL_APP_COMPONENT`] on SFU Pods.
pub const COMPONENT_SFU: &str = "sfu";

/// Annotation on a MediaNode, `true`: the next scale-down takes this one first.
pub const ANNOTATION_DELETE_FIRST: &str = "plenum.dev/delete-first";
/// Annotation on a Kubernetes node or a MediaNode: comma-separated IP addresses under which clients reach it.
pub const ANNOTATION_MEDIA_ADDRESSES: &str = "plenum.dev/media-addresses";
/// Annotation on a Pod: the cluster autoscaler may not evict it.
pub const ANNOTATION_SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// Finalizer on Rooms: the call is ended before the object goes.
pub const FINALIZER_ROOM: &str = "plenum.dev/end-call";
/// Finalizer on MediaNodes: the Pod is drained before the object goes.
pub const FINALIZER_NODE: &str = "plenum.dev/drain";

/// Name of the SFU container.
pub const CONTAINER_SFU: &str = "sfu";
/// Program of the SFU container.
pub const SFU_PROGRAM: &str = "/usr/local/bin/plenum-sfu";
/// Port of signaling, page and server API.
pub const PORT_SIGNAL: u16 = 7880;
/// Port between members and from the operator, guarded by the cluster secret.
pub const PORT_INTERNAL: u16 = 7882;
/// Port of a member for metrics, full health and debug.
pub const PORT_ADMIN: u16 = 7870;

/// Key in the API keys Secret, if the reference names none.
pub const SECRET_KEY_API_KEYS: &str = "keys";
/// Key in the cluster Secret, if the reference names none.
pub const SECRET_KEY_CLUSTER: &str = "secret";
/// Key in the Redis Secret, if the reference names none.
pub const SECRET_KEY_REDIS: &str = "url";

/// Name of the Service that clients and Ingress use, for a pool.
#[must_use]
pub fn client_service(pool: &str) -> String {
    format!("{pool}-sfu")
}

/// Name of the headless Service by which members find each other before they know an address, for a pool.
#[must_use]
pub fn peers_service(pool: &str) -> String {
    format!("{pool}-peers")
}

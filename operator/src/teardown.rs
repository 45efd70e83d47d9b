//! Before an uninstall: rooms end, pools drain, and nothing is left that only an operator could let go.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, Config, Resource, ResourceExt};
use plenum_crds::{MediaNode, MediaPool, Room};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Pause between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Deletes the Rooms, MediaPools and MediaNodes of a namespace; a running operator ends their calls and drains. After
/// `deadline` the finalizers of what is left are removed.
///
/// # Errors
/// When the API server refuses.
pub async fn teardown(
    config: Config,
    namespace: Option<String>,
    deadline: Duration,
) -> anyhow::Result<()> {
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).context("the Kubernetes client")?;
    let give_up = Instant::now() + deadline;
    delete_all::<Room>(&client, &namespace).await?;
    delete_all::<MediaPool>(&client, &namespace).await?;
    // The garbage collector does the same for a pool's MediaNodes; where it is slow, or gone, this does.
    delete_all::<MediaNode>(&client, &namespace).await?;
    loop {
        let left = count::<Room>(&client, &namespace).await?
            + count::<MediaNode>(&client, &namespace).await?;
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= give_up {
            tracing::warn!(
                left,
                "the deadline passed; finalizers are removed, and what still runs ends with its Pod"
            );
            release_all::<Room>(&client, &namespace).await?;
            return release_all::<MediaNode>(&client, &namespace).await;
        }
        sleep(LOOK_EVERY).await;
    }
}

trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send
{
}
impl<
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send,
> Ours for K
{
}

async fn delete_all<K: Ours>(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    for object in api.list(&ListParams::default()).await? {
        let name = object.name_any();
        match api.delete(&name, &DeleteParams::background()).await {
            Ok(_) => tracing::info!(kind = %K::kind(&()), name, "deleting"),
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn count<K: Ours>(client: &Client, namespace: &str) -> anyhow::Result<usize> {
    Ok(Api::<K>::namespaced(client.clone(), namespace)
        .list_metadata(&ListParams::default())
        .await?
        .items
        .len())
}

async fn release_all<K: Ours>(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    for object in api.list(&ListParams::default()).await? {
        let patch = json!({"metadata": {"finalizers": null}});
        match api
            .patch(
                &object.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

//! Wires everything together and runs until told to stop or until the Lease is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use kube::{Api, Client, Config};
use tokio::sync::watch;

use crate::apply::Applier;
use crate::cluster::{Caches, Lookups, Reader};
use crate::events::recorder;
use crate::http::{self, Health};
use crate::leader::{Term, campaign};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::reconcile::Reconciler;
use crate::settings::Settings;
use crate::work::{Queue, work};

/// Runs an operator until `stop` is true; it steps down then.
///
/// # Errors
/// When it can't start, or when the Lease was lost: the process must end then.
pub async fn run(
    config: Config,
    settings: Settings,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let own_namespace = config.default_namespace.clone();
    let client = client(config)?;
    let metrics = Metrics::default();
    let health = Health::default();
    let queue = Arc::new(Queue::default());
    let instance = settings
        .pod_name
        .clone()
        .unwrap_or_else(|| "plenum-operator".to_owned());

    let (caches, watches) =
        Caches::new(&client, settings.watched(&own_namespace), &queue, &metrics);
    let (events, write_events) = recorder(client.clone(), instance.clone(), metrics.clone());
    let members = Arc::new(Members::new(metrics.clone()).context("the HTTP client for members")?);
    let reader = Reader {
        caches,
        lookups: Lookups::new(client.clone()),
        members: members.clone(),
        operator_class: settings.operator_class.clone(),
    };
    let applier = Applier {
        client: client.clone(),
        events,
        install: settings.install.clone(),
    };
    let reconciler = Arc::new(Reconciler::new(reader, applier, metrics.clone()));
    let (server, address) = http::server(settings.listen, health.clone(), metrics.clone())
        .with_context(|| format!("listening on {}", settings.listen))?;
    tracing::info!(%address, namespace = settings.watched(&own_namespace).unwrap_or("all"), "the operator runs");

    let (lead, leading) = watch::channel(None);
    let lease_namespace = settings
        .lease_namespace
        .as_deref()
        .unwrap_or(&own_namespace);
    // New at every start: a restarted container is another candidate, with another term.
    let identity = format!("{instance}_{:08x}", fastrand::u32(..));
    let election = campaign(
        Api::namespaced(client, lease_namespace),
        settings.lease_name.clone(),
        identity,
        lead,
        stop,
    );

    let asking = members.keep_asking(queue.clone());
    let working = {
        let (reconciler, health, leading, metrics) = (
            reconciler.clone(),
            health.clone(),
            leading.clone(),
            metrics.clone(),
        );
        async move {
            if reconciler.synced().await {
                health.synced.store(true, Ordering::Relaxed);
                tracing::info!("the caches are filled");
                work(
                    reconciler,
                    queue.clone(),
                    leading,
                    health.pulse.clone(),
                    metrics,
                )
                .await;
            }
        }
    };
    let pulse = health.pulse.clone();
    let handle = server.handle();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(watches);
    tasks.spawn(write_events);
    tasks.spawn(asking);
    tasks.spawn(working);
    tasks.spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the health port has failed");
        }
    });
    tasks.spawn(report_term(leading, metrics));
    tasks.spawn(pulse.beat_until_synced(health.synced.clone()));
    let ended = election.await;
    handle.stop(false).await;
    // Nothing may be written after the Lease is gone: what is in flight is dropped here.
    tasks.shutdown().await;
    ended.map_err(Into::into)
}

async fn report_term(mut leading: watch::Receiver<Option<Term>>, metrics: Metrics) {
    loop {
        let term = *leading.borrow_and_update();
        metrics.leading(term.map(|term| term.0));
        match term {
            Some(term) => tracing::info!(term = term.0, "this operator leads"),
            None => tracing::info!("this operator follows"),
        }
        if leading.changed().await.is_err() {
            return;
        }
    }
}

/// A client that does not retry by itself: kube's default waits up to 1000 s on 429, longer than a Lease.
fn client(mut config: Config) -> anyhow::Result<Client> {
    config.default_retry = false;
    Client::try_from(config).context("the Kubernetes client")
}

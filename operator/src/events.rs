//! Kubernetes events: every decision with its why, where `kubectl describe` shows it.
//!
//! They are written in the background by one task with a bounded queue: events must never hold up what they tell about.
//! (kube's own recorder folds events of one reason into the first one's text, and the text is the point here.)

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// Events that wait to be written. A failover of a thousand rooms fits; beyond that they are dropped and counted.
const QUEUE: usize = 2048;
/// Limit of the API for a note.
const MAX_NOTE_BYTES: usize = 1024;
/// What `kubectl describe` shows as the source.
const CONTROLLER: &str = "plenum.dev/operator";

/// One event on its way.
#[derive(Debug)]
pub struct Notice {
    /// Whom it is about.
    pub about: ObjectReference,
    /// Something to look at.
    pub warning: bool,
    /// Reason from the fixed list.
    pub reason: &'static str,
    /// The why.
    pub note: String,
}

/// Where notices go in.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Notice>,
    metrics: Metrics,
}

impl Events {
    /// Queues a notice; drops and counts it if the queue is full.
    pub fn publish(&self, notice: Notice) {
        tracing::info!(
            kind = notice.about.kind.as_deref(),
            namespace = notice.about.namespace.as_deref(),
            name = notice.about.name.as_deref(),
            reason = notice.reason,
            "{}",
            notice.note
        );
        if self.queue.try_send(notice).is_err() {
            self.metrics.event(false);
        }
    }
}

/// The way in, and the task that writes.
pub fn recorder(
    client: Client,
    instance: String,
    metrics: Metrics,
) -> (Events, impl Future<Output = ()>) {
    let (queue, mut waiting) = mpsc::channel::<Notice>(QUEUE);
    let events = Events {
        queue,
        metrics: metrics.clone(),
    };
    let writer = async move {
        while let Some(notice) = waiting.recv().await {
            let namespace = notice
                .about
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned());
            let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
            let written = api
                .create(&PostParams::default(), &event(notice, namespace, &instance))
                .await;
            if let Err(error) = &written {
                tracing::debug!(%error, "an event could not be written");
            }
            metrics.event(written.is_ok());
        }
    };
    (events, writer)
}

fn event(notice: Notice, namespace: String, instance: &str) -> Event {
    let now = Timestamp::now();
    let mut note = notice.note;
    let mut end = note.len().min(MAX_NOTE_BYTES);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.truncate(end);
    Event {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}.{:x}{:04x}",
                notice.about.name.as_deref().unwrap_or("plenum"),
                now.as_nanosecond(),
                fastrand::u16(..)
            )),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        action: Some(notice.reason.to_owned()),
        reason: Some(notice.reason.to_owned()),
        regarding: Some(notice.about),
        note: Some(note),
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

//! The operator's side of the members' internal API: commands, and the reports of all members, read in the background so
//! that a member that does not answer never holds up anything else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use plenum_cluster::RoomKey;
use plenum_cluster::member_api::{
    AdvertisedAddress, DesiredState, EndRoom, MemberReport, MemberState, PutRoom, Refusal,
    RoomReport, SetAddresses, SetDesiredState,
};
use plenum_crds::names;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::leader::Term;
use crate::metrics::Metrics;
use crate::plan::{MemberView, PoolKey};
use crate::work::Queue;

/// One call. A pod that is gone leaves its address unanswered; nothing waits longer for it.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a member that serves is asked.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often one is asked that is starting, draining or silent: people wait for it.
const REPORT_EVERY_WHILE_UNSETTLED: Duration = Duration::from_millis(250);
/// Pause between two looks at who is due.
const TICK: Duration = Duration::from_millis(100);

/// Where a member is, and how to prove who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the MediaNode.
    pub node: String,
    /// Address of its Pod.
    pub ip: IpAddr,
    /// The cluster secret of its pool.
    pub secret: String,
}

/// Why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer.
    #[error("member {node} does not answer: {why}")]
    Unreachable {
        /// Which member.
        node: String,
        /// The error.
        why: String,
    },
    /// It refused, and says why.
    #[error("member {node} refused ({}): {}", refusal.reason, refusal.message)]
    Refused {
        /// Which member.
        node: String,
        /// What it says.
        refusal: Refusal,
    },
    /// Another status than the API's.
    #[error(
        "member {node} answered with status {status}; with 401 its cluster secret is another one"
    )]
    Status {
        /// Which member.
        node: String,
        /// The status.
        status: u16,
    },
}

struct Entry {
    target: Target,
    view: MemberView,
    asked: Option<Instant>,
    asking: bool,
}

/// All members of all pools, as far as they answer.
pub struct Members {
    http: reqwest::Client,
    metrics: Metrics,
    entries: Mutex<HashMap<PoolKey, HashMap<String, Entry>>>,
}

impl Members {
    /// Knows nobody yet.
    ///
    /// # Errors
    /// When the HTTP client can't be made.
    pub fn new(metrics: Metrics) -> reqwest::Result<Self> {
        // The environment's proxy has no way to pods.
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(CALL_TIMEOUT)
            .connect_timeout(CALL_TIMEOUT)
            .build()?;
        Ok(Self {
            http,
            metrics,
            entries: Mutex::default(),
        })
    }

    /// From now on these are the members of the pool that run.
    pub fn track(&self, pool: &PoolKey, targets: Vec<Target>) {
        let mut entries = self.lock();
        if targets.is_empty() {
            entries.remove(pool);
            return;
        }
        let mut old = entries.remove(pool).unwrap_or_default();
        let tracked = targets.into_iter().map(|target| {
            let entry = match old.remove(&target.node) {
                Some(entry) if entry.target == target => entry,
                // A new secret, or an address that came late: what it said is still the last thing it said.
                Some(entry) => Entry {
                    target: target.clone(),
                    asked: None,
                    ..entry
                },
                None => Entry {
                    target: target.clone(),
                    view: MemberView::Unknown,
                    asked: None,
                    asking: false,
                },
            };
            (target.node, entry)
        });
        entries.insert(pool.clone(), tracked.collect());
    }

    /// What a member says.
    #[must_use]
    pub fn view(&self, pool: &PoolKey, node: &str) -> MemberView {
        let entries = self.lock();
        entries
            .get(pool)
            .and_then(|members| members.get(node))
            .map_or(MemberView::Unknown, |entry| entry.view.clone())
    }

    /// Asks all members of a pool and waits for the answers; for the first look after a start, which must not take a
    /// running member for a silent one.
    pub async fn ask_all(&self, pool: &PoolKey) {
        let targets: Vec<Target> = self
            .lock()
            .get(pool)
            .map(|members| members.values().map(|entry| entry.target.clone()).collect())
            .unwrap_or_default();
        futures_util::future::join_all(targets.into_iter().map(|target| async move {
            let answer = self.report(&target).await;
            self.learn(pool, &target.node, answer);
        }))
        .await;
    }

    /// Reads reports for ever, and queues the pools of members that say something new.
    pub async fn keep_asking(self: Arc<Self>, queue: Arc<Queue>) {
        loop {
            for (pool, target) in self.due() {
                let (members, queue) = (self.clone(), queue.clone());
                tokio::spawn(async move {
                    let answer = members.report(&target).await;
                    if members.learn(&pool, &target.node, answer) {
                        queue.add(pool);
                    }
                });
            }
            sleep(TICK).await;
        }
    }

    fn due(&self) -> Vec<(PoolKey, Target)> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (pool, members) in self.lock().iter_mut() {
            for entry in members.values_mut() {
                let every = match &entry.view {
                    MemberView::Answering(report) if report.state == MemberState::Serving => {
                        REPORT_EVERY
                    }
                    _ => REPORT_EVERY_WHILE_UNSETTLED,
                };
                if !entry.asking
                    && entry
                        .asked
                        .is_none_or(|asked| now.duration_since(asked) >= every)
                {
                    entry.asking = true;
                    entry.asked = Some(now);
                    due.push((pool.clone(), entry.target.clone()));
                }
            }
        }
        due
    }

    /// Takes an answer; says whether it is news.
    fn learn(&self, pool: &PoolKey, node: &str, answer: Result<MemberReport, CallError>) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries
            .get_mut(pool)
            .and_then(|members| members.get_mut(node))
        else {
            return false;
        };
        entry.asking = false;
        let view = match (answer, &entry.view) {
            (Ok(report), _) => MemberView::Answering(Box::new(report)),
            (Err(error), MemberView::Answering(last)) => {
                tracing::warn!(%pool, node, %error, "a member has stopped answering");
                MemberView::Silent {
                    since: Timestamp::now(),
                    last: last.clone(),
                }
            }
            (Err(_), old) => old.clone(),
        };
        let news = view != entry.view;
        entry.view = view;
        news
    }

    /// A member has just taken a room: until its next report this is what it would say.
    pub fn took_room(&self, pool: &PoolKey, node: &str, room: RoomReport) {
        self.amend(pool, node, |report| {
            report.rooms.retain(|known| known.name != room.name);
            report.rooms.push(room);
        });
    }

    /// A member has just ended a room.
    pub fn ended_room(&self, pool: &PoolKey, node: &str, room: &str) {
        self.amend(pool, node, |report| {
            report.rooms.retain(|known| known.name != room);
        });
    }

    /// A member has just taken its addresses: without this it would be told again until its next report.
    pub fn took_addresses(&self, pool: &PoolKey, node: &str, addresses: Vec<AdvertisedAddress>) {
        self.amend(pool, node, |report| report.addresses = addresses);
    }

    /// Changes what a member said last to what it would say now.
    fn amend(&self, pool: &PoolKey, node: &str, change: impl FnOnce(&mut MemberReport)) {
        let mut entries = self.lock();
        if let Some(Entry {
            view: MemberView::Answering(report),
            ..
        }) = entries
            .get_mut(pool)
            .and_then(|members| members.get_mut(node))
        {
            change(report);
        }
    }

    /// Where a member is, if it is tracked.
    #[must_use]
    pub fn target(&self, pool: &PoolKey, node: &str) -> Option<Target> {
        self.lock()
            .get(pool)
            .and_then(|members| members.get(node))
            .map(|entry| entry.target.clone())
    }

    /// Reads a member's report.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn report(&self, target: &Target) -> Result<MemberReport, CallError> {
        let response = self
            .send(
                "report",
                target,
                self.request(Method::GET, target, "member"),
            )
            .await?;
        response
            .json()
            .await
            .map_err(|error| unreachable(target, &error))
    }

    /// Tells a member where clients reach it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_addresses(
        &self,
        target: &Target,
        addresses: Vec<AdvertisedAddress>,
        term: Term,
    ) -> Result<(), CallError> {
        self.put(
            "addresses",
            target,
            "addresses",
            &SetAddresses {
                addresses,
                term: term.0,
            },
        )
        .await
        .map(|_| ())
    }

    /// Tells a member what it is to do.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_desired(
        &self,
        target: &Target,
        state: DesiredState,
        term: Term,
    ) -> Result<(), CallError> {
        self.put(
            "desired-state",
            target,
            "desired-state",
            &SetDesiredState {
                state,
                term: term.0,
            },
        )
        .await
        .map(|_| ())
    }

    /// Asks a member to be the home of a room, or to take a changed spec.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn put_room(
        &self,
        target: &Target,
        room: &RoomKey,
        body: &PutRoom,
    ) -> Result<RoomReport, CallError> {
        let response = self
            .put(
                "put-room",
                target,
                &format!("rooms/{}", room.escaped()),
                body,
            )
            .await?;
        response
            .json()
            .await
            .map_err(|error| unreachable(target, &error))
    }

    /// Ends a room on a member.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn end_room(
        &self,
        target: &Target,
        room: &RoomKey,
        term: Term,
    ) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, target, &format!("rooms/{}", room.escaped()));
        self.send("end-room", target, request.json(&EndRoom { term: term.0 }))
            .await
            .map(|_| ())
    }

    async fn put<B: Serialize + Sync>(
        &self,
        call: &'static str,
        target: &Target,
        path: &str,
        body: &B,
    ) -> Result<reqwest::Response, CallError> {
        self.send(
            call,
            target,
            self.request(Method::PUT, target, path).json(body),
        )
        .await
    }

    fn request(&self, method: Method, target: &Target, path: &str) -> RequestBuilder {
        let host = std::net::SocketAddr::new(target.ip, names::PORT_INTERNAL);
        self.http
            .request(method, format!("http://{host}/internal/v1/{path}"))
            .bearer_auth(&target.secret)
    }

    async fn send(
        &self,
        call: &'static str,
        target: &Target,
        request: RequestBuilder,
    ) -> Result<reqwest::Response, CallError> {
        let answer = match request.send().await {
            Err(error) => Err(unreachable(target, &error)),
            Ok(response) if response.status().is_success() => Ok(response),
            Ok(response) => {
                let (node, status) = (target.node.clone(), response.status());
                match response.json().await {
                    Ok(refusal)
                        if matches!(
                            status,
                            StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE
                        ) =>
                    {
                        Err(CallError::Refused { node, refusal })
                    }
                    _ => Err(CallError::Status {
                        node,
                        status: status.as_u16(),
                    }),
                }
            }
        };
        self.metrics.member_call(call, answer.is_ok());
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PoolKey, HashMap<String, Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreachable(target: &Target, error: &reqwest::Error) -> CallError {
    CallError::Unreachable {
        node: target.node.clone(),
        why: error.to_string(),
    }
}

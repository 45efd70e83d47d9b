//! What was seen of one pool: its objects in Kubernetes, its members' own words, and what this operator remembers.

use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use plenum_cluster::Incarnation;
use plenum_cluster::member_api::{MemberReport, RoomReport};
use plenum_crds::{
    MediaNodeStatus, MediaPoolSpec, MediaPoolStatus, PortRange, RoomResourceSpec, RoomStatus,
    WantedState,
};

/// Names a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for PoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Names a Room resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl std::fmt::Display for RoomId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// All that a plan for one pool reads.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Wall clock, for ages of objects and times in their status. Never compared with another machine's.
    pub now: Timestamp,
    /// Seed for the names of new MediaNodes.
    pub seed: u64,
    /// Which pool.
    pub key: PoolKey,
    /// The pool, if it exists.
    pub pool: Option<PoolView>,
    /// Its MediaNodes.
    pub nodes: Vec<NodeView>,
    /// The Rooms that refer to it.
    pub rooms: Vec<RoomView>,
    /// How many Room statuses may be written in this pass for their counts alone.
    pub count_writes: usize,
}

/// A MediaPool.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// Generation of its spec.
    pub generation: i64,
    /// Its deletion has begun.
    pub deleting: bool,
    /// What it is to be.
    pub spec: MediaPoolSpec,
    /// What was written last.
    pub status: MediaPoolStatus,
    /// Both Services are as they should be.
    pub services_current: bool,
    /// What is missing of its Secrets, for a person; `None` if nothing.
    pub secret_problem: Option<String>,
    /// When its counts were written last.
    pub counts_written: Option<Timestamp>,
}

/// A MediaNode with its Pod and its member.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Generation of its spec.
    pub generation: i64,
    /// What it is to do.
    pub wanted: WantedState,
    /// Its UDP ports.
    pub ports: PortRange,
    /// Marked to go first.
    pub delete_first: bool,
    /// Its deletion has begun.
    pub deleting: bool,
    /// It carries our finalizer.
    pub held: bool,
    /// What was written last.
    pub status: MediaNodeStatus,
    /// Its Pod.
    pub pod: PodView,
    /// What the member says.
    pub member: MemberView,
    /// When its counts were written last.
    pub counts_written: Option<Timestamp>,
}

/// The Pod of a MediaNode.
#[derive(Debug, Clone, PartialEq)]
pub enum PodView {
    /// There is none.
    Absent,
    /// There is one.
    Present(PresentPod),
}

/// A Pod that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct PresentPod {
    /// Whether and how it runs.
    pub state: PodState,
    /// Its Ready condition.
    pub ready: bool,
    /// Its deletion has begun: the process got SIGTERM and drains by itself.
    pub terminating: bool,
    /// It carries the serving label.
    pub serving_label: bool,
    /// Where clients reach it, best first; empty while nothing is known.
    pub media_addresses: Vec<IpAddr>,
}

/// Whether and how a Pod runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// Not yet; the why if Kubernetes gives one.
    Waiting(Option<String>),
    /// Its container runs.
    Running,
    /// Its container has ended; how.
    Ended(String),
}

/// What a member says.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberView {
    /// It has never answered.
    Unknown,
    /// It does not answer.
    Silent {
        /// Since when.
        since: Timestamp,
        /// What it said last.
        last: Box<MemberReport>,
    },
    /// It answers.
    Answering(Box<MemberReport>),
}

/// A Room.
#[derive(Debug, Clone)]
pub struct RoomView {
    /// Which one.
    pub id: RoomId,
    /// When it was made; of two with one name the older holds it.
    pub created: Timestamp,
    /// Generation of its spec.
    pub generation: i64,
    /// When its deletion began.
    pub deleting_since: Option<Timestamp>,
    /// It carries our finalizer.
    pub held: bool,
    /// The pool admits Rooms of its namespace.
    pub admitted: bool,
    /// What it is to be.
    pub spec: RoomResourceSpec,
    /// What was written last.
    pub status: RoomStatus,
    /// The spec that a member has taken, as this operator remembers.
    pub applied: Option<Applied>,
    /// Since when no member reports it.
    pub missing_since: Option<Timestamp>,
    /// The last refusal, if it came after the last success.
    pub refusal: Option<LastRefusal>,
    /// When its status was written last.
    pub counts_written: Option<Timestamp>,
}

/// A spec that a member has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Generation of the Room.
    pub generation: i64,
    /// Name of the MediaNode.
    pub node: String,
    /// Which life of its member.
    pub incarnation: Incarnation,
}

/// Why a member did not take a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRefusal {
    /// The member's reason, see `plenum_cluster::member_api::Refusal`; empty if it did not answer.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

impl NodeView {
    /// The pod, if there is one.
    #[must_use]
    pub fn present(&self) -> Option<&PresentPod> {
        match &self.pod {
            PodView::Present(pod) => Some(pod),
            PodView::Absent => None,
        }
    }

    /// Its Pod existed and runs no more: it never will again.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        match &self.pod {
            PodView::Present(PresentPod {
                state: PodState::Ended(how),
                ..
            }) => Some(how.clone()),
            PodView::Absent if self.status.pod_name.is_some() => {
                Some("its Pod was removed".to_owned())
            }
            _ => None,
        }
    }

    /// On its way out, by whatever cause.
    #[must_use]
    pub fn leaving(&self) -> bool {
        self.wanted == WantedState::Draining
            || self.deleting
            || self.present().is_some_and(|pod| pod.terminating)
    }

    /// What the member says now.
    #[must_use]
    pub fn report(&self) -> Option<&MemberReport> {
        match &self.member {
            MemberView::Answering(report) if self.ended().is_none() => Some(report),
            _ => None,
        }
    }

    /// What the member says of a room.
    #[must_use]
    pub fn room(&self, name: &str) -> Option<&RoomReport> {
        self.report()?.rooms.iter().find(|room| room.name == name)
    }
}

impl RoomView {
    /// Name in the protocol.
    #[must_use]
    pub fn room_name(&self) -> &str {
        self.spec.room_name.as_deref().unwrap_or(&self.id.name)
    }
}

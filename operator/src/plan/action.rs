//! What a plan asks for.

use plenum_cluster::member_api::{AdvertisedAddress, DesiredState};
use plenum_crds::{MediaNodeStatus, MediaPoolStatus, PortRange, RoomStatus};

use super::observed::RoomId;

/// One thing to do, and what to tell people once it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// Events to publish if it succeeded.
    pub tells: Vec<Tell>,
}

/// One change in the cluster or on a member.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Apply the pool's two Services.
    EnsureServices,
    /// Make a MediaNode.
    CreateNode {
        /// Its name, also that of its Pod and the member's `NodeId`.
        name: String,
        /// UDP ports of its shards.
        ports: PortRange,
    },
    /// Set `desiredState: Draining`; final.
    DrainNode {
        /// Name of the MediaNode.
        node: String,
    },
    /// Delete the MediaNode object.
    DeleteNode {
        /// Name of the MediaNode.
        node: String,
    },
    /// Take the finalizer away from a MediaNode whose Pod has ended.
    ReleaseNode {
        /// Name of the MediaNode.
        node: String,
    },
    /// Make the Pod of a MediaNode.
    CreatePod {
        /// Name of both.
        node: String,
    },
    /// Delete the Pod, with its grace period.
    DeletePod {
        /// Name of the MediaNode.
        node: String,
    },
    /// Set or remove the label that the client Service and `/scale` select.
    LabelServing {
        /// Name of the MediaNode.
        node: String,
        /// Set or remove.
        serving: bool,
    },
    /// Tell a member where clients reach it.
    SetAddresses {
        /// Name of the MediaNode.
        node: String,
        /// All addresses.
        addresses: Vec<AdvertisedAddress>,
    },
    /// Tell a member what it is to do.
    SetDesired {
        /// Name of the MediaNode.
        node: String,
        /// What.
        state: DesiredState,
    },
    /// Write a MediaNode's status.
    WriteNodeStatus {
        /// Name of the MediaNode.
        node: String,
        /// All of it.
        status: MediaNodeStatus,
    },
    /// Write the pool's status.
    WritePoolStatus {
        /// All of it.
        status: MediaPoolStatus,
    },
    /// Put the finalizer on a Room, before anything is done for it.
    HoldRoom {
        /// Which one.
        room: RoomId,
    },
    /// Ask a member to be the home of a room, or to take a changed spec.
    PutRoom {
        /// Which one.
        room: RoomId,
        /// Name of the MediaNode.
        node: String,
    },
    /// End the call on each of these members, then take the Room's finalizer away whether they answered or not.
    EndRoom {
        /// Which one.
        room: RoomId,
        /// Names of the MediaNodes; empty if nobody holds it.
        nodes: Vec<String>,
    },
    /// Write a Room's status.
    WriteRoomStatus {
        /// Which one.
        room: RoomId,
        /// All of it.
        status: Box<RoomStatus>,
    },
}

impl Action {
    /// Name for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsureServices => "EnsureServices",
            Self::CreateNode { .. } => "CreateNode",
            Self::DrainNode { .. } => "DrainNode",
            Self::DeleteNode { .. } => "DeleteNode",
            Self::ReleaseNode { .. } => "ReleaseNode",
            Self::CreatePod { .. } => "CreatePod",
            Self::DeletePod { .. } => "DeletePod",
            Self::LabelServing { .. } => "LabelServing",
            Self::SetAddresses { .. } => "SetAddresses",
            Self::SetDesired { .. } => "SetDesired",
            Self::WriteNodeStatus { .. } => "WriteNodeStatus",
            Self::WritePoolStatus { .. } => "WritePoolStatus",
            Self::HoldRoom { .. } => "HoldRoom",
            Self::PutRoom { .. } => "PutRoom",
            Self::EndRoom { .. } => "EndRoom",
            Self::WriteRoomStatus { .. } => "WriteRoomStatus",
        }
    }

    /// The step that does this and tells nobody.
    #[must_use]
    pub fn quietly(self) -> Step {
        Step {
            action: self,
            tells: Vec::new(),
        }
    }

    /// The step that does this and then tells.
    #[must_use]
    pub fn telling(self, tells: Vec<Tell>) -> Step {
        Step {
            action: self,
            tells,
        }
    }
}

/// An event: a decision and its why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tell {
    /// Whom it is about.
    pub about: About,
    /// Something to look at, rather than the normal course.
    pub warning: bool,
    /// One of [`plenum_crds::conditions::events`].
    pub reason: &'static str,
    /// The why, with names and numbers.
    pub note: String,
}

/// The object that an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The pool.
    Pool,
    /// A MediaNode by its name.
    Node(String),
    /// A Room.
    Room(RoomId),
}

impl Tell {
    /// The normal course of things.
    pub fn normal(about: About, reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            about,
            warning: false,
            reason,
            note: note.into(),
        }
    }

    /// Something to look at.
    pub fn warning(about: About, reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            about,
            warning: true,
            reason,
            note: note.into(),
        }
    }
}

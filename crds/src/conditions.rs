//! Condition types, their reasons, and the reasons of events: one fixed list, so that alerts and scripts can rely on the
//! words.

/// Types of conditions.
pub mod types {
    /// MediaPool: as many members serve as are wanted.
    pub const AVAILABLE: &str = "Available";
    /// MediaPool: the configuration can be carried out (secrets exist, ports suffice).
    pub const VALID: &str = "Valid";
    /// MediaNode: the operator reaches the member's internal port.
    pub const REACHABLE: &str = "Reachable";
    /// MediaNode and Room: it serves.
    pub const READY: &str = "Ready";
    /// Room: the spec is taken; false if the name is held by another Room or the pool does not admit the namespace.
    pub const ACCEPTED: &str = "Accepted";
    /// Room: it has a home.
    pub const PLACED: &str = "Placed";
}

/// Reasons of conditions.
pub mod reasons {
    /// All is as wanted.
    pub const AS_WANTED: &str = "AsWanted";
    /// MediaPool: members are starting.
    pub const MEMBERS_STARTING: &str = "MembersStarting";
    /// MediaPool: no member is wanted.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
    /// MediaPool: the port range is used up; names the range and how many members fit.
    pub const PORTS_EXHAUSTED: &str = "PortsExhausted";
    /// MediaPool: members end as soon as they are made; no more are made for a time.
    pub const MEMBERS_FAILING: &str = "MembersFailing";
    /// MediaPool: a Secret or a key in it is missing.
    pub const SECRET_MISSING: &str = "SecretMissing";
    /// MediaNode: the Pod has no address or does not answer yet.
    pub const STARTING: &str = "Starting";
    /// MediaNode: the internal port does not answer.
    pub const UNREACHABLE: &str = "Unreachable";
    /// MediaNode: the Kubernetes node has no address that a client could reach; names the mend.
    pub const NO_ADDRESS: &str = "NoAddress";
    /// MediaNode: it serves.
    pub const SERVING: &str = "Serving";
    /// MediaNode: it takes no new rooms.
    pub const CORDONED: &str = "Cordoned";
    /// MediaNode: its rooms are moving away.
    pub const DRAINING: &str = "Draining";
    /// MediaNode: the member has lost its claims and registers anew.
    pub const FENCED: &str = "Fenced";
    /// MediaNode: the Pod ended.
    pub const POD_ENDED: &str = "PodEnded";
    /// Room: spec taken.
    pub const ACCEPTED: &str = "Accepted";
    /// Room: another Room of the pool holds the name; the message names it.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// Room: its pool does not exist.
    pub const POOL_NOT_FOUND: &str = "PoolNotFound";
    /// Room: the pool does not admit Rooms of this namespace.
    pub const NAMESPACE_NOT_ALLOWED: &str = "NamespaceNotAllowed";
    /// Room: a home holds it.
    pub const PLACED: &str = "Placed";
    /// Room: the pool has no serving member; the message says how many are starting or draining.
    pub const NO_SERVING_MEMBER: &str = "NoServingMember";
    /// Room: every serving member is full; the message has the numbers.
    pub const AT_CAPACITY: &str = "AtCapacity";
    /// Room: the member could not claim it because the Directory is away.
    pub const DIRECTORY_UNAVAILABLE: &str = "DirectoryUnavailable";
    /// Room: its home ended or drains; the next one is not ready yet.
    pub const MOVING: &str = "Moving";
    /// Room: `spec.closed` is set.
    pub const CLOSED: &str = "Closed";
    /// Room: the call ended on its member (timeout or server API).
    pub const CALL_ENDED: &str = "CallEnded";
    /// Room: the member refused it for a reason that it names in the message.
    pub const REFUSED: &str = "Refused";
}

/// Reasons of events: one for each decision.
pub mod events {
    /// MediaPool: a MediaNode was made.
    pub const NODE_CREATED: &str = "NodeCreated";
    /// MediaPool and MediaNode: a member is dead and gets replaced.
    pub const NODE_DEAD: &str = "NodeDead";
    /// MediaPool: a MediaNode that has ended was removed.
    pub const NODE_REMOVED: &str = "NodeRemoved";
    /// MediaPool: the port range is used up.
    pub const PORTS_EXHAUSTED: &str = "PortsExhausted";
    /// MediaNode: its Pod was made.
    pub const POD_CREATED: &str = "PodCreated";
    /// MediaNode: the API server refused its Pod (quota, admission, a wrong field); the note says why.
    pub const POD_REFUSED: &str = "PodRefused";
    /// MediaNode: the member was told its advertised addresses.
    pub const ADDRESSES_SET: &str = "AddressesSet";
    /// MediaNode: the member takes rooms and clients.
    pub const SERVING: &str = "Serving";
    /// MediaNode and MediaPool: a drain began; the note says why this one.
    pub const DRAIN_STARTED: &str = "DrainStarted";
    /// MediaNode: it is empty and ends.
    pub const DRAIN_FINISHED: &str = "DrainFinished";
    /// MediaNode: the deadline passed with rooms left; the note says how many.
    pub const DRAIN_DEADLINE: &str = "DrainDeadline";
    /// Room: it has its first home.
    pub const PLACED: &str = "Placed";
    /// Room: it has another home.
    pub const MOVED: &str = "Moved";
    /// Room: nothing fits; the note has the reason and the numbers.
    pub const PENDING: &str = "Pending";
    /// Room: another Room holds the name.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// Room: `spec.closed` ended it.
    pub const CLOSED: &str = "Closed";
    /// Room: the call ended on its member.
    pub const CALL_ENDED: &str = "CallEnded";
    /// Room: deleted; its participants were told.
    pub const ENDED: &str = "Ended";
    /// Room: deleted while its home could not be reached; the member ends the call by its own rules.
    pub const END_UNCONFIRMED: &str = "EndUnconfirmed";
}

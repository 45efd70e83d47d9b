//! The times of claims.md in one place.

use std::time::Duration;

/// How often members speak, and after how much silence what happens. The defaults are the rules; a simulation may shorten
/// them, keeping `fence` below `dead`: the old home must be silent before a new one speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between heartbeats to the Directory (rule 2).
    pub beat: Duration,
    /// Between pings to each peer (rule 3).
    pub ping: Duration,
    /// Bound on one ping; below `ping`, so that each has its answer or failure before the next.
    pub ping_timeout: Duration,
    /// A peer not heard for this long is suspected: no new rooms, joins to it are held (rule 12).
    pub suspect: Duration,
    /// Silence to the Directory and to its peers after which a member is dead (rule 4).
    pub dead: Duration,
    /// A member that reached neither for this long has fenced itself (rule 6).
    pub fence: Duration,
    /// Between the two refusals that tell a crashed process (rule 4).
    pub refusal_pause: Duration,
    /// How old a probe, a testimony or a reading of the Directory may be when somebody is judged by it.
    pub fresh: Duration,
    /// After lost history or a reconnect nobody is judged and unknown rooms are asked for first (rule 8).
    pub recovering: Duration,
    /// Between comparisons of what is served with what the Directory says.
    pub reconcile: Duration,
    /// A claim of a member that nobody knows is swept after this long.
    pub orphan: Duration,
    /// How long peers have to say whether they hold a room (rule 10).
    pub ask: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(500),
            ping: Duration::from_millis(500),
            ping_timeout: Duration::from_millis(400),
            suspect: Duration::from_millis(1500),
            dead: Duration::from_secs(3),
            fence: Duration::from_millis(2500),
            refusal_pause: Duration::from_millis(50),
            fresh: Duration::from_millis(1500),
            recovering: Duration::from_secs(5),
            reconcile: Duration::from_secs(5),
            orphan: Duration::from_secs(10),
            ask: Duration::from_millis(200),
        }
    }
}

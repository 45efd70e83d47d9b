//! When a member must stop serving by itself (claims.md rule 6).
//!
//! The result is one instant, "serve until", that the engine's Shards read once per batch. It is counted from the
//! *sending* of what was acknowledged, so that a process that was frozen for longer wakes up fenced.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Incarnation;
use crate::timing::Timing;

/// From this many members on (itself included) a member trusts silence; below it only evidence.
const MEMBERS_TO_TRUST_SILENCE: usize = 3;

/// Until when rooms may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServeUntil {
    /// Not at all: fenced by evidence, or not registered.
    Never,
    /// Until this instant on the clock of the acknowledgements.
    Instant(Duration),
    /// Without a bound: a pool of one or two members fences on evidence only.
    Unlimited,
}

/// What makes the deadline.
#[derive(Debug)]
pub struct Fence {
    timing: Timing,
    registered: bool,
    directory: Option<Duration>,
    peers: BTreeMap<Incarnation, Duration>,
}

impl Fence {
    /// Not registered: serves nothing.
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            registered: false,
            directory: None,
            peers: BTreeMap::new(),
        }
    }

    /// The registration that was sent at `sent` was accepted.
    pub fn registered(&mut self, sent: Duration) {
        self.registered = true;
        self.directory_acknowledged(sent);
    }

    /// A heartbeat sent at `sent` was acknowledged.
    pub fn directory_acknowledged(&mut self, sent: Duration) {
        self.directory = self.directory.max(Some(sent));
    }

    /// A peer answered a ping that was sent at `sent`.
    pub fn peer_answered(&mut self, peer: Incarnation, sent: Duration) {
        let last = self.peers.entry(peer).or_insert(sent);
        *last = (*last).max(sent);
    }

    /// The deadline, given the other members as they are known now.
    pub fn serve_until(&mut self, others: &[Incarnation]) -> ServeUntil {
        self.peers.retain(|peer, _| others.contains(peer));
        if !self.registered {
            return ServeUntil::Never;
        }
        if others.len() + 1 < MEMBERS_TO_TRUST_SILENCE {
            return ServeUntil::Unlimited;
        }
        let mut answers: Vec<Duration> = self.peers.values().copied().collect();
        answers.sort_unstable_by(|a, b| b.cmp(a));
        // With answers from at least half of the others the k-th latest of them counts.
        let half = others.len().div_ceil(2);
        let peers = answers.get(half - 1).copied();
        match self.directory.max(peers) {
            Some(last) => ServeUntil::Instant(last + self.timing.fence),
            None => ServeUntil::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fence() -> Fence {
        let mut fence = Fence::new(Timing::default());
        fence.registered(at(0));
        fence
    }

    fn others(n: u64) -> Vec<Incarnation> {
        (1..=n).map(Incarnation::new).collect()
    }

    #[test]
    fn nothing_is_served_before_registration() {
        assert_eq!(
            Fence::new(Timing::default()).serve_until(&[]),
            ServeUntil::Never
        );
    }

    #[test]
    fn one_or_two_members_fence_only_on_evidence() {
        assert_eq!(fence().serve_until(&[]), ServeUntil::Unlimited);
        assert_eq!(fence().serve_until(&others(1)), ServeUntil::Unlimited);
    }

    #[test]
    fn the_deadline_counts_from_the_sending_of_the_last_acknowledged_heartbeat() {
        let mut fence = fence();
        fence.directory_acknowledged(at(7_000));
        fence.directory_acknowledged(at(6_500));
        assert_eq!(
            fence.serve_until(&others(2)),
            ServeUntil::Instant(at(9_500))
        );
    }

    #[test]
    fn without_redis_half_of_the_others_keep_it_serving() {
        let mut fence = fence();
        fence.peer_answered(Incarnation::new(1), at(10_000));
        assert_eq!(
            fence.serve_until(&others(2)),
            ServeUntil::Instant(at(12_500))
        );
        // One of four is not half.
        assert_eq!(
            fence.serve_until(&others(4)),
            ServeUntil::Instant(at(2_500))
        );
        fence.peer_answered(Incarnation::new(4), at(9_000));
        assert_eq!(
            fence.serve_until(&others(4)),
            ServeUntil::Instant(at(11_500))
        );
    }

    #[test]
    fn answers_of_members_that_are_gone_do_not_count() {
        let mut fence = fence();
        fence.peer_answered(Incarnation::new(9), at(10_000));
        assert_eq!(
            fence.serve_until(&others(2)),
            ServeUntil::Instant(at(2_500))
        );
    }

    #[test]
    fn a_member_is_silent_before_anybody_may_judge_it_dead() {
        let timing = Timing::default();
        assert!(timing.fence < timing.dead);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_deadline_is_never_later_than_the_last_word_that_counts(
            members in 3_u64..8,
            acknowledged in prop::collection::vec((0_u64..8, 0_u64..100_000), 0..40),
        ) {
            let mut fence = Fence::new(Timing::default());
            fence.registered(at(0));
            let others = others(members - 1);
            let mut last = BTreeMap::new();
            let mut before = fence.serve_until(&others);
            for (who, millis) in acknowledged {
                match who {
                    0 => fence.directory_acknowledged(at(millis)),
                    peer => fence.peer_answered(Incarnation::new(peer), at(millis)),
                }
                let latest = last.entry(who).or_insert(0);
                *latest = millis.max(*latest);
                let now = fence.serve_until(&others);
                prop_assert!(now >= before, "an answer never shortens it");
                before = now;
                let directory = last.get(&0).copied().unwrap_or(0);
                let heard_since = |since: u64| {
                    let peers = others.iter().filter(|peer| last.get(&peer.get()).is_some_and(|at| *at >= since));
                    peers.count() * 2 >= others.len()
                };
                let ServeUntil::Instant(until) = now else {
                    return Err(TestCaseError::fail(format!("{now:?}")));
                };
                let counted = (until - Timing::default().fence).as_millis() as u64;
                prop_assert!(counted == directory || (counted > directory && heard_since(counted)));
            }
        }
    }
}

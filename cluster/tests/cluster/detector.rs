//! Who is judged dead, and who is not.

use std::time::Duration;

use plenum_cluster::detector::{Detector, Evidence, Health, ProbeFailure, Verdict};
use plenum_cluster::directory::{Capacity, Holder, MemberRecord, MemberRow, Members};
use plenum_cluster::member_api::{Load, MemberState, Silence};
use plenum_cluster::{Incarnation, NodeId, Timing};

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn holder(i: u64) -> Holder {
    Holder {
        node: NodeId::new(format!("sfu-{i}")).unwrap(),
        incarnation: Incarnation::new(i),
    }
}

/// Member 0 judges; members 1 to n exist. Time passes in steps of 100 ms.
struct Pool {
    detector: Detector,
    now: u64,
    beats: Vec<u64>,
}

impl Pool {
    fn new(others: usize) -> Self {
        let mut pool = Self {
            detector: Detector::new(Timing::default()),
            now: 1_000,
            beats: vec![0; others],
        };
        pool.read(&[]);
        pool
    }

    /// A reading of the Directory in which everybody but `silent` has beaten.
    fn read(&mut self, silent: &[u64]) {
        for (i, beats) in self.beats.iter_mut().enumerate() {
            if !silent.contains(&(i as u64 + 1)) {
                *beats += 1;
            }
        }
        let rows = self.beats.iter().enumerate().map(|(i, beats)| MemberRow {
            record: MemberRecord {
                holder: holder(i as u64 + 1),
                internal_address: String::new(),
                state: MemberState::Serving,
                load: Load::default(),
                capacity: Capacity::default(),
                weight: 1,
                protocol: 1,
                version: String::new(),
            },
            beats: *beats,
        });
        let members = Members {
            rows: rows.collect(),
            ..Members::default()
        };
        self.detector.observed(
            at(self.now),
            at(self.now),
            &members,
            Incarnation::new(1_000_000),
        );
        self.detector.directory_acknowledged(at(self.now));
    }

    /// Lets time pass: `silent` neither beat nor answer, `unheard` beat but do not answer, and whoever answers testifies
    /// that it does not hear `accused`.
    fn pass(&mut self, millis: u64, silent: &[u64], unheard: &[u64], accused: &[u64]) {
        let began = self.now;
        while self.now < began + millis {
            self.now += 100;
            self.read(silent);
            for i in 1..=self.beats.len() as u64 {
                if silent.contains(&i) || unheard.contains(&i) {
                    self.detector.probe_failed(
                        at(self.now),
                        Incarnation::new(i),
                        ProbeFailure::Unanswered,
                    );
                } else {
                    self.detector.heard(at(self.now), Incarnation::new(i));
                    let silences: Vec<Silence> = accused
                        .iter()
                        .map(|a| silence(*a, self.now - began, false))
                        .collect();
                    self.detector
                        .testified(at(self.now), Incarnation::new(i), &silences);
                }
            }
        }
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.detector.verdicts(at(self.now))
    }
}

fn silence(who: u64, millis: u64, refused: bool) -> Silence {
    Silence {
        node: holder(who).node,
        incarnation: Incarnation::new(who),
        millis,
        probe_failed: true,
        refused,
    }
}

fn dead(who: u64, evidence: Evidence) -> Vec<Verdict> {
    vec![Verdict::Dead {
        holder: holder(who),
        evidence,
    }]
}

#[test]
fn a_silent_host_is_suspected_at_1500_ms_and_dead_at_3_s() {
    let mut pool = Pool::new(2);
    pool.pass(1_400, &[1], &[], &[1]);
    assert_eq!(
        pool.detector.health(at(pool.now), Incarnation::new(1)),
        Some(Health::Alive)
    );
    pool.pass(100, &[1], &[], &[1]);
    assert_eq!(
        pool.detector.health(at(pool.now), Incarnation::new(1)),
        Some(Health::Suspect)
    );
    let mut pool = Pool::new(2);
    pool.pass(2_900, &[1], &[], &[1]);
    assert!(pool.verdicts().is_empty());
    pool.pass(200, &[1], &[], &[]);
    // The other one hears it.
    assert!(pool.verdicts().is_empty());
    pool.pass(3_000, &[1], &[], &[1]);
    assert_eq!(pool.verdicts(), dead(1, Evidence::Silent));
}

#[test]
fn a_member_cut_off_from_redis_but_heard_by_peers_lives() {
    let mut pool = Pool::new(3);
    for _ in 0..100 {
        pool.now += 100;
        pool.read(&[1]);
        for i in 1..=3 {
            pool.detector.heard(at(pool.now), Incarnation::new(i));
        }
    }
    assert!(pool.verdicts().is_empty());
}

#[test]
fn a_member_that_only_this_judge_can_not_hear_lives() {
    let mut pool = Pool::new(3);
    pool.pass(10_000, &[], &[1], &[]);
    assert!(pool.verdicts().is_empty());
    // Even if it lost Redis too, as long as the others hear it.
    pool.pass(10_000, &[1], &[], &[]);
    assert!(pool.verdicts().is_empty());
}

#[test]
fn two_refusals_confirmed_by_a_witness_are_a_crash() {
    let mut pool = Pool::new(2);
    pool.pass(100, &[], &[], &[]);
    pool.detector.probe_failed(
        at(pool.now),
        Incarnation::new(1),
        ProbeFailure::RefusedTwice,
    );
    assert!(
        pool.verdicts().is_empty(),
        "one judge alone is not more than half of two"
    );
    pool.detector
        .testified(at(pool.now), Incarnation::new(2), &[silence(1, 100, true)]);
    assert_eq!(pool.verdicts(), dead(1, Evidence::Refused));
}

#[test]
fn a_crash_seen_by_the_last_other_member_needs_no_witness() {
    let mut pool = Pool::new(1);
    pool.detector.probe_failed(
        at(pool.now),
        Incarnation::new(1),
        ProbeFailure::RefusedTwice,
    );
    assert_eq!(pool.verdicts(), dead(1, Evidence::Refused));
}

#[test]
fn an_answer_clears_a_refusal() {
    let mut pool = Pool::new(1);
    pool.detector.probe_failed(
        at(pool.now),
        Incarnation::new(1),
        ProbeFailure::RefusedTwice,
    );
    pool.detector.heard(at(pool.now + 10), Incarnation::new(1));
    assert!(pool.verdicts().is_empty());
    // A probe that was sent before it is no news.
    pool.detector.probe_failed(
        at(pool.now),
        Incarnation::new(1),
        ProbeFailure::RefusedTwice,
    );
    assert!(pool.verdicts().is_empty());
}

#[test]
fn too_few_living_witnesses_freeze() {
    let mut pool = Pool::new(4);
    pool.pass(4_000, &[1, 2, 3], &[], &[1, 2, 3]);
    let frozen = |i| Verdict::Frozen {
        holder: holder(i),
        living: 2,
        needed: 3,
    };
    assert_eq!(pool.verdicts(), vec![frozen(1), frozen(2), frozen(3)]);
}

#[test]
fn two_of_five_may_die_at_once() {
    let mut pool = Pool::new(4);
    pool.pass(4_000, &[1, 2], &[], &[1, 2]);
    let dead = |i| Verdict::Dead {
        holder: holder(i),
        evidence: Evidence::Silent,
    };
    assert_eq!(pool.verdicts(), vec![dead(1), dead(2)]);
}

#[test]
fn nobody_is_judged_through_a_redis_that_did_not_take_the_own_heartbeat() {
    let mut pool = Pool::new(1);
    pool.pass(3_100, &[1], &[], &[]);
    assert_eq!(pool.verdicts().len(), 1);
    assert!(pool.detector.verdicts(at(pool.now + 1_600)).is_empty());
}

#[test]
fn a_judge_that_was_frozen_does_not_judge_by_what_it_missed() {
    let mut pool = Pool::new(1);
    pool.pass(1_000, &[], &[], &[]);
    let before = pool.now;
    // It slept for 20 s. A probe and a reading that were begun before end now.
    pool.now += 20_000;
    pool.detector
        .probe_failed(at(before), Incarnation::new(1), ProbeFailure::Unanswered);
    assert!(pool.verdicts().is_empty());
    pool.read(&[]);
    pool.detector
        .probe_failed(at(pool.now), Incarnation::new(1), ProbeFailure::Unanswered);
    assert!(pool.verdicts().is_empty(), "its heartbeat moved meanwhile");
}

#[test]
fn old_testimony_is_none() {
    let mut pool = Pool::new(2);
    pool.pass(100, &[], &[], &[]);
    pool.detector.testified(
        at(pool.now),
        Incarnation::new(2),
        &[silence(1, 9_000, true)],
    );
    pool.now += 1_600;
    pool.read(&[]);
    pool.detector.heard(at(pool.now), Incarnation::new(2));
    pool.detector.probe_failed(
        at(pool.now),
        Incarnation::new(1),
        ProbeFailure::RefusedTwice,
    );
    assert!(pool.verdicts().is_empty());
}

#[test]
fn a_newer_life_at_the_same_name_ends_the_older() {
    let mut pool = Pool::new(2);
    pool.detector.replaced(Incarnation::new(1));
    assert_eq!(pool.verdicts(), dead(1, Evidence::Replaced));
    assert!(pool.detector.bury(Incarnation::new(1)));
    assert!(pool.verdicts().is_empty());
}

#[test]
fn members_that_redis_forgot_stay_known() {
    let mut pool = Pool::new(2);
    pool.now += 500;
    pool.detector.observed(
        at(pool.now),
        at(pool.now),
        &Members::default(),
        Incarnation::new(9),
    );
    assert_eq!(pool.detector.known().count(), 2);
}

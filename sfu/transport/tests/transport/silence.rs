//! Clients of whom only the checks arrive.

use std::time::Duration;

use crate::common::*;
use plenum_transport::{Transport, TransportEvent};
use plenum_types::{DataChannel, FailureCause};

const CUT: Link = Link {
    loss: 100,
    ..Link::CLEAN
};

/// Two sides whose channels are open. The checks of a pair do not go over its link.
fn open_pair(link: Link) -> Pair {
    let mut pair = Pair::new(link, 1, [false, true]);
    let open = TransportEvent::ChannelOpen(DataChannel::Reliable);
    assert!(pair.run_until(Duration::from_secs(30), |pair| pair.has(0, &open)));
    pair
}

#[test]
fn an_idle_client_answers_and_stays() {
    for link in [Link::CLEAN, Link::BAD] {
        let mut pair = open_pair(link);
        pair.run_until(Duration::from_secs(60), |_| false);
        assert!(pair.connected(), "{:?}", pair.events);
    }
}

#[test]
fn who_is_cut_off_but_for_its_checks_fails_in_15_s() {
    let mut pair = open_pair(Link::CLEAN);
    pair.run_until(Duration::from_secs(10), |_| false);
    pair.set_link(CUT);
    let cut = pair.now;
    let ended = |pair: &Pair| pair.sides.iter().all(Transport::is_closed);
    assert!(pair.run_until(Duration::from_secs(16), ended));
    assert!(pair.now - cut >= Duration::from_secs(9));
    let failed = TransportEvent::Failed(FailureCause::MediaTimeout);
    for seen in &pair.events {
        assert_eq!(seen.last(), Some(&failed));
    }
}

#[test]
fn a_link_that_comes_back_in_time_costs_nothing() {
    let mut pair = open_pair(Link::CLEAN);
    for _ in 0..3 {
        pair.set_link(CUT);
        pair.run_until(Duration::from_secs(8), |_| false);
        pair.set_link(Link::CLEAN);
        pair.run_until(Duration::from_secs(5), |_| false);
    }
    assert!(pair.connected(), "{:?}", pair.events);
}

#[test]
fn who_is_away_altogether_is_left_to_ice() {
    let mut pair = open_pair(Link::CLEAN);
    let mut now = pair.now;
    let end = now + Duration::from_secs(20);
    let [transport, _] = &mut pair.sides;
    while let Some(at) = transport.next_timeout().filter(|at| *at <= end) {
        now = now.max(at);
        transport.handle_timeout(now);
        drain(transport);
    }
    assert_eq!(
        events(transport),
        [
            TransportEvent::Disconnected,
            TransportEvent::Failed(FailureCause::IceTimeout)
        ]
    );
}

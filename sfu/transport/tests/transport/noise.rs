//! Datagrams that nobody meant to send.

use std::time::Duration;

use crate::common::*;
use plenum_transport::{DatagramKind, Transport, classify};
use plenum_types::{DtlsRole, Timestamp};

fn feed(transport: &mut Transport, datagram: &mut [u8], now: Timestamp) {
    let from = path("198.51.100.1:1000");
    match classify(datagram) {
        DatagramKind::Stun => {
            transport.handle_stun(from, datagram, now);
        }
        DatagramKind::Dtls => transport.handle_dtls(from, datagram, now),
        DatagramKind::Rtp => {
            let _ = transport.open_rtp(from, datagram);
        }
        DatagramKind::Rtcp => {
            let _ = transport.open_rtcp(from, datagram);
        }
        DatagramKind::Unknown => {}
    }
    drain(transport);
    events(transport);
}

/// A validated Transport without keys, and the datagrams of a good handshake to mutate.
fn waiting() -> Transport {
    let local = credentials(1);
    let mut waiting = transport(&local, 0);
    let now = Timestamp::from_millis(1000);
    let fingerprint = CERTIFICATES[1].fingerprint();
    waiting.connect(&remote(DtlsRole::Passive, fingerprint, Some(SCTP)), now);
    waiting.handle_stun(path("198.51.100.1:1000"), &check(&local, 1, true), now);
    drain(&mut waiting);
    waiting
}

fn client_hello() -> Vec<Vec<u8>> {
    let local = credentials(2);
    let now = Timestamp::from_millis(1000);
    let mut client = transport(&local, 1);
    client.connect(
        &remote(DtlsRole::Active, CERTIFICATES[0].fingerprint(), None),
        now,
    );
    client.handle_stun(path("198.51.100.9:1"), &check(&local, 1, true), now);
    drain(&mut client)
        .into_iter()
        .filter(|datagram| datagram[0] == 22)
        .collect()
}

#[test]
fn mutated_datagrams_never_panic() {
    let mut random = fastrand::Rng::with_seed(4);
    let mut seeds = client_hello();
    seeds.push(check(&credentials(1), 7, true));
    seeds.push([&[0x90, 96, 0, 1][..], &[0; 60]].concat());
    seeds.push([&[0x80, 200, 0, 6][..], &[0; 60]].concat());
    let mut now = Timestamp::from_millis(1000);
    let mut target = waiting();
    for round in 0..20_000 {
        if target.is_closed() || round % 50 == 0 {
            target = waiting();
            now = Timestamp::from_millis(1000);
        }
        let mut datagram = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(0..6) {
            let at = random.usize(..datagram.len());
            datagram[at] = random.u8(..);
        }
        if random.bool() {
            datagram.truncate(random.usize(..=datagram.len()));
        }
        now += Duration::from_millis(1);
        feed(&mut target, &mut datagram, now);
        target.handle_timeout(now);
    }
}

#[test]
fn random_bytes_to_a_connected_transport_change_nothing() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
    let mut random = fastrand::Rng::with_seed(5);
    let from = pair.path(0);
    for _ in 0..20_000 {
        let mut datagram: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        let now = pair.now;
        let side = &mut pair.sides[0];
        match classify(&datagram) {
            DatagramKind::Stun => {
                side.handle_stun(from, &datagram, now);
            }
            DatagramKind::Dtls => side.handle_dtls(from, &datagram, now),
            DatagramKind::Rtp => assert!(side.open_rtp(from, &mut datagram).is_err()),
            DatagramKind::Rtcp => assert!(side.open_rtcp(from, &mut datagram).is_err()),
            DatagramKind::Unknown => {}
        }
    }
    assert!(pair.sides[0].is_connected());
}

#[test]
fn forged_handshake_records_do_not_end_a_connected_transport() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
    let from = pair.path(0);
    let now = pair.now;
    // Fragments of handshake messages far ahead, which a careless receiver would keep for later.
    for number in 0..1000u16 {
        let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0];
        record.extend_from_slice(&(2000 + number).to_be_bytes());
        record.extend_from_slice(&[0, 32, 11, 0, 1, 0]);
        record.extend_from_slice(&(10 + number).to_be_bytes());
        record.extend_from_slice(&[0, 0, 0, 0, 0, 20]);
        record.extend_from_slice(&[0; 20]);
        pair.sides[0].handle_dtls(from, &record, now);
    }
    // An alert in plaintext.
    pair.sides[0].handle_dtls(
        from,
        &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 2, 2, 40],
        now,
    );
    assert!(
        pair.sides[0].is_connected(),
        "{:?}",
        events(&mut pair.sides[0])
    );
}

#[test]
fn a_handshake_survives_noise_before_it() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    pair.step();
    let from = pair.path(0);
    let now = pair.now;
    for datagram in [
        &[22u8, 0xfe, 0xfd, 0, 0][..],
        &[20; 30],
        &[23, 1, 2, 3],
        &[63],
    ] {
        pair.sides[0].handle_dtls(from, datagram, now);
    }
    assert!(pair.run_until(Duration::from_secs(2), Pair::connected));
}

//! DTLS and SRTP between two Transports.

use std::time::Duration;

use crate::common::*;
use plenum_transport::{MAX_SRTP_OVERHEAD, MAX_TRANSMIT, OpenError, TransportEvent};
use plenum_types::{DtlsRole, DtlsVersion, FailureCause, Fingerprint, SrtpProfile, Timestamp};

const CONNECTED: TransportEvent = TransportEvent::Connected {
    srtp: SrtpProfile::AeadAes256Gcm,
    dtls: DtlsVersion::V1_2,
};

#[test]
fn both_roles_connect_with_the_cheapest_profile() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
    for side in 0..2 {
        let expected = [
            TransportEvent::PathAdded(pair.path(side)),
            TransportEvent::PathChanged(pair.path(side)),
            CONNECTED,
        ];
        assert_eq!(pair.events[side], expected);
    }
    assert!(pair.largest <= MAX_TRANSMIT);
}

#[test]
fn handshakes_survive_a_fifth_of_their_datagrams_lost() {
    let mut slowest = Duration::ZERO;
    for seed in 0..60 {
        let mut pair = Pair::new(Link::BAD, seed, [false; 2]);
        let begun = pair.now;
        assert!(
            pair.run_until(Duration::from_secs(25), Pair::connected),
            "seed {seed}: {:?}",
            pair.events
        );
        slowest = slowest.max(pair.now - begun);
    }
    println!("slowest of 60 handshakes: {slowest:?}");
}

#[test]
fn media_passes_in_both_directions_and_only_from_known_paths() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
    for side in 0..2 {
        let mut packet = [0u8; 100];
        packet[0] = 0x80;
        packet[1] = 96;
        packet[3] = 7;
        let plain = packet;
        let sealer = pair.sides[side].sealer().unwrap();
        let len = sealer
            .seal_rtp(7, 12, &mut packet, 100 - MAX_SRTP_OVERHEAD)
            .unwrap();
        let other = &mut pair.sides[1 - side];
        let from = other.send_path().unwrap();
        assert_eq!(
            other.open_rtp(path("203.0.113.9:1"), &mut packet[..len]),
            Err(OpenError::UnknownPath)
        );
        let opened = other.open_rtp(from, &mut packet[..len]).unwrap();
        assert_eq!((opened.extended_sequence, opened.header_len), (7, 12));
        assert_eq!(packet[..opened.len], plain[..opened.len]);
    }
}

#[test]
fn another_certificate_than_the_signaled_one_fails() {
    let local = credentials(1);
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    let mut passive = transport(&local, 0);
    passive.connect(
        &remote(DtlsRole::Passive, Fingerprint([7; 32]), None),
        pair.now,
    );
    pair.sides[0] = passive;
    pair.run_until(Duration::from_secs(5), |pair| pair.sides[0].is_closed());
    assert!(pair.has(0, &TransportEvent::Failed(FailureCause::Fingerprint)));
    assert!(!pair.has(0, &CONNECTED));
    assert!(pair.sides[0].sealer().is_none());
}

#[test]
fn closing_tells_the_other_side() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
    pair.sides[0].close();
    assert!(pair.run_until(Duration::from_secs(1), |pair| pair.sides[1].is_closed()));
    assert!(pair.has(1, &TransportEvent::Failed(FailureCause::Closed)));
    assert_eq!(pair.sides[0].next_timeout(), None);
}

#[test]
fn a_silent_client_disconnects_comes_back_and_at_last_fails() {
    let mut pair = Pair::new(Link::CLEAN, 1, [false; 2]);
    assert!(pair.run_until(Duration::from_secs(1), Pair::connected));
    let [transport, _] = &mut pair.sides;
    let from = pair.now;
    let mut now = from;
    let mut wait = |transport: &mut plenum_transport::Transport, until: Timestamp| {
        let mut seen = Vec::new();
        while let Some(at) = transport.next_timeout().filter(|at| *at <= until) {
            now = now.max(at);
            transport.handle_timeout(now);
            drain(transport);
            seen.extend(events(transport));
        }
        seen
    };
    let seen = wait(transport, from + Duration::from_secs(10));
    assert_eq!(seen, [TransportEvent::Disconnected]);
    let back = from + Duration::from_secs(10);
    transport.handle_stun(
        transport.send_path().unwrap(),
        &check(&credentials(1), 1000, true),
        back,
    );
    assert_eq!(events(transport), [CONNECTED]);
    let seen = wait(transport, back + Duration::from_secs(20));
    assert_eq!(
        seen,
        [
            TransportEvent::Disconnected,
            TransportEvent::Failed(FailureCause::IceTimeout)
        ]
    );
    assert!(transport.is_closed());
}

#[test]
fn a_client_that_never_comes_or_never_shakes_hands_fails() {
    let local = credentials(1);
    let now = Timestamp::from_millis(5);
    let fingerprint = CERTIFICATES[1].fingerprint();
    let mut silent = transport(&local, 0);
    silent.connect(&remote(DtlsRole::Passive, fingerprint, None), now);
    let at = silent.next_timeout().unwrap();
    assert_eq!(at, now + Duration::from_secs(30));
    silent.handle_timeout(at);
    assert_eq!(
        events(&mut silent),
        [TransportEvent::Failed(FailureCause::IceTimeout)]
    );

    // Checks alone keep no half-open handshake alive.
    let mut half_open = transport(&local, 0);
    half_open.connect(&remote(DtlsRole::Passive, fingerprint, None), now);
    let from = path("198.51.100.1:1000");
    for second in 0..40 {
        let at = now + Duration::from_secs(second);
        half_open.handle_stun(from, &check(&local, second, true), at);
        half_open.handle_timeout(at);
    }
    assert_eq!(
        events(&mut half_open).last(),
        Some(&TransportEvent::Failed(FailureCause::Dtls))
    );
}

#[test]
fn dtls_from_an_address_without_a_check_is_not_looked_at() {
    let local = credentials(1);
    let now = Timestamp::from_millis(5);
    let fingerprint = CERTIFICATES[1].fingerprint();
    let mut client = transport(&credentials(2), 1);
    client.connect(
        &remote(DtlsRole::Active, CERTIFICATES[0].fingerprint(), None),
        now,
    );
    client.handle_stun(
        path("198.51.100.9:1"),
        &check(&credentials(2), 1, true),
        now,
    );
    let hello: Vec<_> = drain(&mut client)
        .into_iter()
        .filter(|d| d[0] == 22)
        .collect();
    assert!(!hello.is_empty());

    let mut server = transport(&local, 0);
    server.connect(&remote(DtlsRole::Passive, fingerprint, None), now);
    for datagram in &hello {
        server.handle_dtls(path("203.0.113.5:5"), datagram, now);
    }
    assert!(drain(&mut server).is_empty());
    server.handle_stun(path("198.51.100.1:1000"), &check(&local, 1, true), now);
    for datagram in &hello {
        server.handle_dtls(path("203.0.113.5:5"), datagram, now);
    }
    assert_eq!(drain(&mut server).len(), 1, "the answer to the check alone");
    for datagram in &hello {
        server.handle_dtls(path("198.51.100.1:1000"), datagram, now);
    }
    assert!(!drain(&mut server).is_empty());
}

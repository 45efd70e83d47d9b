//! Connectivity checks, paths, restarts.

use std::time::Duration;

use crate::common::*;
use plenum_transport::{ConnectivityCheck, StunOutcome, TransportEvent, ufrag_of};
use plenum_types::{IceCredentials, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(10);

#[test]
fn a_check_validates_its_path_and_is_answered_there() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    let datagram = check(&local, 1, false);
    assert_eq!(ufrag_of(&datagram), Some(&*local.ufrag));
    let from = path("198.51.100.1:1000");
    assert_eq!(
        transport.handle_stun(from, &datagram, NOW),
        StunOutcome::NewPath
    );
    assert_eq!(
        events(&mut transport),
        [
            TransportEvent::PathAdded(from),
            TransportEvent::PathChanged(from)
        ]
    );
    let mut buffer = [0; 1232];
    let (to, len) = transport.poll_transmit(&mut buffer).unwrap();
    assert_eq!((to, &buffer[..2]), (from, &[1, 1][..]));
    assert_eq!(
        buffer[8..20],
        datagram[8..20],
        "the transaction is repeated"
    );
    assert!(len < datagram.len(), "answers do not amplify");
    assert_eq!(
        transport.handle_stun(from, &check(&local, 2, false), NOW),
        StunOutcome::Valid
    );
    assert!(events(&mut transport).is_empty());
}

#[test]
fn media_follows_the_newest_path_until_one_is_nominated_and_then_nominations() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    let [a, b, c] = ["198.51.100.1:1", "198.51.100.2:2", "198.51.100.3:3"].map(path);
    let mut number = 0;
    let mut send = |from, nominate| {
        number += 1;
        transport.handle_stun(from, &check(&local, number, nominate), NOW);
        transport.send_path()
    };
    assert_eq!(send(a, false), Some(a));
    assert_eq!(send(b, false), Some(b));
    assert_eq!(send(a, true), Some(a));
    assert_eq!(
        send(c, false),
        Some(a),
        "a new path alone moves nothing once one is nominated"
    );
    assert_eq!(send(b, true), Some(b), "a new nomination switches at once");
    assert_eq!(send(a, false), Some(b));
}

#[test]
fn wrong_passwords_and_strangers_change_nothing() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    let from = path("198.51.100.1:1");
    let mut wrong = local.clone();
    wrong.pwd = credentials(5).pwd;
    assert_eq!(
        transport.handle_stun(from, &check(&wrong, 1, true), NOW),
        StunOutcome::Refused
    );
    let answer = drain(&mut transport).remove(0);
    assert_eq!(
        (&answer[..2], &answer[26..28]),
        (&[1, 0x11][..], &[4, 1][..])
    );
    assert!(answer.len() < check(&wrong, 1, true).len());
    assert_eq!(
        transport.handle_stun(from, &check(&credentials(6), 2, true), NOW),
        StunOutcome::Ignored
    );
    assert!(drain(&mut transport).is_empty());
    assert_eq!(transport.send_path(), None);
    assert!(events(&mut transport).is_empty());
}

#[test]
fn a_captured_check_from_another_address_does_not_move_the_media() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    let [victim, thief] = ["198.51.100.1:1", "203.0.113.66:6"].map(path);
    let captured = check(&local, 1, true);
    transport.handle_stun(victim, &captured, NOW);
    drain(&mut transport);
    assert_eq!(
        transport.handle_stun(thief, &captured, NOW),
        StunOutcome::Ignored
    );
    assert_eq!(transport.send_path(), Some(victim));
    assert!(drain(&mut transport).is_empty());
    assert_eq!(
        transport.handle_stun(victim, &captured, NOW),
        StunOutcome::Valid,
        "a retransmission is answered"
    );
}

#[test]
fn paths_are_bounded_and_the_stalest_makes_room() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    let nominated = path("198.51.100.1:1");
    transport.handle_stun(nominated, &check(&local, 0, true), NOW);
    let mut known = Vec::new();
    for number in 1..100u64 {
        let from = path(&format!("198.51.100.2:{}", 1000 + number));
        transport.handle_stun(
            from,
            &check(&local, number, false),
            NOW + Duration::from_millis(number),
        );
        for event in events(&mut transport) {
            match event {
                TransportEvent::PathAdded(path) => known.push(path),
                TransportEvent::PathRemoved(path) => known.retain(|known| *known != path),
                _ => {}
            }
        }
        drain(&mut transport);
    }
    assert_eq!(known.len(), 8);
    assert!(known.contains(&nominated) && known.contains(&path("198.51.100.2:1099")));
    assert_eq!(transport.send_path(), Some(nominated));
}

#[test]
fn a_silent_path_is_forgotten_while_another_lives() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    let [old, new] = ["198.51.100.1:1", "198.51.100.2:2"].map(path);
    transport.handle_stun(old, &check(&local, 0, true), NOW);
    for second in 1..60 {
        let at = NOW + Duration::from_secs(second);
        transport.handle_stun(new, &check(&local, second, false), at);
        transport.handle_timeout(at);
    }
    assert!(events(&mut transport).contains(&TransportEvent::PathRemoved(old)));
    assert_eq!(transport.send_path(), Some(new));
}

#[test]
fn old_and_new_credentials_are_valid_until_the_new_ones_nominate() {
    let old = credentials(1);
    let new = credentials(2);
    let mut transport = transport(&old, 0);
    let [a, b] = ["198.51.100.1:1", "198.51.100.2:2"].map(path);
    transport.handle_stun(a, &check(&old, 1, true), NOW);
    transport.restart_ice(new.clone(), NOW);
    events(&mut transport);
    assert_eq!(
        transport.handle_stun(a, &check(&old, 2, true), NOW),
        StunOutcome::Valid
    );
    assert_eq!(
        transport.handle_stun(b, &check(&new, 3, false), NOW),
        StunOutcome::NewPath
    );
    assert_eq!(transport.send_path(), Some(a), "media stays where it was");
    assert_eq!(
        transport.handle_stun(b, &check(&new, 4, true), NOW),
        StunOutcome::Valid
    );
    assert_eq!(transport.send_path(), Some(b));
    assert!(events(&mut transport).contains(&TransportEvent::UfragRetired(old.ufrag.clone())));
    assert_eq!(
        transport.handle_stun(a, &check(&old, 5, true), NOW),
        StunOutcome::Ignored
    );
    assert_eq!(transport.send_path(), Some(b));
}

/// RFC 5769 section 2.1: a check by an agent that takes the controlled role.
const CONTROLLED: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09evtj:h6vY   \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\
    \xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

#[test]
fn a_client_in_the_wrong_role_is_told_to_switch() {
    let local = IceCredentials {
        ufrag: "evtj".into(),
        pwd: "VOkJxbRl1RmTxUk/WvJxBt".into(),
    };
    let mut transport = transport(&local, 0);
    let outcome = transport.handle_stun(path("198.51.100.1:1"), CONTROLLED, NOW);
    assert_eq!(outcome, StunOutcome::Refused);
    let answer = drain(&mut transport).remove(0);
    assert_eq!(answer[26..28], [4, 87]);
    assert_eq!(transport.send_path(), None);
}

#[test]
fn a_flood_of_forged_checks_leaves_no_state() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    for number in 0..10_000u64 {
        let request = ConnectivityCheck {
            transaction: [number as u8; 12],
            receiver_ufrag: &local.ufrag,
            sender_ufrag: "x",
            receiver_pwd: "guess",
            use_candidate: true,
        };
        let from = path(&format!("203.0.113.1:{}", 1 + number % 60_000));
        transport.handle_stun(from, &request.to_datagram(), NOW);
    }
    assert!(
        drain(&mut transport).len() <= 256,
        "answers that nobody polls are bounded"
    );
    assert!(events(&mut transport).is_empty());
    assert_eq!(transport.next_timeout(), None);
}

#[test]
fn answers_that_nobody_fetches_are_bounded() {
    let local = credentials(1);
    let mut transport = transport(&local, 0);
    let from = path("198.51.100.1:1000");
    for number in 0..1_000 {
        transport.handle_stun(from, &check(&local, number, false), NOW);
    }
    let mut buffer = [0; 1232];
    let mut answers = 0;
    while transport.poll_transmit(&mut buffer).is_some() {
        answers += 1;
    }
    assert_eq!(answers, 256);
}

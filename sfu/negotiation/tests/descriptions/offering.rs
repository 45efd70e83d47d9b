//! What v0 clients are sent: we offer, they answer.

use crate::common::{audio, chromium, direction, firefox, local, section, video};
use plenum_negotiation::{NegotiationError, Offerer};
use plenum_types::{DtlsRole, SubscriptionId};

/// The answer to an offer of ours as a browser gives it: every section with the formats of the offer, the direction
/// turned round.
fn answer(offer: &str) -> String {
    offer
        .replace("a=ice-lite\r\n", "")
        .replace("a=setup:actpass", "a=setup:active")
        .replace("a=sendonly", "a=recvonly")
        .replace("a=ice-ufrag:0003", "a=ice-ufrag:them")
        .lines()
        .filter(|line| !line.starts_with("a=ssrc") && !line.starts_with("a=msid:"))
        .map(|line| format!("{line}\r\n"))
        .collect()
}

fn round(offerer: &mut Offerer) -> (String, plenum_negotiation::AnswerOutcome) {
    let offer = offerer.write_offer().unwrap();
    let outcome = offerer
        .accept_answer(&answer(&offer.sdp), offer.id)
        .unwrap();
    (offer.sdp, outcome)
}

#[test]
fn the_first_offer_is_data_and_what_is_bound() {
    for browser in [chromium::SUBSCRIBER, firefox::SUBSCRIBER] {
        let mut offerer = Offerer::subscriber(local());
        assert!(offerer.needs_offer());
        offerer.bind(audio(1)).unwrap();
        offerer.bind(video(2)).unwrap();
        let offer = offerer.write_offer().unwrap();
        assert_eq!(offer.id, 1);
        assert!(offer.sdp.contains("a=group:BUNDLE 0 1 2\r\n"));
        assert!(section(&offer.sdp, "0").starts_with("application 9 UDP/DTLS/SCTP"));
        assert!(section(&offer.sdp, "0").contains("typ host"));
        assert!(section(&offer.sdp, "2").contains("a=msid:PA_2|camera TR_2\r\n"));
        assert!(offer.sdp.contains("a=setup:actpass"));

        // The Rust SDK answers with id 0.
        let outcome = offerer.accept_answer(browser, 0).unwrap();
        let remote = outcome.remote.unwrap();
        assert_eq!(remote.dtls_role, DtlsRole::Passive);
        assert!(remote.sctp.unwrap().open_channels);
        assert_eq!(outcome.started.len(), 2);
        let picture = &outcome.started[1].params;
        assert_eq!(picture.mid.as_str(), "2");
        assert_eq!(picture.payload_type.0, 96);
        assert_eq!(picture.rtx_payload_type.unwrap().0, 97);
        assert!(picture.nack);
        assert!(!outcome.offer_again);
        assert!(!offerer.needs_offer());
    }
}

#[test]
fn one_offer_is_out_at_a_time() {
    let mut offerer = Offerer::subscriber(local());
    let offer = offerer.write_offer().unwrap();
    assert_eq!(offerer.open_offer(), Some(1));
    offerer.bind(audio(1)).unwrap();
    assert!(!offerer.needs_offer());
    assert_eq!(offerer.write_offer(), None);
    let outcome = offerer.accept_answer(&answer(&offer.sdp), 1).unwrap();
    assert!(outcome.started.is_empty());
    assert!(outcome.offer_again);
    let (_, outcome) = round(&mut offerer);
    assert_eq!(outcome.started.len(), 1);
    assert!(!outcome.offer_again);
}

/// covers: edge.sections_are_used_again
#[test]
fn a_section_is_used_again_after_it_was_inactive() {
    let mut offerer = Offerer::subscriber(local());
    offerer.bind(video(1)).unwrap();
    round(&mut offerer);
    assert!(offerer.unbind(SubscriptionId(1)));
    let (offer, _) = round(&mut offerer);
    assert_eq!(direction(&offer, "1"), "inactive");
    offerer.bind(video(2)).unwrap();
    let (offer, outcome) = round(&mut offerer);
    assert_eq!(direction(&offer, "1"), "sendonly");
    assert_eq!(outcome.started[0].params.mid.as_str(), "1");
    // Clients keep the old track's name, so the stream has the new one's.
    assert!(section(&offer, "1").contains("a=msid:PA_2|TR_2 TR_2\r\n"));
    assert!(!offer.contains("a=mid:2"));
}

#[test]
fn a_track_that_left_while_the_offer_was_out_leaves_the_next_one() {
    let mut offerer = Offerer::subscriber(local());
    offerer.bind(video(1)).unwrap();
    let offer = offerer.write_offer().unwrap();
    offerer.unbind(SubscriptionId(1));
    let outcome = offerer.accept_answer(&answer(&offer.sdp), 1).unwrap();
    assert!(outcome.started.is_empty() && outcome.offer_again);
    // Its section has to be seen inactive first.
    offerer.bind(video(2)).unwrap();
    let (offer, outcome) = round(&mut offerer);
    assert_eq!(direction(&offer, "1"), "inactive");
    assert_eq!(outcome.started[0].params.mid.as_str(), "2");
}

#[test]
fn a_refused_section_is_never_used_again() {
    let mut offerer = Offerer::subscriber(local());
    offerer.bind(video(1)).unwrap();
    let offer = offerer.write_offer().unwrap();
    let refusal = answer(&offer.sdp).replace("m=video 9", "m=video 0");
    let outcome = offerer.accept_answer(&refusal, 1).unwrap();
    assert_eq!(outcome.refused, [SubscriptionId(1)]);
    offerer.bind(video(2)).unwrap();
    let (offer, outcome) = round(&mut offerer);
    assert!(section(&offer, "1").starts_with("video 0 "));
    assert!(offer.contains("a=group:BUNDLE 0 2\r\n"));
    assert_eq!(outcome.started[0].params.mid.as_str(), "2");
}

#[test]
fn a_resume_restarts_ice() {
    let mut offerer = Offerer::subscriber(local());
    offerer.restart_ice();
    let before = offerer.local_ice().clone();
    round(&mut offerer);
    assert_eq!(*offerer.local_ice(), before, "nothing to restart yet");
    offerer.restart_ice();
    assert!(offerer.needs_offer());
    let (offer, outcome) = round(&mut offerer);
    let restart = outcome.ice_restart.unwrap();
    assert_eq!(restart.local, *offerer.local_ice());
    assert_ne!(restart.local, before);
    assert!(offer.contains(&restart.local.ufrag));
}

#[test]
fn a_lost_offer_is_made_again() {
    let mut offerer = Offerer::subscriber(local());
    round(&mut offerer);
    offerer.restart_ice();
    offerer.bind(video(1)).unwrap();
    let lost = offerer.write_offer().unwrap();
    offerer.give_up_open_offer();
    assert!(offerer.needs_offer());
    let offer = offerer.write_offer().unwrap();
    assert_eq!(offer.mid_to_track, lost.mid_to_track);
    let late = offerer.accept_answer(&answer(&lost.sdp), lost.id);
    assert!(matches!(late, Err(NegotiationError::WrongId { .. })));
    let outcome = offerer
        .accept_answer(&answer(&offer.sdp), offer.id)
        .unwrap();
    assert!(outcome.ice_restart.is_some());
    assert_eq!(outcome.started.len(), 1);
}

#[test]
fn answers_that_do_not_fit_leave_the_offer_open() {
    let mut offerer = Offerer::subscriber(local());
    assert!(matches!(
        offerer.accept_answer(chromium::SUBSCRIBER, 0),
        Err(NegotiationError::OutOfOrder { .. })
    ));
    offerer.bind(video(1)).unwrap();
    let offer = offerer.write_offer().unwrap();
    let good = answer(&offer.sdp);
    let wrong_mid = good.replace("a=mid:1", "a=mid:9");
    let undecided = good.replace("a=setup:active", "a=setup:actpass");
    for (sdp, id) in [
        (good.as_str(), 7),
        ("v=0\r\n", 1),
        (wrong_mid.as_str(), 1),
        (undecided.as_str(), 1),
        (chromium::JOIN, 1),
    ] {
        assert!(offerer.accept_answer(sdp, id).is_err());
        assert_eq!(offerer.open_offer(), Some(1));
    }
    assert!(offerer.accept_answer(&good, 1).is_ok());
    let (offer, _) = {
        offerer.bind(audio(2)).unwrap();
        let offer = offerer.write_offer().unwrap();
        (offer.sdp, offer.id)
    };
    let other = answer(&offer).replace("sha-256 AB", "sha-256 AC");
    assert_eq!(
        offerer.accept_answer(&other, 0),
        Err(NegotiationError::FingerprintChanged)
    );
}

#[test]
fn the_version_of_the_session_grows() {
    let mut offerer = Offerer::subscriber(local());
    let (first, _) = round(&mut offerer);
    let (second, _) = round(&mut offerer);
    let version = |sdp: &str| -> (String, u32) {
        let mut words = sdp.lines().nth(1).unwrap().split(' ').skip(1);
        (
            words.next().unwrap().into(),
            words.next().unwrap().parse().unwrap(),
        )
    };
    assert_eq!(version(&first).0, version(&second).0);
    assert_eq!(version(&first).1 + 1, version(&second).1);
}

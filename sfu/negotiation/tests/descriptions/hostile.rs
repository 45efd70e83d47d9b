//! Descriptions that no client writes.

use crate::common::{LIBWEBRTC_JOIN, audio, chromium, exchange, firefox, local, video};
use plenum_negotiation::{Answerer, NegotiationError, Offerer, limits};

fn offer(sdp: &str) -> Result<(), NegotiationError> {
    let mut answerer = Answerer::single(local());
    answerer.accept_offer(sdp, 1).map(|_| ())
}

/// Any text: no panic, and after a refusal the next good offer is answered.
fn survive(text: &str) {
    let mut answerer = Answerer::single(local());
    answerer.bind(video(1)).unwrap();
    if answerer.accept_offer(text, 1).is_ok() {
        let answer = answerer.write_answer().unwrap();
        assert!(answer.sdp.starts_with("v=0\r\n"));
    } else {
        exchange(&mut answerer, chromium::JOIN);
    }
    let mut offerer = Offerer::subscriber(local());
    offerer.bind(video(1)).unwrap();
    offerer.write_offer().unwrap();
    let _ = offerer.accept_answer(text, 0);
}

#[test]
fn mutated_offers_never_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let seeds = [chromium::PUBLISH, firefox::PUBLISH, chromium::SUBSCRIBER];
    for round in 0..1500 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            match random.u8(..5) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at.max(3)),
                2 => {
                    let end = (at + random.usize(..40)).min(bytes.len());
                    bytes.drain(at..end);
                }
                3 => {
                    let end = (at + random.usize(..200)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = random.usize(..=bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ => {
                    let odd: &[u8] =
                        [&b"\r\n"[..], b" ", b":", b"99999999999", b"-1", b"m="][random.usize(..6)];
                    bytes.splice(at..at, odd.iter().copied());
                }
            }
            if bytes.len() < 4 {
                break;
            }
        }
        survive(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn every_line_may_be_missing_or_cut_short() {
    let lines: Vec<&str> = chromium::PLAIN.lines().collect();
    for at in 0..lines.len() {
        for cut in [None, Some(2), Some(5), Some(lines[at].len() / 2)] {
            let text: String = lines
                .iter()
                .enumerate()
                .filter_map(|(index, line)| match cut {
                    _ if index != at => Some(*line),
                    None => None,
                    Some(length) => line.get(..length),
                })
                .map(|line| format!("{line}\r\n"))
                .collect();
            survive(&text);
        }
    }
}

#[test]
fn limits_are_named() {
    let long = format!("v=0\r\n{}", "a".repeat(limits::MAX_SDP_BYTES));
    let section = "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:x\r\n";
    let many = format!("v=0\r\n{}", section.repeat(limits::MAX_SECTIONS + 1));
    for (text, what) in [(long, "bytes"), (many, "media sections")] {
        let error = offer(&text).unwrap_err();
        assert!(matches!(error, NegotiationError::TooMuch { what: named, .. } if named == what));
        assert!(error.to_string().contains("limit"));
    }
    let mut answerer = Answerer::single(local());
    for subscription in 0..limits::MAX_OUTGOING as u64 {
        answerer.bind(audio(subscription)).unwrap();
    }
    assert!(answerer.bind(audio(u64::MAX)).is_err());
    // One that is known may still be changed.
    answerer.bind(audio(1)).unwrap();
}

#[test]
fn what_a_section_may_name_is_bounded() {
    for (line, count) in [
        ("a=ssrc:{} cname:x", limits::MAX_SSRCS),
        ("a=ssrc-group:FID {} 1", limits::MAX_ENCODINGS),
        ("a=rid:r{} send", limits::MAX_ENCODINGS),
    ] {
        let lines = |count: usize| -> String {
            let lines: String = (10..10 + count)
                .map(|number| line.replace("{}", &number.to_string()) + "\r\n")
                .collect();
            chromium::JOIN.replacen("a=mid:0\r\n", &format!("a=mid:0\r\n{lines}"), 1)
        };
        assert_eq!(offer(&lines(count)), Ok(()));
        assert!(matches!(
            offer(&lines(count + 1)),
            Err(NegotiationError::Syntax { .. })
        ));
    }
    let long = "x".repeat(limits::MAX_MID_BYTES + 1);
    assert!(offer(&chromium::JOIN.replace("a=mid:0", &format!("a=mid:{long}"))).is_err());
    let long = "x".repeat(limits::MAX_MSID_BYTES + 1);
    assert!(offer(&chromium::PLAIN.replace("a=msid:", &format!("a=msid:{long}"))).is_err());
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    for (from, to, error) in [
        ("a=ice-ufrag:", "a=x:", "the description has no ice-ufrag"),
        ("a=ice-pwd:", "a=x:", "the description has no ice-pwd"),
        ("a=setup:", "a=x:", "the description has no setup"),
        (
            "sha-256",
            "sha-1",
            "the description has no sha-256 fingerprint of 32 bytes",
        ),
        ("a=mid:3\r\n", "", "section 3: it has no mid"),
        (
            "a=mid:3\r\n",
            "a=mid:2\r\n",
            "section 3: its mid is that of another section",
        ),
        ("v=0", "v=1", "line 1: a description starts with v=0"),
        (
            "o=- ",
            "a=setup:holdconn\r\no=- ",
            "line 2: setup is active, passive or actpass",
        ),
    ] {
        assert_eq!(
            offer(&chromium::JOIN.replace(from, to))
                .unwrap_err()
                .to_string(),
            error
        );
    }
}

#[test]
fn another_certificate_needs_another_connection() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    // Another join has another certificate.
    assert_eq!(
        answerer.accept_offer(LIBWEBRTC_JOIN, 2),
        Err(NegotiationError::FingerprintChanged)
    );
    // The state is as before.
    let (outcome, _) = exchange(&mut answerer, chromium::JOIN);
    assert_eq!(outcome, Default::default());
}

#[test]
fn sections_do_not_vanish() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    let shorter = chromium::JOIN.split("m=application").next().unwrap();
    assert!(answerer.accept_offer(shorter, 2).is_err());
}

#[test]
fn an_ssrc_of_ours_in_an_offer_is_refused() {
    let mut answerer = Answerer::single(local());
    answerer.bind(video(1)).unwrap();
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    let stolen = answer.started[0].params.ssrc;
    let offer = chromium::JOIN.replace(
        "a=mid:1\r\n",
        &format!("a=mid:1\r\na=ssrc:{stolen} cname:x\r\n"),
    );
    assert!(matches!(
        answerer.accept_offer(&offer, 2),
        Err(NegotiationError::Section { index: 1, .. })
    ));
}

#[test]
fn calls_out_of_order_are_errors() {
    let mut answerer = Answerer::single(local());
    assert!(answerer.write_answer().is_err());
    answerer.accept_offer(chromium::JOIN, 1).unwrap();
    assert!(answerer.accept_offer(chromium::JOIN, 2).is_err());
    assert_eq!(answerer.write_answer().unwrap().id, 1);
    assert!(answerer.write_answer().is_err());
}

#[test]
fn a_stream_name_can_not_write_lines_into_an_answer() {
    let mut answerer = Answerer::single(local());
    let mut track = audio(1);
    track.stream_id = "PA_1|x\r\na=inactive".into();
    answerer.bind(track).unwrap();
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert!(answer.sdp.contains("a=msid:PA_1|x__a_inactive TR_1\r\n"));
}

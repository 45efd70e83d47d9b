//! What clients publish.

use crate::common::{
    LIBWEBRTC_JOIN, audio, chromium, direction, exchange, firefox, local, section,
};
use plenum_negotiation::{Answerer, AudioPolicy, NegotiationError};
use plenum_types::{Codec, DtlsRole, MediaKind, Mid, RtpExtension};

#[test]
fn the_first_offer_tells_the_other_side() {
    for offer in [chromium::JOIN, firefox::JOIN, LIBWEBRTC_JOIN] {
        let mut answerer = Answerer::single(local());
        let (outcome, answer) = exchange(&mut answerer, offer);
        let remote = outcome.remote.unwrap();
        assert!(offer.contains(&format!("a=ice-ufrag:{}\r\n", remote.ice.ufrag)));
        assert!(offer.contains(&format!("a=ice-pwd:{}\r\n", remote.ice.pwd)));
        assert_eq!(remote.dtls_role, DtlsRole::Passive);
        let sctp = remote.sctp.unwrap();
        assert_eq!(sctp.remote_port, 5000);
        assert!(sctp.max_message_size >= 262_144);
        assert!(!sctp.open_channels);
        assert!(answer.sdp.contains("a=group:BUNDLE 0 1 2 3 4 5 6\r\n"));
        assert!(section(&answer.sdp, "6").starts_with("application 9 UDP/DTLS/SCTP"));
        assert!(outcome.added.is_empty());
        assert!(exchange(&mut answerer, offer).0.remote.is_none());
    }
}

#[test]
fn our_transport_is_in_the_answer_and_its_candidates_once() {
    let mut answerer = Answerer::single(local());
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    let ice = answerer.local_ice();
    assert_eq!(ice.ufrag.get(..4), Some("0003"));
    for mid in ["0", "3", "6"] {
        let section = section(&answer.sdp, mid);
        assert!(section.contains(&format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=setup:passive\r\n",
            ice.ufrag, ice.pwd
        )));
    }
    let candidate = "a=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host\r\n";
    assert_eq!(answer.sdp.matches(candidate).count(), 1);
    assert!(section(&answer.sdp, "0").contains(candidate));
    assert!(answer.sdp.contains("a=ice-lite\r\n"));
    assert!(answer.sdp.contains("a=fingerprint:sha-256 AB:AB:"));
    assert!(answer.sdp.contains("a=extmap-allow-mixed\r\n"));
}

#[test]
fn simulcast_is_accepted_with_the_extensions_that_name_layers() {
    for (join, publish) in [
        (chromium::JOIN, chromium::PUBLISH),
        (firefox::JOIN, firefox::PUBLISH),
    ] {
        let mut answerer = Answerer::single(local());
        exchange(&mut answerer, join);
        let (outcome, answer) = exchange(&mut answerer, publish);
        let [audio, video] = outcome.added.as_slice() else {
            panic!("two receivers, not {:?}", outcome.added);
        };
        assert_eq!(audio.params.kind, MediaKind::Audio);
        assert_eq!(audio.params.codecs[0].codec, Codec::Opus);
        assert!(
            audio
                .params
                .extensions
                .get(RtpExtension::AudioLevel)
                .is_some()
        );
        assert!(publish.contains(&format!(
            "a=msid:{} {}\r\n",
            audio.stream_id.as_deref().unwrap(),
            audio.cid.as_deref().unwrap()
        )));

        let vp8 = video.params.codecs[0];
        assert_eq!(vp8.codec, Codec::Vp8);
        assert!(vp8.nack && vp8.transport_cc && vp8.rtx.is_some());
        assert_eq!(video.params.codecs.len(), 1);
        let layers: Vec<_> = video
            .params
            .encodings
            .iter()
            .map(|encoding| (encoding.rid.as_ref().unwrap().as_str(), encoding.spatial))
            .collect();
        assert_eq!(layers, [("q", 0), ("h", 1), ("f", 2)]);
        for extension in [
            RtpExtension::Mid,
            RtpExtension::Rid,
            RtpExtension::RepairedRid,
            RtpExtension::TransportWideCc,
        ] {
            let id = video.params.extensions.get(extension).unwrap();
            let line = format!("a=extmap:{id} {}\r\n", extension.uri());
            assert!(section(&answer.sdp, "8").contains(&line));
        }

        assert_eq!(direction(&answer.sdp, "7"), "recvonly");
        assert_eq!(direction(&answer.sdp, "8"), "recvonly");
        let section = section(&answer.sdp, "8");
        assert!(section.ends_with(
            "a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\n"
        ));
        for feedback in ["nack", "nack pli", "ccm fir", "transport-cc"] {
            let line = format!("a=rtcp-fb:{} {feedback}\r\n", vp8.payload_type);
            assert!(section.contains(&line), "{line}");
        }
        assert!(!section.contains("goog-remb"));
    }
}

#[test]
fn without_the_rid_extension_there_is_one_layer() {
    let offer = chromium::PUBLISH.replace("sdes:rtp-stream-id", "sdes:rtp-stream-id-unknown");
    let mut answerer = Answerer::single(local());
    let (outcome, answer) = exchange(&mut answerer, &offer);
    assert_eq!(outcome.added[1].params.encodings.len(), 1);
    assert!(!answer.sdp.contains("a=simulcast"));
}

#[test]
fn layers_are_ordered_by_name_not_by_mention() {
    for (names, smallest) in [
        (["f", "h", "q"], "q"),
        (["0", "1", "2"], "2"),
        (["a", "b", "c"], "a"),
    ] {
        let offer = chromium::PUBLISH
            .replace("a=rid:q send\r\na=rid:h send\r\na=rid:f send", &{
                let [first, second, third] = names;
                format!("a=rid:{first} send\r\na=rid:{second} send\r\na=rid:{third} send")
            })
            .replace(
                "a=simulcast:send q;h;f",
                &format!("a=simulcast:send {}", names.join(";~")),
            );
        let mut answerer = Answerer::single(local());
        let (outcome, answer) = exchange(&mut answerer, &offer);
        let first = &outcome.added[1].params.encodings[0];
        assert_eq!(first.rid.as_ref().unwrap().as_str(), smallest);
        assert_eq!(first.spatial, 0);
        let line = format!("a=simulcast:recv {}", names.join(";"));
        assert!(
            answer.sdp.contains(&line),
            "the answer keeps the order of the offer"
        );
    }
}

#[test]
fn a_track_without_simulcast_has_its_ssrcs() {
    let mut answerer = Answerer::single(local());
    let (outcome, _) = exchange(&mut answerer, chromium::PLAIN);
    let video = &outcome.added[1].params.encodings[0];
    let (ssrc, repair) = (video.ssrc.unwrap(), video.rtx_ssrc.unwrap());
    assert!(chromium::PLAIN.contains(&format!("a=ssrc-group:FID {ssrc} {repair}\r\n")));
}

/// covers: edge.firefox
#[test]
fn payload_types_are_those_of_the_offer() {
    let mut answerer = Answerer::single(local());
    let (_, answer) = exchange(&mut answerer, firefox::JOIN);
    assert!(section(&answer.sdp, "0").starts_with("audio 9 UDP/TLS/RTP/SAVPF 109\r\n"));
    let video = section(&answer.sdp, "3");
    assert!(video.starts_with("video 9 UDP/TLS/RTP/SAVPF 120 124\r\n"));
    assert!(video.contains("a=rtpmap:120 VP8/90000\r\n"));
    assert!(video.contains("a=fmtp:124 apt=120\r\n"));
}

#[test]
fn unpublishing_removes_the_receiver_and_nothing_else() {
    for offers in [chromium::ALL, firefox::ALL] {
        let mut answerer = Answerer::single(local());
        let mut removed = Vec::new();
        for (index, offer) in offers.into_iter().enumerate() {
            // The answers that these offers followed refused this extension, so that it is in one of them only.
            let offer: String = offer
                .split_inclusive('\n')
                .filter(|line| !line.contains("dependency-descriptor"))
                .collect();
            let (outcome, _) = exchange(&mut answerer, &offer);
            removed.extend(outcome.removed.into_iter().map(|mid| (index, mid)));
            assert!(outcome.changed.is_empty());
            assert_eq!(outcome.added.len(), if index == 1 { 2 } else { 0 });
        }
        assert_eq!(removed, [(3, Mid::from("8"))]);
    }
}

#[test]
fn a_new_track_on_an_old_section_replaces_the_receiver() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::PLAIN);
    let msid = chromium::PLAIN.split("a=msid:").nth(1).unwrap();
    let cid = msid
        .split("\r\n")
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap();
    let (outcome, _) = exchange(&mut answerer, &chromium::PLAIN.replace(cid, "another"));
    assert_eq!(outcome.removed, [Mid::from("0")]);
    assert_eq!(outcome.added[0].cid.as_deref(), Some("another"));
}

#[test]
fn an_ice_restart_gives_both_sides_new_credentials() {
    for offers in [chromium::ALL, firefox::ALL] {
        let mut answerer = Answerer::single(local());
        let before = answerer.local_ice().clone();
        for offer in &offers[..4] {
            assert!(exchange(&mut answerer, offer).0.ice_restart.is_none());
        }
        assert_eq!(*answerer.local_ice(), before);
        let (outcome, answer) = exchange(&mut answerer, offers[4]);
        let restart = outcome.ice_restart.unwrap();
        assert_eq!(restart.local, *answerer.local_ice());
        assert_ne!(restart.local.ufrag, before.ufrag);
        assert_eq!(restart.local.ufrag.get(..4), Some("0003"));
        assert!(answer.sdp.contains(&restart.local.pwd));
        assert!(offers[4].contains(&restart.remote.pwd));
        // Roles stay, and the next offer is none.
        assert!(answer.sdp.contains("a=setup:passive\r\n"));
        assert!(exchange(&mut answerer, offers[5]).0.ice_restart.is_none());
    }
}

/// covers: edge.sections_are_used_again
#[test]
fn stopped_sections_are_rejected_and_their_places_used_again() {
    for offers in [chromium::ALL, firefox::ALL] {
        let mut answerer = Answerer::single(local());
        for offer in &offers[..5] {
            exchange(&mut answerer, offer);
        }
        let (_, answer) = exchange(&mut answerer, offers[5]);
        assert!(answer.sdp.contains("\r\nm=video 0 "), "{}", answer.sdp);
        let (_, answer) = exchange(&mut answerer, offers[6]);
        assert!(!answer.sdp.contains("\r\nm=video 0 "));
    }
}

#[test]
fn codecs_that_we_lack_make_a_section_inactive_and_spare_the_others() {
    for (offer, rtpmap) in [
        (chromium::H264, " H264/90000"),
        (firefox::VP9, " VP9/90000"),
    ] {
        let mut answerer = Answerer::single(local());
        let (outcome, answer) = exchange(&mut answerer, offer);
        assert_eq!(outcome.added.len(), 1);
        assert_eq!(outcome.added[0].params.kind, MediaKind::Audio);
        let refused = section(&answer.sdp, "0");
        assert!(refused.starts_with("video 9 "));
        assert!(refused.contains("a=inactive") && refused.contains(rtpmap));
        assert_eq!(direction(&answer.sdp, "1"), "recvonly");
    }
}

#[test]
fn opus_is_asked_for_as_the_track_wants_it() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    let (_, answer) = exchange(&mut answerer, chromium::PUBLISH);
    let speech = "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n";
    assert!(section(&answer.sdp, "7").contains(speech));
    assert!(!answerer.needs_offer());

    let music = AudioPolicy {
        dtx: false,
        stereo: true,
        red: false,
    };
    answerer.set_audio_policy(&Mid::from("7"), music);
    assert!(answerer.needs_offer());
    let (_, answer) = exchange(&mut answerer, chromium::GROW);
    let music = "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;maxaveragebitrate=510000\r\n";
    assert!(section(&answer.sdp, "7").contains(music));
}

#[test]
fn a_client_that_is_dtls_server_gets_an_active_answer() {
    let mut answerer = Answerer::single(local());
    let offer = chromium::JOIN.replace("a=setup:actpass", "a=setup:passive");
    let (outcome, answer) = exchange(&mut answerer, &offer);
    assert_eq!(outcome.remote.unwrap().dtls_role, DtlsRole::Active);
    assert!(answer.sdp.contains("a=setup:active\r\n"));
    // The role stays, whatever later offers say.
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert!(answer.sdp.contains("a=setup:active\r\n"));
}

#[test]
fn a_publisher_connection_answers_recvonly_sections_inactive() {
    let mut answerer = Answerer::publisher(local());
    exchange(&mut answerer, chromium::JOIN);
    let (outcome, answer) = exchange(&mut answerer, chromium::PUBLISH);
    assert_eq!(outcome.added.len(), 2);
    for mid in ["0", "1", "2", "3", "4", "5"] {
        assert_eq!(direction(&answer.sdp, mid), "inactive");
    }
    assert!(matches!(
        answerer.bind(audio(1)),
        Err(NegotiationError::OutOfOrder { .. })
    ));
    assert!(!answerer.needs_offer());
}

#[test]
fn attributes_of_the_session_hold_for_sections_that_have_none() {
    let fingerprint = chromium::JOIN
        .lines()
        .find(|line| line.starts_with("a=fingerprint"))
        .unwrap();
    let moved: String = chromium::JOIN
        .lines()
        .filter(|line| !line.starts_with("a=fingerprint") && !line.starts_with("a=setup"))
        .map(|line| match line {
            "t=0 0" => format!("t=0 0\n{fingerprint}\na=setup:actpass\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (outcome, _) = exchange(&mut Answerer::single(local()), &moved);
    assert_eq!(
        outcome.remote.unwrap().fingerprint,
        exchange(&mut Answerer::single(local()), chromium::JOIN)
            .0
            .remote
            .unwrap()
            .fingerprint
    );
}

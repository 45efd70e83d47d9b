//! What v1 clients are sent, in sections that they offer.

use crate::common::{
    LIBWEBRTC_JOIN, audio, chromium, direction, exchange, firefox, local, mids, section, video,
};
use plenum_negotiation::{Answerer, SectionsRequirement};
use plenum_types::{Candidate, Codec, RtpExtension, SubscriptionId};

fn videos(videos: u32) -> SectionsRequirement {
    SectionsRequirement { audios: 0, videos }
}

#[test]
fn tracks_bound_before_the_first_offer_are_in_its_answer() {
    for (offer, opus, vp8, rtx) in [
        (chromium::JOIN, 111, 96, 97),
        (firefox::JOIN, 109, 120, 124),
        (LIBWEBRTC_JOIN, 111, 96, 97),
    ] {
        let mut answerer = Answerer::single(local());
        answerer.bind(audio(1)).unwrap();
        answerer.bind(video(2)).unwrap();
        assert!(!answerer.needs_offer(), "the client offers by itself");
        let (_, answer) = exchange(&mut answerer, offer);
        assert_eq!(mids(&answer), [("0", "TR_1"), ("3", "TR_2")]);
        assert_eq!(direction(&answer.sdp, "0"), "sendonly");
        assert_eq!(direction(&answer.sdp, "3"), "sendonly");
        for idle in ["1", "2", "4", "5"] {
            assert_eq!(direction(&answer.sdp, idle), "inactive");
        }

        let [sound, picture] = answer.started.as_slice() else {
            panic!("two start, not {:?}", answer.started);
        };
        assert_eq!(sound.params.payload_type.0, opus);
        assert_eq!(sound.params.rtx_ssrc, None);
        let picture = &picture.params;
        assert_eq!(picture.codec, Codec::Vp8);
        assert_eq!(picture.payload_type.0, vp8);
        assert_eq!(picture.rtx_payload_type.unwrap().0, rtx);
        assert!(picture.nack);
        assert!(picture.extensions.get(RtpExtension::Mid).is_some());
        assert!(picture.extensions.get(RtpExtension::Rid).is_none());

        let text = section(&answer.sdp, "3");
        let repair = picture.rtx_ssrc.unwrap();
        assert!(text.contains("a=msid:PA_2|camera TR_2\r\n"));
        assert!(text.contains(&format!("a=ssrc-group:FID {} {repair}\r\n", picture.ssrc)));
        assert!(text.contains(&format!("a=ssrc:{repair} cname:PA_2|camera\r\n")));
        assert!(!answerer.needs_offer());
    }
}

#[test]
fn a_free_section_needs_an_offer_but_no_new_section() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    answerer.bind(video(1)).unwrap();
    assert!(answerer.needs_offer());
    assert_eq!(answerer.take_requirement(), videos(0));
    assert!(!answerer.needs_offer(), "asked already");
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert_eq!(mids(&answer), [("3", "TR_1")]);
}

#[test]
fn missing_sections_are_asked_for_once() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    exchange(&mut answerer, chromium::PUBLISH);
    for subscription in 1..=6 {
        answerer.bind(video(subscription)).unwrap();
    }
    assert_eq!(answerer.take_requirement(), videos(3));
    assert_eq!(answerer.take_requirement(), videos(0));
    answerer.bind(video(7)).unwrap();
    assert_eq!(answerer.take_requirement(), videos(1));

    // An offer that was on its way: three tracks start, four wait and were asked for.
    let (_, answer) = exchange(&mut answerer, chromium::PUBLISH);
    assert_eq!(answer.started.len(), 3);
    assert!(!answerer.needs_offer());

    // The offer with four new sections.
    let (_, answer) = exchange(&mut answerer, chromium::GROW);
    assert_eq!(answer.started.len(), 4);
    assert_eq!(answer.mid_to_track.len(), 7);
    assert!(!answerer.needs_offer());
    assert_eq!(answerer.take_requirement(), videos(0));
}

#[test]
fn a_client_that_forgot_is_asked_again() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    for subscription in 1..=4 {
        answerer.bind(video(subscription)).unwrap();
    }
    assert_eq!(answerer.take_requirement(), videos(1));
    exchange(&mut answerer, chromium::JOIN);
    assert!(!answerer.needs_offer());
    exchange(&mut answerer, chromium::JOIN);
    assert!(answerer.needs_offer());
    assert_eq!(answerer.take_requirement(), videos(1));
}

#[test]
fn a_lost_request_is_made_again() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    for subscription in 1..=4 {
        answerer.bind(video(subscription)).unwrap();
    }
    assert_eq!(answerer.take_requirement(), videos(1));
    answerer.forget_requirement();
    assert!(answerer.needs_offer());
    assert_eq!(answerer.take_requirement(), videos(1));
}

/// covers: edge.sections_are_used_again
#[test]
fn a_section_rests_for_one_answer_before_it_carries_another_track() {
    let mut answerer = Answerer::single(local());
    for subscription in 1..=3 {
        answerer.bind(video(subscription)).unwrap();
    }
    exchange(&mut answerer, chromium::JOIN);
    assert!(answerer.unbind(SubscriptionId(2)));
    answerer.bind(video(9)).unwrap();
    assert!(answerer.needs_offer());
    assert_eq!(answerer.take_requirement(), videos(0), "no growth");

    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert_eq!(direction(&answer.sdp, "4"), "inactive");
    assert_eq!(mids(&answer), [("3", "TR_1"), ("5", "TR_3")]);
    assert!(answerer.needs_offer());
    assert_eq!(answerer.take_requirement(), videos(0));

    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert_eq!(mids(&answer), [("3", "TR_1"), ("4", "TR_9"), ("5", "TR_3")]);
    assert_eq!(answer.started.len(), 1);
    assert!(!answerer.needs_offer());
}

#[test]
fn what_is_not_news_is_not_reported() {
    let mut answerer = Answerer::single(local());
    answerer.bind(video(1)).unwrap();
    exchange(&mut answerer, chromium::JOIN);
    let (_, answer) = exchange(&mut answerer, chromium::PUBLISH);
    assert!(answer.started.is_empty() && answer.updated.is_empty());
    assert_eq!(mids(&answer), [("3", "TR_1")]);
    assert!(!answerer.unbind(SubscriptionId(77)));
}

#[test]
fn a_track_whose_section_goes_away_moves_and_keeps_its_ssrc() {
    let mut answerer = Answerer::single(local());
    answerer.bind(video(1)).unwrap();
    let (_, before) = exchange(&mut answerer, chromium::JOIN);
    // The client stops the section with mid 3.
    let at = chromium::JOIN.find("m=video 9").unwrap();
    let (head, tail) = chromium::JOIN.split_at(at);
    let offer = format!("{head}{}", tail.replacen("m=video 9", "m=video 0", 1))
        .replace("BUNDLE 0 1 2 3 4 5 6", "BUNDLE 0 1 2 4 5 6");
    let (_, answer) = exchange(&mut answerer, &offer);
    assert_eq!(mids(&answer), [("4", "TR_1")]);
    assert!(answer.started.is_empty());
    assert_eq!(answer.updated[0].params.ssrc, before.started[0].params.ssrc);
    assert_eq!(answer.updated[0].params.mid.as_str(), "4");
}

#[test]
fn a_codec_that_the_client_lacks_is_refused() {
    let mut answerer = Answerer::single(local());
    let offer = chromium::JOIN.replace("VP8/90000", "VP8X/90000");
    answerer.bind(video(1)).unwrap();
    let (_, answer) = exchange(&mut answerer, &offer);
    assert_eq!(answer.refused, [SubscriptionId(1)]);
    assert!(answer.started.is_empty());
    assert!(!answerer.needs_offer(), "it would be asked for ever");
}

#[test]
fn stereo_is_announced() {
    let mut answerer = Answerer::single(local());
    let mut music = audio(1);
    music.stereo = true;
    answerer.bind(music).unwrap();
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert!(section(&answer.sdp, "0").contains("sprop-stereo=1"));
    assert!(!section(&answer.sdp, "1").contains("sprop-stereo=1"));
}

#[test]
fn ssrcs_are_distinct() {
    let mut answerer = Answerer::single(local());
    for subscription in 1..=3 {
        answerer.bind(video(subscription)).unwrap();
    }
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    let mut ssrcs: Vec<_> = answer
        .started
        .iter()
        .flat_map(|one| [one.params.ssrc, one.params.rtx_ssrc.unwrap()])
        .collect();
    ssrcs.sort_unstable();
    ssrcs.dedup();
    assert_eq!(ssrcs.len(), 6);
}

#[test]
fn new_candidates_go_out_with_the_next_answer() {
    let mut answerer = Answerer::single(local());
    exchange(&mut answerer, chromium::JOIN);
    answerer.set_candidates(&local().candidates);
    assert!(!answerer.needs_offer());
    answerer.set_candidates(&[Candidate::udp("192.0.2.7:30000".parse().unwrap())]);
    assert!(answerer.needs_offer());
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert!(answer.sdp.contains(" 192.0.2.7 30000 typ host"));
}

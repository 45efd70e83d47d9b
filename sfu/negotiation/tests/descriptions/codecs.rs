//! Which codecs come out of a browser's offer, in which order and how they shall be sent.

use crate::common::{chromium, exchange, local, section, track};
use plenum_negotiation::{Answerer, AudioPolicy, LocalParams, Offerer};
use plenum_types::{Codec, MediaPolicy, Mid, PayloadType, RtpExtension};

/// Chromium's sections on which it sends.
const MICROPHONE: &str = "7";
const CAMERA: &str = "8";

fn everything() -> LocalParams {
    LocalParams {
        media: MediaPolicy::default(),
        ..local()
    }
}

fn formats(sdp: &str, mid: &str) -> Vec<String> {
    let section = section(sdp, mid);
    let line = section.lines().next().unwrap();
    line.split(' ').skip(3).map(str::to_owned).collect()
}

#[test]
fn each_codec_is_taken_in_one_variant() {
    let mut answerer = Answerer::single(everything());
    exchange(&mut answerer, chromium::JOIN);
    let (outcome, answer) = exchange(&mut answerer, chromium::PUBLISH);
    let camera = outcome
        .added
        .iter()
        .find(|receiver| receiver.params.mid == Mid::from(CAMERA))
        .unwrap();
    let codecs: Vec<_> = camera
        .params
        .codecs
        .iter()
        .map(|known| (known.codec, known.payload_type.0))
        .collect();
    assert_eq!(
        codecs,
        [
            (Codec::Vp8, 96),
            (Codec::H264, 108),
            (Codec::Av1, 45),
            (Codec::Vp9, 98)
        ]
    );
    let video = section(&answer.sdp, CAMERA);
    let bitrates = "x-google-start-bitrate=2500;x-google-min-bitrate=1500";
    for line in [
        format!("a=fmtp:96 {bitrates}"),
        format!("a=fmtp:98 profile-id=0;{bitrates}"),
        format!(
            "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f;{bitrates}"
        ),
        format!("a=fmtp:45 level-idx=5;profile=0;tier=0;{bitrates}"),
        "a=fmtp:109 apt=108".to_owned(),
    ] {
        assert!(video.contains(&format!("{line}\r\n")), "{line} in {video}");
    }
    let extensions = &camera.params.extensions;
    assert_eq!(extensions.get(RtpExtension::DependencyDescriptor), Some(12));
}

#[test]
fn a_section_that_only_receives_is_told_nothing_of_bitrates() {
    let mut answerer = Answerer::single(everything());
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert!(!answer.sdp.contains("x-google"));
}

#[test]
fn the_wanted_codec_is_answered_first() {
    let mut answerer = Answerer::single(everything());
    exchange(&mut answerer, chromium::JOIN);
    answerer.accept_offer(chromium::PUBLISH, 2).unwrap();
    answerer.prefer_codec(&Mid::from(CAMERA), Codec::Av1);
    let answer = answerer.write_answer().unwrap();
    assert_eq!(formats(&answer.sdp, CAMERA)[..4], ["45", "46", "96", "97"]);
    assert!(!answerer.needs_offer());
    // It stays so, and another wish needs another offer.
    let (_, answer) = exchange(&mut answerer, chromium::GROW);
    assert_eq!(formats(&answer.sdp, CAMERA)[..2], ["45", "46"]);
    answerer.prefer_codec(&Mid::from(CAMERA), Codec::Vp9);
    assert!(answerer.needs_offer());
}

#[test]
fn redundancy_comes_first_unless_the_track_is_stereo_or_wants_none() {
    for (stereo, red, expected) in [
        (false, true, &["63", "111"][..]),
        (true, true, &["111"]),
        (false, false, &["111"]),
    ] {
        let mut answerer = Answerer::single(everything());
        exchange(&mut answerer, chromium::JOIN);
        answerer.accept_offer(chromium::PUBLISH, 2).unwrap();
        let policy = AudioPolicy {
            dtx: true,
            stereo,
            red,
        };
        answerer.set_audio_policy(&Mid::from(MICROPHONE), policy);
        let answer = answerer.write_answer().unwrap();
        assert_eq!(formats(&answer.sdp, MICROPHONE), expected);
        let described = section(&answer.sdp, MICROPHONE).contains("a=fmtp:63 111/111\r\n");
        assert_eq!(described, expected.len() == 2);
    }
}

#[test]
fn a_subscriber_gets_the_first_codec_that_it_has() {
    let mut answerer = Answerer::single(everything());
    let mut sound = track(1, Codec::Red);
    sound.codecs.push(Codec::Opus);
    answerer.bind(sound.clone()).unwrap();
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    let params = &answer.started[0].params;
    assert_eq!(params.codec, Codec::Red);
    assert_eq!(params.payload_type, PayloadType(63));
    assert_eq!(params.opus_payload_type, Some(PayloadType(111)));

    let without = chromium::JOIN.replace("red/48000/2", "other/48000/2");
    let mut answerer = Answerer::single(everything());
    answerer.bind(sound).unwrap();
    let (_, answer) = exchange(&mut answerer, &without);
    let params = &answer.started[0].params;
    assert_eq!(
        (params.codec, params.payload_type),
        (Codec::Opus, PayloadType(111))
    );
    assert_eq!(params.opus_payload_type, None);

    let mut picture = track(2, Codec::Vp9);
    picture.codecs.push(Codec::Vp8);
    let without = chromium::JOIN.replace("VP9/90000", "VP7/90000");
    let mut answerer = Answerer::single(everything());
    answerer.bind(picture).unwrap();
    answerer.bind(track(3, Codec::Vp9)).unwrap();
    let (_, answer) = exchange(&mut answerer, &without);
    assert_eq!(answer.started[0].params.codec, Codec::Vp8);
    assert_eq!(answer.refused, [plenum_types::SubscriptionId(3)]);
}

#[test]
fn a_track_changes_its_codec_in_its_section() {
    let subscription = plenum_types::SubscriptionId(2);
    let mut picture = track(2, Codec::Vp9);
    picture.codecs.push(Codec::Vp8);
    let mut answerer = Answerer::single(everything());
    answerer.bind(picture).unwrap();
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    let before = answer.started[0].params.clone();
    assert_eq!(before.codec, Codec::Vp9);
    assert!(answerer.set_codecs(subscription, &[Codec::Vp8, Codec::Vp9]));
    assert!(answerer.needs_offer());
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert!(answer.started.is_empty());
    let after = &answer.updated[0].params;
    assert_eq!(
        (after.codec, after.payload_type),
        (Codec::Vp8, PayloadType(96))
    );
    assert_eq!((&after.mid, after.ssrc), (&before.mid, before.ssrc));
    assert!(!answerer.set_codecs(subscription, &[Codec::Vp8, Codec::Vp9]));
    assert!(!answerer.set_codecs(plenum_types::SubscriptionId(9), &[Codec::Vp8]));
    assert!(!answerer.needs_offer());
}

#[test]
fn codecs_that_are_off_are_not_answered() {
    let mut params = everything();
    params.media.codecs = vec![Codec::H264, Codec::Opus];
    let mut answerer = Answerer::single(params);
    let (_, answer) = exchange(&mut answerer, chromium::JOIN);
    assert!(answer.sdp.contains("H264/90000"));
    assert!(!answer.sdp.contains("VP8/90000") && !answer.sdp.contains("red/48000"));
}

#[test]
fn what_we_cannot_forward_is_not_taken() {
    let mut answerer = Answerer::single(everything());
    // High 10 profile only, packetization mode 0 only, other profiles of VP9 and AV1, redundancy of another codec.
    let offer = chromium::JOIN
        .replace("profile-level-id=42", "profile-level-id=6e")
        .replace("profile-level-id=f4", "profile-level-id=6e")
        .replace("profile-id=0", "profile-id=2")
        .replace("profile=0", "profile=1")
        .replace("111/111", "112/112");
    let (_, answer) = exchange(&mut answerer, &offer);
    for codec in ["H264", "VP9", "AV1", "red"] {
        assert!(!answer.sdp.contains(&format!(" {codec}/")), "{codec}");
    }
    assert!(answer.sdp.contains("VP8/90000"));
    for parameters in [
        "packetization-mode=1;profile-level-id=zz",
        "profile-level-id=",
        "packetization-mode=x;profile-level-id=42e01f",
    ] {
        let offer = chromium::JOIN.replace(
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            parameters,
        );
        let mut answerer = Answerer::single(everything());
        exchange(&mut answerer, &offer);
    }
}

/// A camera in high profile, and in VP8 too.
fn high() -> plenum_negotiation::OutgoingTrack {
    let mut picture = track(1, Codec::H264High);
    picture.codecs.push(Codec::Vp8);
    picture
}

// covers: codec.h264_high
#[test]
fn high_profile_goes_to_who_can_decode_it() {
    let started = |offer: &str| {
        let mut answerer = Answerer::single(everything());
        answerer.bind(high()).unwrap();
        let (_, answer) = exchange(&mut answerer, offer);
        let params = answer.started[0].params.clone();
        (answer, params)
    };
    // Chromium says that it decodes more than high; others name it, constrained or not.
    for (offer, name, payload_type) in [
        (chromium::JOIN.to_owned(), "f4001f", 41),
        (chromium::JOIN.replace("4d001f", "64001f"), "64001f", 116),
        (chromium::JOIN.replace("4d001f", "640c1f"), "640c1f", 116),
    ] {
        let (answer, params) = started(&offer);
        assert_eq!(
            (params.codec, params.payload_type.0),
            (Codec::H264High, payload_type)
        );
        // In its section and in no other.
        let format = format!("profile-level-id={name}");
        assert_eq!(answer.sdp.matches(&format).count(), 1, "{}", answer.sdp);
        assert!(section(&answer.sdp, params.mid.as_str()).contains(&format));
    }
    // The others get the second codec, or are told.
    let offer = chromium::JOIN.replace("f4001f", "6e001f");
    let (answer, params) = started(&offer);
    assert_eq!(params.codec, Codec::Vp8);
    assert!(!answer.sdp.contains("profile-level-id=64"));
    let mut answerer = Answerer::single(everything());
    answerer.bind(track(1, Codec::H264High)).unwrap();
    let (_, answer) = exchange(&mut answerer, &offer);
    assert_eq!(answer.refused, [plenum_types::SubscriptionId(1)]);
}

// covers: codec.h264_high
#[test]
fn a_publisher_sends_in_the_profile_that_was_chosen() {
    let offer = chromium::PUBLISH.replace("42001f", "64001f");
    for (chosen, first, other) in [(Codec::H264High, "102", "108"), (Codec::H264, "108", "102")] {
        let mut answerer = Answerer::single(everything());
        exchange(&mut answerer, chromium::JOIN);
        let outcome = answerer.accept_offer(&offer, 2).unwrap();
        let camera = outcome.added.last().unwrap();
        let codecs: Vec<_> = camera
            .params
            .codecs
            .iter()
            .map(|known| known.codec)
            .collect();
        // In the client's order.
        assert_eq!(codecs[1..3], [Codec::H264High, Codec::H264]);
        answerer.prefer_codec(&Mid::from(CAMERA), chosen);
        let answer = answerer.write_answer().unwrap();
        let formats = formats(&answer.sdp, CAMERA);
        assert_eq!(formats[0], first);
        assert!(!formats.contains(&other.to_owned()), "{formats:?}");
    }
    // What is sent with more colour few could decode.
    let offer = chromium::PUBLISH.replace("42001f", "f4001f");
    let mut answerer = Answerer::single(everything());
    exchange(&mut answerer, chromium::JOIN);
    let (outcome, _) = exchange(&mut answerer, &offer);
    let camera = &outcome.added.last().unwrap().params;
    assert!(
        camera
            .codecs
            .iter()
            .all(|known| known.codec != Codec::H264High)
    );
}

// covers: codec.h264_high
#[test]
fn our_own_offers_have_high_profile_for_tracks_in_it_by_each_of_its_names() {
    let mut offerer = Offerer::subscriber(everything());
    offerer.bind(high()).unwrap();
    offerer.bind(track(2, Codec::H264)).unwrap();
    let offer = offerer.write_offer().unwrap();
    let names = ["64001f", "640c1f", "f4001f"];
    for name in names {
        let format = format!("profile-level-id={name}\r\n");
        assert_eq!(offer.sdp.matches(&format).count(), 1);
        assert!(section(&offer.sdp, "1").contains(&format));
    }
    let high = formats(&offer.sdp, "1");
    let plain = formats(&offer.sdp, "2");
    assert_eq!(high[..plain.len()], plain);
    assert_eq!(
        high[plain.len()..],
        ["112", "113", "114", "115", "116", "117"]
    );
}

#[test]
fn without_mixed_forms_there_is_no_dependency_descriptor() {
    let offer = chromium::PUBLISH.replace("a=extmap-allow-mixed\r\n", "");
    let mut answerer = Answerer::single(everything());
    let (_, answer) = exchange(&mut answerer, &offer);
    assert!(!answer.sdp.contains("dependency-descriptor"));
}

/// covers: sdk.video_fps
#[test]
fn vp8_is_asked_for_without_the_dependency_descriptor_that_would_hide_its_temporal_layers() {
    let mut answerer = Answerer::single(everything());
    exchange(&mut answerer, chromium::JOIN);
    let (_, answer) = exchange(&mut answerer, chromium::PUBLISH);
    let has_descriptor = |sdp: &str| section(sdp, CAMERA).contains("dependency-descriptor");
    assert_eq!(formats(&answer.sdp, CAMERA)[0], "96");
    assert!(!has_descriptor(&answer.sdp));
    answerer.prefer_codec(&Mid::from(CAMERA), Codec::Av1);
    let (_, answer) = exchange(&mut answerer, chromium::PUBLISH);
    assert_eq!(formats(&answer.sdp, CAMERA)[0], "45");
    assert!(has_descriptor(&answer.sdp));
}

#[test]
fn our_own_offers_have_all_codecs_in_our_order() {
    let mut offerer = Offerer::subscriber(everything());
    offerer.bind(track(1, Codec::Av1)).unwrap();
    offerer.bind(track(2, Codec::Opus)).unwrap();
    let offer = offerer.write_offer().unwrap();
    assert_eq!(
        formats(&offer.sdp, "1"),
        ["96", "97", "108", "109", "98", "99", "45", "46"]
    );
    assert_eq!(formats(&offer.sdp, "2"), ["111", "63"]);
}

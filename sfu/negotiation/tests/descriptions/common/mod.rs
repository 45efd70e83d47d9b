//! What the tests share: a member, tracks, and offers as clients wrote them (`fixtures/`: Chromium 156, Firefox 153 ESR,
//! and the libwebrtc of the Python SDK 1.2.1; each client's files are the successive offers of one connection).

use plenum_negotiation::{Answer, Answerer, LocalParams, OfferOutcome, OutgoingTrack};
use plenum_types::{Candidate, Codec, Fingerprint, MediaPolicy, ShardId, SubscriptionId, TrackSid};

pub(crate) fn local() -> LocalParams {
    LocalParams {
        shard: ShardId(3),
        fingerprint: Fingerprint([0xab; 32]),
        candidates: vec![Candidate::udp("127.0.0.1:7882".parse().unwrap())],
        media: MediaPolicy {
            codecs: vec![Codec::Opus, Codec::Vp8],
            ..MediaPolicy::default()
        },
        seed: [42; 32],
    }
}

pub(crate) fn track(subscription: u64, codec: Codec) -> OutgoingTrack {
    OutgoingTrack {
        subscription: SubscriptionId(subscription),
        codecs: [codec].into_iter().collect(),
        stream_id: format!("PA_{subscription}|camera"),
        track: TrackSid::from(format!("TR_{subscription}")),
        stereo: false,
    }
}

pub(crate) fn audio(subscription: u64) -> OutgoingTrack {
    track(subscription, Codec::Opus)
}

pub(crate) fn video(subscription: u64) -> OutgoingTrack {
    track(subscription, Codec::Vp8)
}

/// One offer and its answer.
pub(crate) fn exchange(answerer: &mut Answerer, offer: &str) -> (OfferOutcome, Answer) {
    let outcome = answerer.accept_offer(offer, 1).unwrap();
    (outcome, answerer.write_answer().unwrap())
}

/// The section with this mid.
pub(crate) fn section(sdp: &str, mid: &str) -> String {
    let line = format!("\r\na=mid:{mid}\r\n");
    let section = sdp
        .split("\r\nm=")
        .find(|section| section.contains(&line))
        .unwrap_or_else(|| panic!("no section {mid} in {sdp}"));
    format!("{}\r\n", section.trim_end())
}

/// Direction of the section with this mid.
pub(crate) fn direction(sdp: &str, mid: &str) -> &'static str {
    let section = section(sdp, mid);
    ["sendrecv", "sendonly", "recvonly", "inactive"]
        .into_iter()
        .find(|direction| section.contains(&format!("\r\na={direction}\r\n")))
        .expect("each section has a direction")
}

/// `mid_to_track_id` as text.
pub(crate) fn mids(answer: &Answer) -> Vec<(&str, &str)> {
    answer
        .mid_to_track
        .iter()
        .map(|(mid, track)| (mid.as_str(), track.as_str()))
        .collect()
}

pub(crate) mod chromium {
    pub(crate) const JOIN: &str = include_str!("../../fixtures/chromium_join.sdp");
    pub(crate) const PUBLISH: &str = include_str!("../../fixtures/chromium_publish.sdp");
    pub(crate) const GROW: &str = include_str!("../../fixtures/chromium_grow.sdp");
    pub(crate) const UNPUBLISH: &str = include_str!("../../fixtures/chromium_unpublish.sdp");
    pub(crate) const RESTART: &str = include_str!("../../fixtures/chromium_restart.sdp");
    pub(crate) const STOPPED: &str = include_str!("../../fixtures/chromium_stopped.sdp");
    pub(crate) const RECYCLED: &str = include_str!("../../fixtures/chromium_recycled.sdp");
    /// Without simulcast; not of the same connection.
    pub(crate) const PLAIN: &str = include_str!("../../fixtures/chromium_plain.sdp");
    /// Video in H264 only; not of the same connection.
    pub(crate) const H264: &str = include_str!("../../fixtures/chromium_h264.sdp");
    /// Answer to an offer of data, one audio and one video section.
    pub(crate) const SUBSCRIBER: &str = include_str!("../../fixtures/chromium_subscriber_two.sdp");
    /// The successive offers.
    pub(crate) const ALL: [&str; 7] = [JOIN, PUBLISH, GROW, UNPUBLISH, RESTART, STOPPED, RECYCLED];
}

pub(crate) mod firefox {
    pub(crate) const JOIN: &str = include_str!("../../fixtures/firefox_join.sdp");
    pub(crate) const PUBLISH: &str = include_str!("../../fixtures/firefox_publish.sdp");
    pub(crate) const GROW: &str = include_str!("../../fixtures/firefox_grow.sdp");
    pub(crate) const UNPUBLISH: &str = include_str!("../../fixtures/firefox_unpublish.sdp");
    pub(crate) const RESTART: &str = include_str!("../../fixtures/firefox_restart.sdp");
    pub(crate) const STOPPED: &str = include_str!("../../fixtures/firefox_stopped.sdp");
    pub(crate) const RECYCLED: &str = include_str!("../../fixtures/firefox_recycled.sdp");
    /// Video in VP9 only; not of the same connection.
    pub(crate) const VP9: &str = include_str!("../../fixtures/firefox_vp9.sdp");
    /// Answer to an offer of data, one audio and one video section.
    pub(crate) const SUBSCRIBER: &str = include_str!("../../fixtures/firefox_subscriber_two.sdp");
    /// The successive offers.
    pub(crate) const ALL: [&str; 7] = [JOIN, PUBLISH, GROW, UNPUBLISH, RESTART, STOPPED, RECYCLED];
}

/// First offer of the Python SDK.
pub(crate) const LIBWEBRTC_JOIN: &str = include_str!("../../fixtures/libwebrtc_join.sdp");

//! What an offer of a large room costs: v1 clients offer all their sections anew at every change.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a bench may panic, and is a clock"
)]

use plenum_negotiation::{Answerer, LocalParams, OutgoingTrack};
use plenum_types::{Candidate, Codec, Fingerprint, MediaPolicy, ShardId, SubscriptionId, TrackSid};
use std::{fmt::Write, hint::black_box, time::Instant};

const JOIN: &str = include_str!("../tests/fixtures/chromium_join.sdp");
/// Sections that carry a track, half of them video.
const SECTIONS: usize = 100;
const ROUNDS: usize = 300;
/// Milliseconds (docs/benchmarks.md).
const GOAL: f64 = 0.5;

/// Chromium's offer, with its audio and video sections repeated.
fn offer() -> String {
    let mut parts = JOIN.split("m=");
    let session = parts.next().unwrap_or_default();
    let sections: Vec<&str> = parts.collect();
    let (audio, video, data) = (sections[1], sections[4], sections[6]);
    let mids: String = (0..=SECTIONS).map(|mid| format!(" {mid}")).collect();
    let mut offer = session.replace(" 0 1 2 3 4 5 6", &mids);
    for mid in 0..SECTIONS {
        let section = if mid % 2 == 0 { audio } else { video };
        let own = section
            .replace("a=mid:1\r", "a=mid:4\r")
            .replace("a=mid:4\r", &format!("a=mid:{mid}\r"));
        let _ = write!(offer, "m={own}");
    }
    let _ = write!(
        offer,
        "m={}",
        data.replace("a=mid:6\r", &format!("a=mid:{SECTIONS}\r"))
    );
    offer
}

fn main() {
    let mut answerer = Answerer::single(LocalParams {
        shard: ShardId(0),
        fingerprint: Fingerprint([0; 32]),
        candidates: vec![
            Candidate::udp("192.0.2.1:7882".parse().unwrap()),
            Candidate::udp("[2001:db8::1]:7882".parse().unwrap()),
        ],
        media: MediaPolicy::default(),
        seed: [1; 32],
    });
    for index in 0..SECTIONS as u64 {
        let track = OutgoingTrack {
            subscription: SubscriptionId(index),
            codecs: if index % 2 == 0 {
                [Codec::Opus].into_iter().collect()
            } else {
                [Codec::Vp8].into_iter().collect()
            },
            stream_id: format!("PA_abcdefghijkl{index}|camera"),
            track: TrackSid::from(format!("TR_abcdefghijkl{index}")),
            stereo: false,
        };
        answerer.bind(track).unwrap();
    }
    let offer = offer();
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let start = Instant::now();
        let outcome = answerer.accept_offer(black_box(&offer), 1).unwrap();
        let answer = answerer.write_answer().unwrap();
        black_box((&outcome, &answer));
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(answer.mid_to_track.len(), SECTIONS);
        if round == 0 {
            println!(
                "offer {} bytes, answer {} bytes",
                offer.len(),
                answer.sdp.len()
            );
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times[ROUNDS / 2];
    println!("figure answer_ms_100_sections = {median:.3} ms (goal {GOAL})");
}

//! Figures of a join, one after the other: from dialling to the first media packet that came out of the depacketiser.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use plenum_peer::{ConnectionState, Kind, Member, Peer, Settings};

/// Joins that are measured.
const JOINS: usize = 50;

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len() - 1);
    sorted[index].as_secs_f64() * 1e3
}

#[tokio::test]
async fn first_media_after_a_join() {
    let member = Member::start(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
    let publisher = Settings {
        publishes: vec![Kind::Audio, Kind::Video],
        ..Settings::default()
    };
    let mut ada = Peer::join(&member, "room", "ada", publisher).await.unwrap();
    ada.until("ada to be connected", |ada| {
        ada.states().0 == ConnectionState::Connected
    })
    .await
    .unwrap();
    // On a thread of its own, as it is a machine of its own in life.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let playing = runtime.spawn(ada.go_on());

    let (mut media, mut pictures) = (Vec::new(), Vec::new());
    for index in 0..JOINS {
        let dialled = Instant::now();
        let identity = format!("bob-{index}");
        let mut bob = Peer::join(&member, "room", &identity, Settings::default())
            .await
            .unwrap();
        bob.until("sound and a picture", |bob| {
            bob.frames(Kind::Audio) > 0 && bob.frames(Kind::Video) > 0
        })
        .await
        .unwrap();
        let first = bob.seen().map(|seen| seen.at).min().unwrap();
        let pictured = bob
            .seen()
            .filter(|seen| seen.kind == Kind::Video)
            .map(|seen| seen.at)
            .min()
            .unwrap();
        media.push(first - dialled);
        pictures.push(pictured - dialled);
    }
    assert!(!playing.is_finished());
    runtime.shutdown_background();
    media.sort_unstable();
    pictures.sort_unstable();
    // The publisher of this test has a key frame each third of a second, which is what a picture waits for.
    for (name, value, goal) in [
        ("join_first_media_p50", percentile(&media, 50), 60),
        ("join_first_media_p95", percentile(&media, 95), 120),
        ("join_first_picture_p50", percentile(&pictures, 50), 400),
        ("join_first_picture_p95", percentile(&pictures, 95), 400),
    ] {
        println!("figure {name} = {value:.1} ms (goal {goal})");
    }
}

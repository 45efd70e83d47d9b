//! Which packets belong to which track and layer.

use crate::common::{Call, Camera, MID_ID, REPAIRED_RID_ID, RID_ID, VP8_RTX};
use plenum_media::Budgets;
use plenum_rtp::RtpHeader;
use plenum_types::{Codec, LayerTarget, ShardCommand, ShardEvent, Ssrc};

#[test]
fn layers_are_known_by_section_and_rid_and_retransmissions_by_repaired_rid() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let other = call.add_video_by_rid(alice, &["q", "h"]);
    let track = call.add_video_by_rid(alice, &["q", "h"]);
    let mid = track.0.to_string().into_bytes();
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let (_, other_ssrc) = call.subscribe(bob, other, Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 2, 3_000);
    camera.extensions = vec![(MID_ID, mid.clone()), (RID_ID, b"h".to_vec())];
    camera.shoot(&mut call, 1, true, 2);
    assert_eq!(
        call.events
            .iter()
            .filter(|event| matches!(event, ShardEvent::LayerLive { .. }))
            .collect::<Vec<_>>(),
        [&ShardEvent::LayerLive { track, spatial: 1 }]
    );
    // Later packets carry no names.
    camera.extensions.clear();
    camera.shoot(&mut call, 1, false, 2);
    camera.shoot(&mut call, 1, true, 2);
    let frame = camera.frame(1, false, 2, call.now);
    camera.send(&mut call, &frame[1]);
    call.settle();
    let before = call.take(bob, ssrc).len();
    assert!(before >= 3);

    let mut payload = frame[0].header.sequence.to_be_bytes().to_vec();
    payload.extend(&frame[0].payload);
    call.send_rtp(
        alice,
        1,
        RtpHeader {
            payload_type: VP8_RTX,
            ssrc: Ssrc(4_000),
            sequence: 1,
            ..frame[0].header
        },
        &[(MID_ID, &mid), (REPAIRED_RID_ID, b"h")],
        &payload,
    );
    call.settle();
    assert_eq!(call.take(bob, ssrc).len(), 1);
    assert!(call.take(bob, other_ssrc).is_empty());
}

#[test]
fn an_unknown_source_reaches_nobody_if_its_payload_type_fits_two_tracks() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let first = call.add_video_by_rid(alice, &["q"]);
    call.add_video_by_rid(alice, &["q"]);
    call.subscribe(bob, first, Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 1, 3_000);
    camera.shoot(&mut call, 0, true, 2);
    assert!(call.clients[bob].packets.is_empty());
    assert_eq!(call.shard.stats().unrouted, 2);
}

#[test]
fn ssrcs_of_two_participants_may_be_equal() {
    let mut call = Call::new();
    let (alice, bob, carol) = (call.join(), call.join(), call.join());
    let first = call.add_video(alice, 1, 1_000);
    let second = call.add_video(bob, 1, 1_000);
    let (_, from_alice) = call.subscribe(carol, first, Codec::Vp8, LayerTarget::HIGHEST);
    let (_, from_bob) = call.subscribe(carol, second, Codec::Vp8, LayerTarget::HIGHEST);
    Camera::new(alice, 1, 1_000).shoot(&mut call, 0, true, 2);
    assert_eq!(call.take(carol, from_alice).len(), 2);
    assert!(call.take(carol, from_bob).is_empty());
    Camera::new(bob, 1, 1_000).shoot(&mut call, 0, true, 3);
    assert_eq!(call.take(carol, from_bob).len(), 3);
}

#[test]
fn a_removed_track_reaches_nobody_and_a_new_subscription_never_repeats_numbers() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    camera.shoot(&mut call, 0, true, 2);
    let last = call.take(bob, ssrc).last().unwrap().sequence;
    call.command(ShardCommand::RemoveSubscription { subscription });
    camera.shoot(&mut call, 0, true, 2);
    assert!(call.take(bob, ssrc).is_empty());

    // The room may bind the same section and SSRC again: under the same key, numbers must go on.
    let mut extensions = plenum_types::ExtensionIds::default();
    extensions.set(plenum_types::RtpExtension::Mid, MID_ID);
    let sender = plenum_types::SenderParams {
        mid: "x".into(),
        ssrc,
        rtx_ssrc: None,
        codec: Codec::Vp8,
        payload_type: crate::common::OUT_VP8,
        opus_payload_type: None,
        rtx_payload_type: None,
        nack: true,
        extensions,
    };
    call.command(ShardCommand::AddSubscription {
        subscription: plenum_types::SubscriptionId(999),
        track,
        sink: plenum_types::Sink::Transport(call.clients[bob].transport),
        sender,
        target: LayerTarget::HIGHEST,
    });
    camera.shoot(&mut call, 0, true, 2);
    assert_eq!(call.take(bob, ssrc)[0].sequence, last + 1);

    call.command(ShardCommand::RemoveTrack { track });
    camera.shoot(&mut call, 0, true, 2);
    assert!(call.take(bob, ssrc).is_empty());
    assert_eq!(call.shard.stats().tracks, 0);
    assert_eq!(call.shard.stats().subscriptions, 0);
    assert_eq!(call.shard.stats().history_bytes, 0);
}

#[test]
fn a_closed_room_leaves_nothing() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    Camera::new(alice, 1, 1_000).shoot(&mut call, 0, true, 2);
    call.command(ShardCommand::CloseRoom);
    let stats = *call.shard.stats();
    assert_eq!(
        (
            stats.transports,
            stats.tracks,
            stats.subscriptions,
            stats.history_bytes
        ),
        (0, 0, 0, 0)
    );
    assert_eq!(
        call.shard.next_timeout().max(call.now),
        call.shard.next_timeout()
    );
}

#[test]
fn what_comes_before_the_subscriber_is_connected_is_not_lost_for_good() {
    let mut call = Call::new();
    let alice = call.join();
    let bob = call.join_unconnected();
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    camera.shoot(&mut call, 0, true, 2);
    call.take_plis(alice);
    call.connect(bob);
    assert_eq!(call.take_plis(alice), [Ssrc(1_000)]);
    camera.shoot(&mut call, 0, true, 2);
    assert_eq!(call.take(bob, ssrc).len(), 2);
}

#[test]
fn all_tracks_that_a_client_may_have_are_found() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let layers = [&b"q"[..], b"h", b"f"];
    for n in 0..64u32 {
        let track = call.add_video_by_rid(alice, &["q", "h", "f"]);
        let mid = track.0.to_string().into_bytes();
        let mut camera = Camera::new(alice, 3, 10_000 + 10 * n);
        for (layer, rid) in layers.into_iter().enumerate() {
            camera.extensions = vec![(MID_ID, mid.clone()), (RID_ID, rid.to_vec())];
            camera.shoot(&mut call, layer, true, 1);
            let header = RtpHeader {
                marker: false,
                payload_type: VP8_RTX,
                ssrc: Ssrc(20_000 + 10 * n + layer as u32),
                sequence: 1,
                timestamp: 0,
            };
            let names = [(MID_ID, mid.as_slice()), (REPAIRED_RID_ID, rid)];
            call.send_rtp(alice, 1, header, &names, &[]);
        }
        let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
        camera.extensions.clear();
        camera.shoot(&mut call, 2, true, 1);
        assert_eq!(call.take(bob, ssrc).len(), 1, "track {n}");
    }
    assert_eq!(call.shard.stats().unrouted, 0);
}

#[test]
fn sources_are_bounded_whatever_a_client_announces() {
    let mut call = Call::with_budgets(Budgets {
        tracks_per_transport: 2,
        ..Budgets::default()
    });
    let (alice, bob) = (call.join(), call.join());
    // Each announces two; the third track is above the bound, and a stream of renegotiations brings no more than 12.
    let tracks = [
        call.add_video(alice, 1, 1_000),
        call.add_video(alice, 1, 1_001),
        call.add_video(alice, 1, 1_002),
    ];
    assert_eq!(call.shard.stats().tracks, 2);
    assert_eq!(call.shard.stats().commands_ignored, 1);
    let mut params = call.video_params(tracks[0], 1, 1_000);
    for n in 0..100 {
        params.encodings[0].ssrc = Some(Ssrc(2_000 + n));
        call.command(ShardCommand::UpdateTrack {
            track: tracks[0],
            receiver: params.clone(),
        });
    }
    let (_, ssrc) = call.subscribe(bob, tracks[0], Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 1, 2_000);
    camera.shoot(&mut call, 0, true, 1);
    assert_eq!(call.take(bob, ssrc).len(), 1);
    let mut camera = Camera::new(alice, 1, 2_099);
    camera.shoot(&mut call, 0, true, 1);
    assert!(call.take(bob, ssrc).is_empty());
    assert_eq!(call.shard.stats().unrouted, 1);
}

//! A full socket delays media by a few milliseconds and never costs memory.

use crate::common::Call;
use plenum_types::Ssrc;

#[test]
fn a_short_block_loses_nothing() {
    let (mut call, [_, bob], mut camera, ssrc) = Call::watched(1);
    call.network.full = true;
    camera.shoot(&mut call, 0, true, 5);
    assert!(call.shard.is_blocked());
    assert!(call.take(bob, ssrc).is_empty());
    call.network.full = false;
    call.settle();
    let sequences: Vec<_> = call
        .take(bob, ssrc)
        .iter()
        .map(|packet| packet.sequence)
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    assert!(!call.shard.is_blocked());
}

#[test]
fn a_long_block_drops_what_is_late_and_retransmissions_mend_it() {
    let (mut call, [_, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 5);
    call.take(bob, ssrc);
    call.network.full = true;
    for _ in 0..10 {
        camera.shoot(&mut call, 0, false, 5);
        call.advance_millis(10);
    }
    call.network.full = false;
    camera.shoot(&mut call, 0, false, 5);
    assert!(call.shard.stats().blocked_dropped > 0);
    let got: Vec<_> = call
        .take(bob, ssrc)
        .iter()
        .map(|packet| packet.sequence)
        .collect();
    assert_eq!(got.last(), Some(&60));
    let missing: Vec<u16> = (6..=60)
        .filter(|sequence| !got.contains(sequence))
        .collect();
    assert!(!missing.is_empty());
    call.send_rtcp(bob, |writer| {
        writer.nack(Ssrc(77), ssrc, &missing);
    });
    call.settle();
    assert_eq!(call.take(bob, Ssrc(ssrc.0 + 4_000)).len(), missing.len());
}

#[test]
fn a_full_queue_drops_whole_frames_and_asks_for_a_key_frame() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 5);
    call.take(bob, ssrc);
    call.advance_millis(1_000);
    call.take_plis(alice);
    for _ in 0..60 {
        for packet in camera.frame(0, false, 20, call.now) {
            camera.send(&mut call, &packet);
        }
    }
    call.settle();
    assert!(call.shard.stats().dropped.total() > 0);
    assert_eq!(call.take_plis(alice), [Ssrc(1_000)]);
    let got = call.take(bob, ssrc);
    assert!(got.len() < 1_200);
    camera.shoot(&mut call, 0, false, 2);
    camera.shoot(&mut call, 0, true, 2);
    let after = call.take(bob, ssrc);
    assert_eq!(after.len(), 2);
    assert!(after[0].vp8().key_frame);
    // The packet that found the queue full has a number; whoever asks for it gets it.
    assert_eq!(after[0].sequence, got.last().unwrap().sequence + 2);
}

//! Lost packets are asked for and answered, on both sides.

use std::time::Duration;

use crate::common::{Call, Camera, Feedback, OUT_RTX, OUT_VP8, VP8_RTX};
use plenum_rtp::{RtpHeader, rtx};
use plenum_types::{Codec, LayerTarget, PayloadType, SenderParams, ShardCommand, Ssrc};

fn call_of_two() -> (Call, Camera, usize, Ssrc) {
    let (mut call, [_, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 3);
    (call, camera, bob, ssrc)
}

#[test]
fn nack_is_answered_once_per_rtt() {
    let (mut call, mut camera, bob, ssrc) = call_of_two();
    camera.shoot(&mut call, 0, false, 5);
    let sent = call.take(bob, ssrc);
    let lost = [sent[3].sequence, sent[5].sequence];
    let rtx_ssrc = Ssrc(ssrc.0 + 4_000);

    for _ in 0..20 {
        call.send_rtcp(bob, |writer| {
            writer.nack(Ssrc(77), ssrc, &lost);
        });
    }
    call.settle();
    let answers = call.take(bob, rtx_ssrc);
    assert_eq!(answers.len(), 2);
    for (answer, original) in answers.iter().zip([&sent[3], &sent[5]]) {
        let (sequence, payload) = rtx::split(&answer.payload).unwrap();
        assert_eq!(answer.payload_type, OUT_RTX);
        assert_eq!(original.payload_type, OUT_VP8);
        assert_eq!(sequence, original.sequence);
        assert_eq!(payload, original.payload);
        assert_eq!(answer.timestamp, original.timestamp);
        assert_eq!(answer.marker, original.marker);
    }
    assert_eq!(answers[1].sequence, answers[0].sequence + 1);

    // The answer may have been lost too: after a round trip it is given again.
    call.advance(Duration::from_millis(110));
    call.send_rtcp(bob, |writer| {
        writer.nack(Ssrc(77), ssrc, &lost);
    });
    call.settle();
    assert_eq!(call.take(bob, rtx_ssrc).len(), 2);
}

#[test]
fn what_was_never_sent_is_not_answered() {
    let (mut call, _, bob, ssrc) = call_of_two();
    call.send_rtcp(bob, |writer| {
        writer.nack(Ssrc(77), ssrc, &[4, 5, 1_000, 40_000, 65_535]);
    });
    call.settle();
    assert!(call.take(bob, Ssrc(ssrc.0 + 4_000)).is_empty());
}

#[test]
fn a_lost_packet_is_asked_for_and_its_retransmission_forwarded() {
    let (mut call, mut camera, bob, ssrc) = call_of_two();
    call.take(bob, ssrc);
    let frame = camera.frame(0, false, 4, call.now);
    for place in [0, 1, 3] {
        camera.send(&mut call, &frame[place]);
    }
    call.settle();
    let got = call.take(bob, ssrc);
    assert_eq!(
        got.iter().map(|packet| packet.sequence).collect::<Vec<_>>(),
        [4, 5, 7]
    );
    call.advance_millis(20);
    let asked: Vec<_> = call.clients[0]
        .feedback
        .iter()
        .filter_map(|feedback| match feedback {
            Feedback::Nack(ssrc, sequences) => Some((*ssrc, sequences.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(Ssrc(1_000), vec![frame[2].header.sequence])]);

    let mut payload = frame[2].header.sequence.to_be_bytes().to_vec();
    payload.extend(&frame[2].payload);
    let header = RtpHeader {
        payload_type: VP8_RTX,
        ssrc: Ssrc(1_100),
        sequence: 9,
        ..frame[2].header
    };
    call.send_rtp(0, 9, header, &[], &payload);
    call.settle();
    let mended = call.take(bob, ssrc);
    assert_eq!(mended.len(), 1);
    assert_eq!(mended[0].sequence, 6);
    assert_eq!(mended[0].payload[8..], frame[2].payload[8..]);

    // Nothing is missed any more, and the same retransmission again is a duplicate.
    call.clients[0].feedback.clear();
    call.advance_millis(300);
    assert!(
        !call.clients[0]
            .feedback
            .iter()
            .any(|feedback| matches!(feedback, Feedback::Nack(..)))
    );
    let header = RtpHeader {
        sequence: 10,
        ..header
    };
    call.send_rtp(0, 10, header, &[], &payload);
    call.settle();
    assert!(call.take(bob, ssrc).is_empty());
}

#[test]
fn a_retransmission_of_a_packet_from_before_the_history_grew_is_a_duplicate() {
    let (mut call, mut camera, bob, ssrc) = call_of_two();
    let mut forwarded = Vec::new();
    // More than 128 packets within a second: the history grows.
    for _ in 0..60 {
        let frame = camera.frame(0, false, 5, call.now);
        for packet in &frame {
            camera.send(&mut call, packet);
        }
        call.settle();
        forwarded.extend(frame);
    }
    call.take(bob, ssrc);
    for (sequence, packet) in forwarded.iter().enumerate() {
        let mut payload = packet.header.sequence.to_be_bytes().to_vec();
        payload.extend(&packet.payload);
        // Other bytes under the same number would give the subscriber's key away.
        if let Some(last) = payload.last_mut() {
            *last ^= 1;
        }
        let header = RtpHeader {
            payload_type: VP8_RTX,
            ssrc: Ssrc(1_100),
            sequence: sequence as u16,
            ..packet.header
        };
        call.send_rtp(0, sequence as u64, header, &[], &payload);
    }
    call.settle();
    assert!(call.take(bob, ssrc).is_empty());
}

#[test]
fn retransmissions_may_go_and_come_back_by_negotiation() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    let (subscription, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let with = Call::sender_params(subscription, Codec::Vp8);
    let rtx_ssrc = with.rtx_ssrc.unwrap();
    let without = SenderParams {
        rtx_ssrc: None,
        rtx_payload_type: None,
        payload_type: PayloadType(120),
        ..with.clone()
    };
    let mut shoot_and_ask = |call: &mut Call, key: bool| {
        camera.shoot(call, 0, key, 1);
        let sent = call.take(bob, ssrc);
        call.send_rtcp(bob, |writer| {
            writer.nack(Ssrc(77), ssrc, &[sent[0].sequence]);
        });
        call.settle();
        (sent[0].payload_type, call.take(bob, rtx_ssrc))
    };
    let (payload_type, answers) = shoot_and_ask(&mut call, true);
    assert_eq!((payload_type, answers[0].sequence), (OUT_VP8, 1));

    call.command(ShardCommand::UpdateSubscription {
        subscription,
        sender: without,
    });
    let (payload_type, answers) = shoot_and_ask(&mut call, false);
    assert_eq!((payload_type, answers.len()), (PayloadType(120), 0));

    call.command(ShardCommand::UpdateSubscription {
        subscription,
        sender: with.clone(),
    });
    let (payload_type, answers) = shoot_and_ask(&mut call, false);
    // A number used before would be a nonce used twice.
    assert_eq!((payload_type, answers[0].sequence), (OUT_VP8, 2));

    // Another stream's parameters are not these.
    call.command(ShardCommand::UpdateSubscription {
        subscription,
        sender: SenderParams {
            ssrc: Ssrc(1),
            ..with
        },
    });
    assert_eq!(call.shard.stats().commands_ignored, 1);
    assert_eq!(shoot_and_ask(&mut call, false).0, OUT_VP8);
}

#[test]
fn a_datagram_that_asks_for_everything_gets_a_bounded_number_of_answers() {
    let (mut call, mut camera, bob, ssrc) = call_of_two();
    for _ in 0..50 {
        camera.shoot(&mut call, 0, false, 10);
    }
    let sent = call.take(bob, ssrc);
    assert!(sent.len() >= 500);
    let all: Vec<u16> = sent.iter().map(|packet| packet.sequence).collect();
    call.send_rtcp(bob, |writer| {
        writer.nack(Ssrc(77), ssrc, &all);
    });
    call.settle();
    let answers = call.take(bob, Ssrc(ssrc.0 + 4_000)).len();
    assert!((1..=400).contains(&answers), "{answers}");
}

#[test]
fn what_was_sent_many_pauses_ago_is_not_sent_again() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.temporal_layers = 2;
    let slow = LayerTarget {
        temporal: 0,
        ..LayerTarget::HIGHEST
    };
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, slow);
    // Each frame that is dropped begins a stretch of numbers of its own; so many of them are remembered.
    for frame in 0..120 {
        camera.shoot(&mut call, 0, frame == 0, 1);
    }
    let sent = call.take(bob, ssrc);
    assert_eq!(sent.len(), 60);
    let all: Vec<u16> = sent.iter().map(|packet| packet.sequence).collect();
    call.send_rtcp(bob, |writer| {
        writer.nack(Ssrc(77), ssrc, &all);
    });
    call.settle();
    let answers = call.take(bob, Ssrc(ssrc.0 + 4_000));
    assert_eq!(answers.len(), 33);
    for (answer, original) in answers.iter().zip(&sent[60 - 33..]) {
        let (sequence, payload) = rtx::split(&answer.payload).unwrap();
        assert_eq!(sequence, original.sequence);
        assert_eq!(payload, original.payload);
    }
}

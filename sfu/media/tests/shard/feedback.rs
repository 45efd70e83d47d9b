//! What publishers and subscribers hear about their streams.

use crate::common::{Call, Camera, Feedback, OPUS, TWCC_ID};
use plenum_rtp::{RtpHeader, rtcp::SenderInfo};
use plenum_types::{Codec, LayerTarget, NtpTime, ShardEvent, Ssrc};

#[test]
fn publishers_get_arrival_times_and_reception_reports() {
    let mut call = Call::new();
    let alice = call.join();
    call.add_video(alice, 1, 1_000);
    let mut camera = Camera::new(alice, 1, 1_000);
    let mut number = 65_000u16;
    for n in 0..100 {
        for packet in camera.frame(0, n == 0, 1, call.now) {
            number = number.wrapping_add(1);
            if n % 10 == 7 {
                continue;
            }
            call.send_rtp(
                alice,
                packet.extended,
                packet.header,
                &[(TWCC_ID, &number.to_be_bytes())],
                &packet.payload,
            );
        }
        call.advance_millis(20);
    }
    call.advance_millis(200);
    let mut told = Vec::new();
    let mut lost = 0;
    for feedback in &call.clients[alice].feedback {
        match feedback {
            Feedback::Arrivals(arrivals) => told.extend(arrivals.clone()),
            Feedback::Reception(blocks) => {
                lost = blocks
                    .iter()
                    .map(|block| block.cumulative_lost)
                    .max()
                    .unwrap_or(lost);
            }
            _ => {}
        }
    }
    assert_eq!(told.len(), 100);
    assert_eq!(told.iter().filter(|(_, came)| !came).count(), 10);
    assert!(
        told.windows(2)
            .all(|pair| pair[1].0 == pair[0].0.wrapping_add(1))
    );
    assert!((8..=10).contains(&lost), "{lost}");
}

/// Sends a sender report that maps the camera's or microphone's clock to the publisher's wall clock, which is 100 s ahead.
fn report(call: &mut Call, client: usize, ssrc: u32, rtp_timestamp: u32) {
    let ntp = NtpTime(call.wall.ntp(call.now).0 + (100 << 32));
    call.send_rtcp(client, |writer| {
        writer.sender_report(
            &SenderInfo {
                ssrc: Ssrc(ssrc),
                ntp,
                rtp_timestamp,
                packets: 1,
                octets: 1,
            },
            &[],
        );
    });
}

/// covers: sdk.av_sync
#[test]
fn subscribers_can_align_sound_and_picture() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let video = call.add_video(alice, 1, 1_000);
    let audio = call.add_audio(alice, 2_000);
    let (_, video_out) = call.subscribe(bob, video, Codec::Vp8, LayerTarget::HIGHEST);
    let (_, audio_out) = call.subscribe(bob, audio, Codec::Opus, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 1, 1_000);
    for n in 0..150u64 {
        camera.shoot(&mut call, 0, n == 0, 1);
        let header = RtpHeader {
            marker: false,
            payload_type: OPUS,
            sequence: n as u16,
            timestamp: (n * 960) as u32,
            ssrc: Ssrc(2_000),
        };
        call.send_rtp(alice, n, header, &[], &[n as u8; 60]);
        if n == 10 {
            let video_now = (call.now.as_nanos() / 1_000 * 90 / 1_000) as u32;
            let offset = camera.layers[0].timestamp_offset;
            report(&mut call, alice, 1_000, video_now.wrapping_add(offset));
            report(&mut call, alice, 2_000, (n * 960) as u32);
        }
        call.advance_millis(20);
    }
    let reports: Vec<_> = call.clients[bob]
        .feedback
        .iter()
        .filter_map(|feedback| match feedback {
            Feedback::SenderReport(info) => Some(*info),
            _ => None,
        })
        .collect();
    let last = |ssrc| *reports.iter().rfind(|info| info.ssrc == ssrc).unwrap();
    let (video, audio) = (last(video_out), last(audio_out));
    // On our clock, not the publisher's.
    assert_eq!(video.ntp, audio.ntp);
    assert!(call.wall.ntp(call.now).0 - video.ntp.0 < 2 << 32);
    // Frames n of both were captured together: both reports must point to the same n.
    let first_video = call.clients[bob]
        .packets
        .iter()
        .find(|packet| packet.ssrc == video_out)
        .unwrap()
        .timestamp;
    let video_seconds = f64::from(video.rtp_timestamp.wrapping_sub(first_video)) / 90_000.0;
    let audio_seconds = f64::from(audio.rtp_timestamp) / 48_000.0;
    assert!(
        (video_seconds - audio_seconds).abs() < 0.005,
        "{video_seconds} {audio_seconds}"
    );
    assert!((2.0..=3.1).contains(&video_seconds));
    assert!(video.packets >= 100);
}

#[test]
fn quality_tells_loss_and_round_trip() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(1);
    let mut last = None;
    for n in 0..300u32 {
        let frame = camera.frame(0, n == 0, 1, call.now);
        if n % 5 != 3 {
            camera.send(&mut call, &frame[0]);
        }
        if n == 1 {
            report(&mut call, alice, 1_000, frame[0].header.timestamp);
        }
        call.advance_millis(20);
        for feedback in std::mem::take(&mut call.clients[bob].feedback) {
            if let Feedback::SenderReport(info) = feedback {
                last = Some(info.ntp.compact());
            }
        }
        if n % 50 == 49
            && let Some(last_sr) = last.take()
        {
            let held = call.wall.ntp(call.now).compact().wrapping_sub(last_sr);
            call.send_rtcp(bob, |writer| {
                writer.receiver_report(
                    Ssrc(77),
                    &[plenum_rtp::rtcp::ReportBlock {
                        ssrc,
                        fraction_lost: 0,
                        cumulative_lost: (n / 10).cast_signed(),
                        highest_sequence: n,
                        jitter: 0,
                        last_sr,
                        // 50 ms on the way.
                        delay_since_last_sr: held - 65_536 / 20,
                    }],
                );
            });
        }
    }
    let quality = |client: usize| {
        let id = call.clients[client].transport;
        call.events
            .iter()
            .rev()
            .find_map(|event| match event {
                ShardEvent::LinkQuality { transport, quality } if *transport == id => {
                    Some(*quality)
                }
                _ => None,
            })
            .unwrap()
    };
    let (up, down) = (quality(alice), quality(bob));
    assert!(up.uplink_expected && !down.uplink_expected);
    assert!((0.1..0.3).contains(&up.uplink_loss), "{up:?}");
    assert!((0.05..0.15).contains(&down.downlink_loss), "{down:?}");
    let rtt = down.rtt.unwrap().as_millis();
    assert!((45..=55).contains(&rtt), "{rtt}");
}

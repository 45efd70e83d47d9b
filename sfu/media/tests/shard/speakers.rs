//! Rooms hear who speaks, from levels in packets.

use crate::common::{Call, LEVEL_ID, OPUS};
use plenum_rtp::RtpHeader;
use plenum_types::{Codec, LayerTarget, ShardEvent, SpeakerLevel, Ssrc};

/// covers: sdk.active_speakers
#[test]
fn speakers_are_told_by_level_and_their_levels_forwarded() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let loud = call.add_audio(alice, 2_000);
    let quiet = call.add_audio(bob, 2_000);
    let (_, ssrc) = call.subscribe(bob, loud, Codec::Opus, LayerTarget::HIGHEST);
    for n in 0..100u64 {
        for (client, level) in [(alice, 20u8), (bob, 110)] {
            let header = RtpHeader {
                marker: false,
                payload_type: OPUS,
                sequence: n as u16,
                timestamp: (n * 960) as u32,
                ssrc: Ssrc(2_000),
            };
            call.send_rtp(client, n, header, &[(LEVEL_ID, &[0x80 | level])], &[7; 60]);
        }
        call.advance_millis(20);
    }
    let changes: Vec<SpeakerLevel> = call
        .events
        .iter()
        .filter_map(|event| match event {
            ShardEvent::Speakers(levels) => Some(levels.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert!(
        changes
            .iter()
            .any(|change| change.track == loud && change.active)
    );
    assert!(changes.iter().all(|change| change.track != quiet));
    let packets = call.take(bob, ssrc);
    assert_eq!(packets.len(), 100);
    assert!(
        packets
            .iter()
            .all(|packet| { packet.extensions.contains(&(LEVEL_ID, vec![0x80 | 20])) })
    );
    for pair in packets.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        assert_eq!(pair[1].timestamp, pair[0].timestamp + 960);
    }
}

//! What strangers and broken clients send is counted and dropped.

use std::time::Duration;

use crate::common::{Call, Camera, VP8};
use plenum_rtp::RtpHeader;
use plenum_types::{Codec, LayerTarget, Ssrc};

#[test]
fn malformed_datagrams_never_panic() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 2);
    let mut random = fastrand::Rng::with_seed(4);
    let mut bytes = [0u8; 256];
    for n in 0..20_000u64 {
        let len = random.usize(..bytes.len());
        random.fill(&mut bytes[..len]);
        if random.bool() {
            call.datagram(alice, &mut bytes[..len]);
        } else {
            // Properly sealed nonsense: payloads, extension bytes and reports of an insider.
            let header = RtpHeader {
                marker: random.bool(),
                payload_type: VP8,
                sequence: random.u16(..),
                timestamp: random.u32(..),
                ssrc: Ssrc(if random.bool() { 1_000 } else { random.u32(..) }),
            };
            let extended = ((n + 1) << 16) | u64::from(header.sequence);
            let value = &bytes[..random.usize(1..16)].to_vec();
            let payload = bytes[..len].to_vec();
            call.send_rtp(
                alice,
                extended,
                header,
                &[(random.u8(1..15), value)],
                &payload,
            );
        }
        if n % 100 == 0 {
            call.advance_millis(10);
            call.clients[bob].packets.clear();
        }
    }
    for _ in 0..5_000 {
        let sequences: Vec<u16> = (0..40).map(|_| random.u16(..)).collect();
        let (a, b) = (random.u32(..), random.u32(..));
        call.send_rtcp(bob, |writer| {
            writer.nack(Ssrc(a), ssrc, &sequences);
            writer.pli(Ssrc(a), ssrc);
            writer.fir(Ssrc(b), Ssrc(b), 1);
            writer.bye(Ssrc(b));
        });
    }
    call.settle();
}

#[test]
fn a_flood_of_strangers_changes_nothing() {
    let mut call = Call::new();
    let stranger = call.join_unconnected();
    let before = *call.shard.stats();
    for n in 0..1_000u32 {
        let mut stun = plenum_transport::ConnectivityCheck {
            transaction: [n as u8; 12],
            receiver_ufrag: "0000unknown12345",
            sender_ufrag: "x",
            receiver_pwd: "not-a-password-of-anyone",
            use_candidate: true,
        }
        .to_datagram();
        call.datagram(stranger, &mut stun);
        call.datagram(stranger, &mut [22, 254, 253, 0, 0]);
        call.datagram(stranger, &mut [0x80; 40]);
    }
    call.settle();
    assert_eq!(
        call.shard.stats().unknown_datagrams,
        before.unknown_datagrams + 3_000
    );
    assert!(call.network.datagrams.is_empty());
}

#[test]
fn replayed_packets_are_dropped() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 1);
    let packet = camera.frame(0, false, 1, call.now).remove(0);
    let sealed = call.sealed_rtp(alice, packet.extended, packet.header, &[], &packet.payload);
    for _ in 0..5 {
        call.datagram(alice, &mut sealed.clone());
    }
    call.settle();
    assert_eq!(call.take(bob, ssrc).len(), 2);
    assert_eq!(call.shard.stats().unopened, 4);
}

#[test]
fn a_storm_of_key_frame_requests_is_one_request() {
    let (mut call, [alice, bob], mut camera, ssrc) = Call::watched(1);
    camera.shoot(&mut call, 0, true, 1);
    call.advance_millis(1_000);
    call.take_plis(alice);
    for _ in 0..500 {
        call.send_rtcp(bob, |writer| {
            writer.pli(Ssrc(77), ssrc);
        });
    }
    call.settle();
    assert_eq!(call.take_plis(alice).len(), 1);
}

#[test]
fn a_check_with_a_forged_address_takes_nobodys_path() {
    let mut call = Call::new();
    let (alice, bob, mallory) = (call.join(), call.join(), call.join_unconnected());
    let track = call.add_video(alice, 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.shoot(&mut call, 0, true, 1);
    let address = call.clients[mallory].address;

    // Mallory names himself, from Alice's address.
    call.clients[mallory].address = call.clients[alice].address;
    call.check_path(mallory);
    call.settle();
    camera.shoot(&mut call, 0, false, 1);
    assert_eq!(call.take(bob, ssrc).len(), 2);
    assert_eq!(call.shard.stats().contested_paths, 1);

    // Nor was the address taken into his Transport: what is for him goes to his own.
    call.clients[mallory].address = address;
    call.connect(mallory);
    let (_, ssrc) = call.subscribe(mallory, track, Codec::Vp8, LayerTarget::HIGHEST);
    camera.shoot(&mut call, 0, true, 1);
    assert_eq!(call.take(mallory, ssrc).len(), 1);
}

#[test]
fn a_path_that_was_lost_comes_back_with_the_next_check() {
    let mut call = Call::new();
    let (alice, bob, carol) = (call.join(), call.join(), call.join_unconnected());
    let track = call.add_video(alice, 1, 1_000);
    let (_, ssrc) = call.subscribe(bob, track, Codec::Vp8, LayerTarget::HIGHEST);
    let mut camera = Camera::new(alice, 1, 1_000);
    camera.shoot(&mut call, 0, true, 1);
    // Alice was silent for so long that her port may be someone else's.
    let step = Duration::from_secs(11);
    call.now += step;
    let own = call.clients[carol].address;
    call.clients[carol].address = call.clients[alice].address;
    call.check_path(carol);
    call.clients[carol].address = own;
    camera.shoot(&mut call, 0, false, 1);
    assert_eq!(call.take(bob, ssrc).len(), 1, "the path is Carol's");
    call.now += step;
    call.check_path(alice);
    camera.shoot(&mut call, 0, false, 1);
    assert_eq!(call.take(bob, ssrc).len(), 1, "and Alice's again");
}

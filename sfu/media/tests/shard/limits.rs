//! What one client, or all together, may have of a Shard; more is refused and counted.

use crate::common::{Call, VP8};
use plenum_media::Budgets;
use plenum_rtp::RtpHeader;
use plenum_types::{Codec, LayerTarget, ShardCommand, Ssrc};

#[test]
fn transports_above_the_budget_are_refused_until_one_closes() {
    let mut call = Call::with_budgets(Budgets {
        transports: 2,
        ..Budgets::default()
    });
    let first = call.join_unconnected();
    call.join_unconnected();
    call.join_unconnected();
    assert_eq!(call.shard.stats().transports, 2);
    assert_eq!(call.shard.stats().commands_ignored, 1);
    let transport = call.clients[first].transport;
    call.command(ShardCommand::CloseTransport { transport });
    call.join_unconnected();
    assert_eq!(call.shard.stats().transports, 2);
    assert_eq!(call.shard.stats().commands_ignored, 1);
}

#[test]
fn tracks_of_a_client_above_the_budget_are_refused_until_one_goes() {
    let mut call = Call::with_budgets(Budgets {
        tracks_per_transport: 2,
        ..Budgets::default()
    });
    let (alice, bob) = (call.join(), call.join());
    let first = call.add_audio(alice, 1);
    call.add_audio(alice, 2);
    call.add_audio(alice, 3);
    call.add_audio(bob, 4);
    assert_eq!(call.shard.stats().tracks, 3);
    assert_eq!(call.shard.stats().commands_ignored, 1);
    call.command(ShardCommand::RemoveTrack { track: first });
    call.add_audio(alice, 5);
    assert_eq!(call.shard.stats().tracks, 3);
    assert_eq!(call.shard.stats().commands_ignored, 1);
}

#[test]
fn subscriptions_of_a_client_above_the_budget_are_refused_until_one_goes() {
    let mut call = Call::with_budgets(Budgets {
        subscriptions_per_transport: 2,
        ..Budgets::default()
    });
    let (alice, bob, carol) = (call.join(), call.join(), call.join());
    let track = call.add_audio(alice, 1);
    let (first, _) = call.subscribe(bob, track, Codec::Opus, LayerTarget::HIGHEST);
    for client in [bob, bob, carol] {
        call.subscribe(client, track, Codec::Opus, LayerTarget::HIGHEST);
    }
    assert_eq!(call.shard.stats().subscriptions, 3);
    assert_eq!(call.shard.stats().commands_ignored, 1);
    call.command(ShardCommand::RemoveSubscription {
        subscription: first,
    });
    call.subscribe(bob, track, Codec::Opus, LayerTarget::HIGHEST);
    assert_eq!(call.shard.stats().subscriptions, 3);
    assert_eq!(call.shard.stats().commands_ignored, 1);
}

#[test]
fn a_transport_that_had_too_many_ssrcs_takes_no_more_of_them() {
    let mut call = Call::new();
    let (alice, bob) = (call.join(), call.join());
    let track = call.add_audio(alice, 1);
    for _ in 0..1 << 16 {
        let (subscription, _) = call.subscribe(bob, track, Codec::Opus, LayerTarget::HIGHEST);
        call.command(ShardCommand::RemoveSubscription { subscription });
    }
    assert_eq!(call.shard.stats().commands_ignored, 0);
    // Their numbers must stay known: a subscription that could repeat one is refused.
    call.subscribe(bob, track, Codec::Opus, LayerTarget::HIGHEST);
    assert_eq!(call.shard.stats().commands_ignored, 1);
    assert_eq!(call.shard.stats().subscriptions, 0);
}

#[test]
fn no_source_of_64_simulcast_tracks_can_be_replayed() {
    let mut call = Call::new();
    let alice = call.join();
    let sealed: Vec<_> = (0..64 * 6)
        .map(|n| {
            let header = RtpHeader {
                marker: false,
                payload_type: VP8,
                sequence: 1,
                timestamp: 0,
                ssrc: Ssrc(1_000 + n),
            };
            call.sealed_rtp(alice, 1, header, &[], &[0; 20])
        })
        .collect();
    for datagram in sealed.iter().chain(&sealed) {
        call.datagram(alice, &mut datagram.clone());
    }
    assert_eq!(call.shard.stats().rtp_received, 64 * 6);
    assert_eq!(call.shard.stats().unopened, 64 * 6);
}

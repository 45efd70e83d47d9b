//! Speakers and connection quality.

use crate::world::*;
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message,
};
use plenum_types::{LinkQuality, ShardEvent, SpeakerLevel, TrackId};
use std::time::Duration;

fn speakers(messages: &[Message]) -> Vec<(String, bool)> {
    messages
        .iter()
        .filter_map(|message| match message {
            Message::SpeakersChanged(changed) => Some(&changed.speakers),
            _ => None,
        })
        .flatten()
        .map(|speaker| (speaker.sid.clone(), speaker.active))
        .collect()
}

fn speaks(track: TrackId, active: bool) -> ShardEvent {
    ShardEvent::Speakers(vec![SpeakerLevel {
        track,
        level: if active { 0.5 } else { 0.0 },
        active,
    }])
}

/// covers: out.speakers_changed
#[test]
fn speakers_are_told_to_themselves_and_to_those_who_hear_them() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    let track = world.added_tracks()[0];
    let bob = world.join("bob");
    let carol = world.join_as("carol", |join| join.settings.auto_subscribe = false);
    world.forget_all();
    world.shard(speaks(track, true));
    world.shard(speaks(track, false));
    let expected = vec![(alice.sid.clone(), true), (alice.sid.clone(), false)];
    assert_eq!(speakers(&world.seen(&alice)), expected);
    assert_eq!(speakers(&world.seen(&bob)), expected);
    assert!(speakers(&world.seen(&carol)).is_empty());
    // Told to both in one message.
    assert_eq!(
        world.raw(&alice)[0].binary().as_ptr(),
        world.raw(&bob)[0].binary().as_ptr()
    );
}

#[test]
fn who_comes_while_somebody_speaks_learns_it_with_the_first_sound() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    let track = world.added_tracks()[0];
    world.shard(speaks(track, true));
    world.commands.clear();
    let bob = world.join("bob");
    let started: Vec<_> = world
        .commands
        .iter()
        .filter_map(|command| match command {
            plenum_types::ShardCommand::AddSubscription { subscription, .. } => Some(*subscription),
            _ => None,
        })
        .collect();
    for subscription in started {
        world.shard(ShardEvent::SubscriptionStarted { subscription });
    }
    assert_eq!(speakers(&world.seen(&bob)), [(alice.sid, true)]);
}

/// covers: in.simulate, simulate.speaker_update
#[test]
fn a_simulated_speaker_falls_silent_in_time() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.forget_all();
    world.say(
        &alice,
        Request::Simulate(proto::SimulateScenario {
            scenario: Some(proto::simulate_scenario::Scenario::SpeakerUpdate(3)),
        }),
    );
    world.advance(Duration::from_secs(4));
    assert_eq!(
        speakers(&world.seen(&alice)),
        [(alice.sid.clone(), true), (alice.sid.clone(), false)]
    );
}

/// covers: out.connection_quality
#[test]
fn quality_is_told_when_it_changes() {
    let mut world = World::default();
    let alice = world.join("alice");
    world.publish(&alice);
    let transport = world.last_transport();
    let bob = world.join("bob");
    world.forget_all();
    let told = |world: &mut World| {
        world
            .take(&bob)
            .iter()
            .filter_map(|message| match message {
                Message::ConnectionQuality(update) => Some(update.updates.clone()),
                _ => None,
            })
            .flatten()
            .map(|info| (info.participant_sid.clone(), info.quality()))
            .collect::<Vec<_>>()
    };
    world.advance(Duration::from_secs(6));
    assert_eq!(told(&mut world).len(), 2);
    world.advance(Duration::from_secs(10));
    assert!(told(&mut world).is_empty());
    world.shard(ShardEvent::LinkQuality {
        transport,
        quality: LinkQuality {
            uplink_loss: 0.2,
            uplink_expected: true,
            ..LinkQuality::default()
        },
    });
    world.advance(Duration::from_secs(6));
    assert_eq!(
        told(&mut world),
        [(alice.sid, proto::ConnectionQuality::Poor)]
    );
}

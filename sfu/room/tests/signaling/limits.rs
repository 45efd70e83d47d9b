//! Limits of participants, rooms and members: who is over one hears which, and nobody else notices.

use std::time::Duration;

use livekit_protocol::{
    self as proto, request_response::Reason, signal_request::Message as Request,
    signal_response::Message,
};
use plenum_room::{JoinRefusal, Limits, MemberAllowances, RoomInput, RoomOutput};

use crate::world::{Client, World, camera, config, microphone};

fn with(change: impl FnOnce(&mut Limits)) -> World {
    let mut config = config();
    change(&mut config.limits);
    World::with(config)
}

/// The texts of refusals over a limit.
fn told(world: &World, client: &Client) -> Vec<String> {
    world
        .seen(client)
        .iter()
        .filter_map(|message| match message {
            Message::RequestResponse(response) if response.reason() == Reason::LimitExceeded => {
                Some(response.message.clone())
            }
            _ => None,
        })
        .collect()
}

fn refused_joins(world: &World) -> Vec<JoinRefusal> {
    world
        .others
        .iter()
        .filter_map(|output| match output {
            RoomOutput::Refuse { refusal, .. } => Some(*refusal),
            _ => None,
        })
        .collect()
}

#[test]
fn a_member_takes_its_limit_of_participants_over_all_rooms() {
    let member = MemberAllowances::default();
    member.participants.set_limit(2);
    let mut one = with(|limits| limits.member = member.clone());
    let mut other = with(|limits| limits.member = member.clone());
    let ada = one.join("ada");
    other.join("bob");
    let join = one.join_input("carol");
    one.input(RoomInput::Join(Box::new(join)));
    assert_eq!(refused_joins(&one), [JoinRefusal::MemberFull { limit: 2 }]);
    // Who comes back takes its own place.
    one.join("ada");
    assert_eq!(one.room.stats().participants, 1);
    assert!(!one.closed.is_empty(), "{ada:?} is replaced");
    // A room that ends gives its places back.
    drop(other);
    one.join("carol");
    assert_eq!(one.room.stats().participants, 2);
}

#[test]
fn a_room_and_a_member_publish_at_most_their_limits_and_say_which() {
    let member = MemberAllowances::default();
    member.tracks.set_limit(2);
    for (mut world, name) in [
        (
            with(|limits| limits.tracks_per_room = 2),
            "limits.tracks_per_room",
        ),
        (
            with(|limits| limits.member = member.clone()),
            "limits.tracks)",
        ),
        (
            with(|limits| limits.tracks_per_participant = 2),
            "limits.tracks_per_participant",
        ),
    ] {
        let alice = world.join("alice");
        world.publish(&alice);
        world.forget_all();
        let mut third = camera();
        third.cid = "third".to_owned();
        world.say(&alice, Request::AddTrack(third.clone()));
        let told = told(&world, &alice);
        assert!(
            told.len() == 1 && told[0].contains(name),
            "{name}: {told:?}"
        );
        assert!(told[0].contains(" 2 "), "{told:?}");
        // More is allowed from now on.
        world.input(RoomInput::LimitsChanged(Box::default()));
        world.forget_all();
        world.say(&alice, Request::AddTrack(third));
        assert!(
            world
                .seen(&alice)
                .iter()
                .any(|m| matches!(m, Message::TrackPublished(_)))
        );
    }
}

#[test]
fn tracks_of_who_left_count_no_more() {
    let member = MemberAllowances::default();
    member.tracks.set_limit(2);
    let mut world = with(|limits| limits.member = member.clone());
    let alice = world.join("alice");
    world.publish(&alice);
    assert!(member.tracks.take().is_none());
    world.say(&alice, Request::Leave(Default::default()));
    assert!(member.tracks.take().is_some());
    let bob = world.join("bob");
    world.forget_all();
    world.say(&bob, Request::AddTrack(microphone()));
    assert!(told(&world, &bob).is_empty());
}

#[test]
fn a_subscription_over_a_limit_is_refused_with_the_limit_and_the_others_stay() {
    let member = MemberAllowances::default();
    member.subscriptions.set_limit(1);
    for (mut world, name) in [
        (
            with(|limits| limits.subscriptions_per_participant = 1),
            "limits.subscriptions_per_participant",
        ),
        (
            with(|limits| limits.subscriptions_per_room = 1),
            "limits.subscriptions_per_room",
        ),
        (
            with(|limits| limits.member = member.clone()),
            "limits.subscriptions)",
        ),
    ] {
        let alice = world.join("alice");
        world.publish(&alice);
        world.forget_all();
        // Both tracks are wanted, one fits.
        let bob = world.join("bob");
        let told = told(&world, &bob);
        assert!(
            told.len() == 1 && told[0].contains(name),
            "{name}: {told:?}"
        );
        let answers = world.seen(&bob);
        let errors = answers
            .iter()
            .filter(|message| matches!(message, Message::SubscriptionResponse(_)));
        assert_eq!(errors.count(), 1, "{name}");
        assert_eq!(world.room.stats().subscriptions, 1, "{name}");
    }
}

/// A camera and a microphone are wanted by Bob, one of them fits; which one he gets.
fn one_of_two(world: &mut World) -> (Client, Client, [String; 2]) {
    let alice = world.join("alice");
    let (microphone, camera) = world.publish(&alice);
    let bob = world.join("bob");
    assert_eq!(world.room.stats().subscriptions, 1);
    assert_eq!(told(world, &bob).len(), 1);
    (alice, bob, [microphone, camera])
}

fn subscription(sid: &str, subscribe: bool) -> Request {
    Request::Subscription(proto::UpdateSubscription {
        track_sids: vec![sid.to_owned()],
        subscribe,
        ..Default::default()
    })
}

#[test]
fn who_was_refused_is_served_when_a_place_becomes_free_and_told_no_more() {
    let member = MemberAllowances::default();
    member.subscriptions.set_limit(1);
    for mut world in [
        with(|limits| limits.subscriptions_per_participant = 1),
        with(|limits| limits.subscriptions_per_room = 1),
        with(|limits| limits.member = member.clone()),
    ] {
        let (alice, bob, [microphone, camera]) = one_of_two(&mut world);
        // What is not wanted any more makes room.
        world.say(&bob, subscription(&microphone, false));
        assert_eq!(world.room.stats().subscriptions, 1);
        world.say(&bob, subscription(&camera, false));
        assert_eq!(world.room.stats().subscriptions, 0);
        // What is asked for by name is refused by name, and waits too.
        world.say(&bob, subscription(&camera, true));
        world.say(&bob, subscription(&microphone, true));
        assert_eq!(told(&world, &bob).len(), 2);
        assert_eq!(world.room.stats().subscriptions, 1);
        world.say(&bob, subscription(&camera, false));
        assert_eq!(world.room.stats().subscriptions, 1);
        assert_eq!(told(&world, &bob).len(), 2);
        // Who leaves leaves nothing behind.
        world.say(&alice, Request::Leave(Default::default()));
        assert_eq!(world.room.stats().subscriptions, 0);
    }
}

#[test]
fn a_higher_limit_serves_who_was_refused() {
    for mut world in [
        with(|limits| limits.subscriptions_per_participant = 1),
        with(|limits| limits.subscriptions_per_room = 1),
    ] {
        let (_, bob, _) = one_of_two(&mut world);
        world.input(RoomInput::LimitsChanged(Box::default()));
        assert_eq!(world.room.stats().subscriptions, 2);
        assert_eq!(told(&world, &bob).len(), 1);
    }
}

#[test]
fn a_place_that_another_room_gives_back_is_taken_within_seconds() {
    let member = MemberAllowances::default();
    member.subscriptions.set_limit(1);
    let place = member.subscriptions.take().unwrap();
    let mut world = with(|limits| limits.member = member.clone());
    let alice = world.join("alice");
    world.publish(&alice);
    let bob = world.join("bob");
    let carol = world.join("carol");
    assert_eq!(told(&world, &bob).len() + told(&world, &carol).len(), 4);
    world.advance(Duration::from_secs(20));
    assert_eq!(world.room.stats().subscriptions, 0);
    drop(place);
    world.advance(Duration::from_secs(6));
    assert_eq!(world.room.stats().subscriptions, 1);
    member.subscriptions.set_limit(0);
    world.advance(Duration::from_secs(6));
    assert_eq!(world.room.stats().subscriptions, 4);
    assert_eq!(told(&world, &bob).len() + told(&world, &carol).len(), 4);
}

#[test]
fn who_waits_in_a_room_is_served_in_order_and_who_left_is_forgotten() {
    let mut world = with(|limits| limits.subscriptions_per_room = 2);
    let alice = world.join("alice");
    let (microphone, camera) = world.publish(&alice);
    let bob = world.join("bob");
    let carol = world.join("carol");
    let dan = world.join("dan");
    assert_eq!(world.room.stats().subscriptions, 2);
    world.say(&carol, Request::Leave(Default::default()));
    world.say(&bob, subscription(&camera, false));
    world.say(&bob, subscription(&microphone, false));
    assert_eq!(world.room.stats().subscriptions, 2);
    world.say(&dan, Request::Leave(Default::default()));
    assert_eq!(world.room.stats().subscriptions, 0);
}

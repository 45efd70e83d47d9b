use plenum_crds::RoomStatus;

use super::*;
use crate::plan::conditions::{Says, set};
use crate::plan::testing::{Scene, actions_of, at, node, reasons_told, room};

fn put(steps: &[Step]) -> Vec<(String, String)> {
    let puts = steps.iter().filter_map(|step| match &step.action {
        Action::PutRoom { room, node } => Some((room.name.clone(), node.clone())),
        _ => None,
    });
    puts.collect()
}

fn status_of(steps: &[Step], name: &str) -> RoomStatus {
    let written = steps.iter().find_map(|step| match &step.action {
        Action::WriteRoomStatus { room, status } if room.name == name => Some((**status).clone()),
        _ => None,
    });
    written.unwrap_or_else(|| panic!("no status of {name} in {steps:#?}"))
}

fn placed_reason(status: &RoomStatus) -> &str {
    reason(&status.conditions, types::PLACED).unwrap()
}

#[test]
fn a_room_is_held_before_anything_is_done_for_it() {
    let mut fresh = room("r");
    fresh.held = false;
    let steps = Scene::pool(1)
        .with(node("a").serving(0, 0))
        .with_room(fresh)
        .plan();
    assert!(actions_of(&steps).contains(&"HoldRoom"));
    assert!(put(&steps).is_empty());
}

#[test]
fn a_room_without_a_home_is_put_on_a_serving_member() {
    let scene = Scene::pool(3)
        .with(node("a").starting())
        .with(node("b").serving(0, 0))
        .with(node("c").serving(0, 0).draining())
        .with_room(room("r"));
    assert_eq!(put(&scene.plan()), [("r".to_owned(), "b".to_owned())]);
}

#[test]
fn a_placed_room_says_where_it_lives() {
    let scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(room("r").applied_on("a"));
    let steps = scene.plan();
    let status = status_of(&steps, "r");
    let assignment = status.assignment.unwrap();
    assert_eq!(
        (assignment.node.as_str(), assignment.incarnation.as_str()),
        ("a", "1")
    );
    assert_eq!(assignment.url, "ws://main-sfu.ns.svc:7880");
    assert_eq!(
        (status.phase, status.epoch, status.participants),
        (RoomPhase::Active, Some(77), 2)
    );
    assert_eq!(
        reason(&status.conditions, types::READY),
        Some(reasons::SERVING)
    );
    assert!(reasons_told(&steps).contains(&events::PLACED));
}

#[test]
fn a_room_that_its_home_knows_is_left_alone() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(room("r").applied_on("a"));
    scene.settle();
    assert_eq!(scene.plan(), []);
}

#[test]
fn a_changed_spec_goes_to_the_home() {
    let mut scene = Scene::pool(2)
        .with(node("a").serving(0, 0))
        .with(node("b").serving(1, 2).home_of("r", 77, 2))
        .with_room(room("r").applied_on("b"));
    scene.settle();
    scene.room_mut().generation = 2;
    assert_eq!(put(&scene.plan()), [("r".to_owned(), "b".to_owned())]);
}

#[test]
fn a_dead_home_is_replaced_and_the_epoch_grows() {
    let mut scene = Scene::pool(2)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with(node("b").serving(0, 0))
        .with_room(room("r").applied_on("a"));
    scene.settle();
    scene.observed.nodes[0].pod = node("a").ended().view().pod;
    let steps = scene.plan();
    assert_eq!(put(&steps), [("r".to_owned(), "b".to_owned())]);
    assert_eq!(status_of(&steps, "r").phase, RoomPhase::Moving);
    scene.observed.nodes[1].member = node("b").serving(1, 0).home_of("r", 80, 0).view().member;
    let steps = scene.plan();
    let status = status_of(&steps, "r");
    assert_eq!(
        (status.epoch, status.assignment.unwrap().node.as_str()),
        (Some(80), "b")
    );
    assert!(reasons_told(&steps).contains(&events::MOVED));
}

#[test]
fn a_reported_epoch_below_the_floor_never_lowers_it() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 0).home_of("r", 5, 0))
        .with_room(room("r"));
    scene.room_mut().status.epoch = Some(9);
    assert_eq!(status_of(&scene.plan(), "r").epoch, Some(9));
}

#[test]
fn a_home_that_is_silent_for_a_moment_keeps_its_room() {
    let mut scene = Scene::pool(2)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with(node("b").serving(0, 0))
        .with_room(room("r").applied_on("a"));
    scene.settle();
    scene.observed.nodes[0].member = node("a")
        .serving(1, 2)
        .home_of("r", 77, 2)
        .silent(1)
        .view()
        .member;
    let steps = scene.plan();
    assert!(put(&steps).is_empty());
    assert!(!actions_of(&steps).contains(&"WriteRoomStatus"));
    scene.observed.now = at(5);
    assert_eq!(put(&scene.plan()), [("r".to_owned(), "b".to_owned())]);
}

#[test]
fn of_two_homes_the_higher_epoch_is_right() {
    let scene = Scene::pool(2)
        .with(node("a").serving(1, 9).home_of("r", 77, 9))
        .with(node("b").serving(1, 1).home_of("r", 78, 1))
        .with_room(room("r"));
    assert_eq!(status_of(&scene.plan(), "r").assignment.unwrap().node, "b");
}

#[test]
fn a_call_that_ended_on_its_member_closes_the_room_and_is_not_reopened() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(room("r").applied_on("a"));
    scene.settle();
    scene.observed.nodes[0].member = node("a").serving(0, 0).view().member;
    scene.room_mut().missing_since = Some(at(0));
    scene.observed.now = at(1);
    assert!(put(&scene.plan()).is_empty());
    scene.observed.now = at(3);
    let steps = scene.plan();
    let status = status_of(&steps, "r");
    assert_eq!(
        (status.phase, placed_reason(&status)),
        (RoomPhase::Closed, reasons::CALL_ENDED)
    );
    scene.settle();
    scene.observed.now = at(60);
    assert!(put(&scene.plan()).is_empty());
    // The next join opens it; the report is the truth.
    scene.observed.nodes[0].member = node("a").serving(1, 1).home_of("r", 90, 1).view().member;
    assert_eq!(status_of(&scene.plan(), "r").phase, RoomPhase::Active);
}

#[test]
fn a_changed_spec_opens_an_ended_call_again() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(0, 0))
        .with_room(room("r").applied_on("a"));
    scene.room_mut().status.phase = RoomPhase::Closed;
    scene.room_mut().status.observed_generation = Some(1);
    let says = Says {
        kind: types::PLACED,
        holds: false,
        reason: reasons::CALL_ENDED,
        message: String::new(),
    };
    set(
        &mut scene.observed.rooms[0].status.conditions,
        says,
        1,
        at(0),
    );
    assert!(put(&scene.plan()).is_empty());
    scene.room_mut().generation = 2;
    assert_eq!(put(&scene.plan()).len(), 1);
}

#[test]
fn a_closed_room_is_told_to_its_home_and_not_placed_again() {
    let mut closed = room("r").applied_on("a");
    closed.generation = 2;
    closed.spec.closed = true;
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(closed);
    assert_eq!(put(&scene.plan()).len(), 1);
    scene.observed.nodes[0].member = node("a").serving(0, 0).view().member;
    scene.observed.rooms[0] = scene.observed.rooms[0].clone().applied_on("a");
    let steps = scene.plan();
    assert!(put(&steps).is_empty());
    let status = status_of(&steps, "r");
    assert_eq!(
        (status.phase, placed_reason(&status)),
        (RoomPhase::Closed, reasons::CLOSED)
    );
    assert!(status.assignment.is_none());
}

#[test]
fn the_older_of_two_rooms_holds_the_name() {
    let (mut old, mut new) = (room("z"), room("a"));
    for (room, created) in [(&mut old, 0), (&mut new, 5)] {
        room.spec.room_name = Some("standup".to_owned());
        room.created = at(created);
    }
    let scene = Scene::pool(1)
        .with(node("n").serving(1, 1).home_of("standup", 7, 1))
        .with_room(new)
        .with_room(old);
    let steps = scene.plan();
    let taken = status_of(&steps, "a");
    assert_eq!(
        reason(&taken.conditions, types::ACCEPTED),
        Some(reasons::NAME_TAKEN)
    );
    assert!(taken.conditions.iter().any(|c| c.message.contains("ns/z")));
    assert_eq!(status_of(&steps, "z").phase, RoomPhase::Active);
    assert_eq!(put(&steps), [("z".to_owned(), "n".to_owned())]);
}

#[test]
fn deleting_the_room_that_lost_the_name_does_not_end_the_call() {
    let (mut old, mut new) = (room("z"), room("a"));
    for (room, created) in [(&mut old, 0), (&mut new, 5)] {
        room.spec.room_name = Some("standup".to_owned());
        room.created = at(created);
    }
    new.deleting_since = Some(at(9));
    let scene = Scene::pool(1)
        .with(node("n").serving(1, 1).home_of("standup", 7, 1))
        .with_room(new)
        .with_room(old);
    let nodes = scene.plan().into_iter().find_map(|step| match step.action {
        Action::EndRoom { nodes, .. } => Some(nodes),
        _ => None,
    });
    assert_eq!(nodes, Some(Vec::new()));
}

#[test]
fn deleting_a_room_ends_the_call_on_its_home() {
    let mut deleted = room("r").applied_on("a");
    deleted.deleting_since = Some(at(0));
    let scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(deleted);
    let steps = scene.plan();
    let end = Action::EndRoom {
        room: scene.observed.rooms[0].id.clone(),
        nodes: vec!["a".to_owned()],
    };
    assert!(steps.iter().any(|step| step.action == end));
    assert!(reasons_told(&steps).contains(&events::ENDED));
}

#[test]
fn a_deleted_room_goes_though_its_pool_is_gone() {
    let mut deleted = room("r").applied_on("a");
    deleted.deleting_since = Some(at(0));
    let mut scene = Scene::pool(1).with_room(deleted);
    scene.observed.pool = None;
    assert!(actions_of(&scene.plan()).contains(&"EndRoom"));
}

#[test]
fn a_deleted_room_waits_for_a_silent_home_but_not_for_ever() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(room("r").applied_on("a"));
    scene.settle();
    scene.room_mut().deleting_since = Some(at(0));
    scene.observed.nodes[0].member = node("a").serving(1, 2).silent(5).view().member;
    assert!(!actions_of(&scene.plan()).contains(&"EndRoom"));
    scene.observed.now = at(10);
    let steps = scene.plan();
    assert!(actions_of(&steps).contains(&"EndRoom"));
    assert!(reasons_told(&steps).contains(&events::END_UNCONFIRMED));
}

#[test]
fn a_pending_room_says_why_with_numbers() {
    let steps = Scene::pool(2)
        .with(node("a").starting())
        .with_room(room("r"))
        .plan();
    let status = status_of(&steps, "r");
    assert_eq!(
        (status.phase, placed_reason(&status)),
        (RoomPhase::Pending, reasons::NO_SERVING_MEMBER)
    );
    assert!(status.conditions.iter().any(|c| {
        c.message
            .contains("is to have 2, 1 are starting, 0 are draining")
    }));
    assert!(reasons_told(&steps).contains(&events::PENDING));
}

#[test]
fn a_full_pool_leaves_the_room_pending() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 2))
        .with_room(room("r"));
    scene.pool_mut().spec.capacity.rooms = Some(1);
    let steps = scene.plan();
    assert_eq!(placed_reason(&status_of(&steps, "r")), reasons::AT_CAPACITY);
    assert!(put(&steps).is_empty());
}

#[test]
fn a_refusal_is_shown_and_tried_again() {
    let scene = Scene::pool(1)
        .with(node("a").serving(0, 0))
        .with_room(room("r").refused("DirectoryUnavailable"));
    let steps = scene.plan();
    assert_eq!(
        placed_reason(&status_of(&steps, "r")),
        reasons::DIRECTORY_UNAVAILABLE
    );
    assert_eq!(put(&steps).len(), 1);
    let mut scene = scene;
    scene.room_mut().refusal.as_mut().unwrap().at = at(0);
    assert!(put(&scene.plan()).is_empty());
}

#[test]
fn a_foreign_namespace_needs_the_pool_s_leave() {
    let mut foreign = room("r");
    foreign.admitted = false;
    let scene = Scene::pool(1)
        .with(node("a").serving(1, 1).home_of("r", 7, 1))
        .with_room(foreign);
    let steps = scene.plan();
    let status = status_of(&steps, "r");
    assert_eq!(
        reason(&status.conditions, types::ACCEPTED),
        Some(reasons::NAMESPACE_NOT_ALLOWED)
    );
    assert!(put(&steps).is_empty() && status.assignment.is_none());
}

#[test]
fn counts_alone_are_written_within_their_budget() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(room("r").applied_on("a"));
    scene.settle();
    scene.observed.nodes[0].member = node("a").serving(1, 3).home_of("r", 77, 3).view().member;
    assert!(!actions_of(&scene.plan()).contains(&"WriteRoomStatus"));
    scene.observed.now = at(10);
    assert!(actions_of(&scene.plan()).contains(&"WriteRoomStatus"));
    scene.observed.count_writes = 0;
    assert!(!actions_of(&scene.plan()).contains(&"WriteRoomStatus"));
    // The first participant changes the phase, and that is written at once.
    scene.observed.nodes[0].member = node("a").serving(1, 0).home_of("r", 77, 0).view().member;
    assert!(actions_of(&scene.plan()).contains(&"WriteRoomStatus"));
}

#[test]
fn a_draining_home_is_not_asked_and_the_room_is_moving() {
    let scene = Scene::pool(2)
        .with(node("a").drained_to(1, 2).home_of("r", 77, 2))
        .with(node("b").serving(0, 0))
        .with_room(room("r"));
    let steps = scene.plan();
    assert!(put(&steps).is_empty());
    assert_eq!(status_of(&steps, "r").phase, RoomPhase::Moving);
}

#[test]
fn a_new_operator_tells_the_home_again_and_the_status_stays() {
    let mut scene = Scene::pool(1)
        .with(node("a").serving(1, 2).home_of("r", 77, 2))
        .with_room(room("r").applied_on("a"));
    scene.settle();
    scene.room_mut().applied = None;
    let steps = scene.plan();
    assert_eq!(put(&steps).len(), 1);
    assert!(!actions_of(&steps).contains(&"WriteRoomStatus"));
}

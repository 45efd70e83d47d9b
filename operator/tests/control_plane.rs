//! The operator against a real API server, without kubelets: what a kubelet and a member would do, the tests do. A Pod
//! "runs" when its status is written, and its member is an HTTP server on a loopback address of its own that speaks the
//! internal API.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

mod member;
mod plane;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use plenum_cluster::member_api::{DesiredState, MemberState};
use plenum_crds::conditions::{events, reasons};
use plenum_crds::{
    MediaNode, MediaNodePhase, MediaPool, Room, RoomPhase, RoomStatus, WantedState, names,
};
use serde_json::{Value, json};

use member::Member;
use plane::{Plane, until};

fn all() -> ListParams {
    ListParams::default()
}

async fn pods(plane: &Plane, count: usize) -> Vec<Pod> {
    let api: Api<Pod> = plane.api();
    until("the Pods", || async {
        api.list(&all())
            .await
            .ok()
            .map(|list| list.items)
            .filter(|items| items.len() == count)
    })
    .await
}

async fn phase(plane: &Plane, node: &str) -> Option<MediaNodePhase> {
    plane
        .api::<MediaNode>()
        .get(node)
        .await
        .ok()?
        .status
        .map(|status| status.phase)
}

async fn serving(plane: &Plane, members: &[Member]) {
    for member in members {
        until("a member to serve", || async {
            phase(plane, &member.name)
                .await
                .filter(|p| *p == MediaNodePhase::Serving)
        })
        .await;
    }
}

async fn room_that(
    plane: &Plane,
    name: &str,
    what: &str,
    is: impl Fn(&RoomStatus) -> bool,
) -> RoomStatus {
    let rooms: Api<Room> = plane.api();
    until(what, || async {
        rooms
            .get(name)
            .await
            .ok()?
            .status
            .filter(|status| is(status))
    })
    .await
}

async fn told(plane: &Plane, reason: &str) -> Event {
    let api: Api<Event> = plane.api();
    until(reason, || async {
        api.list(&all())
            .await
            .ok()?
            .into_iter()
            .find(|event| event.reason.as_deref() == Some(reason))
    })
    .await
}

async fn leader(plane: &Plane, name: &str) -> Lease {
    let api: Api<Lease> = plane.api();
    until("a leader", || async {
        api.get("plenum-operator")
            .await
            .ok()
            .filter(|lease| holder(lease).starts_with(name))
    })
    .await
}

fn holder(lease: &Lease) -> String {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.clone())
        .unwrap_or_default()
}

/// What the API server says to a merge patch, empty if it takes it.
async fn refusal<K>(api: &Api<K>, name: &str, status: bool, patch: Value) -> String
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
    let answer = if status {
        api.patch_status(name, &parameters, &patch).await
    } else {
        api.patch(name, &parameters, &patch).await
    };
    answer
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn the_api_server_holds_the_rules_of_a_room() {
    let plane = Plane::new().await;
    plane
        .room("r", &json!({"poolRef": {"name": "main"}, "roomName": "a"}))
        .await;
    let rooms: Api<Room> = plane.api();
    let spec = |spec: Value| refusal(&rooms, "r", false, json!({"spec": spec}));
    assert!(
        spec(json!({"poolRef": {"name": "other"}}))
            .await
            .contains("poolRef can't change")
    );
    assert!(
        spec(json!({"roomName": "b"}))
            .await
            .contains("roomName can't change")
    );
    assert!(
        spec(json!({"roomName": null}))
            .await
            .contains("roomName can't change")
    );
    assert_eq!(spec(json!({"maxParticipants": 7})).await, "");
    let status = |status: Value| refusal(&rooms, "r", true, json!({"status": status}));
    assert_eq!(status(json!({"epoch": 10})).await, "");
    assert_eq!(status(json!({"epoch": 11})).await, "");
    for lower in [json!({"epoch": 9}), json!({"epoch": null}), json!(null)] {
        assert!(status(lower).await.contains("status.epoch only grows"));
    }
    let long = json!({"poolRef": {"name": "main"}, "roomName": "ä".repeat(129)});
    let error = plane.try_room("long", &long).await.unwrap_err().to_string();
    assert!(error.contains("at most 256 bytes"), "{error}");
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn the_api_server_holds_that_a_drain_is_final() {
    let plane = Plane::new().await;
    let nodes: Api<MediaNode> = plane.api();
    let node: MediaNode = serde_json::from_value(json!({
        "apiVersion": "plenum.dev/v1alpha1", "kind": "MediaNode", "metadata": {"name": "n"},
        "spec": {"poolRef": {"name": "main"}, "templateRevision": "x", "ports": {"min": 1, "max": 2}},
    }))
    .unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let spec = |spec: Value| refusal(&nodes, "n", false, json!({"spec": spec}));
    for state in ["Cordoned", "Active", "Draining"] {
        assert_eq!(spec(json!({"desiredState": state})).await, "");
    }
    for state in [json!("Active"), json!(null)] {
        assert!(
            spec(json!({"desiredState": state}))
                .await
                .contains("can't be taken back")
        );
    }
    assert!(
        spec(json!({"ports": {"min": 1, "max": 3}}))
            .await
            .contains("ports can't change")
    );
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn a_pool_becomes_members_that_serve() {
    let plane = Plane::new().await;
    let operator = plane.operator("one");
    plane.pool("main", 2).await;
    let made = pods(&plane, 2).await;
    let ports = made.iter().flat_map(|pod| {
        pod.spec.as_ref().unwrap().containers[0]
            .ports
            .clone()
            .unwrap()
    });
    let ports: BTreeSet<i32> = ports.filter_map(|port| port.host_port).collect();
    assert_eq!(ports.len(), 2, "each member has a UDP port of its own");
    let members = plane.run_pods().await;
    serving(&plane, &members).await;
    assert!(
        members.iter().all(|member| member.addresses().len() == 1),
        "each was told where clients reach it"
    );

    let client = plane
        .api::<Service>()
        .get(&names::client_service("main"))
        .await
        .unwrap();
    assert_eq!(
        client
            .spec
            .unwrap()
            .selector
            .unwrap()
            .get(names::LABEL_SERVING)
            .map(String::as_str),
        Some("true")
    );
    let pools: Api<MediaPool> = plane.api();
    let scale = until("/scale to count them", || async {
        pools
            .get_scale("main")
            .await
            .ok()?
            .status
            .filter(|status| status.replicas == 2)
    })
    .await;
    let selector = scale.selector.unwrap();
    assert_eq!(selector, "plenum.dev/pool=main,plenum.dev/serving=true");
    assert_eq!(
        plane
            .api::<Pod>()
            .list(&all().labels(&selector))
            .await
            .unwrap()
            .items
            .len(),
        2
    );
    told(&plane, events::NODE_CREATED).await;
    operator.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn a_room_gets_a_home_and_another_one_when_that_dies() {
    let plane = Plane::new().await;
    let operator = plane.operator("one");
    plane.pool("main", 2).await;
    pods(&plane, 2).await;
    let members = plane.run_pods().await;
    serving(&plane, &members).await;
    plane
        .room(
            "standup",
            &json!({"poolRef": {"name": "main"}, "metadata": "hello"}),
        )
        .await;
    let placed = room_that(&plane, "standup", "the Room to be placed", |s| {
        s.phase == RoomPhase::Assigned
    })
    .await;
    let home = members
        .iter()
        .find(|m| m.name == placed.assignment.as_ref().unwrap().node)
        .unwrap();
    assert_eq!(home.spec_of("standup").unwrap().metadata, "hello");
    told(&plane, events::PLACED).await;

    home.stop();
    plane.end_pod(&home.name, 137).await;
    let moved = room_that(&plane, "standup", "the Room to move", |s| {
        s.phase == RoomPhase::Assigned && s.assignment.as_ref().is_some_and(|a| a.node != home.name)
    })
    .await;
    assert!(moved.epoch.unwrap() > placed.epoch.unwrap());
    assert!(
        told(&plane, events::MOVED)
            .await
            .note
            .unwrap()
            .contains(&home.name)
    );
    assert!(
        told(&plane, events::NODE_DEAD)
            .await
            .note
            .unwrap()
            .contains("137")
    );
    pods(&plane, 3).await;
    assert_eq!(
        phase(&plane, &home.name).await,
        Some(MediaNodePhase::Failed)
    );

    let rooms: Api<Room> = plane.api();
    rooms
        .delete("standup", &DeleteParams::default())
        .await
        .unwrap();
    until("the Room to go", || async {
        rooms.get_opt("standup").await.ok().filter(Option::is_none)
    })
    .await;
    let survivor = members
        .iter()
        .find(|member| member.name != home.name)
        .unwrap();
    assert!(
        survivor.spec_of("standup").is_none(),
        "the call was ended on its home"
    );
    operator.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn scaling_down_drains_the_emptiest() {
    let plane = Plane::new().await;
    let operator = plane.operator("one");
    plane.pool("main", 3).await;
    pods(&plane, 3).await;
    let members = plane.run_pods().await;
    for (member, participants) in members.iter().zip([5, 2, 9]) {
        member.carry(participants);
    }
    serving(&plane, &members).await;
    let nodes: Api<MediaNode> = plane.api();
    until("what they carry to be known", || async {
        let list = nodes.list(&all()).await.ok()?;
        list.iter()
            .all(|node| node.status.as_ref().is_some_and(|s| s.participants > 0))
            .then_some(())
    })
    .await;
    plane.scale("main", 2).await;
    let emptiest = &members[1];
    until("it to be told", || async {
        emptiest
            .desired()
            .filter(|desired| *desired == DesiredState::Draining)
    })
    .await;
    let draining = nodes
        .list(&all())
        .await
        .unwrap()
        .into_iter()
        .filter(|node| node.spec.desired_state == WantedState::Draining);
    assert_eq!(
        draining.map(|node| node.name_any()).collect::<Vec<_>>(),
        [emptiest.name.as_str()]
    );
    let api: Api<Pod> = plane.api();
    until("no client to be sent to it", || async {
        let pod = api.get(&emptiest.name).await.ok()?;
        (!pod.labels().contains_key(names::LABEL_SERVING)).then_some(())
    })
    .await;
    assert!(
        told(&plane, events::DRAIN_STARTED)
            .await
            .note
            .unwrap()
            .contains("emptiest")
    );

    emptiest.carry(0);
    until("its Pod to be deleted", || async {
        api.get(&emptiest.name)
            .await
            .ok()?
            .metadata
            .deletion_timestamp
    })
    .await;
    emptiest.stop();
    plane.remove_pod(&emptiest.name).await;
    until("its MediaNode to go", || async {
        nodes
            .get_opt(&emptiest.name)
            .await
            .ok()
            .filter(Option::is_none)
    })
    .await;
    assert_eq!(nodes.list(&all()).await.unwrap().items.len(), 2);
    operator.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn the_next_operator_leads_at_once_when_the_first_steps_down() {
    let plane = Plane::new().await;
    let first = plane.operator("first");
    let term = |lease: &Lease| {
        lease
            .spec
            .as_ref()
            .and_then(|spec| spec.lease_transitions)
            .unwrap_or(0)
    };
    let held = leader(&plane, "first").await;
    let second = plane.operator("second");
    tokio::time::sleep(Duration::from_secs(3)).await;
    leader(&plane, "first").await;
    let stopped = tokio::time::Instant::now();
    first.stop().await.unwrap();
    let taken = leader(&plane, "second").await;
    assert!(
        stopped.elapsed() < Duration::from_secs(6),
        "a Lease that was given up is not waited out"
    );
    assert!(term(&taken) > term(&held));
    plane.pool("main", 1).await;
    pods(&plane, 1).await;
    second.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn an_operator_that_loses_its_lease_ends() {
    let plane = Plane::new().await;
    let operator = plane.operator("one");
    leader(&plane, "one").await;
    let leases: Api<Lease> = plane.api();
    assert_eq!(
        refusal(
            &leases,
            "plenum-operator",
            false,
            json!({"spec": {"holderIdentity": "usurper"}})
        )
        .await,
        ""
    );
    let ended = tokio::time::timeout(Duration::from_secs(10), operator.ended())
        .await
        .unwrap();
    assert!(ended.unwrap_err().to_string().contains("usurper"));
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn a_new_leader_takes_over_what_runs_without_touching_it() {
    let plane = Plane::new().await;
    let first = plane.operator("first");
    plane.pool("main", 1).await;
    pods(&plane, 1).await;
    let members = plane.run_pods().await;
    plane
        .room("standup", &json!({"poolRef": {"name": "main"}}))
        .await;
    let ready = |s: &RoomStatus| {
        s.phase == RoomPhase::Assigned
            && s.conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True")
    };
    room_that(&plane, "standup", "the Room to be ready", ready).await;
    first.stop().await.unwrap();
    let rooms: Api<Room> = plane.api();
    let before = rooms.get("standup").await.unwrap();
    let second = plane.operator("second");
    leader(&plane, "second").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = rooms.get("standup").await.unwrap();
    assert_eq!(after.status, before.status, "the status did not flap");
    assert_eq!(
        after.resource_version(),
        before.resource_version(),
        "and was not written at all"
    );
    assert_eq!(
        plane
            .api::<MediaNode>()
            .list(&all())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(members[0].state(), MemberState::Serving);
    second.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn a_room_can_be_deleted_though_its_pool_never_was() {
    let plane = Plane::new().await;
    let operator = plane.operator("one");
    plane
        .room("lost", &json!({"poolRef": {"name": "nowhere"}}))
        .await;
    room_that(&plane, "lost", "the Room to say why", |s| {
        s.conditions
            .iter()
            .any(|c| c.reason == reasons::POOL_NOT_FOUND)
    })
    .await;
    let rooms: Api<Room> = plane.api();
    rooms
        .delete("lost", &DeleteParams::default())
        .await
        .unwrap();
    until("the Room to go", || async {
        rooms.get_opt("lost").await.ok().filter(Option::is_none)
    })
    .await;
    operator.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn a_closed_room_is_closed_on_its_home_and_opens_again() {
    let plane = Plane::new().await;
    let operator = plane.operator("one");
    plane.pool("main", 1).await;
    pods(&plane, 1).await;
    let members = plane.run_pods().await;
    plane.room("r", &json!({"poolRef": {"name": "main"}})).await;
    let placed = room_that(&plane, "r", "the Room to be placed", |s| {
        s.phase == RoomPhase::Assigned
    })
    .await;
    let rooms: Api<Room> = plane.api();
    assert_eq!(
        refusal(&rooms, "r", false, json!({"spec": {"closed": true}})).await,
        ""
    );
    room_that(&plane, "r", "the Room to be closed", |s| {
        s.phase == RoomPhase::Closed && s.assignment.is_none()
    })
    .await;
    assert!(members[0].spec_of("r").unwrap().closed);
    assert_eq!(
        refusal(&rooms, "r", false, json!({"spec": {"closed": false}})).await,
        ""
    );
    let opened = room_that(&plane, "r", "the Room to open again", |s| {
        s.phase == RoomPhase::Assigned
    })
    .await;
    assert!(opened.epoch.unwrap() > placed.epoch.unwrap());
    operator.stop().await.unwrap();
}

#[tokio::test]
#[ignore = "needs a control plane: tests/run control-plane"]
async fn teardown_leaves_nothing() {
    let plane = Plane::new().await;
    let operator = plane.operator("one");
    plane.pool("main", 1).await;
    pods(&plane, 1).await;
    plane.run_pods().await;
    plane.room("r", &json!({"poolRef": {"name": "main"}})).await;
    room_that(&plane, "r", "the Room to be placed", |s| {
        s.phase == RoomPhase::Assigned
    })
    .await;
    // No kubelet ends the Pod here: the deadline must do.
    plane.teardown(Duration::from_secs(3)).await.unwrap();
    assert!(
        plane
            .api::<Room>()
            .list(&all())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let nodes: Api<MediaNode> = plane.api();
    until("the MediaNode to go", || async {
        nodes
            .list(&all())
            .await
            .ok()
            .filter(|list| list.items.is_empty())
    })
    .await;
    operator.stop().await.unwrap();
}

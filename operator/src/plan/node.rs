//! The life of one member: Pod, addresses, service, drain, end.
//!
//! A member that is alive is never cut: it is asked to drain, and its Pod is deleted (which only sends SIGTERM again) when
//! it is empty, when it can't be asked, or when its deadline has passed.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use plenum_cluster::member_api::{AdvertisedAddress, DesiredState, MemberState};
use plenum_crds::WantedState;
use plenum_crds::conditions::{events, reasons, types};

use super::action::{About, Action, Step, Tell};
use super::conditions::{reason, since};
use super::observed::{MemberView, NodeView, Observed, PodState, PresentPod};

/// A failed MediaNode stays this long, so that a person and the restart limit of the pool see it.
const KEEP_FAILED: SignedDuration = SignedDuration::from_secs(30);
/// A member that does not answer for so long can't be asked to drain; SIGTERM does it.
const UNREACHABLE_FOR_DRAIN: SignedDuration = SignedDuration::from_secs(3);

/// Plans one member.
pub(super) fn plan(observed: &Observed, node: &NodeView, steps: &mut Vec<Step>) {
    match (node.ended(), node.present()) {
        (Some(how), _) => after_end(observed, node, &how, steps),
        (None, None) if node.leaving() => remove(node, steps, Vec::new()),
        (None, None) => start(observed, node, steps),
        (None, Some(pod)) if node.leaving() => drain(observed, node, pod, steps),
        (None, Some(pod)) => serve(node, pod, steps),
    }
}

fn about(node: &NodeView) -> About {
    About::Node(node.name.clone())
}

fn start(observed: &Observed, node: &NodeView, steps: &mut Vec<Step>) {
    // Without its pool or its Secrets a Pod would only fail.
    if observed
        .pool
        .as_ref()
        .is_some_and(|pool| !pool.deleting && pool.secret_problem.is_none())
    {
        let note = format!(
            "made the Pod with UDP ports {} to {}",
            node.ports.min, node.ports.max
        );
        steps.push(
            Action::CreatePod {
                node: node.name.clone(),
            }
            .telling(vec![Tell::normal(about(node), events::POD_CREATED, note)]),
        );
    }
}

fn after_end(observed: &Observed, node: &NodeView, how: &str, steps: &mut Vec<Step>) {
    if node.leaving() {
        let note = format!("it has ended ({how}); the MediaNode is removed");
        remove(
            node,
            steps,
            vec![Tell::normal(about(node), events::DRAIN_FINISHED, note)],
        );
        return;
    }
    let failed_since = since(&node.status.conditions, types::READY)
        .filter(|_| reason(&node.status.conditions, types::READY) == Some(reasons::POD_ENDED));
    if failed_since.is_some_and(|since| observed.now.duration_since(since) >= KEEP_FAILED) {
        let note = format!("removed MediaNode {}, which failed: {how}", node.name);
        remove(
            node,
            steps,
            vec![Tell::normal(About::Pool, events::NODE_REMOVED, note)],
        );
    }
}

/// Deletes the object, or lets it go if it is being deleted already.
fn remove(node: &NodeView, steps: &mut Vec<Step>, tells: Vec<Tell>) {
    if !node.deleting {
        steps.push(
            Action::DeleteNode {
                node: node.name.clone(),
            }
            .telling(tells),
        );
    } else if node.held {
        steps.push(
            Action::ReleaseNode {
                node: node.name.clone(),
            }
            .quietly(),
        );
    }
}

fn serve(node: &NodeView, pod: &PresentPod, steps: &mut Vec<Step>) {
    let Some(report) = node.report() else { return };
    let addresses = wanted_addresses(node, pod);
    if !addresses.is_empty() && addresses != report.addresses {
        let note = format!(
            "told the member that clients reach it at {}",
            join(&addresses)
        );
        steps.push(
            Action::SetAddresses {
                node: node.name.clone(),
                addresses,
            }
            .telling(vec![Tell::normal(about(node), events::ADDRESSES_SET, note)]),
        );
    }
    let desired = match (node.wanted, report.state) {
        (WantedState::Active, MemberState::Cordoned) => Some(DesiredState::Active),
        (WantedState::Cordoned, MemberState::Serving) => Some(DesiredState::Cordoned),
        _ => None,
    };
    if let Some(state) = desired {
        steps.push(
            Action::SetDesired {
                node: node.name.clone(),
                state,
            }
            .quietly(),
        );
    }
    let serving = report.state == MemberState::Serving && node.wanted == WantedState::Active;
    if serving != pod.serving_label {
        let tells = if serving {
            vec![Tell::normal(
                about(node),
                events::SERVING,
                "the member takes rooms and clients",
            )]
        } else {
            Vec::new()
        };
        steps.push(
            Action::LabelServing {
                node: node.name.clone(),
                serving,
            }
            .telling(tells),
        );
    }
}

fn drain(observed: &Observed, node: &NodeView, pod: &PresentPod, steps: &mut Vec<Step>) {
    let name = node.name.clone();
    if node.wanted != WantedState::Draining {
        let why = if node.deleting {
            "its MediaNode was deleted"
        } else {
            "its Pod was deleted"
        };
        steps.push(
            Action::DrainNode { node: name.clone() }.telling(vec![Tell::normal(
                about(node),
                events::DRAIN_STARTED,
                why,
            )]),
        );
    }
    if pod.serving_label {
        steps.push(
            Action::LabelServing {
                node: name.clone(),
                serving: false,
            }
            .quietly(),
        );
    }
    let pool_gone = observed.pool.as_ref().is_none_or(|pool| pool.deleting);
    let mut tells = Vec::new();
    let end = match &node.member {
        _ if matches!(pod.state, PodState::Waiting(_)) || pool_gone => true,
        MemberView::Unknown => true,
        MemberView::Silent { since, .. } => {
            observed.now.duration_since(*since) >= UNREACHABLE_FOR_DRAIN
        }
        MemberView::Answering(report) if report.state != MemberState::Draining => {
            steps.push(
                Action::SetDesired {
                    node: name.clone(),
                    state: DesiredState::Draining,
                }
                .quietly(),
            );
            false
        }
        MemberView::Answering(report)
            if report.load.rooms == 0 && report.load.proxied_sockets == 0 =>
        {
            true
        }
        MemberView::Answering(report) => {
            let late = past_deadline(observed, node);
            if late && !pod.terminating {
                let note = format!(
                    "the deadline passed with {} rooms and {} participants left; they reconnect elsewhere",
                    report.load.rooms, report.load.participants
                );
                tells.push(Tell::warning(about(node), events::DRAIN_DEADLINE, note));
            }
            late
        }
    };
    if end && !pod.terminating {
        steps.push(Action::DeletePod { node: name }.telling(tells));
    }
}

fn past_deadline(observed: &Observed, node: &NodeView) -> bool {
    let started: Option<Timestamp> = node
        .status
        .drain_started_at
        .as_deref()
        .and_then(|text| text.parse().ok());
    let (Some(started), Some(pool)) = (started, &observed.pool) else {
        return false;
    };
    observed.now.duration_since(started)
        >= SignedDuration::from_secs(i64::from(pool.spec.drain.deadline_seconds))
}

/// Every address with every shard's port; the best address first, so that clients try it first.
fn wanted_addresses(node: &NodeView, pod: &PresentPod) -> Vec<AdvertisedAddress> {
    let ports = || (node.ports.min..=node.ports.max).enumerate();
    pod.media_addresses
        .iter()
        .flat_map(|ip| {
            ports().map(|(shard, port)| AdvertisedAddress {
                ip: *ip,
                port,
                shard: u16::try_from(shard).unwrap_or(u16::MAX),
            })
        })
        .collect()
}

fn join(addresses: &[AdvertisedAddress]) -> String {
    let texts: Vec<String> = addresses
        .iter()
        .map(|a| std::net::SocketAddr::new(a.ip, a.port).to_string())
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{Scene, actions_of, at, node, reasons_told};

    #[test]
    fn a_new_media_node_gets_its_pod() {
        let scene = Scene::pool(1).with(node("a"));
        assert!(actions_of(&scene.plan()).contains(&"CreatePod"));
    }

    #[test]
    fn no_pod_without_its_secrets() {
        let mut scene = Scene::pool(1).with(node("a"));
        scene.pool_mut().secret_problem = Some("Secret keys is missing".to_owned());
        assert!(!actions_of(&scene.plan()).contains(&"CreatePod"));
    }

    #[test]
    fn a_member_is_told_its_addresses_before_it_serves() {
        let scene = Scene::pool(1).with(node("a").starting());
        let steps = scene.plan();
        let told = steps.iter().find_map(|step| match &step.action {
            Action::SetAddresses { addresses, .. } => Some(addresses.clone()),
            _ => None,
        });
        let told = told.unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].port, told[0].shard), (20000, 0));
        assert!(!actions_of(&steps).contains(&"LabelServing"));
    }

    #[test]
    fn the_serving_label_follows_the_member() {
        let labels = |scene: &Scene| {
            scene.plan().into_iter().find_map(|step| match step.action {
                Action::LabelServing { serving, .. } => Some(serving),
                _ => None,
            })
        };
        assert_eq!(
            labels(&Scene::pool(1).with(node("a").serving(0, 0).unlabelled())),
            Some(true)
        );
        assert_eq!(labels(&Scene::pool(1).with(node("a").serving(0, 0))), None);
        assert_eq!(
            labels(&Scene::pool(1).with(node("a").serving(0, 0).draining())),
            Some(false)
        );
        // One unanswered call takes nobody out of service.
        assert_eq!(
            labels(&Scene::pool(1).with(node("a").serving(0, 0).silent(1))),
            None
        );
    }

    #[test]
    fn a_drain_asks_the_member_and_leaves_its_pod() {
        let steps = Scene::pool(0)
            .with(node("a").serving(2, 5).draining())
            .plan();
        assert!(actions_of(&steps).contains(&"SetDesired"));
        assert!(!actions_of(&steps).contains(&"DeletePod"));
    }

    #[test]
    fn an_empty_drained_member_ends() {
        let steps = Scene::pool(0).with(node("a").drained_to(0, 0)).plan();
        assert!(actions_of(&steps).contains(&"DeletePod"));
        let steps = Scene::pool(0).with(node("a").drained_to(1, 1)).plan();
        assert!(!actions_of(&steps).contains(&"DeletePod"));
    }

    #[test]
    fn the_drain_deadline_ends_it_and_says_what_was_left() {
        let mut scene = Scene::pool(0).with(node("a").drained_to(2, 7));
        scene.observed.nodes[0].status.drain_started_at = Some(at(0).to_string());
        scene.observed.now = at(31);
        let steps = scene.plan();
        assert!(actions_of(&steps).contains(&"DeletePod"));
        assert!(reasons_told(&steps).contains(&events::DRAIN_DEADLINE));
    }

    #[test]
    fn a_drain_of_an_unreachable_member_waits_before_it_uses_sigterm() {
        let ends = |seconds| {
            actions_of(
                &Scene::pool(0)
                    .with(node("a").serving(1, 1).silent(seconds).draining())
                    .plan(),
            )
            .contains(&"DeletePod")
        };
        assert!(!ends(1));
        assert!(ends(3));
    }

    #[test]
    fn deleting_the_media_node_is_a_drain() {
        let steps = Scene::pool(0)
            .with(node("a").serving(1, 1).deleting())
            .plan();
        assert!(actions_of(&steps).contains(&"DrainNode"));
        assert!(!actions_of(&steps).contains(&"ReleaseNode"));
        let steps = Scene::pool(0).with(node("a").ended().deleting()).plan();
        assert!(actions_of(&steps).contains(&"ReleaseNode"));
    }

    #[test]
    fn a_dead_member_is_told_once_and_kept_for_a_while() {
        let mut scene = Scene::pool(1).with(node("a").serving(2, 2).ended());
        let steps = scene.plan();
        assert_eq!(
            reasons_told(&steps)
                .iter()
                .filter(|r| **r == events::NODE_DEAD)
                .count(),
            2
        );
        assert!(!actions_of(&steps).contains(&"DeleteNode"));
        scene.settle();
        assert!(!reasons_told(&scene.plan()).contains(&events::NODE_DEAD));
        scene.observed.now += KEEP_FAILED;
        assert!(actions_of(&scene.plan()).contains(&"DeleteNode"));
    }

    #[test]
    fn a_media_node_whose_pod_was_removed_is_dead_and_gets_no_second_one() {
        let mut scene = Scene::pool(1).with(node("a").serving(0, 0));
        scene.settle();
        scene.observed.nodes[0].pod = crate::plan::PodView::Absent;
        let steps = scene.plan();
        assert!(!actions_of(&steps).contains(&"CreatePod"));
        assert!(reasons_told(&steps).contains(&events::NODE_DEAD));
    }

    #[test]
    fn a_pool_that_is_gone_ends_its_members_by_sigterm() {
        let mut scene = Scene::pool(1).with(node("a").serving(1, 1).deleting());
        scene.observed.pool = None;
        assert!(actions_of(&scene.plan()).contains(&"DeletePod"));
    }
}

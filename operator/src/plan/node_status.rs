//! What a MediaNode's status says, and which events go with a change of it.

use plenum_cluster::member_api::{MemberReport, MemberState};
use plenum_crds::conditions::{events, reasons, types};
use plenum_crds::{MediaNodePhase, MediaNodeStatus, MemberAddress, WantedState};

use super::action::{About, Action, Step, Tell};
use super::conditions::{Says, set};
use super::counts::{self, count};
use super::observed::{MemberView, NodeView, Observed, PodState};

/// Writes the status if it says something new; counts alone wait.
pub(super) fn plan(observed: &Observed, node: &NodeView, steps: &mut Vec<Step>) {
    let status = status(observed, node);
    let failed_now =
        status.phase == MediaNodePhase::Failed && node.status.phase != MediaNodePhase::Failed;
    let counts_only = MediaNodeStatus {
        rooms: node.status.rooms,
        participants: node.status.participants,
        ..status.clone()
    } == node.status;
    let due = counts::are_due(node.counts_written, counts::OF_MEMBERS_EVERY, observed.now);
    // A MediaNode whose finalizer is taken in this pass is gone; its status has no reader.
    let going = node.deleting && !node.held;
    if status == node.status || going || (counts_only && !due) {
        return;
    }
    let mut tells = Vec::new();
    if failed_now {
        let note = format!(
            "member {} is dead: {}; a new one takes its place",
            node.name,
            node.ended().unwrap_or_default()
        );
        let about = About::Node(node.name.clone());
        tells.push(Tell::warning(about, events::NODE_DEAD, note.clone()));
        tells.push(Tell::warning(About::Pool, events::NODE_DEAD, note));
    }
    steps.push(
        Action::WriteNodeStatus {
            node: node.name.clone(),
            status,
        }
        .telling(tells),
    );
}

fn status(observed: &Observed, node: &NodeView) -> MediaNodeStatus {
    let mut status = node.status.clone();
    let report = match &node.member {
        MemberView::Answering(report) | MemberView::Silent { last: report, .. }
            if node.ended().is_none() =>
        {
            Some(report.as_ref())
        }
        _ => None,
    };
    status.phase = phase(node, report);
    if let Some(pod) = node.present() {
        status.pod_name = Some(node.name.clone());
        if node.leaving()
            && status.drain_started_at.is_none()
            && !matches!(pod.state, PodState::Ended(_))
        {
            status.drain_started_at = Some(observed.now.to_string());
        }
    }
    status.rooms = report.map_or(0, |report| count(report.load.rooms));
    status.participants = report.map_or(0, |report| count(report.load.participants));
    if let Some(report) = report {
        status.incarnation = Some(report.incarnation.to_string());
        status.addresses = report
            .addresses
            .iter()
            .map(|a| MemberAddress {
                ip: a.ip,
                port: a.port,
                shard: a.shard,
            })
            .collect();
    }
    let mut say = |says| set(&mut status.conditions, says, node.generation, observed.now);
    say(reachable(node));
    say(ready(node));
    status
}

fn phase(node: &NodeView, report: Option<&MemberReport>) -> MediaNodePhase {
    let state = report.map(|report| report.state);
    match (node.ended(), &node.pod) {
        (Some(_), _) if node.leaving() => MediaNodePhase::Ended,
        (Some(_), _) => MediaNodePhase::Failed,
        _ if node
            .present()
            .is_none_or(|pod| matches!(pod.state, PodState::Waiting(_))) =>
        {
            MediaNodePhase::Pending
        }
        _ if node.leaving() || state == Some(MemberState::Draining) => MediaNodePhase::Draining,
        _ if state == Some(MemberState::Cordoned) || node.wanted == WantedState::Cordoned => {
            MediaNodePhase::Cordoned
        }
        _ if state == Some(MemberState::Serving) => MediaNodePhase::Serving,
        _ => MediaNodePhase::Starting,
    }
}

fn reachable(node: &NodeView) -> Says<'static> {
    let (holds, reason, message) = match (&node.member, node.ended()) {
        (_, Some(how)) => (false, reasons::POD_ENDED, how),
        (MemberView::Answering(report), None) => (
            true,
            reasons::AS_WANTED,
            format!(
                "build {}, internal protocol {}",
                report.version, report.protocol
            ),
        ),
        (MemberView::Silent { .. }, None) => (
            false,
            reasons::UNREACHABLE,
            "the internal port does not answer; its rooms are left to it and its peers".to_owned(),
        ),
        (MemberView::Unknown, None) => (
            false,
            reasons::STARTING,
            "the member has not answered yet".to_owned(),
        ),
    };
    Says {
        kind: types::REACHABLE,
        holds,
        reason,
        message,
    }
}

fn ready(node: &NodeView) -> Says<'static> {
    let says = |holds, reason, message: &str| Says {
        kind: types::READY,
        holds,
        reason,
        message: message.to_owned(),
    };
    if let Some(how) = node.ended() {
        return says(false, reasons::POD_ENDED, &how);
    }
    let Some(pod) = node.present() else {
        return says(false, reasons::STARTING, "it has no Pod yet");
    };
    if let PodState::Waiting(why) = &pod.state {
        return says(
            false,
            reasons::STARTING,
            why.as_deref().unwrap_or("its Pod is being started"),
        );
    }
    if node.leaving() {
        return says(false, reasons::DRAINING, "its rooms are moving away");
    }
    if pod.media_addresses.is_empty() {
        return says(
            false,
            reasons::NO_ADDRESS,
            "no IP address is known under which clients reach it; set spec.network.addressOverrides of the pool",
        );
    }
    match &node.member {
        MemberView::Answering(report) => match report.state {
            MemberState::Serving if node.wanted == WantedState::Active => {
                says(true, reasons::SERVING, "it takes rooms and clients")
            }
            MemberState::Serving | MemberState::Cordoned => says(
                false,
                reasons::CORDONED,
                "it keeps its rooms and takes no new ones",
            ),
            MemberState::Draining => says(false, reasons::DRAINING, "its rooms are moving away"),
            MemberState::Fenced => says(
                false,
                reasons::FENCED,
                "it lost its claims and registers anew",
            ),
            MemberState::Starting => says(
                false,
                reasons::STARTING,
                "the member is not registered yet; it needs its addresses and the Directory or a peer",
            ),
        },
        MemberView::Silent { .. } => says(
            false,
            reasons::UNREACHABLE,
            "the internal port does not answer",
        ),
        MemberView::Unknown => says(false, reasons::STARTING, "the member has not answered yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{Scene, actions_of, node};

    #[test]
    fn a_settled_member_is_not_written_again() {
        let mut scene = Scene::pool(1).with(node("a").serving(1, 2));
        scene.settle();
        assert_eq!(scene.plan(), []);
    }

    #[test]
    fn counts_alone_are_written_seldom() {
        let mut scene = Scene::pool(1).with(node("a").serving(1, 2));
        scene.settle();
        scene.observed.nodes[0].counts_written = Some(scene.observed.now);
        scene.observed.nodes[0].member = node("a").serving(1, 3).view().member;
        assert!(!actions_of(&scene.plan()).contains(&"WriteNodeStatus"));
        scene.observed.now += counts::OF_MEMBERS_EVERY;
        assert!(actions_of(&scene.plan()).contains(&"WriteNodeStatus"));
    }
}

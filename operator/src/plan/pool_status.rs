//! What the pool's status says.

use plenum_cluster::member_api::MemberState;
use plenum_crds::conditions::{events, reasons, types};
use plenum_crds::{MediaPoolStatus, WantedState, names};

use super::action::{About, Action, Step, Tell};
use super::conditions::{Says, reason, set};
use super::counts::{self, count};
use super::observed::{Observed, PodState, PoolView};
use super::pool::Shortage;

/// Plans the pool's status. `shortage`: why there are not more members.
pub(super) fn plan(observed: &Observed, shortage: Option<&Shortage>, steps: &mut Vec<Step>) {
    let Some(pool) = &observed.pool else { return };
    let status = status(observed, pool, shortage);
    let counts_only = MediaPoolStatus {
        rooms: pool.status.rooms,
        participants: pool.status.participants,
        ..status.clone()
    } == pool.status;
    let due = counts::are_due(pool.counts_written, counts::OF_MEMBERS_EVERY, observed.now);
    if status == pool.status || (counts_only && !due) {
        return;
    }
    let mut tells = Vec::new();
    let exhausted = |status: &MediaPoolStatus| {
        reason(&status.conditions, types::VALID) == Some(reasons::PORTS_EXHAUSTED)
    };
    if exhausted(&status) && !exhausted(&pool.status) {
        tells.push(Tell::warning(
            About::Pool,
            events::PORTS_EXHAUSTED,
            shortage.map_or("", |shortage| shortage.message.as_str()),
        ));
    }
    steps.push(Action::WritePoolStatus { status }.telling(tells));
}

fn status(observed: &Observed, pool: &PoolView, shortage: Option<&Shortage>) -> MediaPoolStatus {
    let total = |count: fn(&super::NodeView) -> bool| {
        i32::try_from(observed.nodes.iter().filter(|node| count(node)).count()).unwrap_or(i32::MAX)
    };
    let reports = || observed.nodes.iter().filter_map(super::NodeView::report);
    let serving = total(|node| {
        node.report()
            .is_some_and(|report| report.state == MemberState::Serving)
            && node.wanted == WantedState::Active
            && !node.leaving()
    });
    let mut status = MediaPoolStatus {
        replicas: serving,
        serving,
        ready: total(|node| node.ended().is_none() && node.present().is_some_and(|pod| pod.ready)),
        draining: total(|node| node.ended().is_none() && node.leaving()),
        selector: Some(format!(
            "{}={},{}=true",
            names::LABEL_POOL,
            observed.key.name,
            names::LABEL_SERVING
        )),
        rooms: count(reports().map(|report| report.load.rooms).sum()),
        participants: count(reports().map(|report| report.load.participants).sum()),
        observed_generation: Some(pool.generation),
        conditions: pool.status.conditions.clone(),
    };
    let mut say = |says| set(&mut status.conditions, says, pool.generation, observed.now);
    say(valid(pool, shortage));
    say(available(observed, pool, serving));
    status
}

fn valid(pool: &PoolView, shortage: Option<&Shortage>) -> Says<'static> {
    let (holds, reason, message) = match (&pool.secret_problem, shortage) {
        (Some(problem), _) => (false, reasons::SECRET_MISSING, problem.clone()),
        (None, Some(shortage)) => (false, shortage.reason, shortage.message.clone()),
        (None, None) => (
            true,
            reasons::AS_WANTED,
            "Secrets and ports suffice".to_owned(),
        ),
    };
    Says {
        kind: types::VALID,
        holds,
        reason,
        message,
    }
}

fn available(observed: &Observed, pool: &PoolView, serving: i32) -> Says<'static> {
    let wanted = pool.spec.replicas;
    let (holds, reason, message) = if wanted == 0 {
        (
            false,
            reasons::SCALED_TO_ZERO,
            "spec.replicas is 0: no room can be placed".to_owned(),
        )
    } else if serving >= wanted {
        (
            true,
            reasons::AS_WANTED,
            format!("{serving} of {wanted} members serve"),
        )
    } else {
        let waiting =
            observed
                .nodes
                .iter()
                .find_map(|node| match node.present().map(|pod| &pod.state) {
                    Some(PodState::Waiting(Some(why))) => {
                        Some(format!("; {} waits: {why}", node.name))
                    }
                    _ => None,
                });
        let message = format!(
            "{serving} of {wanted} members serve{}",
            waiting.unwrap_or_default()
        );
        (false, reasons::MEMBERS_STARTING, message)
    };
    Says {
        kind: types::AVAILABLE,
        holds,
        reason,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{Scene, node};

    fn written(scene: &Scene) -> MediaPoolStatus {
        let steps = scene.plan();
        steps
            .into_iter()
            .find_map(|step| match step.action {
                Action::WritePoolStatus { status } => Some(status),
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn replicas_count_serving_members_only() {
        let scene = Scene::pool(2)
            .with(node("a").serving(1, 2))
            .with(node("b").serving(3, 4).draining())
            .with(node("c").starting());
        let status = written(&scene);
        assert_eq!(
            (status.replicas, status.serving, status.draining),
            (1, 1, 1)
        );
        assert_eq!((status.rooms, status.participants), (4, 6));
        assert_eq!(
            status.selector.as_deref(),
            Some("plenum.dev/pool=main,plenum.dev/serving=true")
        );
        assert_eq!(
            reason(&status.conditions, types::AVAILABLE),
            Some(reasons::MEMBERS_STARTING)
        );
    }

    #[test]
    fn the_why_of_a_waiting_pod_reaches_the_pool() {
        let scene = Scene::pool(1).with(node("a").waiting_because("0/1 nodes are available"));
        let status = written(&scene);
        assert!(
            status
                .conditions
                .iter()
                .any(|c| c.message.contains("0/1 nodes are available"))
        );
    }

    #[test]
    fn a_missing_secret_is_named() {
        let mut scene = Scene::pool(1);
        scene.pool_mut().secret_problem =
            Some("Secret plenum-cluster has no key secret".to_owned());
        let status = written(&scene);
        assert_eq!(
            reason(&status.conditions, types::VALID),
            Some(reasons::SECRET_MISSING)
        );
    }
}

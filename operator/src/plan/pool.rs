//! How many members a pool has: makes those that are missing, replaces dead ones, drains the emptiest when there are too
//! many.

use plenum_crds::conditions::{events, reasons};

use super::action::{About, Action, Step, Tell};
use super::observed::{MemberView, NodeView, Observed, PodState, PoolView};
use super::ports;

/// MediaNodes made in one pass: the API server and the image registry see waves, not a flood.
const CREATES_PER_PASS: usize = 16;
/// Drains begun in one pass: their rooms all look for new homes at once.
const DRAINS_PER_PASS: usize = 8;
/// Failed MediaNodes that are kept (for a time, see `node`) before no more are made: members that die at once must not be
/// made anew without end. This many more than wanted.
const FAILED_BEYOND_REPLICAS: usize = 3;
/// Random characters of a name, as many as a Pod's of a ReplicaSet.
const NAME_SUFFIX: usize = 5;
/// No vowels and nothing that looks like something else, as in Kubernetes' own names: no words come out by chance.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// What stands in the way of more members.
pub(super) struct Shortage {
    /// Reason of the pool's condition.
    pub(super) reason: &'static str,
    /// With numbers and the mend.
    pub(super) message: String,
}

/// Plans the number of members.
pub(super) fn plan(observed: &Observed, steps: &mut Vec<Step>) -> Option<Shortage> {
    let pool = observed.pool.as_ref().filter(|pool| !pool.deleting)?;
    if !pool.services_current {
        steps.push(Action::EnsureServices.quietly());
    }
    // Negative replicas don't pass the schema; whatever wrote them, they mean none.
    let wanted = usize::try_from(pool.spec.replicas).unwrap_or(0);
    let staying: Vec<&NodeView> = observed.nodes.iter().filter(|node| stays(node)).collect();
    if staying.len() > wanted {
        drain_surplus(pool, &staying, staying.len() - wanted, steps);
        None
    } else {
        create_missing(observed, pool, wanted, wanted - staying.len(), steps)
    }
}

/// Counts for the size of the pool: neither on its way out nor dead.
fn stays(node: &NodeView) -> bool {
    !node.leaving() && node.ended().is_none()
}

fn drain_surplus(pool: &PoolView, staying: &[&NodeView], surplus: usize, steps: &mut Vec<Step>) {
    let mut order: Vec<&NodeView> = staying.to_vec();
    order.sort_by_key(|node| departure_rank(node));
    for node in order.into_iter().take(surplus.min(DRAINS_PER_PASS)) {
        let why = format!(
            "the pool is to have {} members and has {}; {} goes because {}",
            pool.spec.replicas,
            staying.len(),
            node.name,
            departure_reason(node)
        );
        steps.push(
            Action::DrainNode {
                node: node.name.clone(),
            }
            .telling(vec![
                Tell::normal(About::Pool, events::DRAIN_STARTED, why.clone()),
                Tell::normal(About::Node(node.name.clone()), events::DRAIN_STARTED, why),
            ]),
        );
    }
}

/// Who goes first: the marked, those that never served, then by people and rooms; a running member of which nothing is
/// known counts as the fullest. Ties by name.
fn departure_rank(node: &NodeView) -> (bool, u8, u32, u32, String) {
    let (class, participants, rooms) = match &node.member {
        _ if node
            .present()
            .is_none_or(|pod| matches!(pod.state, PodState::Waiting(_))) =>
        {
            (0, 0, 0)
        }
        MemberView::Answering(report) | MemberView::Silent { last: report, .. } => {
            (1, report.load.participants, report.load.rooms)
        }
        MemberView::Unknown => (2, 0, 0),
    };
    (
        !node.delete_first,
        class,
        participants,
        rooms,
        node.name.clone(),
    )
}

fn departure_reason(node: &NodeView) -> String {
    match &node.member {
        _ if node.delete_first => "it is marked with plenum.dev/delete-first".to_owned(),
        MemberView::Answering(report) | MemberView::Silent { last: report, .. } => {
            format!(
                "it is the emptiest, with {} participants in {} rooms",
                report.load.participants, report.load.rooms
            )
        }
        MemberView::Unknown => "it has not served yet".to_owned(),
    }
}

fn create_missing(
    observed: &Observed,
    pool: &PoolView,
    wanted: usize,
    missing: usize,
    steps: &mut Vec<Step>,
) -> Option<Shortage> {
    let failed = observed
        .nodes
        .iter()
        .filter(|n| n.ended().is_some() && !n.leaving())
        .count();
    if missing > 0 && failed > wanted + FAILED_BEYOND_REPLICAS {
        let message = format!(
            "{failed} members failed in short order; waiting before more are made, see the MediaNodes in phase Failed"
        );
        return Some(Shortage {
            reason: reasons::MEMBERS_FAILING,
            message,
        });
    }
    let (ended, alive): (Vec<&NodeView>, Vec<&NodeView>) = observed
        .nodes
        .iter()
        .partition(|node| node.ended().is_some());
    let mut taken: Vec<_> = alive.iter().map(|node| node.ports).collect();
    let ended: Vec<_> = ended.iter().map(|node| node.ports).collect();
    let mut random = fastrand::Rng::with_seed(observed.seed);
    let mut names: Vec<String> = observed
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .collect();
    for _ in 0..missing.min(CREATES_PER_PASS) {
        let Some(ports) = ports::allocate(&pool.spec, &taken, &ended) else {
            let range = pool.spec.network.port_range;
            let message = format!(
                "the port range {} to {} has ports for {} members of {} shards and is used up; widen spec.network.portRange",
                range.min,
                range.max,
                ports::fit(&pool.spec),
                pool.spec.shards
            );
            return Some(Shortage {
                reason: reasons::PORTS_EXHAUSTED,
                message,
            });
        };
        taken.push(ports);
        let name = fresh_name(&observed.key.name, &names, &mut random);
        names.push(name.clone());
        let note = format!(
            "made MediaNode {name} with UDP ports {} to {}: the pool is to have {wanted} members",
            ports.min, ports.max
        );
        steps.push(
            Action::CreateNode { name, ports }.telling(vec![Tell::normal(
                About::Pool,
                events::NODE_CREATED,
                note,
            )]),
        );
    }
    None
}

fn fresh_name(pool: &str, names: &[String], random: &mut fastrand::Rng) -> String {
    loop {
        let suffix: String = (0..NAME_SUFFIX)
            .filter_map(|_| random.choice(NAME_ALPHABET))
            .map(|byte| char::from(*byte))
            .collect();
        let name = format!("{pool}-{suffix}");
        if !names.contains(&name) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{Scene, created, drained, node};

    #[test]
    fn missing_members_are_made_with_ports_of_their_own() {
        let scene = Scene::pool(3);
        let made = created(&scene.plan());
        assert_eq!(made.len(), 3);
        let ports: std::collections::BTreeSet<u16> =
            made.iter().map(|(_, ports)| ports.min).collect();
        assert_eq!(ports.len(), 3);
        assert!(
            made.iter()
                .all(|(name, _)| name.starts_with("main-") && name.len() == "main-".len() + 5)
        );
    }

    #[test]
    fn a_pool_of_the_right_size_is_left_alone() {
        let scene = Scene::pool(2)
            .with(node("a").serving(3, 9))
            .with(node("b").serving(0, 0));
        let steps = scene.plan();
        assert!(created(&steps).is_empty() && drained(&steps).is_empty());
    }

    #[test]
    fn the_emptiest_is_drained() {
        let scene = Scene::pool(2)
            .with(node("a").serving(2, 9))
            .with(node("b").serving(5, 4))
            .with(node("c").serving(1, 20));
        assert_eq!(drained(&scene.plan()), ["b"]);
    }

    #[test]
    fn of_equals_the_first_by_name_goes() {
        let scene = Scene::pool(1)
            .with(node("b").serving(0, 0))
            .with(node("a").serving(0, 0));
        assert_eq!(drained(&scene.plan()), ["a"]);
    }

    #[test]
    fn the_marked_one_goes_though_it_is_full() {
        let scene = Scene::pool(1)
            .with(node("a").serving(0, 0))
            .with(node("b").serving(9, 90).delete_first());
        assert_eq!(drained(&scene.plan()), ["b"]);
    }

    #[test]
    fn one_that_never_ran_goes_before_an_empty_one_that_serves() {
        let scene = Scene::pool(1)
            .with(node("a").serving(0, 0))
            .with(node("b").waiting());
        assert_eq!(drained(&scene.plan()), ["b"]);
    }

    #[test]
    fn a_running_member_of_which_nothing_is_known_counts_as_full() {
        let scene = Scene::pool(1)
            .with(node("a").running_unknown())
            .with(node("b").serving(3, 7));
        assert_eq!(drained(&scene.plan()), ["b"]);
    }

    #[test]
    fn draining_members_do_not_count() {
        let scene = Scene::pool(1)
            .with(node("a").serving(0, 0).draining())
            .with(node("b").serving(3, 7));
        let steps = scene.plan();
        assert!(created(&steps).is_empty() && drained(&steps).is_empty());
        let scene = Scene::pool(2)
            .with(node("a").serving(0, 0).draining())
            .with(node("b").serving(3, 7));
        assert_eq!(created(&scene.plan()).len(), 1);
    }

    #[test]
    fn a_dead_member_is_replaced_in_the_same_pass() {
        let scene = Scene::pool(2)
            .with(node("a").ended())
            .with(node("b").serving(3, 7));
        assert_eq!(created(&scene.plan()).len(), 1);
    }

    #[test]
    fn a_member_whose_pod_is_being_deleted_is_replaced_at_once() {
        let scene = Scene::pool(1).with(node("a").serving(1, 2).terminating());
        assert_eq!(created(&scene.plan()).len(), 1);
    }

    #[test]
    fn members_that_die_at_once_are_not_made_without_end() {
        let mut scene = Scene::pool(1);
        for i in 0..=4 {
            scene = scene.with(node(&format!("dead-{i}")).ended());
        }
        let steps = scene.plan();
        assert!(created(&steps).is_empty());
    }

    #[test]
    fn creates_and_drains_of_one_pass_are_capped() {
        assert_eq!(created(&Scene::pool(100).plan()).len(), CREATES_PER_PASS);
        let mut scene = Scene::pool(0);
        for i in 0..20 {
            scene = scene.with(node(&format!("n-{i}")).serving(0, 0));
        }
        assert_eq!(drained(&scene.plan()).len(), DRAINS_PER_PASS);
    }

    #[test]
    fn used_up_ports_are_named_with_the_mend() {
        let mut scene = Scene::pool(3);
        scene.pool_mut().spec.network.port_range = plenum_crds::PortRange { min: 100, max: 101 };
        let mut steps = Vec::new();
        let shortage = plan(&scene.observed, &mut steps).unwrap().message;
        assert_eq!(created(&steps).len(), 2);
        assert!(
            shortage.contains("100 to 101") && shortage.contains("widen"),
            "{shortage}"
        );
    }

    #[test]
    fn a_pool_that_is_being_deleted_makes_nothing() {
        let mut scene = Scene::pool(3);
        scene.pool_mut().deleting = true;
        assert!(created(&scene.plan()).is_empty());
    }
}

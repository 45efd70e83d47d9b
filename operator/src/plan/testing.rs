//! Scenes for the tests of plans: a pool, its members and rooms in three lines.

use k8s_openapi::jiff::Timestamp;
use plenum_cluster::member_api::{
    AdvertisedAddress, INTERNAL_PROTOCOL, Load, MemberReport, MemberState, RoomReport,
};
use plenum_cluster::{Epoch, Incarnation, NodeId};
use plenum_crds::{
    MediaNodeStatus, MediaPoolSpec, MediaPoolStatus, PortRange, RoomPoolRef, RoomResourceSpec,
    RoomStatus, WantedState,
};

use super::observed::{
    Applied, LastRefusal, MemberView, NodeView, Observed, PodState, PodView, PoolKey, PoolView,
    PresentPod, RoomId, RoomView,
};
use super::{Action, Step, plan};

/// Seconds after an arbitrary start.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(super) fn pool_spec() -> MediaPoolSpec {
    serde_json::from_value(serde_json::json!({
        "image": "sfu",
        "secretRefs": {"apiKeys": {"name": "keys"}, "clusterSecret": {"name": "cluster"}},
    }))
    .unwrap()
}

pub(super) struct Scene {
    pub(super) observed: Observed,
}

impl Scene {
    pub(super) fn pool(replicas: i32) -> Self {
        let mut spec = pool_spec();
        spec.replicas = replicas;
        let pool = PoolView {
            generation: 1,
            deleting: false,
            spec,
            status: MediaPoolStatus::default(),
            services_current: true,
            secret_problem: None,
            counts_written: None,
        };
        let key = PoolKey {
            namespace: "ns".to_owned(),
            name: "main".to_owned(),
        };
        Self {
            observed: Observed {
                now: at(0),
                seed: 7,
                key,
                pool: Some(pool),
                nodes: Vec::new(),
                rooms: Vec::new(),
                count_writes: 50,
            },
        }
    }

    pub(super) fn with(mut self, node: Node) -> Self {
        let mut view = node.view;
        let port = 20000 + u16::try_from(self.observed.nodes.len()).unwrap();
        view.ports = PortRange {
            min: port,
            max: port,
        };
        if let MemberView::Answering(report) | MemberView::Silent { last: report, .. } =
            &mut view.member
            && let Some(address) = report.addresses.first_mut()
        {
            address.port = port;
        }
        self.observed.nodes.push(view);
        self
    }

    pub(super) fn with_room(mut self, room: RoomView) -> Self {
        self.observed.rooms.push(room);
        self
    }

    pub(super) fn pool_mut(&mut self) -> &mut PoolView {
        self.observed.pool.as_mut().unwrap()
    }

    pub(super) fn room_mut(&mut self) -> &mut RoomView {
        &mut self.observed.rooms[0]
    }

    pub(super) fn plan(&self) -> Vec<Step> {
        plan(&self.observed)
    }

    /// Carries out what writes only, until nothing of it is left.
    pub(super) fn settle(&mut self) {
        for _ in 0..5 {
            for step in self.plan() {
                self.carry_out(step.action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let now = self.observed.now;
        let find = |nodes: &mut Vec<NodeView>, name: &str| {
            nodes.iter().position(|n| n.name == name).unwrap()
        };
        match action {
            Action::WriteNodeStatus { node, status } => {
                let index = find(&mut self.observed.nodes, &node);
                self.observed.nodes[index].status = status;
            }
            Action::WritePoolStatus { status } => self.pool_mut().status = status,
            Action::HoldRoom { room } => {
                self.observed
                    .rooms
                    .iter_mut()
                    .find(|r| r.id == room)
                    .unwrap()
                    .held = true;
            }
            Action::WriteRoomStatus { room, status } => {
                let view = self
                    .observed
                    .rooms
                    .iter_mut()
                    .find(|r| r.id == room)
                    .unwrap();
                view.status = *status;
                view.counts_written = Some(now);
            }
            _ => {}
        }
    }
}

/// A member in the making.
#[derive(Clone)]
pub(super) struct Node {
    view: NodeView,
}

pub(super) fn node(name: &str) -> Node {
    Node {
        view: NodeView {
            name: name.to_owned(),
            generation: 1,
            wanted: WantedState::Active,
            ports: PortRange {
                min: 20000,
                max: 20000,
            },
            delete_first: false,
            deleting: false,
            held: true,
            status: MediaNodeStatus::default(),
            pod: PodView::Absent,
            member: MemberView::Unknown,
            counts_written: None,
        },
    }
}

impl Node {
    pub(super) fn view(&self) -> NodeView {
        self.view.clone()
    }

    fn pod(mut self, state: PodState) -> Self {
        self.view.pod = PodView::Present(PresentPod {
            state,
            ready: true,
            terminating: false,
            serving_label: true,
            media_addresses: vec!["192.0.2.1".parse().unwrap()],
        });
        self
    }

    fn says(mut self, state: MemberState, rooms: u32, participants: u32) -> Self {
        self.view.member = MemberView::Answering(Box::new(MemberReport {
            node_id: NodeId::new(&*self.view.name).unwrap(),
            incarnation: Incarnation::new(1),
            protocol: INTERNAL_PROTOCOL,
            version: "0.1.0".to_owned(),
            state,
            addresses: vec![AdvertisedAddress {
                ip: "192.0.2.1".parse().unwrap(),
                port: 20000,
                shard: 0,
            }],
            load: Load {
                rooms,
                participants,
                ..Load::default()
            },
            rooms: Vec::new(),
        }));
        self
    }

    fn report_mut(&mut self) -> &mut MemberReport {
        match &mut self.view.member {
            MemberView::Answering(report) | MemberView::Silent { last: report, .. } => report,
            MemberView::Unknown => panic!("the member says nothing"),
        }
    }

    pub(super) fn serving(self, rooms: u32, participants: u32) -> Self {
        self.pod(PodState::Running)
            .says(MemberState::Serving, rooms, participants)
    }

    pub(super) fn starting(self) -> Self {
        let mut node = self
            .pod(PodState::Running)
            .says(MemberState::Starting, 0, 0)
            .unlabelled();
        node.report_mut().addresses.clear();
        node
    }

    pub(super) fn running_unknown(self) -> Self {
        self.pod(PodState::Running).unlabelled()
    }

    pub(super) fn waiting(self) -> Self {
        self.pod(PodState::Waiting(None)).unlabelled()
    }

    pub(super) fn waiting_because(self, why: &str) -> Self {
        self.pod(PodState::Waiting(Some(why.to_owned())))
            .unlabelled()
    }

    pub(super) fn ended(self) -> Self {
        self.pod(PodState::Ended("exit code 137".to_owned()))
    }

    pub(super) fn drained_to(self, rooms: u32, participants: u32) -> Self {
        self.pod(PodState::Running)
            .says(MemberState::Draining, rooms, participants)
            .unlabelled()
            .draining()
    }

    pub(super) fn draining(mut self) -> Self {
        self.view.wanted = WantedState::Draining;
        self
    }

    pub(super) fn deleting(mut self) -> Self {
        self.view.deleting = true;
        self
    }

    pub(super) fn delete_first(mut self) -> Self {
        self.view.delete_first = true;
        self
    }

    pub(super) fn terminating(mut self) -> Self {
        if let PodView::Present(pod) = &mut self.view.pod {
            pod.terminating = true;
        }
        self
    }

    pub(super) fn unlabelled(mut self) -> Self {
        if let PodView::Present(pod) = &mut self.view.pod {
            pod.serving_label = false;
        }
        self
    }

    /// Does not answer for so many seconds.
    pub(super) fn silent(mut self, seconds: i64) -> Self {
        if let MemberView::Answering(last) = self.view.member.clone() {
            self.view.member = MemberView::Silent {
                since: at(-seconds),
                last,
            };
        }
        self
    }

    pub(super) fn home_of(mut self, room: &str, epoch: u64, participants: u32) -> Self {
        self.report_mut().rooms.push(RoomReport {
            name: room.to_owned(),
            sid: "RM_x".to_owned(),
            epoch: Epoch::new(epoch),
            participants,
            publishers: participants,
            started_at_ms: 1_800_000_000_000,
        });
        self
    }
}

/// A Room named `r` that was made so many seconds after the start.
pub(super) fn room(name: &str) -> RoomView {
    RoomView {
        id: RoomId {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
        },
        created: at(0),
        generation: 1,
        deleting_since: None,
        held: true,
        admitted: true,
        spec: RoomResourceSpec {
            pool_ref: RoomPoolRef {
                name: "main".to_owned(),
                namespace: None,
            },
            room_name: None,
            display_name: None,
            max_participants: 0,
            empty_timeout: None,
            departure_timeout: None,
            metadata: None,
            closed: false,
        },
        status: RoomStatus::default(),
        applied: None,
        missing_since: None,
        refusal: None,
        counts_written: None,
    }
}

impl RoomView {
    pub(super) fn applied_on(mut self, node: &str) -> Self {
        self.applied = Some(Applied {
            generation: self.generation,
            node: node.to_owned(),
            incarnation: Incarnation::new(1),
        });
        self
    }

    pub(super) fn refused(mut self, reason: &str) -> Self {
        self.refusal = Some(LastRefusal {
            reason: reason.to_owned(),
            message: format!("refused: {reason}"),
            at: at(-10),
        });
        self
    }
}

pub(super) fn created(steps: &[Step]) -> Vec<(String, PortRange)> {
    let made = steps.iter().filter_map(|step| match &step.action {
        Action::CreateNode { name, ports } => Some((name.clone(), *ports)),
        _ => None,
    });
    made.collect()
}

pub(super) fn drained(steps: &[Step]) -> Vec<String> {
    let drained = steps.iter().filter_map(|step| match &step.action {
        Action::DrainNode { node } => Some(node.clone()),
        _ => None,
    });
    drained.collect()
}

pub(super) fn actions_of(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.action.name()).collect()
}

pub(super) fn reasons_told(steps: &[Step]) -> Vec<&'static str> {
    steps
        .iter()
        .flat_map(|step| step.tells.iter().map(|tell| tell.reason))
        .collect()
}

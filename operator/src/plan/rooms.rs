//! Where rooms live.
//!
//! The Directory decides, through the members: a plan only asks a member to be a room's home, and reports who is. A
//! living home is the truth, so what members report comes before everything that a status says.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::jiff::SignedDuration;
use plenum_cluster::RoomKey;
use plenum_cluster::directory::{Capacity, Holder};
use plenum_cluster::member_api::MemberState;
use plenum_cluster::placement::{Candidate, NoPlace, Placement};
use plenum_crds::RoomPhase;
use plenum_crds::conditions::{events, reasons, types};

use super::action::{About, Action, Step, Tell};
use super::conditions::reason;
use super::observed::{MemberView, NodeView, Observed, PoolView, RoomId, RoomView};
use super::room_status;
use super::verdict::{Home, Verdict, is_applied, refusal_reason};

/// Rooms that members are asked to take in one pass; they are asked in parallel, and the next pass follows at once.
const PUTS_PER_PASS: usize = 64;
/// Nobody reports the room for so long, though the member that took it is well: the call has ended there. Longer than a
/// planned move between two members' reports.
const CALL_ENDED_AFTER: SignedDuration = SignedDuration::from_secs(3);
/// A room whose home does not answer, but whose Pod runs, is left to it and its peers for so long.
const SILENT_HOME_KEEPS: SignedDuration = SignedDuration::from_secs(3);
/// A deleted Room waits so long for a home that runs but does not answer; then it goes without.
const END_WAITS: SignedDuration = SignedDuration::from_secs(10);
/// Pause after a refusal.
const RETRY_AFTER: SignedDuration = SignedDuration::from_secs(1);

/// Plans all rooms of the pool.
pub(super) fn plan(observed: &Observed, steps: &mut Vec<Step>) {
    let homes = homes(observed);
    let owners = owners(observed);
    let mut placement = observed
        .pool
        .as_ref()
        .map(|pool| Placement::new(candidates(observed, pool)));
    let mut puts = PUTS_PER_PASS;
    let mut count_writes = observed.count_writes;
    for room in &observed.rooms {
        let holder = owners
            .get(room.room_name())
            .copied()
            .filter(|owner| owner.id != room.id);
        let home = homes
            .get(room.room_name())
            .filter(|_| holder.is_none() && room.admitted);
        if room.deleting_since.is_some() {
            end(observed, room, home, steps);
            continue;
        }
        if !room.held {
            steps.push(
                Action::HoldRoom {
                    room: room.id.clone(),
                }
                .quietly(),
            );
            continue;
        }
        let verdict = match refusal(observed, room, holder) {
            Some(refused) => Some(refused),
            None => place(observed, room, home, placement.as_mut(), &mut puts, steps),
        };
        if let Some(verdict) = verdict {
            room_status::write(observed, room, &verdict, &mut count_writes, steps);
        }
    }
}

/// Of Rooms with one name the oldest holds it, so that a newcomer never takes a running call away.
fn owners(observed: &Observed) -> HashMap<&str, &RoomView> {
    let mut owners: HashMap<&str, &RoomView> = HashMap::new();
    for room in observed.rooms.iter().filter(|room| room.admitted) {
        let owner = owners.entry(room.room_name()).or_insert(room);
        if (room.created, &room.id.uid) < (owner.created, &owner.id.uid) {
            *owner = room;
        }
    }
    owners
}

/// Homes by room name. In the short overlap after a takeover two members report a room: the higher epoch is right.
fn homes(observed: &Observed) -> BTreeMap<&str, Home<'_>> {
    let mut homes: BTreeMap<&str, Home<'_>> = BTreeMap::new();
    for node in &observed.nodes {
        let Some(member) = node.report() else {
            continue;
        };
        if matches!(member.state, MemberState::Fenced | MemberState::Starting) {
            continue;
        }
        for report in &member.rooms {
            let holder = Holder {
                node: member.node_id.clone(),
                incarnation: member.incarnation,
            };
            let known = homes.get(report.name.as_str());
            if known.is_none_or(|known| {
                (known.report.epoch, known.holder.incarnation) < (report.epoch, holder.incarnation)
            }) {
                homes.insert(
                    report.name.as_str(),
                    Home {
                        node,
                        report,
                        state: member.state,
                        holder,
                    },
                );
            }
        }
    }
    homes
}

fn candidates<'a>(
    observed: &'a Observed,
    pool: &'a PoolView,
) -> impl Iterator<Item = Candidate> + 'a {
    let capacity = pool.spec.capacity;
    let capacity = Capacity {
        rooms: capacity.rooms.unwrap_or(0),
        participants: capacity.participants.unwrap_or(0),
        subscriptions: capacity.subscriptions.unwrap_or(0),
    };
    observed.nodes.iter().filter_map(move |node| {
        let report = node.report().filter(|_| !node.leaving())?;
        Some(Candidate {
            holder: Holder {
                node: report.node_id.clone(),
                incarnation: report.incarnation,
            },
            state: report.state,
            weight: u32::from(pool.spec.shards),
            load: report.load,
            placed_since: 0,
            capacity,
        })
    })
}

/// Why the spec is not taken at all.
fn refusal(
    observed: &Observed,
    room: &RoomView,
    holder: Option<&RoomView>,
) -> Option<Verdict<'static>> {
    let refused = |reason, message| {
        Some(Verdict {
            phase: RoomPhase::Failed,
            home: None,
            reason,
            message,
        })
    };
    if observed.pool.is_none() {
        let message = format!("there is no MediaPool {}", observed.key);
        return Some(Verdict {
            phase: RoomPhase::Pending,
            home: None,
            reason: reasons::POOL_NOT_FOUND,
            message,
        });
    }
    if !room.admitted {
        let message = format!(
            "MediaPool {} does not admit Rooms of namespace {}; see its spec.allowedNamespaces",
            observed.key, room.id.namespace
        );
        return refused(reasons::NAMESPACE_NOT_ALLOWED, message);
    }
    let holder = holder?;
    let message = format!(
        "the name {:?} is held by Room {} in this pool; choose another roomName",
        room.room_name(),
        holder.id
    );
    refused(reasons::NAME_TAKEN, message)
}

/// Asks a member to take the room if one is to be asked, and judges its place. `None`: too early to say anything new.
fn place<'a>(
    observed: &Observed,
    room: &RoomView,
    home: Option<&'a Home<'a>>,
    placement: Option<&mut Placement>,
    puts: &mut usize,
    steps: &mut Vec<Step>,
) -> Option<Verdict<'a>> {
    let retry = room
        .refusal
        .as_ref()
        .is_none_or(|refusal| observed.now.duration_since(refusal.at) >= RETRY_AFTER);
    let mut put = |node: &str| {
        if retry && *puts > 0 {
            *puts -= 1;
            steps.push(
                Action::PutRoom {
                    room: room.id.clone(),
                    node: node.to_owned(),
                }
                .quietly(),
            );
        }
    };
    if let Some(home) = home {
        if !is_applied(room, home) && home.state != MemberState::Draining {
            put(&home.node.name);
        }
        return Some(at_home(room, home));
    }
    if room.spec.closed {
        let message = "spec.closed is set: joins are refused";
        if room
            .applied
            .as_ref()
            .is_none_or(|applied| applied.generation != room.generation)
            && let Some(node) = observed.nodes.iter().find(|node| serves(node))
        {
            put(&node.name);
        }
        return Some(verdict(RoomPhase::Closed, reasons::CLOSED, message));
    }
    match absence(observed, room) {
        Absence::TooEarly => return None,
        Absence::CallEnded => {
            let message = "the call ended on its member, by a timeout or the server API; the next join or a changed spec opens it again";
            return Some(verdict(RoomPhase::Closed, reasons::CALL_ENDED, message));
        }
        Absence::Homeless => {}
    }
    let phase = if room.status.assignment.is_some() {
        RoomPhase::Moving
    } else {
        RoomPhase::Pending
    };
    let key = match RoomKey::new(room.room_name()) {
        Ok(key) => key,
        Err(error) => {
            return Some(verdict(
                RoomPhase::Failed,
                reasons::REFUSED,
                error.to_string(),
            ));
        }
    };
    Some(
        match placement.map(|placement| placement.place(&key, None)) {
            Some(Ok(holder)) => {
                put(holder.node.as_str());
                match &room.refusal {
                    Some(refusal) => verdict(
                        phase,
                        refusal_reason(&refusal.reason),
                        refusal.message.clone(),
                    ),
                    None => verdict(
                        phase,
                        reasons::MOVING,
                        format!("member {} is asked to take it", holder.node),
                    ),
                }
            }
            Some(Err(none)) => verdict(
                phase,
                no_place_reason(none),
                no_place_message(observed, none),
            ),
            None => verdict(
                phase,
                reasons::POOL_NOT_FOUND,
                format!("there is no MediaPool {}", observed.key),
            ),
        },
    )
}

fn verdict<'a>(phase: RoomPhase, reason: &'static str, message: impl Into<String>) -> Verdict<'a> {
    Verdict {
        phase,
        home: None,
        reason,
        message: message.into(),
    }
}

fn serves(node: &NodeView) -> bool {
    !node.leaving()
        && node
            .report()
            .is_some_and(|report| report.state == MemberState::Serving)
}

fn at_home<'a>(room: &RoomView, home: &'a Home<'a>) -> Verdict<'a> {
    let (phase, reason, message) = if home.state == MemberState::Draining {
        (
            RoomPhase::Moving,
            reasons::MOVING,
            format!("its home {} drains", home.node.name),
        )
    } else if room.spec.closed {
        (
            RoomPhase::Closed,
            reasons::CLOSED,
            format!("spec.closed is set; the call ends on {}", home.node.name),
        )
    } else if home.report.participants > 0 {
        (
            RoomPhase::Active,
            reasons::PLACED,
            format!(
                "it lives on {} since epoch {}",
                home.node.name, home.report.epoch
            ),
        )
    } else {
        (
            RoomPhase::Assigned,
            reasons::PLACED,
            format!(
                "it lives on {} since epoch {}",
                home.node.name, home.report.epoch
            ),
        )
    };
    Verdict {
        phase,
        home: Some(home),
        reason,
        message,
    }
}

/// What it means that no member reports a room.
enum Absence {
    /// Its home is only silent, or two reports crossed a move.
    TooEarly,
    /// The member that took it is well and no longer has it.
    CallEnded,
    /// It needs a home.
    Homeless,
}

fn absence(observed: &Observed, room: &RoomView) -> Absence {
    let ended_before = room.status.phase == RoomPhase::Closed
        && reason(&room.status.conditions, types::PLACED) == Some(reasons::CALL_ENDED)
        && room.status.observed_generation == Some(room.generation);
    if ended_before {
        return Absence::CallEnded;
    }
    let assigned = room.status.assignment.as_ref();
    let node = assigned.and_then(|assigned| {
        observed
            .nodes
            .iter()
            .find(|node| node.name == assigned.node)
    });
    let (Some(assigned), Some(node)) = (assigned, node.filter(|node| node.ended().is_none()))
    else {
        return Absence::Homeless;
    };
    match &node.member {
        MemberView::Silent { since, .. }
            if observed.now.duration_since(*since) < SILENT_HOME_KEEPS =>
        {
            Absence::TooEarly
        }
        MemberView::Answering(report)
            if report.incarnation.to_string() == assigned.incarnation
                && matches!(report.state, MemberState::Serving | MemberState::Cordoned)
                && room.applied.is_some() =>
        {
            let missing = room.missing_since.map_or(SignedDuration::ZERO, |since| {
                observed.now.duration_since(since)
            });
            if missing >= CALL_ENDED_AFTER {
                Absence::CallEnded
            } else {
                Absence::TooEarly
            }
        }
        _ => Absence::Homeless,
    }
}

fn no_place_reason(none: NoPlace) -> &'static str {
    match none {
        NoPlace::NobodyServes { .. } => reasons::NO_SERVING_MEMBER,
        NoPlace::AtCapacity { .. } => reasons::AT_CAPACITY,
    }
}

fn no_place_message(observed: &Observed, none: NoPlace) -> String {
    match none {
        NoPlace::NobodyServes { .. } => {
            let live = observed.nodes.iter().filter(|node| node.ended().is_none());
            let leaving = live.clone().filter(|node| node.leaving()).count();
            let wanted = observed.pool.as_ref().map_or(0, |pool| pool.spec.replicas);
            format!(
                "no member serves: the pool is to have {wanted}, {} are starting, {leaving} are draining; wait, or scale it up",
                live.count() - leaving
            )
        }
        NoPlace::AtCapacity { .. } => none.to_string(),
    }
}

fn end(observed: &Observed, room: &RoomView, home: Option<&Home<'_>>, steps: &mut Vec<Step>) {
    if !room.held {
        return;
    }
    let about = || About::Room(room.id.clone());
    let mut nodes: Vec<String> = home
        .map(|home| home.node.name.clone())
        .into_iter()
        .collect();
    let assigned = room
        .status
        .assignment
        .as_ref()
        .map(|assignment| assignment.node.as_str());
    let silent = observed.nodes.iter().find(|node| {
        Some(node.name.as_str()) == assigned
            && node.ended().is_none()
            && matches!(node.member, MemberView::Silent { .. })
    });
    let tells = match (home, silent) {
        (Some(home), _) => {
            let note = format!(
                "{} participants on {} were told ROOM_DELETED",
                home.report.participants, home.node.name
            );
            vec![Tell::normal(about(), events::ENDED, note)]
        }
        (None, Some(node)) => {
            if room
                .deleting_since
                .is_some_and(|since| observed.now.duration_since(since) < END_WAITS)
            {
                return;
            }
            let note = format!(
                "its home {} does not answer; the call ends there by its own timeouts",
                node.name
            );
            vec![Tell::warning(about(), events::END_UNCONFIRMED, note)]
        }
        (None, None) => Vec::new(),
    };
    if nodes.is_empty()
        && room.admitted
        && room.applied.is_some()
        && let Some(node) = observed.nodes.iter().find(|node| serves(node))
    {
        // Nobody serves it, but the Directory may still keep its spec: any member can remove that.
        nodes.push(node.name.clone());
    }
    steps.push(
        Action::EndRoom {
            room: room.id.clone(),
            nodes,
        }
        .telling(tells),
    );
}

/// Rooms that no member reports, of those that a plan may have to judge by their absence.
#[must_use]
pub fn missing(observed: &Observed) -> Vec<RoomId> {
    let homes = homes(observed);
    observed
        .rooms
        .iter()
        .filter(|room| !homes.contains_key(room.room_name()))
        .map(|room| room.id.clone())
        .collect()
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;

//! What a Room's status says, and which events go with a change of it.

use k8s_openapi::jiff::Timestamp;
use plenum_crds::conditions::{events, reasons, types};
use plenum_crds::{Assignment, RoomPhase, RoomStatus, names};

use super::action::{About, Action, Step, Tell};
use super::conditions::{Says, reason, set};
use super::counts::{self, count};
use super::observed::{Observed, RoomView};
use super::verdict::{Home, Verdict, is_applied, refusal_reason};

/// Writes the status if it says something new; counts alone wait, and are bounded for one pass.
pub(super) fn write(
    observed: &Observed,
    room: &RoomView,
    verdict: &Verdict<'_>,
    count_writes: &mut usize,
    steps: &mut Vec<Step>,
) {
    let status = status(observed, room, verdict);
    if status == room.status {
        return;
    }
    let counts_only = RoomStatus {
        participants: room.status.participants,
        publishers: room.status.publishers,
        ..status.clone()
    } == room.status;
    if counts_only {
        let due = counts::are_due(room.counts_written, counts::OF_ROOMS_EVERY, observed.now);
        if !due || *count_writes == 0 {
            return;
        }
        *count_writes -= 1;
    }
    let tells = told(room, &status, verdict);
    steps.push(
        Action::WriteRoomStatus {
            room: room.id.clone(),
            status: Box::new(status),
        }
        .telling(tells),
    );
}

fn status(observed: &Observed, room: &RoomView, verdict: &Verdict<'_>) -> RoomStatus {
    let mut status = room.status.clone();
    status.phase = verdict.phase;
    status.observed_generation = Some(room.generation);
    if let Some(home) = verdict.home {
        let epoch = i64::try_from(home.report.epoch.get()).unwrap_or(i64::MAX);
        status.epoch = Some(status.epoch.map_or(epoch, |old| old.max(epoch)));
        status.participants = count(home.report.participants);
        status.publishers = count(home.report.publishers);
        status.started_at = Timestamp::from_millisecond(home.report.started_at_ms)
            .ok()
            .map(|at| at.to_string());
        status.assignment = Some(assignment(observed, room, home));
    } else {
        status.participants = 0;
        status.publishers = 0;
        if matches!(
            verdict.phase,
            RoomPhase::Closed | RoomPhase::Failed | RoomPhase::Pending
        ) {
            status.assignment = None;
            status.started_at = None;
        }
    }
    let accepted = match verdict.reason {
        reasons::NAME_TAKEN | reasons::NAMESPACE_NOT_ALLOWED | reasons::POOL_NOT_FOUND => {
            (false, verdict.reason)
        }
        _ => (true, reasons::ACCEPTED),
    };
    let settled = verdict.home.is_some_and(|home| is_settled(room, home));
    let placed = verdict.home.is_some();
    let mut say = |kind, (holds, reason), message: &str| {
        set(
            &mut status.conditions,
            Says {
                kind,
                holds,
                reason,
                message: message.to_owned(),
            },
            room.generation,
            observed.now,
        );
    };
    say(
        types::ACCEPTED,
        accepted,
        if accepted.0 {
            "the spec is taken"
        } else {
            &verdict.message
        },
    );
    say(types::PLACED, (placed, verdict.reason), &verdict.message);
    match verdict.home {
        Some(_) if verdict.phase == RoomPhase::Moving || verdict.phase == RoomPhase::Closed => {
            say(types::READY, (false, verdict.reason), &verdict.message);
        }
        Some(_) if settled => say(
            types::READY,
            (true, reasons::SERVING),
            "its home knows the spec",
        ),
        Some(_) => {
            let why = room.refusal.as_ref();
            let reason = why.map_or(reasons::STARTING, |refusal| refusal_reason(&refusal.reason));
            say(
                types::READY,
                (false, reason),
                why.map_or("its home is being told the spec", |refusal| {
                    &refusal.message
                }),
            );
        }
        None => say(types::READY, (false, verdict.reason), &verdict.message),
    }
    status
}

fn assignment(observed: &Observed, room: &RoomView, home: &Home<'_>) -> Assignment {
    let incarnation = home.holder.incarnation.to_string();
    let same = room
        .status
        .assignment
        .as_ref()
        .filter(|old| old.node == home.node.name && old.incarnation == incarnation);
    Assignment {
        node: home.node.name.clone(),
        incarnation,
        url: url(observed),
        since: same.map_or_else(|| observed.now.to_string(), |old| old.since.clone()),
    }
}

fn url(observed: &Observed) -> String {
    let public = observed
        .pool
        .as_ref()
        .and_then(|pool| pool.spec.network.public_url.clone());
    public.unwrap_or_else(|| {
        format!(
            "ws://{}.{}.svc:{}",
            names::client_service(&observed.key.name),
            observed.key.namespace,
            names::PORT_SIGNAL
        )
    })
}

fn told(room: &RoomView, status: &RoomStatus, verdict: &Verdict<'_>) -> Vec<Tell> {
    let about = || About::Room(room.id.clone());
    let (old, new) = (room.status.assignment.as_ref(), status.assignment.as_ref());
    let mut tells = Vec::new();
    let epoch = status.epoch.unwrap_or(0);
    match (old, new) {
        (Some(old), Some(new)) if old.node != new.node || old.incarnation != new.incarnation => {
            let note = format!("moved from {} to {}, epoch {epoch}", old.node, new.node);
            tells.push(Tell::normal(about(), events::MOVED, note));
        }
        (None, Some(new)) if verdict.home.is_some() => {
            tells.push(Tell::normal(
                about(),
                events::PLACED,
                format!("placed on {}, epoch {epoch}", new.node),
            ));
        }
        _ => {}
    }
    let was = reason(&room.status.conditions, types::PLACED);
    if was != Some(verdict.reason) {
        let event = match verdict.reason {
            reasons::NAME_TAKEN => Some((true, events::NAME_TAKEN)),
            reasons::CALL_ENDED => Some((false, events::CALL_ENDED)),
            reasons::CLOSED => Some((false, events::CLOSED)),
            reasons::PLACED | reasons::MOVING => None,
            _ => Some((true, events::PENDING)),
        };
        if let Some((warning, reason)) = event {
            tells.push(Tell {
                about: about(),
                warning,
                reason,
                note: verdict.message.clone(),
            });
        }
    }
    tells
}

/// Its home knows the spec: this operator has told it, or one before it has, as the status says.
fn is_settled(room: &RoomView, home: &Home<'_>) -> bool {
    let told_before = || {
        room.applied.is_none()
            && room.status.observed_generation == Some(room.generation)
            && reason(&room.status.conditions, types::READY) == Some(reasons::SERVING)
            && room.status.assignment.as_ref().is_some_and(|old| {
                old.node == home.node.name && old.incarnation == home.holder.incarnation.to_string()
            })
    };
    is_applied(room, home) || told_before()
}

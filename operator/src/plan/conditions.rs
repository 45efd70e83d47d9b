//! Setting conditions by the rules of Kubernetes' API conventions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// What a condition says.
pub(super) struct Says<'a> {
    pub(super) kind: &'a str,
    pub(super) holds: bool,
    pub(super) reason: &'a str,
    pub(super) message: String,
}

/// Sets a condition. Its transition time changes only with its status.
pub(super) fn set(
    conditions: &mut Vec<Condition>,
    says: Says<'_>,
    generation: i64,
    now: Timestamp,
) {
    let status = if says.holds { "True" } else { "False" };
    let old = conditions.iter().find(|c| c.type_ == says.kind);
    let since = match old {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        // Kubernetes keeps whole seconds: a finer time would differ from what is read back, and be written for ever.
        _ => Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    let new = Condition {
        type_: says.kind.to_owned(),
        status: status.to_owned(),
        reason: says.reason.to_owned(),
        message: says.message,
        observed_generation: Some(generation),
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|c| c.type_ == says.kind) {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// The reason of a condition.
pub(super) fn reason<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a str> {
    conditions
        .iter()
        .find(|c| c.type_ == kind)
        .map(|c| c.reason.as_str())
}

/// Since when a condition has its status.
pub(super) fn since(conditions: &[Condition], kind: &str) -> Option<Timestamp> {
    conditions
        .iter()
        .find(|c| c.type_ == kind)
        .map(|c| c.last_transition_time.0)
}

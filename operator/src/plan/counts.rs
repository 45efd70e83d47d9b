//! Counts of rooms and people in a status. They change all the time, so counts alone are written seldom.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Counts of a MediaPool or MediaNode alone are written no more often: nobody watches `kubectl get` faster, and etcd keeps
/// every write.
pub(super) const OF_MEMBERS_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// Participants and publishers of a Room alone are written no more often than this.
pub(super) const OF_ROOMS_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// Whether counts may be written again, if they were `written` last then.
pub(super) fn are_due(written: Option<Timestamp>, every: SignedDuration, now: Timestamp) -> bool {
    written.is_none_or(|at| now.duration_since(at) >= every)
}

/// A count as Kubernetes has it.
pub(super) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

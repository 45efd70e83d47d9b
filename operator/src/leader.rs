//! Who writes: one operator of several, elected on a Lease.
//!
//! The remote clock is never compared with ours: what counts is when *we* saw the record change, on our monotonic clock.
//! Writes are compare-and-set by `resourceVersion`. A holder that can't renew gives up before anyone else may take over
//! (10 s against 15 s), and its process ends: nothing that was in flight can be written afterwards.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// A record that did not change for so long is nobody's.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A holder that could not renew for so long has lost.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between two looks at the Lease.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// One request; several fit into [`RENEW_DEADLINE`].
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The term of a leader: how often the Lease has changed hands. Members refuse commands of a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// The Lease was lost; the process must end.
#[derive(Debug, thiserror::Error)]
pub enum LostLease {
    /// Another operator has it.
    #[error("the Lease {lease} went to {holder}")]
    Taken {
        /// Name of the Lease.
        lease: String,
        /// Who has it.
        holder: String,
    },
    /// It could not be renewed in time.
    #[error("the Lease {lease} could not be renewed for {} s: {last}", RENEW_DEADLINE.as_secs())]
    NotRenewed {
        /// Name of the Lease.
        lease: String,
        /// The last error.
        last: String,
    },
}

/// What to do with the Lease now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Move {
    Acquire { transitions: i32 },
    Renew,
    Wait,
    Lost { holder: String },
}

/// The decision, without I/O: `now` is any monotonic clock.
#[derive(Debug)]
struct Election {
    identity: String,
    holding: bool,
    seen: Option<(LeaseSpec, Duration)>,
}

impl Election {
    fn new(identity: String) -> Self {
        Self {
            identity,
            holding: false,
            seen: None,
        }
    }

    fn decide(&mut self, lease: Option<&LeaseSpec>, now: Duration) -> Move {
        let Some(lease) = lease else {
            return Move::Acquire { transitions: 1 };
        };
        let holder = lease.holder_identity.clone().unwrap_or_default();
        let next = lease.lease_transitions.unwrap_or(0).saturating_add(1);
        if self.holding {
            return if holder == self.identity {
                Move::Renew
            } else {
                Move::Lost { holder }
            };
        }
        if holder.is_empty() {
            return Move::Acquire { transitions: next };
        }
        match &self.seen {
            Some((seen, since)) if seen == lease => {
                let duration = lease
                    .lease_duration_seconds
                    .and_then(|s| u64::try_from(s).ok())
                    .map_or(LEASE_DURATION, Duration::from_secs);
                if now.saturating_sub(*since) >= duration {
                    Move::Acquire { transitions: next }
                } else {
                    Move::Wait
                }
            }
            _ => {
                self.seen = Some((lease.clone(), now));
                Move::Wait
            }
        }
    }
}

/// Campaigns for the Lease until `stop` is true, and steps down then. `leading` holds the term while this process leads.
///
/// # Errors
/// [`LostLease`] once it led and may no longer.
pub async fn campaign(
    api: Api<Lease>,
    name: String,
    identity: String,
    leading: watch::Sender<Option<Term>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), LostLease> {
    let mut election = Election::new(identity);
    let start = Instant::now();
    let mut renewed = start;
    loop {
        let sent = Instant::now();
        match round(&api, &name, &mut election, start.elapsed()).await {
            Ok(Some(term)) => {
                renewed = sent;
                leading.send_if_modified(|old| {
                    let new = *old != Some(term);
                    *old = Some(term);
                    new
                });
            }
            Ok(None) => {}
            Err(Trouble::Lost { holder }) => {
                leading.send_replace(None);
                return Err(LostLease::Taken {
                    lease: name,
                    holder,
                });
            }
            Err(Trouble::Request(last)) => {
                tracing::warn!(lease = %name, error = %last, "the Lease could not be read or written");
                if election.holding && renewed.elapsed() >= RENEW_DEADLINE {
                    leading.send_replace(None);
                    return Err(LostLease::NotRenewed { lease: name, last });
                }
            }
        }
        tokio::select! {
            () = sleep(RETRY_PERIOD) => {}
            // The guard that wait_for gives must not live on.
            () = async { let _ = stop.wait_for(|stop| *stop).await; } => {
                leading.send_replace(None);
                if election.holding {
                    step_down(&api, &name, &election.identity).await;
                }
                return Ok(());
            }
        }
    }
}

enum Trouble {
    Lost { holder: String },
    Request(String),
}

async fn round(
    api: &Api<Lease>,
    name: &str,
    election: &mut Election,
    now: Duration,
) -> Result<Option<Term>, Trouble> {
    let lease = request(api.get_opt(name)).await?;
    let step = election.decide(lease.as_ref().and_then(|lease| lease.spec.as_ref()), now);
    let transitions = match step {
        Move::Wait => return Ok(None),
        Move::Lost { holder } => return Err(Trouble::Lost { holder }),
        Move::Renew => None,
        Move::Acquire { transitions } => Some(transitions),
    };
    let written = match lease {
        None => {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(record(&election.identity, None, transitions)),
            };
            request(api.create(&PostParams::default(), &lease)).await?
        }
        Some(mut lease) => {
            lease.spec = Some(record(&election.identity, lease.spec.take(), transitions));
            // The resourceVersion that was read is in it: another writer makes this a conflict.
            request(api.replace(name, &PostParams::default(), &lease)).await?
        }
    };
    election.holding = true;
    let term = written
        .spec
        .and_then(|spec| spec.lease_transitions)
        .unwrap_or(0);
    Ok(Some(Term(u64::try_from(term).unwrap_or(0))))
}

fn record(identity: &str, old: Option<LeaseSpec>, transitions: Option<i32>) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    let old = old.unwrap_or_default();
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time: if transitions.is_some() {
            Some(now.clone())
        } else {
            old.acquire_time
        },
        renew_time: Some(now),
        lease_transitions: transitions.or(old.lease_transitions),
        ..LeaseSpec::default()
    }
}

async fn request<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
    match timeout(REQUEST_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Trouble::Request(error.to_string())),
        Err(_) => Err(Trouble::Request(format!(
            "no answer within {} s",
            REQUEST_TIMEOUT.as_secs()
        ))),
    }
}

/// Lets the next one in at once instead of after [`LEASE_DURATION`].
async fn step_down(api: &Api<Lease>, name: &str, identity: &str) {
    let Ok(Some(mut lease)) = request(api.get_opt(name)).await else {
        return;
    };
    if let Some(spec) = lease
        .spec
        .as_mut()
        .filter(|spec| spec.holder_identity.as_deref() == Some(identity))
    {
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        if let Err(Trouble::Request(error)) =
            request(api.replace(name, &PostParams::default(), &lease)).await
        {
            tracing::warn!(lease = %name, %error, "could not step down; the next leader waits for the Lease to run out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(4),
            ..LeaseSpec::default()
        }
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn the_first_one_takes_it() {
        assert_eq!(
            Election::new("a".into()).decide(None, seconds(0)),
            Move::Acquire { transitions: 1 }
        );
    }

    #[test]
    fn a_released_lease_is_taken_at_once_with_a_new_term() {
        let mut election = Election::new("a".into());
        assert_eq!(
            election.decide(Some(&lease("", 0)), seconds(0)),
            Move::Acquire { transitions: 5 }
        );
    }

    #[test]
    fn a_lease_that_changes_is_left_alone_whatever_its_clock_says() {
        let mut election = Election::new("a".into());
        // Its holder's clock is a century behind; it still changes.
        for (i, now) in (0..10).zip((0..).step_by(10)) {
            assert_eq!(
                election.decide(Some(&lease("b", -3_000_000_000 + i)), seconds(now)),
                Move::Wait
            );
        }
    }

    #[test]
    fn a_lease_that_does_not_change_runs_out_on_our_clock() {
        let mut election = Election::new("a".into());
        // Its clock is ahead of ours: no reason to wait longer.
        let stuck = lease("b", 9_000_000_000);
        assert_eq!(election.decide(Some(&stuck), seconds(100)), Move::Wait);
        assert_eq!(election.decide(Some(&stuck), seconds(114)), Move::Wait);
        assert_eq!(
            election.decide(Some(&stuck), seconds(115)),
            Move::Acquire { transitions: 5 }
        );
    }

    #[test]
    fn a_holder_renews_and_notices_that_it_lost() {
        let mut election = Election::new("a".into());
        election.holding = true;
        assert_eq!(
            election.decide(Some(&lease("a", 0)), seconds(0)),
            Move::Renew
        );
        assert_eq!(
            election.decide(Some(&lease("b", 1)), seconds(1)),
            Move::Lost { holder: "b".into() }
        );
    }
}

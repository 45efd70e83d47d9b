//! How a member ends (claims.md rules 14 and 16): not ready at once, its rooms move one by one, its proxied sockets are
//! closed, and when it is empty it leaves.

use std::{sync::Arc, time::Duration};

use plenum_cluster::{clock::boottime, member_api::MemberState};
use plenum_room::EndReason;
use plenum_types::RoomName;
use tokio::time::{sleep, timeout};

use crate::{cluster::Cluster, rooms::MoveError};

/// Between the moves of two rooms: their clients rejoin in 0.1 to 0.5 s, and the target shall not meet all at once.
const STAGGER: Duration = Duration::from_millis(200);
/// All rooms are moved within this share of the drain's time, however many there are.
const STAGGER_SHARE: u32 = 2;
/// A room that nobody took is offered again after this pause.
const OFFER_AGAIN: Duration = Duration::from_millis(250);
/// A balancer that asks once a second has noticed by then that this member takes no clients any more.
const BALANCERS_NOTICE: Duration = Duration::from_millis(1500);
/// How long rooms that nobody takes get to say goodbye.
const ROOMS_END: Duration = Duration::from_secs(10);
/// How often it is looked whether all have.
const END_POLL: Duration = Duration::from_millis(20);
/// The last messages to clients get this long to leave the sockets.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Waits for SIGTERM, SIGINT or the operator, and then ends this member; a second signal ends it without moving anything
/// more.
pub async fn when_told(cluster: Arc<Cluster>, deadline: Duration) {
    let mut signals = Signals::new();
    let why = tokio::select! {
        signal = signals.next() => signal,
        () = cluster.drain_requested() => "operator",
    };
    tracing::info!(
        why,
        rooms = cluster.rooms.count(),
        proxied_sockets = cluster.hops.count(),
        "draining"
    );
    cluster.member.set_state(MemberState::Draining);
    if !cluster.alone {
        cluster.rooms.config().agents.go_away();
        tokio::select! {
            drained = timeout(deadline, drain(&cluster, deadline)) => if drained.is_err() {
                tracing::warn!(seconds = deadline.as_secs(), rooms = cluster.rooms.count(), "the drain deadline has passed");
            },
            signal = signals.next() => tracing::warn!(signal, "told again, ending at once"),
        }
    }
    // Whoever is still here comes back by itself.
    cluster.rooms.end_all(EndReason::Shutdown);
    let empty = timeout(ROOMS_END, async {
        while cluster.rooms.count() > 0 {
            sleep(END_POLL).await;
        }
    });
    if empty.await.is_err() {
        tracing::warn!(rooms = cluster.rooms.count(), "rooms did not end in time");
    }
    cluster.leave().await;
    sleep(LAST_WORDS).await;
}

/// Until there are neither rooms nor proxied sockets.
async fn drain(cluster: &Arc<Cluster>, deadline: Duration) {
    let began = boottime();
    loop {
        let rooms = cluster.rooms.list();
        let count = u32::try_from(rooms.len()).unwrap_or(u32::MAX).max(1);
        let pause = STAGGER.min(deadline / STAGGER_SHARE / count);
        let mut refused = false;
        for room in rooms {
            let name: RoomName = room.info.name.as_str().into();
            match cluster.move_room(&name).await {
                Ok(()) => sleep(pause).await,
                Err(MoveError::NotHere | MoveError::Ending) => {}
                Err(error @ MoveError::NoTarget(_)) => {
                    tracing::warn!(room = %name, %error, "a room is not moved yet");
                    refused = true;
                }
            }
        }
        if cluster.rooms.count() == 0 {
            // Not before: a client whose socket is cut looks for another member, and finds this one while balancers
            // still send clients here.
            sleep(BALANCERS_NOTICE.saturating_sub(boottime().saturating_sub(began))).await;
            cluster.hops.release_all().await;
            if cluster.rooms.count() == 0 && cluster.hops.count() == 0 {
                return;
            }
        }
        if refused {
            sleep(OFFER_AGAIN).await;
        } else {
            sleep(END_POLL).await;
        }
    }
}

/// Requests of the system to end.
struct Signals(Option<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)>);

impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        match (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) {
            (Ok(terminate), Ok(interrupt)) => Self(Some((terminate, interrupt))),
            _ => {
                tracing::error!("signals can't be handled; end this process with SIGKILL");
                Self(None)
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        match &mut self.0 {
            Some((terminate, interrupt)) => tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            },
            None => std::future::pending().await,
        }
    }
}

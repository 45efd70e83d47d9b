//! What the pool tells this member, carried out.

use std::{sync::Arc, time::Duration};

use plenum_cluster::{
    RoomKey,
    directory::Taken,
    membership::{DirectoryHealth, Event},
};
use plenum_room::EndReason;
use plenum_types::RoomName;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::Cluster;
use crate::rooms::Held;

/// How often the load is told; with every heartbeat.
const LOAD_INTERVAL: Duration = Duration::from_millis(500);
/// How often the Directory's latency is measured.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Rooms that are let go of have this long to say goodbye before the member registers anew.
const LET_GO: Duration = Duration::from_secs(2);
/// How often it is looked whether they have.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A member whose thread has died serves nothing any more.
const EXIT_CODE: i32 = 70;

/// Carries out events until this member leaves. If they end before that, so does the process: without its membership
/// thread a member may not serve.
pub async fn follow(cluster: Arc<Cluster>, mut events: mpsc::Receiver<Event>) {
    let mut load = interval(LOAD_INTERVAL);
    load.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut probe = interval(PROBE_INTERVAL);
    probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => cluster.happened(event),
                None if cluster.is_leaving() => return,
                None => {
                    tracing::error!("the membership thread has ended; this process ends too");
                    std::process::exit(EXIT_CODE);
                }
            },
            _ = load.tick() => cluster.membership.set_load(cluster.load()),
            _ = probe.tick() => {
                let cluster = cluster.clone();
                tokio::spawn(async move { cluster.probe_directory().await });
            }
        }
    }
}

impl Cluster {
    fn happened(self: &Arc<Self>, event: Event) {
        let cluster = self.clone();
        match event {
            Event::RoomsTaken(rooms) => {
                tracing::info!(rooms = rooms.len(), "rooms came here");
                self.metrics.rooms_taken.inc_by(rooms.len() as u64);
                for room in rooms {
                    let cluster = cluster.clone();
                    tokio::spawn(async move { cluster.open_taken(room).await });
                }
            }
            Event::Fenced(_) => {
                self.metrics.fenced.inc();
                self.rooms.end_all(EndReason::Fenced);
                tokio::spawn(async move { cluster.rejoin().await });
            }
            Event::ClaimLost { room, to } => {
                tracing::warn!(room = %room.escaped(), home = %to.holder.node, "another member is the home of a room that was here");
                tokio::spawn(async move {
                    let name: RoomName = room.name().into();
                    cluster.rooms.let_go(&name).await;
                });
            }
            Event::MemberDead { dead, evidence } => {
                tracing::info!(member = %dead.node, incarnation = %dead.incarnation, ?evidence, "a member is gone");
            }
            Event::MembersChanged => {
                let view = self.membership.view();
                let members: Vec<String> = view
                    .members
                    .values()
                    .map(|member| {
                        format!(
                            "{} {:?} {:?}",
                            member.record.holder.node, member.record.state, member.health
                        )
                    })
                    .collect();
                tracing::info!(?members, "members");
            }
            Event::DirectoryUp => tracing::info!("the directory answers"),
            // The membership has logged why.
            Event::DirectoryDown => {}
            Event::HistoryLost => {
                tokio::spawn(async move { cluster.write_specs_again().await });
            }
        }
    }

    async fn open_taken(self: Arc<Self>, room: Taken) {
        let name: RoomName = room.room.name().into();
        let defaults = self.rooms.defaults().settings.clone();
        let settings = match &room.snapshot {
            Some(_) => defaults,
            None => self.settings_of(&room.room, defaults).await,
        };
        let held = Held {
            epoch: room.epoch,
            snapshot: room.snapshot,
        };
        if let Err(error) = self.rooms.create(&name, settings, held).await {
            tracing::warn!(room = %name, %error, "a room that came here did not open; its next join opens it");
        }
    }

    async fn rejoin(self: Arc<Self>) {
        let gone = timeout(LET_GO, async {
            while self.rooms.count() > 0 {
                sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        if gone.is_err() {
            tracing::warn!(rooms = self.rooms.count(), "rooms did not end in time");
        }
        self.membership.rejoin();
    }

    /// The Directory's latency as this member sees it, for `/health` and metrics.
    async fn probe_directory(self: Arc<Self>) {
        if self.membership.view().directory == DirectoryHealth::Down {
            return;
        }
        // Any name does: what is asked for need not be there.
        let Ok(room) = RoomKey::new("latency-probe") else {
            return;
        };
        let began = plenum_cluster::clock::boottime();
        if self.membership.directory().lookup(&room).await.is_ok() {
            let took = plenum_cluster::clock::boottime().saturating_sub(began);
            self.metrics.directory_latency.set(took.as_secs_f64());
        }
    }
}

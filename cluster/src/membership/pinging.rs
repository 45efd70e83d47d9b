//! Pings and probes: who is asked when, and what an answer or its absence means.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;

use super::PeerError;
use super::driver::{Driver, every};
use crate::clock::boottime;
use crate::detector::ProbeFailure;
use crate::directory::Holder;
use crate::member_api::{Ping, Pong, Silence};
use crate::{Incarnation, NodeId};

/// A regular ping and an urgent one may be on their way to a peer at once.
const PROBES_IN_FLIGHT: u8 = 2;
/// A probe over a connection that breaks is sent anew this often.
const RETRIES: u32 = 2;
/// For how long a sweep is mentioned in pings: several of them, in case one is lost.
const MENTION_SWEEP: Duration = Duration::from_secs(5);

impl Driver {
    pub(super) async fn pings(self: Rc<Self>) {
        let mut ticks = every(self.timing().ping);
        loop {
            ticks.tick().await;
            self.ping_all();
            let no_directory = self.core.borrow().directory_answers == Some(false);
            if no_directory {
                for address in self.shared.config.seeds.clone() {
                    spawn_local(Rc::clone(&self).ask_seed(address));
                }
            }
            self.judge();
            self.publish();
        }
    }

    pub(super) fn ping_all(self: &Rc<Self>) {
        let known: Vec<Incarnation> = self
            .core
            .borrow()
            .detector
            .known()
            .map(|holder| holder.incarnation)
            .collect();
        for incarnation in known {
            self.start_probe(incarnation);
        }
    }

    fn start_probe(self: &Rc<Self>, who: Incarnation) {
        let (holder, address) = {
            let mut core = self.core.borrow_mut();
            let Some(row) = core.rows.get(&who) else {
                return;
            };
            let target = (
                row.record.holder.clone(),
                row.record.internal_address.clone(),
            );
            let in_flight = core.probing.entry(who).or_insert(0);
            if *in_flight >= PROBES_IN_FLIGHT {
                return;
            }
            *in_flight += 1;
            target
        };
        let driver = Rc::clone(self);
        spawn_local(async move {
            driver.probe(&holder, &address).await;
            let mut core = driver.core.borrow_mut();
            if let Some(in_flight) = core.probing.get_mut(&who) {
                *in_flight -= 1;
                if *in_flight == 0 {
                    core.probing.remove(&who);
                }
            }
            drop(core);
            driver.judge();
            driver.publish();
        });
    }

    /// One ping; after a refusal or a broken connection another one, a pause later.
    async fn probe(self: &Rc<Self>, target: &Holder, address: &str) {
        let is_news = !self
            .core
            .borrow()
            .detector
            .is_refused(boottime(), target.incarnation);
        let (mut refusals, mut retries) = (0, RETRIES);
        let (sent, failure) = loop {
            let sent = boottime();
            let error = match self.send_ping(address).await {
                Ok(pong) => return self.ponged(target, sent, &pong),
                Err(error) => error,
            };
            match error {
                PeerError::Refused if refusals > 0 => break (sent, ProbeFailure::RefusedTwice),
                PeerError::Refused => refusals += 1,
                // Something else came between: the next refusal is a first one again.
                PeerError::Reset | PeerError::Unreachable if retries > 0 => {
                    (refusals, retries) = (0, retries - 1);
                }
                _ => break (sent, ProbeFailure::Unanswered),
            }
            tokio::time::sleep(self.timing().refusal_pause).await;
        };
        self.core
            .borrow_mut()
            .detector
            .probe_failed(sent, target.incarnation, failure);
        if is_news && failure == ProbeFailure::RefusedTwice {
            // The others look for themselves at once, and their testimonies decide.
            self.publish();
            self.ping_all();
        }
    }

    async fn send_ping(&self, address: &str) -> Result<Pong, PeerError> {
        let ping = self.own_ping();
        tokio::time::timeout(self.timing().ping_timeout, self.peers.ping(address, &ping))
            .await
            .unwrap_or(Err(PeerError::Timeout))
    }

    fn own_ping(&self) -> Ping {
        let now = boottime();
        let mut core = self.core.borrow_mut();
        core.swept
            .retain(|(at, _)| now.saturating_sub(*at) < MENTION_SWEEP);
        Ping {
            from: core.me.node.clone(),
            incarnation: core.me.incarnation,
            state: self.state(&core),
            silent: core.detector.silences(now),
            swept: core
                .swept
                .iter()
                .map(|(_, incarnation)| *incarnation)
                .collect(),
        }
    }

    /// Tells every peer of the own sweep, within one ping's time.
    pub(super) async fn say_goodbye(&self) {
        let addresses: Vec<String> = {
            let core = self.core.borrow();
            core.detector
                .known()
                .filter_map(|h| core.rows.get(&h.incarnation))
                .map(|r| r.record.internal_address.clone())
                .collect()
        };
        // Whoever does not hear it reads the tombstone with its next beat.
        futures_util::future::join_all(addresses.iter().map(|address| self.send_ping(address)))
            .await;
    }

    fn ponged(self: &Rc<Self>, target: &Holder, sent: Duration, pong: &Pong) {
        let now = boottime();
        let suspicious = {
            let mut core = self.core.borrow_mut();
            if pong.incarnation == target.incarnation {
                core.detector.heard(now, target.incarnation);
                core.detector
                    .testified(now, target.incarnation, &pong.silent);
                core.fence.peer_answered(target.incarnation, sent);
                true
            } else if pong.node == target.node {
                core.detector.replaced(target.incarnation);
                false
            } else {
                // The address belongs to another pod now.
                core.detector
                    .probe_failed(sent, target.incarnation, ProbeFailure::Unanswered);
                false
            }
        };
        if suspicious {
            self.look_at(&pong.silent);
        }
    }

    pub(super) fn pinged(self: &Rc<Self>, ping: &Ping) {
        let now = boottime();
        let (known, news) = {
            let mut core = self.core.borrow_mut();
            let known = core.detector.heard(now, ping.incarnation);
            core.detector.testified(now, ping.incarnation, &ping.silent);
            let news: Vec<Holder> = core
                .detector
                .known()
                .filter(|holder| ping.swept.contains(&holder.incarnation))
                .cloned()
                .collect();
            (known, news)
        };
        if !known {
            // A member that registered since the last reading: look before the next beat.
            self.beat_now.notify_one();
        }
        for holder in news {
            self.buried(&holder, None);
        }
        self.look_at(&ping.silent);
        self.judge();
        self.publish();
    }

    /// Probes whom a peer could not reach, unless that was done a moment ago.
    fn look_at(self: &Rc<Self>, silent: &[Silence]) {
        let now = boottime();
        for silence in silent.iter().filter(|silence| silence.probe_failed) {
            if !self
                .core
                .borrow()
                .detector
                .has_failed(now, silence.incarnation)
            {
                self.start_probe(silence.incarnation);
            }
        }
    }

    pub(super) fn suspected(self: &Rc<Self>, node: &NodeId) {
        let who = self
            .core
            .borrow()
            .detector
            .known()
            .find(|holder| holder.node == *node)
            .map(|h| h.incarnation);
        if let Some(incarnation) = who {
            self.start_probe(incarnation);
        }
    }

    async fn ask_seed(self: Rc<Self>, address: String) {
        let answer = self.send_ping(&address).await;
        let mut core = self.core.borrow_mut();
        let Ok(pong) = answer else {
            core.seeded
                .retain(|_, member| member.record.internal_address != address);
            return;
        };
        if pong.node == core.me.node || core.rows.contains_key(&pong.incarnation) {
            return;
        }
        let holder = Holder {
            node: pong.node.clone(),
            incarnation: pong.incarnation,
        };
        let mut member = self.shared.itself(&holder, pong.state, 0);
        member.record.internal_address = address;
        core.seeded.insert(pong.node, member);
    }
}

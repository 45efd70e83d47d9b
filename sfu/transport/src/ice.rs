//! The ICE-lite side of RFC 8445: answers connectivity checks, knows the paths to the client and which one to send on.
//!
//! A lite agent sends no checks of its own, so it never needs the client's credentials: who knows our password is the
//! client. Consent to send (RFC 7675) is the client's checks themselves.

use plenum_types::{IceCredentials, Path, Timestamp};
use smallvec::SmallVec;
use std::{collections::VecDeque, time::Duration};

use crate::{
    StunOutcome, TransportEvent,
    stun::{self, BindingRequest, IntegrityKey, Refusal, TransactionId},
};

/// Most validated paths of a Transport. A laptop with cable, Wi-Fi, VPN and both IP versions has eight pairs to one of our
/// addresses; when all are taken, the one silent for longest makes room.
const MAX_PATHS: usize = 8;
/// A path silent for this long is forgotten. libwebrtc checks its backup paths every 25 s.
const PATH_LIFETIME: Duration = Duration::from_secs(40);
/// Without a valid check for this long the Transport is disconnected: browsers check every 2.5 to 5 s, and repeat lost
/// checks within that time.
const DISCONNECTED_AFTER: Duration = Duration::from_secs(7);
/// Without a valid check for this long the Transport has failed.
const FAILED_AFTER: Duration = Duration::from_secs(15);
/// Time for the first check once the client's description is known: a client behind a bad network tries for half a minute.
const FIRST_CHECK_WITHIN: Duration = Duration::from_secs(30);
/// Recent checks that are remembered, so that a captured one can't be replayed from another address to steal the media:
/// more than a minute of checks on one path.
const REMEMBERED_CHECKS: usize = 32;

/// Credentials with the key made from the password.
struct Generation {
    ufrag: String,
    key: IntegrityKey,
}

impl Generation {
    fn new(credentials: IceCredentials) -> Self {
        Self {
            key: IntegrityKey::new(&credentials.pwd),
            ufrag: credentials.ufrag,
        }
    }
}

struct KnownPath {
    path: Path,
    last_check: Timestamp,
    nominated: bool,
}

/// Whether checks arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Checks arrive, or need not arrive yet.
    Live,
    /// None for some seconds.
    Silent,
    /// None for too long.
    Dead,
}

/// The responder.
pub(crate) struct IceLite {
    current: Generation,
    /// Valid until a check with the current credentials nominates a path.
    previous: Option<Generation>,
    /// In the order of their validation.
    paths: SmallVec<[KnownPath; 2]>,
    /// Where we send.
    selected: Option<Path>,
    recent: VecDeque<(TransactionId, Path)>,
    /// When silence began: last valid check, restart, or the moment the client's description was known.
    quiet_since: Option<Timestamp>,
    checked: bool,
    silent: bool,
}

impl IceLite {
    pub(crate) fn new(local: IceCredentials) -> Self {
        Self {
            current: Generation::new(local),
            previous: None,
            paths: SmallVec::new(),
            selected: None,
            recent: VecDeque::new(),
            quiet_since: None,
            checked: false,
            silent: false,
        }
    }

    /// The client can begin to check from now on.
    pub(crate) fn expect_checks(&mut self, now: Timestamp) {
        self.quiet_since = self.quiet_since.max(Some(now));
    }

    /// New credentials; the old ones stay valid until a check with the new ones nominates a path.
    pub(crate) fn restart(
        &mut self,
        local: IceCredentials,
        now: Timestamp,
        events: &mut VecDeque<TransportEvent>,
    ) {
        if local.ufrag == self.current.ufrag {
            return;
        }
        let replaced = std::mem::replace(&mut self.current, Generation::new(local));
        // The generation that has paths is worth keeping; one that never nominated any is not.
        let retired = match &self.previous {
            Some(_) => replaced,
            None => {
                self.previous = Some(replaced);
                self.expect_checks(now);
                return;
            }
        };
        events.push_back(TransportEvent::UfragRetired(retired.ufrag));
        self.expect_checks(now);
    }

    /// Where to send.
    pub(crate) const fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// True if a valid check came from there.
    pub(crate) fn is_validated(&self, path: Path) -> bool {
        self.paths.iter().any(|known| known.path == path)
    }

    /// True if a valid check came from there at `since` or later.
    pub(crate) fn was_checked(&self, path: Path, since: Timestamp) -> bool {
        self.paths
            .iter()
            .any(|known| known.path == path && known.last_check >= since)
    }

    /// Answers a datagram; `answer` gets what goes back to `path`.
    pub(crate) fn handle(
        &mut self,
        path: Path,
        datagram: &[u8],
        now: Timestamp,
        events: &mut VecDeque<TransportEvent>,
    ) -> (StunOutcome, Option<Vec<u8>>) {
        let Some(request) = BindingRequest::parse(datagram) else {
            return (StunOutcome::Ignored, None);
        };
        let is_current = match request.receiver_ufrag {
            Some(ufrag) if ufrag == self.current.ufrag => true,
            Some(ufrag) if self.previous.as_ref().is_some_and(|g| g.ufrag == ufrag) => false,
            // For someone else: a stranger learns nothing.
            _ => return (StunOutcome::Ignored, None),
        };
        let key = match &self.previous {
            Some(previous) if !is_current => &previous.key,
            _ => &self.current.key,
        };
        if !request.has_integrity() {
            return refuse(&request, Refusal::BadRequest, None);
        }
        if !request.verify(key) {
            return refuse(&request, Refusal::Unauthenticated, None);
        }
        if !request.unknown.is_empty() {
            return refuse(&request, Refusal::UnknownAttribute, Some(key));
        }
        if !request.has_priority {
            return refuse(&request, Refusal::BadRequest, Some(key));
        }
        if request.controlled {
            return refuse(&request, Refusal::RoleConflict, Some(key));
        }
        match self
            .recent
            .iter()
            .find(|(id, _)| *id == request.transaction)
        {
            // Captured on the way and sent from elsewhere.
            Some((_, first)) if *first != path => return (StunOutcome::Ignored, None),
            Some(_) => {}
            None => {
                if self.recent.len() == REMEMBERED_CHECKS {
                    self.recent.pop_front();
                }
                self.recent.push_back((request.transaction, path));
            }
        }
        let answer = stun::success(request.transaction, path.remote(), key);
        let outcome = self.accept(path, request.use_candidate, is_current, now, events);
        (outcome, Some(answer))
    }

    fn accept(
        &mut self,
        path: Path,
        nominates: bool,
        is_current: bool,
        now: Timestamp,
        events: &mut VecDeque<TransportEvent>,
    ) -> StunOutcome {
        self.quiet_since = self.quiet_since.max(Some(now));
        self.checked = true;
        self.silent = false;
        let outcome = match self.paths.iter_mut().find(|known| known.path == path) {
            Some(known) => {
                known.last_check = now;
                StunOutcome::Valid
            }
            None => {
                if self.paths.len() >= MAX_PATHS {
                    self.forget_stalest(events);
                }
                self.paths.push(KnownPath {
                    path,
                    last_check: now,
                    nominated: false,
                });
                events.push_back(TransportEvent::PathAdded(path));
                StunOutcome::NewPath
            }
        };
        if nominates && (is_current || self.previous.is_none()) {
            if let Some(previous) = self.previous.take() {
                events.push_back(TransportEvent::UfragRetired(previous.ufrag));
            }
            for known in &mut self.paths {
                known.nominated = known.path == path;
            }
        } else if nominates && !self.paths.iter().any(|known| known.nominated) {
            // Nominated with the old credentials while a restart is on its way.
            if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
                known.nominated = true;
            }
        }
        self.select(events);
        outcome
    }

    /// The nominated path, else the newest.
    fn select(&mut self, events: &mut VecDeque<TransportEvent>) {
        let best = self
            .paths
            .iter()
            .find(|known| known.nominated)
            .or(self.paths.last())
            .map(|known| known.path);
        if best != self.selected {
            self.selected = best;
            if let Some(path) = best {
                events.push_back(TransportEvent::PathChanged(path));
            }
        }
    }

    /// A path has ended (its connection is closed): what is sent goes elsewhere, or waits for a check.
    pub(crate) fn lose_path(&mut self, path: Path, events: &mut VecDeque<TransportEvent>) {
        if let Some(index) = self.paths.iter().position(|known| known.path == path) {
            events.push_back(TransportEvent::PathRemoved(self.paths.remove(index).path));
            self.select(events);
        }
    }

    fn forget_stalest(&mut self, events: &mut VecDeque<TransportEvent>) {
        let stalest = self
            .paths
            .iter()
            .enumerate()
            .filter(|(_, known)| Some(known.path) != self.selected)
            .min_by_key(|(_, known)| known.last_check)
            .map(|(index, _)| index);
        if let Some(index) = stalest {
            events.push_back(TransportEvent::PathRemoved(self.paths.remove(index).path));
        }
    }

    /// Forgets paths that are silent and says whether the client is there.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Timestamp,
        events: &mut VecDeque<TransportEvent>,
    ) -> Liveness {
        // The last path stays: without it there would be nowhere to send before a new check anyway, and Dead comes first.
        let mut index = 0;
        while let Some(known) = self.paths.get(index) {
            if self.paths.len() > 1 && now - known.last_check >= PATH_LIFETIME {
                events.push_back(TransportEvent::PathRemoved(self.paths.remove(index).path));
            } else {
                index += 1;
            }
        }
        self.select(events);
        let Some(quiet_since) = self.quiet_since else {
            return Liveness::Live;
        };
        let quiet = now - quiet_since;
        self.silent = self.checked && quiet >= DISCONNECTED_AFTER;
        if quiet >= self.dead_after() {
            Liveness::Dead
        } else if self.silent {
            Liveness::Silent
        } else {
            Liveness::Live
        }
    }

    /// When the liveness changes next if no check comes.
    pub(crate) fn next_timeout(&self) -> Option<Timestamp> {
        let quiet_since = self.quiet_since?;
        let liveness = if self.checked && !self.silent {
            quiet_since + DISCONNECTED_AFTER
        } else {
            quiet_since + self.dead_after()
        };
        let path = (self.paths.len() > 1)
            .then(|| {
                self.paths
                    .iter()
                    .map(|known| known.last_check + PATH_LIFETIME)
                    .min()
            })
            .flatten();
        Some(path.map_or(liveness, |path| path.min(liveness)))
    }

    const fn dead_after(&self) -> Duration {
        if self.checked {
            FAILED_AFTER
        } else {
            FIRST_CHECK_WITHIN
        }
    }
}

fn refuse(
    request: &BindingRequest<'_>,
    refusal: Refusal,
    key: Option<&IntegrityKey>,
) -> (StunOutcome, Option<Vec<u8>>) {
    (
        StunOutcome::Refused,
        Some(stun::error(request, refusal, key)),
    )
}

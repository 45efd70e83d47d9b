//! Permissions: what a publisher allows to subscribers, and what the server API changes at run time.

use std::collections::{BTreeMap, BTreeSet};

use livekit_protocol::{self as proto, request_response::Reason};
use plenum_types::{ParticipantId, ParticipantIdentity, ParticipantSid, TrackSid};

use crate::{Permissions, Room};

/// Subscribers that one publisher may name: more than can be in a room that one member serves.
const MAX_NAMED_SUBSCRIBERS: usize = 2000;
/// Pairs of subscriber and track that one publisher may name: five tracks for each of them.
const MAX_NAMED_PAIRS: usize = 10_000;

/// Who may subscribe to a participant's tracks.
#[derive(Debug, Default)]
pub(crate) enum SubscriptionPolicy {
    /// Until it says otherwise.
    #[default]
    Everyone,
    /// Those named.
    Only(Allowances),
}

/// What subscribers may have: by identity, or by sid where no identity was given.
#[derive(Debug, Default)]
pub(crate) struct Allowances {
    by_identity: BTreeMap<ParticipantIdentity, AllowedTracks>,
    by_sid: BTreeMap<ParticipantSid, AllowedTracks>,
}

#[derive(Debug)]
enum AllowedTracks {
    All,
    Only(BTreeSet<TrackSid>),
}

impl AllowedTracks {
    fn allow(&self, track: &TrackSid) -> bool {
        match self {
            Self::All => true,
            Self::Only(tracks) => tracks.contains(track),
        }
    }

    /// The same subscriber may be named more than once.
    fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Only(tracks), Self::Only(more)) => tracks.extend(more),
            _ => *self = Self::All,
        }
    }
}

impl SubscriptionPolicy {
    pub(crate) fn allows(
        &self,
        identity: &ParticipantIdentity,
        sid: &ParticipantSid,
        track: &TrackSid,
    ) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(allowances) => {
                let by_identity = allowances.by_identity.get(identity);
                let by_sid = allowances.by_sid.get(sid);
                [by_identity, by_sid]
                    .into_iter()
                    .flatten()
                    .any(|allowed| allowed.allow(track))
            }
        }
    }

    /// What a publisher says; `None` if it names too many.
    fn parse(request: &proto::SubscriptionPermission) -> Option<Self> {
        if request.all_participants {
            return Some(Self::Everyone);
        }
        let named: usize = request
            .track_permissions
            .iter()
            .map(|permission| permission.track_sids.len())
            .sum();
        if request.track_permissions.len() > MAX_NAMED_SUBSCRIBERS || named > MAX_NAMED_PAIRS {
            return None;
        }
        let mut allowances = Allowances::default();
        for permission in &request.track_permissions {
            let allowed = if permission.all_tracks {
                AllowedTracks::All
            } else {
                AllowedTracks::Only(
                    permission
                        .track_sids
                        .iter()
                        .map(|sid| sid.as_str().into())
                        .collect(),
                )
            };
            let none = AllowedTracks::Only(BTreeSet::new());
            if permission.participant_identity.is_empty() {
                let sid = permission.participant_sid.as_str().into();
                allowances.by_sid.entry(sid).or_insert(none).add(allowed);
            } else {
                let identity = permission.participant_identity.as_str().into();
                allowances
                    .by_identity
                    .entry(identity)
                    .or_insert(none)
                    .add(allowed);
            }
        }
        Some(Self::Only(allowances))
    }
}

impl Room {
    /// A publisher says who may have its tracks.
    pub(crate) fn subscription_permission(
        &mut self,
        id: ParticipantId,
        request: &proto::SubscriptionPermission,
    ) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let Some(policy) = SubscriptionPolicy::parse(request) else {
            return self.refuse_request(
                id,
                0,
                Reason::LimitExceeded,
                &format!(
                    "at most {MAX_NAMED_SUBSCRIBERS} subscribers and {MAX_NAMED_PAIRS} of their tracks may be named"
                ),
                None,
            );
        };
        participant.policy = policy;
        let tracks: Vec<_> = participant.tracks.values().copied().collect();
        for track in tracks {
            self.reconcile_track(track);
        }
        self.reconcile_data_of_publisher(id);
    }

    /// Replaces what a participant may do. The caller tells everyone and renews its token.
    pub(crate) fn set_permissions(&mut self, id: ParticipantId, permissions: &Permissions) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant.grants.permissions == *permissions {
            return;
        }
        let before = std::mem::replace(&mut participant.grants.permissions, permissions.clone());
        participant.overrides.permissions = Some(permissions.clone());
        let tracks: Vec<_> = participant.tracks.values().copied().collect();
        self.snapshot_dirty = true;
        self.data_dirty = true;
        if permissions.hidden && !before.hidden {
            self.participant_vanished(id);
        }
        self.revoke_tracks(id);
        self.revoke_data_tracks(id);
        if permissions.hidden != before.hidden {
            for track in tracks {
                self.reconcile_track(track);
            }
            self.reconcile_data_of_publisher(id);
            self.room_counts_changed();
        }
        if permissions.can_subscribe != before.can_subscribe {
            self.reconcile_subscriber(id);
            self.reconcile_data_of_subscriber(id);
        }
        if permissions.recorder != before.recorder {
            self.send_room_update();
        }
    }
}

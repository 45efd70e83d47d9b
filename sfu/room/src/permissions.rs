//! Permissions: what a publisher allows to subscribers, and what the server API changes at run time.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use plenum_types::{ParticipantId, ParticipantIdentity, ParticipantSid, TrackSid};

use crate::{Permissions, Room};

/// Who may subscribe to a participant's tracks.
#[derive(Debug, Default)]
pub(crate) enum SubscriptionPolicy {
    /// Until it says otherwise.
    #[default]
    Everyone,
    /// Those named, by identity or sid.
    Only(Vec<Allowance>),
}

/// What one subscriber may have.
#[derive(Debug)]
pub(crate) struct Allowance {
    identity: String,
    sid: String,
    tracks: AllowedTracks,
}

#[derive(Debug)]
enum AllowedTracks {
    All,
    Only(BTreeSet<TrackSid>),
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
            Self::Only(allowances) => allowances.iter().any(|allowance| {
                let named = if allowance.identity.is_empty() {
                    allowance.sid == sid.as_str()
                } else {
                    allowance.identity == identity.as_str()
                };
                named
                    && match &allowance.tracks {
                        AllowedTracks::All => true,
                        AllowedTracks::Only(tracks) => tracks.contains(track),
                    }
            }),
        }
    }
}

impl From<&proto::SubscriptionPermission> for SubscriptionPolicy {
    fn from(request: &proto::SubscriptionPermission) -> Self {
        if request.all_participants {
            return Self::Everyone;
        }
        Self::Only(
            request
                .track_permissions
                .iter()
                .map(|permission| Allowance {
                    identity: permission.participant_identity.clone(),
                    sid: permission.participant_sid.clone(),
                    tracks: if permission.all_tracks {
                        AllowedTracks::All
                    } else {
                        AllowedTracks::Only(
                            permission
                                .track_sids
                                .iter()
                                .map(|sid| sid.as_str().into())
                                .collect(),
                        )
                    },
                })
                .collect(),
        )
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
        participant.policy = request.into();
        let tracks: Vec<_> = participant.tracks.values().copied().collect();
        for track in tracks {
            self.reconcile_track(track);
        }
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
        if permissions.hidden != before.hidden {
            for track in tracks {
                self.reconcile_track(track);
            }
            self.room_counts_changed();
        }
        if permissions.can_subscribe != before.can_subscribe {
            self.reconcile_subscriber(id);
        }
        if permissions.recorder != before.recorder {
            self.send_room_update();
        }
    }
}

//! Which announced track a media section belongs to (protocol.md 5.2): requests come by message, sections by description,
//! in either order.

use std::time::Duration;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_negotiation::Receiver;
use plenum_types::{MediaKind, Mid, ParticipantId, ShardCommand, Timestamp, TrackId, TrackSid};

use crate::{Place, Room, timers::TimerKind, track_info};

/// How long a section whose track id is in no request waits for that request (clients send both at once) before it goes to
/// the oldest request of its kind.
const MATCH_BY_KIND_AFTER: Duration = Duration::from_millis(300);

/// A request that waits for its section. Its `TrackInfo` has been announced to the client.
#[derive(Debug)]
pub(crate) struct PendingTrack {
    pub(crate) cids: Vec<String>,
    pub(crate) kind: MediaKind,
    pub(crate) info: proto::TrackInfo,
    /// It is the second codec of this track.
    pub(crate) backup_of: Option<TrackId>,
    pub(crate) since: Timestamp,
    /// Its place on the member; a second codec takes none.
    pub(crate) place: Option<Place>,
}

impl PendingTrack {
    /// A request for a track.
    pub(crate) fn new(
        request: &proto::AddTrackRequest,
        kind: MediaKind,
        info: proto::TrackInfo,
        since: Timestamp,
        place: Place,
    ) -> Self {
        Self {
            cids: cids(request),
            kind,
            info,
            backup_of: None,
            since,
            place: Some(place),
        }
    }

    /// A request for the second codec of a track. Its sid stays the track's alone, which messages about the track mean.
    pub(crate) fn for_backup(
        request: &proto::AddTrackRequest,
        track: TrackId,
        since: Timestamp,
    ) -> Self {
        let version = proto::TimedVersion::default();
        let none = TrackSid::from("");
        Self {
            cids: cids(request),
            kind: MediaKind::Video,
            info: track_info::from_request(request, MediaKind::Video, &none, version),
            backup_of: Some(track),
            since,
            place: None,
        }
    }
}

/// A section that waits for its request.
#[derive(Debug)]
pub(crate) struct UnmatchedReceiver {
    receiver: Receiver,
    since: Timestamp,
}

impl Room {
    /// A request is granted: the client is told so, and the request waits for its section.
    pub(crate) fn announce(
        &mut self,
        id: ParticipantId,
        cid: String,
        pending: PendingTrack,
        told: proto::TrackInfo,
    ) {
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.pending.push(pending);
        }
        self.send(
            id,
            Message::TrackPublished(proto::TrackPublishedResponse {
                cid,
                track: Some(told),
            }),
        );
    }

    /// The client's description has new sections on which it sends.
    pub(crate) fn sections_added(&mut self, id: ParticipantId, receivers: Vec<Receiver>) {
        let now = self.now;
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        participant
            .unmatched
            .extend(receivers.into_iter().map(|receiver| UnmatchedReceiver {
                receiver,
                since: now,
            }));
        self.republish(id);
        self.match_by_cid(id);
    }

    /// Sections whose parameters changed.
    pub(crate) fn sections_changed(&mut self, id: ParticipantId, receivers: Vec<Receiver>) {
        for receiver in receivers {
            if self.backup_changed(id, &receiver) {
                continue;
            }
            let Some(participant) = self.participants.get_mut(&id) else {
                return;
            };
            let shard = participant.shard;
            if let Some(&track) = participant.tracks.get(&receiver.params.mid) {
                let params = receiver.params.clone();
                if let Some(published) = self.tracks.get_mut(&track) {
                    published.receiver = receiver;
                }
                self.command(
                    shard,
                    ShardCommand::UpdateTrack {
                        track,
                        receiver: params,
                    },
                );
            } else if let Some(unmatched) = participant
                .unmatched
                .iter_mut()
                .find(|unmatched| unmatched.receiver.params.mid == receiver.params.mid)
            {
                unmatched.receiver = receiver;
            }
        }
    }

    /// Sections on which the client no longer sends: their tracks are unpublished.
    pub(crate) fn sections_removed(&mut self, id: ParticipantId, mids: &[Mid]) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        participant
            .unmatched
            .retain(|unmatched| !mids.contains(&unmatched.receiver.params.mid));
        let tracks: Vec<_> = mids
            .iter()
            .filter_map(|mid| participant.tracks.get(mid).copied())
            .collect();
        let backups: Vec<_> = mids
            .iter()
            .filter_map(|mid| participant.backups.get(mid).copied())
            .collect();
        for track in backups {
            self.drop_backup(track);
        }
        self.unpublish(id, &tracks);
    }

    /// A client that stops and starts a track between two offers leaves its section as it is: the old track ends and the
    /// section waits for the new request.
    fn republish(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let replaced: Vec<_> = participant
            .tracks
            .values()
            .copied()
            .filter(|track| {
                self.tracks.get(track).is_some_and(|published| {
                    participant
                        .pending
                        .iter()
                        .any(|pending| pending.cids.first() == published.cids.first())
                })
            })
            .collect();
        let now = self.now;
        for track in &replaced {
            if let Some(receiver) = self.tracks.get(track).map(|t| t.receiver.clone())
                && let Some(participant) = self.participants.get_mut(&id)
            {
                participant.unmatched.push(UnmatchedReceiver {
                    receiver,
                    since: now,
                });
            }
        }
        self.unpublish(id, &replaced);
    }

    /// Rules 1 and 2 of protocol.md 5.2; what they leave waits for rule 3.
    pub(crate) fn match_by_cid(&mut self, id: ParticipantId) {
        self.publish_pairs(id, same_cid);
        self.schedule_match_by_kind(id);
    }

    fn schedule_match_by_kind(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let candidate = participant.unmatched.iter().find(|unmatched| {
            participant
                .pending
                .iter()
                .any(|pending| same_kind(pending, &unmatched.receiver))
        });
        let Some(candidate) = candidate else {
            self.timers.clear(TimerKind::Match(id));
            return;
        };
        // Firefox writes track ids of its own, and a section may have none: nothing better will come.
        let hopeless = candidate.receiver.cid.is_none()
            || participant.client.browser.eq_ignore_ascii_case("firefox");
        if hopeless {
            self.match_by_kind(id);
        } else {
            let at = candidate.since + MATCH_BY_KIND_AFTER;
            self.timers.set(TimerKind::Match(id), at);
        }
    }

    /// Rule 3: the oldest request of the same kind.
    pub(crate) fn match_by_kind(&mut self, id: ParticipantId) {
        self.timers.clear(TimerKind::Match(id));
        self.publish_pairs(id, same_kind);
    }

    /// Publishes each section that waits for its request with the oldest request that `belongs` to it.
    fn publish_pairs(
        &mut self,
        id: ParticipantId,
        belongs: impl Fn(&PendingTrack, &Receiver) -> bool,
    ) {
        loop {
            let Some(participant) = self.participants.get_mut(&id) else {
                return;
            };
            let found = participant
                .unmatched
                .iter()
                .enumerate()
                .find_map(|(index, unmatched)| {
                    let pending = participant
                        .pending
                        .iter()
                        .position(|pending| belongs(pending, &unmatched.receiver))?;
                    Some((index, pending))
                });
            let Some((unmatched, pending)) = found else {
                return;
            };
            let receiver = participant.unmatched.remove(unmatched).receiver;
            let pending = participant.pending.remove(pending);
            self.publish(id, pending, receiver);
        }
    }
}

fn same_kind(pending: &PendingTrack, receiver: &Receiver) -> bool {
    pending.kind == receiver.params.kind
}

fn same_cid(pending: &PendingTrack, receiver: &Receiver) -> bool {
    let named = receiver
        .cid
        .as_ref()
        .is_some_and(|cid| pending.cids.contains(cid));
    named && same_kind(pending, receiver)
}

/// What the track of a request may be called in a description.
fn cids(request: &proto::AddTrackRequest) -> Vec<String> {
    let mut cids = vec![request.cid.clone()];
    cids.extend(
        request
            .simulcast_codecs
            .iter()
            .map(|codec| codec.cid.clone())
            .filter(|cid| !cid.is_empty() && *cid != request.cid),
    );
    cids
}

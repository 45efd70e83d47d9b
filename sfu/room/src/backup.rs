//! A track's second codec (protocol.md 5.1): published when somebody can't decode the first, each subscriber gets the one
//! that it can.

use livekit_protocol::{self as proto, request_response::Reason, request_response::Request};
use plenum_negotiation::Receiver;
use plenum_types::{
    Codec, MediaKind, Mid, ParticipantId, SenderParams, ShardCommand, SubscriptionId, TrackId,
};

use crate::{
    Room, matching::PendingTrack, publish::Track, subscribe::SubscriptionState, track_info,
};

/// A track in its second codec: a section of its own, and for the Shard a track of its own.
#[derive(Debug)]
pub(crate) struct Backup {
    /// On the Shard.
    pub(crate) id: TrackId,
    pub(crate) codec: Codec,
    mid: Mid,
    /// All who can decode it get it, also those who can decode the first one.
    pub(crate) replaces_first: bool,
}

impl Track {
    /// The second codec that its publisher can send it in.
    pub(crate) fn backup_codec(&self) -> Option<Codec> {
        self.info
            .codecs
            .get(1)
            .and_then(|codec| Codec::named(&codec.mime_type))
            .filter(|codec| codec.kind() == self.kind && codec.name() != self.codec.name())
    }

    /// The Shard's track with what a subscriber gets in this codec; `None` while it isn't published.
    fn source(&self, own: TrackId, codec: Codec) -> Option<TrackId> {
        if self.kind == MediaKind::Audio || codec == self.codec {
            return Some(own);
        }
        self.backup
            .as_ref()
            .filter(|backup| backup.codec == codec)
            .map(|backup| backup.id)
    }

    /// The Shard's tracks for it.
    pub(crate) fn sources(&self, own: TrackId) -> impl Iterator<Item = TrackId> + use<> {
        [Some(own), self.backup.as_ref().map(|backup| backup.id)]
            .into_iter()
            .flatten()
    }
}

impl Room {
    /// The client announces the second codec of a track.
    pub(crate) fn add_backup(&mut self, id: ParticipantId, request: proto::AddTrackRequest) {
        let asked = request
            .simulcast_codecs
            .first()
            .and_then(|codec| Codec::named(&codec.codec));
        let found = self
            .track_by_sid
            .get(request.sid.as_str())
            .and_then(|track| Some((*track, self.tracks.get(track)?)))
            .filter(|(_, published)| published.publisher == id);
        let Some((track, published)) = found else {
            let text = "no such track";
            return self.refuse_request(
                id,
                0,
                Reason::NotFound,
                text,
                Some(Request::AddTrack(request)),
            );
        };
        if asked.is_none() || published.backup.is_some() || published.backup_codec() != asked {
            let text = "this codec was not announced for the track, or is published already";
            return self.refuse_request(
                id,
                0,
                Reason::InvalidRequest,
                text,
                Some(Request::AddTrack(request)),
            );
        }
        let told = published.info.clone();
        let pending = PendingTrack::for_backup(&request, track, self.now);
        self.announce(id, request.cid, pending, told);
        self.match_by_cid(id);
    }

    /// Request and section of a second codec are there.
    pub(crate) fn attach_backup(
        &mut self,
        id: ParticipantId,
        track: TrackId,
        request: &proto::TrackInfo,
        receiver: Receiver,
    ) {
        let source = TrackId(self.allocate_id());
        let Some(published) = self.tracks.get_mut(&track) else {
            return;
        };
        let Some(codec) = published
            .backup_codec()
            .filter(|codec| receiver.params.codecs.iter().any(|own| own.codec == *codec))
        else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let shard = participant.shard;
        let Some(leg) = participant.peer.answerer() else {
            return;
        };
        let transport = leg.transport;
        let mid = receiver.params.mid.clone();
        leg.negotiation.prefer_codec(&mid, codec);
        participant.backups.insert(mid.clone(), track);
        track_info::complete_backup(&mut published.info, request, &receiver);
        published.backup = Some(Backup {
            id: source,
            codec,
            mid,
            replaces_first: false,
        });
        let muted = published.info.muted;
        self.command(
            shard,
            ShardCommand::AddTrack {
                track: source,
                transport,
                participant: id,
                receiver: receiver.params,
            },
        );
        if muted {
            self.command(
                shard,
                ShardCommand::SetTrackMuted {
                    track: source,
                    muted,
                },
            );
        }
        self.participant_changed(id);
        let waiting: Vec<_> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| {
                subscription.track == track && subscription.state == SubscriptionState::Waiting
            })
            .filter_map(|(id, subscription)| Some((*id, subscription.sender.clone()?)))
            .collect();
        for (subscription, sender) in waiting {
            self.start(subscription, sender);
        }
    }

    /// The section of a second codec was negotiated anew. `false` if this is another section.
    pub(crate) fn backup_changed(&mut self, id: ParticipantId, receiver: &Receiver) -> bool {
        let Some(participant) = self.participants.get(&id) else {
            return false;
        };
        let (shard, mid) = (participant.shard, &receiver.params.mid);
        let Some(source) = participant
            .backups
            .get(mid)
            .and_then(|track| self.tracks.get(track)?.backup.as_ref())
            .map(|backup| backup.id)
        else {
            return false;
        };
        self.command(
            shard,
            ShardCommand::UpdateTrack {
                track: source,
                receiver: receiver.params.clone(),
            },
        );
        true
    }

    /// A track is no longer sent in its second codec; who gets it so waits.
    pub(crate) fn drop_backup(&mut self, track: TrackId) {
        let Some(published) = self.tracks.get_mut(&track) else {
            return;
        };
        let publisher = published.publisher;
        let Some(backup) = published.backup.take() else {
            return;
        };
        for subscription in self.subscriptions.values_mut() {
            let is_of_it = subscription.track == track
                && subscription
                    .sender
                    .as_ref()
                    .is_some_and(|sender| sender.codec == backup.codec);
            if is_of_it {
                // The Shard ends it with its track.
                subscription.state = SubscriptionState::Waiting;
            }
        }
        if let Some(participant) = self.participants.get_mut(&publisher) {
            participant.backups.remove(&backup.mid);
            let shard = participant.shard;
            self.command(shard, ShardCommand::RemoveTrack { track: backup.id });
        }
        self.choose_codecs_anew(track);
    }

    /// Where a subscription's packets come from in this codec.
    pub(crate) fn source_of(&self, track: TrackId, codec: Codec) -> Option<TrackId> {
        self.tracks.get(&track)?.source(track, codec)
    }

    /// A subscription's section was negotiated anew, perhaps with another codec.
    pub(crate) fn update_sending(&mut self, id: SubscriptionId, sender: SenderParams) {
        let Some(subscription) = self.subscriptions.get(&id) else {
            return;
        };
        let (shard, track) = (subscription.shard, subscription.track);
        let before = subscription.sender.as_ref().map(|sender| sender.codec);
        let is_sending = subscription.state == SubscriptionState::Sending;
        let stays = is_sending
            && before.and_then(|codec| self.source_of(track, codec))
                == self.source_of(track, sender.codec);
        if !stays {
            if is_sending {
                self.command(shard, ShardCommand::RemoveSubscription { subscription: id });
            }
            return self.start(id, sender);
        }
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.sender = Some(sender.clone());
        }
        self.command(
            shard,
            ShardCommand::UpdateSubscription {
                subscription: id,
                sender,
            },
        );
    }
}

//! Publishing: a request and its section make a track.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use livekit_protocol::{
    self as proto, request_response::Reason, request_response::Request, signal_response::Message,
};
use plenum_negotiation::{AudioPolicy, Receiver};
use plenum_types::{
    Codec, MediaKind, ParticipantId, ShardCommand, SubscriptionId, TrackId, TrackSid,
};
use prost::Message as _;

use crate::{
    Place, Room, RoomOutput, backup::Backup, dynacast::Dynacast, matching::PendingTrack, sids,
    timers::TimerKind, track_info,
};

/// Bytes of one AddTrackRequest: three layers, names and ids take a few hundred. Fifty tracks of this size go into each
/// update of their publisher.
const MAX_REQUEST_BYTES: usize = 4 * 1024;
/// A request that got no section in this time gives its place to another when places are short.
const PENDING_KEPT: Duration = Duration::from_secs(60);

/// A published track.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) sid: TrackSid,
    pub(crate) publisher: ParticipantId,
    pub(crate) kind: MediaKind,
    pub(crate) codec: Codec,
    pub(crate) info: proto::TrackInfo,
    /// Client's names for it.
    pub(crate) cids: Vec<String>,
    pub(crate) receiver: Receiver,
    pub(crate) subscribers: BTreeMap<ParticipantId, SubscriptionId>,
    pub(crate) told_subscribed: bool,
    pub(crate) dynacast: Dynacast,
    /// Its place on the member; a second codec takes none.
    _place: Option<Place>,
    pub(crate) backup: Option<Backup>,
}

impl Track {
    /// What it can be sent in, best first.
    pub(crate) fn codecs<C: FromIterator<Codec>>(&self) -> C {
        // Who has no redundancy gets what is in it.
        let plain = (self.codec == Codec::Red).then_some(Codec::Opus);
        let best = self.main_codec();
        let others = [self.codec]
            .into_iter()
            .chain(plain)
            .chain(self.backup_codec())
            .filter(|codec| *codec != best);
        std::iter::once(best).chain(others).collect()
    }

    pub(crate) fn stereo(&self) -> bool {
        track_info::is_stereo(&self.info)
    }
}

impl Room {
    /// The client announces a track.
    pub(crate) fn add_track(&mut self, id: ParticipantId, request: proto::AddTrackRequest) {
        let mut request = track_info::normalised(request);
        if let Err((reason, text)) = self.check_add_track(id, &request) {
            return self.refuse_request(id, 0, reason, &text, Some(Request::AddTrack(request)));
        }
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant
            .pending
            .iter()
            .any(|pending| pending.cids.contains(&request.cid))
        {
            participant.queued.push_back(request.clone());
            return self.refuse_request(
                id,
                0,
                Reason::Queued,
                "a track with this cid waits for its media",
                Some(Request::AddTrack(request)),
            );
        }
        if !request.sid.is_empty() {
            return self.add_backup(id, request);
        }
        let Some(kind) = track_info::kind_of(&request) else {
            return;
        };
        let place = match self.place_for_track(id) {
            Ok(place) => place,
            Err(text) => {
                let request = Some(Request::AddTrack(request));
                return self.refuse_request(id, 0, Reason::LimitExceeded, &text, request);
            }
        };
        let source = proto::TrackSource::try_from(request.source).unwrap_or_default();
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let muted_by_api = participant
            .overrides
            .muted_sources
            .contains(&request.source);
        let must_mute = muted_by_api && !request.muted;
        request.muted |= muted_by_api;
        let sid = sids::track_sid(&mut self.rng, kind, source);
        let version = self.track_version();
        let info = track_info::from_request(&request, kind, &sid, version);
        let pending = PendingTrack::new(&request, kind, info.clone(), self.now, place);
        self.announce(id, request.cid, pending, info);
        if must_mute {
            self.send(
                id,
                Message::Mute(proto::MuteTrackRequest {
                    sid: sid.to_string(),
                    muted: true,
                }),
            );
        }
        self.match_by_cid(id);
    }

    fn check_add_track(
        &mut self,
        id: ParticipantId,
        request: &proto::AddTrackRequest,
    ) -> Result<(), (Reason, Cow<'static, str>)> {
        let now = self.now;
        let limits = self.config.limits.clone();
        let Some(participant) = self.participants.get_mut(&id) else {
            return Err((Reason::NotFound, "no such participant".into()));
        };
        let source = proto::TrackSource::try_from(request.source).unwrap_or_default();
        if !participant.grants.permissions.may_publish(source) {
            return Err((
                Reason::NotAllowed,
                "the token doesn't allow to publish this source".into(),
            ));
        }
        if track_info::kind_of(request).is_none() {
            return Err((Reason::UnsupportedType, "tracks are audio or video".into()));
        }
        // A token's `canPublishSources` must not be got round by a camera that calls itself a microphone.
        if !track_info::source_fits(source, request.r#type) {
            return Err((
                Reason::InvalidRequest,
                "the source is not of this kind of media".into(),
            ));
        }
        if request.cid.is_empty() {
            return Err((Reason::InvalidRequest, "the request has no cid".into()));
        }
        if request.encoded_len() > MAX_REQUEST_BYTES
            || track_info::longest_text(request) > limits.name_bytes
        {
            let text = format!(
                "the request is too long: at most {MAX_REQUEST_BYTES} bytes, and {} in each text",
                limits.name_bytes
            );
            return Err((Reason::LimitExceeded, text.into()));
        }
        let mut waiting = participant.pending.len() + participant.queued.len();
        if waiting >= limits.pending_tracks {
            participant
                .pending
                .retain(|pending| now.saturating_since(pending.since) < PENDING_KEPT);
            waiting = participant.pending.len() + participant.queued.len();
        }
        if waiting >= limits.pending_tracks {
            let text = format!(
                "{waiting} tracks of the participant wait for their media, and no more than {} may",
                limits.pending_tracks
            );
            return Err((Reason::LimitExceeded, text.into()));
        }
        Ok(())
    }

    /// A place for one more track, or the limit that is reached. A request that waits for its media counts.
    fn place_for_track(&self, id: ParticipantId) -> Result<Place, String> {
        let limits = &self.config.limits;
        let participant = self.participants.get(&id).map_or(0, |participant| {
            participant.pending.len() + participant.queued.len() + participant.tracks.len()
        });
        if participant >= limits.tracks_per_participant {
            return Err(format!(
                "the participant publishes {participant} tracks, its limit (limits.tracks_per_participant)"
            ));
        }
        let pending: usize = self.participants.values().map(|p| p.pending.len()).sum();
        let room = self.tracks.len() + pending;
        if limits.tracks_per_room != 0 && room >= limits.tracks_per_room {
            return Err(format!(
                "the room has {room} tracks, its limit (limits.tracks_per_room)"
            ));
        }
        let member = &limits.member.tracks;
        member.take().ok_or_else(|| {
            format!(
                "the server has {} tracks, its limit (limits.tracks)",
                member.limit()
            )
        })
    }

    /// Request and section are there.
    pub(crate) fn publish(&mut self, id: ParticipantId, pending: PendingTrack, receiver: Receiver) {
        if let Some(track) = pending.backup_of {
            return self.attach_backup(id, track, &pending.info, receiver);
        }
        let Some(codec) = track_info::chosen_codec(&pending.info, &receiver) else {
            return;
        };
        let track = TrackId(self.allocate_id());
        let sid = TrackSid::from(pending.info.sid.as_str());
        let mut info = pending.info;
        track_info::complete(&mut info, codec, &receiver);
        info.version = Some(self.track_version());
        let muted = info.muted;
        let policy = AudioPolicy {
            dtx: !track_info::no_dtx(&info),
            stereo: track_info::is_stereo(&info),
            red: codec == Codec::Red,
        };
        let mid = receiver.params.mid.clone();
        let params = receiver.params.clone();
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let shard = participant.shard;
        let first = participant.tracks.is_empty();
        let Some(leg) = participant.peer.answerer() else {
            return;
        };
        let transport = leg.transport;
        match pending.kind {
            MediaKind::Audio => leg.negotiation.set_audio_policy(&mid, policy),
            MediaKind::Video => leg.negotiation.prefer_codec(&mid, codec),
        }
        participant.tracks.insert(mid, track);
        self.tracks.insert(
            track,
            Track {
                sid: sid.clone(),
                publisher: id,
                kind: pending.kind,
                codec,
                info,
                cids: pending.cids,
                receiver,
                subscribers: BTreeMap::new(),
                told_subscribed: false,
                dynacast: Dynacast::default(),
                _place: pending.place,
                backup: None,
            },
        );
        self.track_by_sid.insert(sid.clone(), track);
        if let Some(participant) = self.participants.get(&id) {
            tracing::debug!(
                participant = %participant.identity(),
                participant_sid = %participant.sid,
                track = %sid,
                codec = codec.name(),
                "track published"
            );
        }
        self.demand_changed(track);
        self.command(
            shard,
            ShardCommand::AddTrack {
                track,
                transport,
                participant: id,
                receiver: params,
            },
        );
        if muted {
            self.command(shard, ShardCommand::SetTrackMuted { track, muted });
        }
        if first {
            self.room_counts_changed();
        }
        // Everyone hears of the track before any description has it (protocol.md 12.17).
        self.participant_changed(id);
        if first && let Some(participant) = self.participants.get(&id) {
            self.push(RoomOutput::ParticipantPublishes {
                sid: participant.sid.clone(),
                identity: participant.identity().clone(),
            });
        }
        self.forget_unknown(&sid);
        self.reconcile_track(track);
        self.unqueue(id);
    }

    /// The next request under a `cid` that is free again.
    fn unqueue(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let free = participant.queued.iter().position(|request| {
            !participant
                .pending
                .iter()
                .any(|pending| pending.cids.contains(&request.cid))
        });
        if let Some(request) = free.and_then(|index| participant.queued.remove(index)) {
            self.add_track(id, request);
        }
    }

    /// Ends tracks of a participant, and tells everyone.
    pub(crate) fn unpublish(&mut self, id: ParticipantId, tracks: &[TrackId]) {
        if tracks.is_empty() {
            return;
        }
        for track in tracks {
            self.drop_track(*track);
        }
        self.room_counts_changed();
        self.participant_changed(id);
    }

    /// Ends a track with its subscriptions; nobody is told.
    pub(crate) fn drop_track(&mut self, track: TrackId) {
        let Some(published) = self.take_track(track) else {
            return;
        };
        let Some(participant) = self.participants.get_mut(&published.publisher) else {
            return;
        };
        participant.backups.retain(|_, of| *of != track);
        let shard = participant.shard;
        for track in published.sources(track) {
            self.command(shard, ShardCommand::RemoveTrack { track });
        }
    }

    /// Takes a track out of the room with its second codec; its Shard keeps both.
    pub(crate) fn take_track(&mut self, track: TrackId) -> Option<Track> {
        let published = self.tracks.get(&track)?;
        let publisher = published.publisher;
        let subscriptions: Vec<_> = published.subscribers.values().copied().collect();
        for subscription in subscriptions {
            self.drop_subscription(subscription);
        }
        let published = self.tracks.remove(&track)?;
        self.track_by_sid.remove(&published.sid);
        self.timers.clear(TimerKind::Demand(track));
        self.give_up_places_for(track);
        if let Some(participant) = self.participants.get_mut(&publisher) {
            participant.tracks.retain(|_, other| *other != track);
            tracing::debug!(
                participant = %participant.identity(),
                participant_sid = %participant.sid,
                track = %published.sid,
                "track unpublished"
            );
        }
        for participant in self.participants.values_mut() {
            participant.denied.remove(&track);
            participant.refused.remove(&track);
            participant.interest.explicit.remove(&published.sid);
            participant.track_settings.remove(&published.sid);
        }
        Some(published)
    }

    /// A track comes with its publisher from another room.
    pub(crate) fn bring_track(&mut self, track: TrackId, mut published: Track) {
        published.told_subscribed = false;
        published.dynacast = Dynacast::default();
        self.track_by_sid.insert(published.sid.clone(), track);
        self.tracks.insert(track, published);
        self.demand_changed(track);
    }

    /// Takes tracks from a participant that may not publish them any more.
    pub(crate) fn revoke_tracks(&mut self, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let permissions = participant.grants.permissions.clone();
        let allowed = |source: i32| {
            permissions.may_publish(proto::TrackSource::try_from(source).unwrap_or_default())
        };
        participant.pending.retain(|p| allowed(p.info.source));
        participant.queued.retain(|request| allowed(request.source));
        let revoked: Vec<_> = participant
            .tracks
            .values()
            .copied()
            .filter(|track| {
                self.tracks
                    .get(track)
                    .is_some_and(|published| !allowed(published.info.source))
            })
            .collect();
        for track in &revoked {
            if let Some(track_sid) = self.tracks.get(track).map(|t| t.sid.to_string()) {
                self.send(
                    id,
                    Message::TrackUnpublished(proto::TrackUnpublishedResponse { track_sid }),
                );
            }
            self.drop_track(*track);
        }
        if !revoked.is_empty() {
            self.room_counts_changed();
        }
    }

    pub(crate) fn track_version(&self) -> proto::TimedVersion {
        proto::TimedVersion {
            unix_micro: i64::try_from(self.config.wall.unix_nanos(self.now) / 1000)
                .unwrap_or(i64::MAX),
            ticks: 0,
        }
    }

    /// Says why a request isn't granted, with the request itself, by which clients recognise it.
    pub(crate) fn refuse_request(
        &mut self,
        to: ParticipantId,
        request_id: u32,
        reason: Reason,
        text: &str,
        request: Option<Request>,
    ) {
        self.send(
            to,
            Message::RequestResponse(proto::RequestResponse {
                request_id,
                reason: reason as i32,
                message: text.to_owned(),
                request,
            }),
        );
    }
}

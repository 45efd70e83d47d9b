//! What publishers change about their tracks: mute, features, sizes.

use livekit_protocol::{self as proto, request_response::Reason, request_response::Request};
use plenum_types::{ParticipantId, ShardCommand};

use crate::{Room, track_info};

impl Room {
    /// The client has muted or unmuted a track. It is not told so again.
    pub(crate) fn client_mute(&mut self, id: ParticipantId, request: proto::MuteTrackRequest) {
        if !self.set_muted(id, &request.sid, request.muted) {
            return self.refuse_request(
                id,
                0,
                Reason::NotFound,
                "no such track",
                Some(Request::Mute(request)),
            );
        }
        if !request.muted {
            self.forget_muted_source(id, &request.sid);
        }
    }

    /// An unmuted track is not muted again when it is published anew.
    pub(crate) fn forget_muted_source(&mut self, id: ParticipantId, sid: &str) {
        let Some(source) = self
            .track_by_sid
            .get(sid)
            .and_then(|track| self.tracks.get(track))
            .map(|track| track.info.source)
        else {
            return;
        };
        if let Some(participant) = self.participants.get_mut(&id) {
            let muted = &mut participant.overrides.muted_sources;
            let before = muted.len();
            muted.retain(|other| *other != source);
            self.snapshot_dirty |= before != muted.len();
        }
    }

    /// Whether there is such a track of this participant.
    pub(crate) fn set_muted(&mut self, id: ParticipantId, sid: &str, muted: bool) -> bool {
        let version = self.track_version();
        let Some(participant) = self.participants.get_mut(&id) else {
            return false;
        };
        let shard = participant.shard;
        if let Some(pending) = participant.pending.iter_mut().find(|p| p.info.sid == sid) {
            pending.info.muted = muted;
            return true;
        }
        let Some(&track) = self.track_by_sid.get(sid) else {
            return false;
        };
        let Some(published) = self.tracks.get_mut(&track) else {
            return false;
        };
        if published.publisher != id {
            return false;
        }
        if published.info.muted != muted {
            published.info.muted = muted;
            published.info.version = Some(version);
            for track in published.sources(track) {
                self.command(shard, ShardCommand::SetTrackMuted { track, muted });
            }
            self.participant_changed(id);
        }
        true
    }

    pub(crate) fn update_audio_track(
        &mut self,
        id: ParticipantId,
        request: proto::UpdateLocalAudioTrack,
    ) {
        let features = request.features.clone();
        let known = self.change_track_info(id, &request.track_sid, |info| {
            track_info::set_audio_features(info, features);
        });
        if !known {
            self.refuse_request(
                id,
                0,
                Reason::NotFound,
                "no such track",
                Some(Request::UpdateAudioTrack(request)),
            );
        }
    }

    pub(crate) fn update_video_track(
        &mut self,
        id: ParticipantId,
        request: &proto::UpdateLocalVideoTrack,
    ) {
        let known = self.change_track_info(id, &request.track_sid, |info| {
            track_info::set_dimensions(info, request.width, request.height);
        });
        if !known {
            self.refuse_request(
                id,
                0,
                Reason::NotFound,
                "no such track",
                Some(Request::UpdateVideoTrack(request.clone())),
            );
        }
    }

    /// A client of before `update_video_track` describes layers anew. Nobody is told if there is no such track, since the
    /// answer could not name the request.
    #[allow(deprecated)] // old clients send it
    pub(crate) fn update_layers(&mut self, id: ParticipantId, request: &proto::UpdateVideoLayers) {
        self.change_track_info(id, &request.track_sid, |info| {
            track_info::set_layers(info, &request.layers);
        });
    }

    fn change_track_info(
        &mut self,
        id: ParticipantId,
        sid: &str,
        change: impl FnOnce(&mut proto::TrackInfo),
    ) -> bool {
        let version = self.track_version();
        if let Some(pending) = self
            .participants
            .get_mut(&id)
            .and_then(|p| p.pending.iter_mut().find(|p| p.info.sid == sid))
        {
            change(&mut pending.info);
            return true;
        }
        let Some(published) = self
            .track_by_sid
            .get(sid)
            .and_then(|track| self.tracks.get_mut(track))
            .filter(|published| published.publisher == id)
        else {
            return false;
        };
        change(&mut published.info);
        published.info.version = Some(version);
        self.participant_changed(id);
        true
    }
}

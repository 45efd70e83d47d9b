//! Server API calls.

use livekit_protocol::{self as proto, leave_request::Action};
use plenum_types::{ParticipantId, ParticipantIdentity, RoomName, TrackSid};

use crate::{
    ApiCallId, ApiError, ApiErrorCode, ApiRequest, ApiResponse, EndReason, Permissions, Room,
    RoomOutput, RoomSettings, leave::Farewell, metadata::MetadataChange, timers::TimerKind,
};

type ApiResult = Result<ApiResponse, ApiError>;

impl ApiError {
    pub(crate) fn no_room(name: &RoomName) -> Self {
        Self {
            code: ApiErrorCode::NotFound,
            message: format!("room {name} does not exist"),
        }
    }

    fn no_participant(identity: &str) -> Self {
        Self {
            code: ApiErrorCode::NotFound,
            message: format!("participant {identity} is not in the room"),
        }
    }

    pub(crate) fn invalid(message: String) -> Self {
        Self {
            code: ApiErrorCode::InvalidArgument,
            message,
        }
    }
}

impl Room {
    pub(crate) fn api_call(&mut self, call: ApiCallId, request: ApiRequest) {
        if matches!(request, ApiRequest::DeleteRoom) {
            self.push(RoomOutput::Api {
                call,
                result: Ok(ApiResponse::Done),
            });
            return self.end(EndReason::Deleted);
        }
        let request = match request {
            ApiRequest::PerformRpc(request) => return self.perform_rpc(call, &request),
            ApiRequest::MoveParticipant {
                identity,
                destination,
                together,
            } => return self.move_participant(call, identity.as_str(), destination, together),
            other => other,
        };
        if let ApiRequest::Inspect { decisions_of } = request {
            return self.inspect(call, decisions_of);
        }
        let result = self.answer_call(request);
        if std::mem::take(&mut self.snapshot_dirty) {
            self.push(RoomOutput::SnapshotChanged { before_next: true });
        }
        self.push(RoomOutput::Api { call, result });
    }

    fn answer_call(&mut self, request: ApiRequest) -> ApiResult {
        match request {
            ApiRequest::GetRoom => Ok(ApiResponse::Room(self.info())),
            ApiRequest::Configure(settings) => self.configure(settings),
            ApiRequest::ListParticipants => Ok(ApiResponse::Participants(
                self.participants
                    .values()
                    .map(|p| self.participant_info(p))
                    .collect(),
            )),
            ApiRequest::GetParticipant(identity) => {
                let id = self.find(identity.as_str())?;
                self.participant_answer(id)
            }
            ApiRequest::RemoveParticipant {
                identity,
                revoke_tokens_before,
            } => {
                if let Some(before) = revoke_tokens_before {
                    self.revoked.add(identity.clone(), before);
                    self.snapshot_dirty = true;
                }
                let id = self.find(identity.as_str())?;
                self.remove(
                    id,
                    proto::DisconnectReason::ParticipantRemoved,
                    Farewell::Leave(Action::Disconnect),
                    true,
                );
                Ok(ApiResponse::Done)
            }
            ApiRequest::MutePublishedTrack {
                identity,
                track,
                muted,
            } => self.mute_published(&identity, &track, muted),
            ApiRequest::UpdateParticipant(request) => self.update_participant(&request),
            ApiRequest::UpdateSubscriptions(request) => {
                let id = self.find(&request.identity)?;
                self.update_subscription(
                    id,
                    &proto::UpdateSubscription {
                        track_sids: request.track_sids,
                        subscribe: request.subscribe,
                        participant_tracks: request.participant_tracks,
                    },
                );
                Ok(ApiResponse::Done)
            }
            ApiRequest::SendData(request) => {
                self.send_data(request)?;
                Ok(ApiResponse::Done)
            }
            ApiRequest::UpdateRoomMetadata(metadata) => self.configure(RoomSettings {
                metadata,
                ..self.config.settings.clone()
            }),
            // Answered before.
            ApiRequest::DeleteRoom
            | ApiRequest::PerformRpc(_)
            | ApiRequest::MoveParticipant { .. }
            | ApiRequest::Inspect { .. } => Ok(ApiResponse::Done),
        }
    }

    pub(crate) fn find(&self, identity: &str) -> Result<ParticipantId, ApiError> {
        self.by_identity
            .get(identity)
            .copied()
            .ok_or_else(|| ApiError::no_participant(identity))
    }

    fn participant_answer(&self, id: ParticipantId) -> ApiResult {
        self.participants
            .get(&id)
            .map(|p| ApiResponse::Participant(Box::new(self.participant_info(p))))
            .ok_or_else(|| ApiError::no_participant(""))
    }

    fn configure(&mut self, settings: RoomSettings) -> ApiResult {
        self.config
            .limits
            .check_room_metadata(&settings.metadata)
            .map_err(|error| ApiError::invalid(error.to_string()))?;
        if settings == self.config.settings {
            return Ok(ApiResponse::Room(self.info()));
        }
        self.config.settings = settings;
        self.snapshot_dirty = true;
        self.reset_empty_timer();
        self.send_room_update();
        Ok(ApiResponse::Room(self.info()))
    }

    /// The timeouts count from when the room became empty.
    pub(crate) fn reset_empty_timer(&mut self) {
        let Some(since) = self.empty_since_unix_ms else {
            return;
        };
        let timeout = if self.was_joined {
            self.config.settings.departure_timeout
        } else {
            self.config.settings.empty_timeout
        };
        let passed = u64::try_from(self.unix_ms().saturating_sub(since)).unwrap_or(0);
        let left = timeout.saturating_sub(std::time::Duration::from_millis(passed));
        self.timers.set(TimerKind::Empty, self.now + left);
    }

    fn mute_published(
        &mut self,
        identity: &ParticipantIdentity,
        sid: &TrackSid,
        muted: bool,
    ) -> ApiResult {
        let id = self.find(identity.as_str())?;
        let Some(info) = self.published_info(id, sid) else {
            return Err(ApiError {
                code: ApiErrorCode::NotFound,
                message: format!("participant {identity} has no track {sid}"),
            });
        };
        if !muted && !self.config.remote_unmute {
            return Err(ApiError {
                code: ApiErrorCode::FailedPrecondition,
                message: "remote unmute is not enabled; set room.enable_remote_unmute".to_owned(),
            });
        }
        if info.muted != muted {
            self.send(
                id,
                livekit_protocol::signal_response::Message::Mute(proto::MuteTrackRequest {
                    sid: sid.to_string(),
                    muted,
                }),
            );
        }
        self.set_muted(id, sid.as_str(), muted);
        if muted {
            if let Some(participant) = self.participants.get_mut(&id)
                && !participant.overrides.muted_sources.contains(&info.source)
            {
                participant.overrides.muted_sources.push(info.source);
                self.snapshot_dirty = true;
            }
        } else {
            self.forget_muted_source(id, sid.as_str());
        }
        let info = self.published_info(id, sid).unwrap_or(info);
        Ok(ApiResponse::Track(Box::new(info)))
    }

    fn published_info(&self, id: ParticipantId, sid: &TrackSid) -> Option<proto::TrackInfo> {
        let track = self.tracks.get(self.track_by_sid.get(sid)?)?;
        (track.publisher == id).then(|| track.info.clone())
    }

    fn update_participant(&mut self, request: &proto::UpdateParticipantRequest) -> ApiResult {
        let id = self.find(&request.identity)?;
        self.change_metadata(
            id,
            MetadataChange {
                name: &request.name,
                metadata: &request.metadata,
                attributes: &request.attributes,
            },
        )
        .map_err(ApiError::invalid)?;
        if let Some(permission) = &request.permission {
            self.set_permissions(id, &Permissions::from_proto(permission));
        }
        self.participant_changed(id);
        self.refresh_token(id);
        self.participant_answer(id)
    }
}

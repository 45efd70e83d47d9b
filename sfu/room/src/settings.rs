//! `track_setting`: which layers a subscriber wants to see.

use livekit_protocol::{self as proto, VideoQuality};
use plenum_types::{LayerTarget, MediaKind, ParticipantId, ShardCommand, TrackSid};

use crate::{
    Room,
    publish::Track,
    subscribe::{MAX_NAMED_TRACKS, SubscriptionState},
};

/// What a subscriber said about a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrackSettings {
    disabled: bool,
    quality: VideoQuality,
    width: u32,
    height: u32,
    fps: u32,
    priority: u8,
}

impl Default for TrackSettings {
    fn default() -> Self {
        Self {
            disabled: false,
            quality: VideoQuality::High,
            width: 0,
            height: 0,
            fps: 0,
            priority: 0,
        }
    }
}

impl From<&proto::UpdateTrackSettings> for TrackSettings {
    fn from(request: &proto::UpdateTrackSettings) -> Self {
        Self {
            disabled: request.disabled,
            quality: VideoQuality::try_from(request.quality).unwrap_or(VideoQuality::High),
            width: request.width,
            height: request.height,
            fps: request.fps,
            // From 1, the highest, to 255; 0 leaves it to the server.
            priority: u8::try_from(request.priority).unwrap_or(u8::MAX),
        }
    }
}

/// Which layers a subscription gets. Without a word of the subscriber it is everything, or the smallest picture if it will
/// say how large its elements are (adaptive stream).
pub(crate) fn target(
    settings: Option<&TrackSettings>,
    track: &Track,
    adaptive: bool,
) -> LayerTarget {
    let Some(settings) = settings else {
        return LayerTarget {
            spatial: if adaptive && track.kind == MediaKind::Video {
                0
            } else {
                u8::MAX
            },
            ..LayerTarget::HIGHEST
        };
    };
    LayerTarget {
        spatial: spatial(settings, &track.info),
        temporal: u8::MAX,
        // No picture has so many that the rest mattered.
        fps: u16::try_from(settings.fps).unwrap_or(u16::MAX),
        paused: settings.disabled
            || (track.kind == MediaKind::Video && settings.quality == VideoQuality::Off),
        priority: settings.priority,
    }
}

/// Size wins over quality: the smallest layer that is at least as large. Layers are sorted by quality.
#[allow(deprecated)] // `layers`: the same as those of the first codec
fn spatial(settings: &TrackSettings, info: &proto::TrackInfo) -> u8 {
    let layers = &info.layers;
    let found = if settings.width > 0 || settings.height > 0 {
        // An element may crop the longer side, so the shorter one decides, if it is given.
        let by_width = if info.width < info.height {
            settings.width > 0
        } else {
            settings.height == 0
        };
        layers.iter().position(|layer| {
            if by_width {
                layer.width >= settings.width
            } else {
                layer.height >= settings.height
            }
        })
    } else {
        layers
            .iter()
            .rposition(|layer| layer.quality <= settings.quality as i32)
            .or(Some(0))
    };
    match found {
        Some(index) if index + 1 < layers.len() => u8::try_from(index).unwrap_or(u8::MAX),
        // The highest: also if the publisher has more layers than it said.
        _ => u8::MAX,
    }
}

impl Room {
    pub(crate) fn track_setting(
        &mut self,
        id: ParticipantId,
        request: &proto::UpdateTrackSettings,
    ) {
        let settings = TrackSettings::from(request);
        for sid in &request.track_sids {
            self.set_track_settings(id, &sid.as_str().into(), settings);
        }
    }

    /// A resuming client says that it doesn't show a track.
    pub(crate) fn disable_track(&mut self, id: ParticipantId, sid: &TrackSid) {
        let settings = TrackSettings {
            disabled: true,
            ..self
                .participants
                .get(&id)
                .and_then(|p| p.track_settings.get(sid))
                .copied()
                .unwrap_or_default()
        };
        self.set_track_settings(id, sid, settings);
    }

    fn set_track_settings(&mut self, id: ParticipantId, sid: &TrackSid, settings: TrackSettings) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        if participant.track_settings.len() >= MAX_NAMED_TRACKS
            && !participant.track_settings.contains_key(sid)
        {
            return;
        }
        participant.track_settings.insert(sid.clone(), settings);
        if let Some(track) = self.track_by_sid.get(sid).copied() {
            self.retarget(id, track);
        }
    }

    /// Works out anew which layers a subscriber gets of a track.
    fn retarget(&mut self, id: ParticipantId, track: plenum_types::TrackId) {
        let Some(published) = self.tracks.get(&track) else {
            return;
        };
        let Some(participant) = self.participants.get(&id) else {
            return;
        };
        let target = target(
            participant.track_settings.get(&published.sid),
            published,
            participant.settings.adaptive_stream,
        );
        let Some((&subscription_id, subscription)) =
            participant.subscriptions.get(&track).and_then(|id| {
                self.subscriptions
                    .get_mut(id)
                    .map(|subscription| (id, subscription))
            })
        else {
            return;
        };
        if subscription.target == target {
            return;
        }
        subscription.target = target;
        self.demand_dirty.insert(track);
        if subscription.state == SubscriptionState::Sending {
            let shard = subscription.shard;
            self.command(
                shard,
                ShardCommand::SetSubscriptionTarget {
                    subscription: subscription_id,
                    target,
                },
            );
        }
    }
}

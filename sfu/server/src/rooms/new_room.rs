//! What a new room is like: what a request, a token, a preset and the configuration say of it, in this order.

use std::time::Duration;

use livekit_protocol as proto;
use plenum_cluster::directory::Capacity;
use plenum_room::RoomSettings;
use serde::Deserialize as _;

use crate::{auth::Claims, config};

/// Settings of new rooms.
#[derive(Debug, Clone, Default)]
pub struct RoomDefaults {
    /// Where neither CreateRoom nor a token says otherwise.
    pub settings: RoomSettings,
    /// Rooms on this member; 0 means no limit.
    pub max_rooms: usize,
    /// Participants may publish data tracks.
    pub data_tracks: bool,
}

impl RoomDefaults {
    /// What this member tells its pool that it takes.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity {
            rooms: u32::try_from(self.max_rooms).unwrap_or(u32::MAX),
            ..Capacity::default()
        }
    }
}

impl From<&config::RoomConfig> for RoomDefaults {
    fn from(config: &config::RoomConfig) -> Self {
        Self {
            settings: RoomSettings {
                empty_timeout: Duration::from_secs(config.empty_timeout_seconds.into()),
                departure_timeout: Duration::from_secs(config.departure_timeout_seconds.into()),
                max_participants: config.max_participants,
                metadata: String::new(),
            },
            max_rooms: config.max_rooms as usize,
            data_tracks: config.enable_data_tracks,
        }
    }
}

/// What a room opens with, if nobody has left a snapshot of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewRoom {
    /// Its settings.
    pub settings: RoomSettings,
    /// The agents that it wants; empty means those that come unasked.
    pub agents: Vec<proto::RoomAgentDispatch>,
}

impl From<RoomSettings> for NewRoom {
    fn from(settings: RoomSettings) -> Self {
        Self {
            settings,
            agents: Vec::new(),
        }
    }
}

/// What a request, a token or a preset says of a new room. Zeros and what is empty say nothing.
#[derive(Debug)]
struct RoomWish {
    /// Seconds, as the other timeout.
    empty_timeout: u32,
    departure_timeout: u32,
    max_participants: u32,
    metadata: String,
    agents: Vec<proto::RoomAgentDispatch>,
}

impl From<&proto::CreateRoomRequest> for RoomWish {
    fn from(request: &proto::CreateRoomRequest) -> Self {
        Self {
            empty_timeout: request.empty_timeout,
            departure_timeout: request.departure_timeout,
            max_participants: request.max_participants,
            metadata: request.metadata.clone(),
            agents: request.agents.clone(),
        }
    }
}

impl From<proto::RoomConfiguration> for RoomWish {
    fn from(configuration: proto::RoomConfiguration) -> Self {
        Self {
            empty_timeout: configuration.empty_timeout,
            departure_timeout: configuration.departure_timeout,
            max_participants: configuration.max_participants,
            metadata: configuration.metadata,
            agents: configuration.agents,
        }
    }
}

impl RoomWish {
    /// With what a preset says, where this says nothing. A name that is not configured here counts as none: whoever let the
    /// request in has checked it.
    fn or(mut self, presets: &config::Presets, name: &str) -> Self {
        let preset = match presets.find(name) {
            Ok(Some(preset)) => preset,
            Ok(None) => return self,
            Err(error) => {
                tracing::warn!("room preset {error}");
                return self;
            }
        };
        let or = |own: u32, preset: u32| if own == 0 { preset } else { own };
        self.empty_timeout = or(self.empty_timeout, preset.empty_timeout_seconds);
        self.departure_timeout = or(self.departure_timeout, preset.departure_timeout_seconds);
        self.max_participants = or(self.max_participants, preset.max_participants);
        if self.metadata.is_empty() {
            self.metadata.clone_from(&preset.metadata);
        }
        if self.agents.is_empty() {
            self.agents = preset.dispatches();
        }
        self
    }
}

impl RoomDefaults {
    /// With what a token's `roomConfig` and `roomPreset` say. A configuration that can't be read counts as none.
    #[must_use]
    pub fn for_token(&self, claims: &Claims, presets: &config::Presets) -> NewRoom {
        let configuration = claims
            .room_config
            .as_ref()
            .and_then(|json| proto::RoomConfiguration::deserialize(json).ok())
            .unwrap_or_default();
        self.with(RoomWish::from(configuration).or(presets, &claims.room_preset))
    }

    /// With what a request says.
    #[must_use]
    pub fn for_request(
        &self,
        request: &proto::CreateRoomRequest,
        presets: &config::Presets,
    ) -> NewRoom {
        self.with(RoomWish::from(request).or(presets, &request.room_preset))
    }

    fn with(&self, wish: RoomWish) -> NewRoom {
        let or_default = |seconds: u32, default: Duration| match seconds {
            0 => default,
            seconds => Duration::from_secs(seconds.into()),
        };
        NewRoom {
            settings: RoomSettings {
                empty_timeout: or_default(wish.empty_timeout, self.settings.empty_timeout),
                departure_timeout: or_default(
                    wish.departure_timeout,
                    self.settings.departure_timeout,
                ),
                max_participants: match wish.max_participants {
                    0 => self.settings.max_participants,
                    limit => limit,
                },
                metadata: wish.metadata,
            },
            agents: wish.agents,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// covers: grant.roomConfig
    #[test]
    fn a_tokens_room_configuration_counts() {
        let claims = Claims {
            room_config: Some(serde_json::json!({"emptyTimeout": 7, "metadata": "m", "later": 1})),
            ..Claims::default()
        };
        let presets = config::Presets::default();
        let settings = RoomDefaults::default()
            .for_token(&claims, &presets)
            .settings;
        assert_eq!(settings.empty_timeout, Duration::from_secs(7));
        assert_eq!(settings.metadata, "m");
        assert_eq!(settings.departure_timeout, Duration::from_secs(20));
    }

    /// covers: grant.roomPreset, room.room_preset, room.empty_timeout, room.departure_timeout, room.max_participants
    /// covers: room.metadata, room.agents
    #[test]
    fn a_preset_counts_where_token_and_request_say_nothing() {
        let presets: config::Presets = serde_json::from_value(serde_json::json!({"studio": {
            "empty_timeout_seconds": 60,
            "max_participants": 4,
            "metadata": "of the preset",
            "agents": [{"agent_name": "notes", "metadata": "n"}],
        }}))
        .unwrap();
        let defaults = RoomDefaults::default();
        let token = |json| {
            let claims = Claims {
                room_preset: "studio".to_owned(),
                room_config: json,
                ..Claims::default()
            };
            defaults.for_token(&claims, &presets)
        };
        let of_preset = token(None);
        assert_eq!(of_preset.settings.empty_timeout, Duration::from_secs(60));
        assert_eq!(
            of_preset.settings.departure_timeout,
            Duration::from_secs(20)
        );
        assert_eq!(of_preset.settings.max_participants, 4);
        assert_eq!(of_preset.settings.metadata, "of the preset");
        assert_eq!(of_preset.agents[0].agent_name, "notes");
        let own = serde_json::json!({"maxParticipants": 2, "agents": [{"agentName": "other"}]});
        let both = token(Some(own));
        assert_eq!(both.settings.max_participants, 2);
        assert_eq!(both.settings.empty_timeout, Duration::from_secs(60));
        assert_eq!(both.agents.len(), 1);
        assert_eq!(both.agents[0].agent_name, "other");
        let request = proto::CreateRoomRequest {
            room_preset: "studio".to_owned(),
            metadata: "own".to_owned(),
            departure_timeout: 9,
            ..Default::default()
        };
        let created = defaults.for_request(&request, &presets);
        assert_eq!(created.settings.metadata, "own");
        assert_eq!(created.settings.departure_timeout, Duration::from_secs(9));
        assert_eq!(created.settings.max_participants, 4);
        assert_eq!(created.agents, of_preset.agents);
    }
}

//! Named settings of rooms: `room_preset` of CreateRoom and `roomPreset` of a token name one.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use plenum_room::Limits;
use serde::{Deserialize, Serialize};

use super::NEAR_ENOUGH;
use crate::agents;

/// Presets by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Presets(BTreeMap<String, RoomPreset>);

/// What a preset says of a room; zeros and an empty text say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomPreset {
    /// Seconds the room waits for its first participant.
    pub empty_timeout_seconds: u32,
    /// Seconds it stays after its last participant left.
    pub departure_timeout_seconds: u32,
    /// Participants in it.
    pub max_participants: u32,
    /// Its metadata.
    pub metadata: String,
    /// Agents that it wants.
    pub agents: Vec<PresetAgent>,
}

/// An agent that a room wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PresetAgent {
    /// The name that its worker goes by.
    pub agent_name: String,
    /// Given to its job.
    pub metadata: String,
}

impl RoomPreset {
    /// Its agents as the protocol has them.
    #[must_use]
    pub fn dispatches(&self) -> Vec<proto::RoomAgentDispatch> {
        self.agents
            .iter()
            .map(|agent| proto::RoomAgentDispatch {
                agent_name: agent.agent_name.clone(),
                metadata: agent.metadata.clone(),
                ..Default::default()
            })
            .collect()
    }
}

impl Presets {
    /// The preset of this name; `None` if the name is empty.
    ///
    /// # Errors
    /// There is no such preset: what was probably meant.
    pub fn find(&self, name: &str) -> Result<Option<&RoomPreset>, String> {
        if name.is_empty() {
            return Ok(None);
        }
        self.0.get(name).map(Some).ok_or_else(|| {
            let near = self
                .0
                .keys()
                .map(|known| (strsim::jaro_winkler(name, known), known))
                .filter(|(similarity, _)| *similarity >= NEAR_ENOUGH)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let mend = match near {
                Some((_, near)) => format!(", did you mean {near:?}?"),
                None if self.0.is_empty() => ": none is (room.presets)".to_owned(),
                None => " (room.presets)".to_owned(),
            };
            format!("{name:?} is not configured on this server{mend}")
        })
    }

    /// What can't work.
    pub(super) fn contradictions(&self, wrong: &mut impl FnMut(&str, String)) {
        for (name, preset) in &self.0 {
            if name.is_empty() {
                wrong("room.presets", "a preset needs a name".to_owned());
            }
            if let Err(error) = agents::check(&preset.dispatches()) {
                wrong(&format!("room.presets.{name}"), error.to_string());
            }
            if let Err(error) = Limits::default().check_room_metadata(&preset.metadata) {
                wrong(
                    &format!("room.presets.{name}"),
                    format!("{error}: the room would not be kept; write a shorter `metadata`"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presets(json: serde_json::Value) -> Presets {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_unknown_name_is_told_with_the_nearest() {
        let presets = presets(serde_json::json!({"studio": {"max_participants": 4}, "hall": {}}));
        assert_eq!(presets.find(""), Ok(None));
        assert_eq!(presets.find("studio").unwrap().unwrap().max_participants, 4);
        let near = presets.find("studoi").unwrap_err();
        assert_eq!(
            near,
            "\"studoi\" is not configured on this server, did you mean \"studio\"?"
        );
        let far = presets.find("zzz").unwrap_err();
        assert_eq!(
            far,
            "\"zzz\" is not configured on this server (room.presets)"
        );
        let none = Presets::default().find("studio").unwrap_err();
        assert!(none.ends_with("none is (room.presets)"), "{none}");
    }

    #[test]
    fn metadata_that_no_room_may_have_is_refused_with_its_limit() {
        let preset = |bytes: usize| serde_json::json!({"metadata": "m".repeat(bytes)});
        let limit = Limits::default().metadata_bytes;
        let presets =
            presets(serde_json::json!({"hall": preset(limit + 1), "studio": preset(limit)}));
        let mut found = Vec::new();
        presets.contradictions(&mut |setting, text| found.push((setting.to_owned(), text)));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "room.presets.hall");
        assert!(found[0].1.contains("at most 524288"), "{}", found[0].1);
    }

    #[test]
    fn agents_that_no_room_may_have_are_refused() {
        let many = vec![serde_json::json!({"agent_name": "a"}); 33];
        let presets = presets(serde_json::json!({"hall": {"agents": many}, "studio": {}}));
        let mut found = Vec::new();
        presets.contradictions(&mut |setting, text| found.push((setting.to_owned(), text)));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "room.presets.hall");
        assert!(found[0].1.contains("32"), "{}", found[0].1);
    }
}

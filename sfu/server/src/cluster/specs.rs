//! What Room resources say of rooms: kept in the Directory under the room's name, applied when the room opens.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use plenum_cluster::{RoomKey, member_api::RoomSpec};
use plenum_room::RoomSettings;

use super::Cluster;

/// A room from a resource without `emptyTimeoutSeconds` waits for ever; the protocol counts in `u32` seconds.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The specs that were put here, to be written again when the Directory has lost them.
#[derive(Debug, Default)]
pub(super) struct Specs(Mutex<HashMap<RoomKey, RoomSpec>>);

impl Specs {
    pub(super) fn keep(&self, room: &RoomKey, spec: &RoomSpec) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(room.clone(), spec.clone());
    }

    pub(super) fn forget(&self, room: &RoomKey) -> Option<RoomSpec> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(room)
    }

    fn all(&self) -> Vec<(RoomKey, RoomSpec)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(room, spec)| (room.clone(), spec.clone()))
            .collect()
    }
}

impl Cluster {
    /// Its Room resource says that it may not be opened.
    pub(super) async fn is_closed(&self, room: &RoomKey) -> bool {
        matches!(self.membership.directory().get_spec(room).await, Ok(Some(spec)) if spec.closed)
    }

    /// Settings of a room that opens for the first time: its resource's, else `defaults`.
    pub(crate) async fn settings_of(&self, room: &RoomKey, defaults: RoomSettings) -> RoomSettings {
        match self.membership.directory().get_spec(room).await {
            Ok(Some(spec)) => self.settings_from(&spec),
            Ok(None) => defaults,
            Err(error) => {
                tracing::warn!(room = %room.escaped(), %error, "it is not known whether a Room resource has this name");
                defaults
            }
        }
    }

    /// A resource's settings with this member's defaults.
    pub(crate) fn settings_from(&self, spec: &RoomSpec) -> RoomSettings {
        let defaults = &self.rooms.defaults().settings;
        let seconds = |value: Option<u32>| value.map(|value| Duration::from_secs(value.into()));
        RoomSettings {
            empty_timeout: seconds(spec.empty_timeout_seconds).unwrap_or(FOR_EVER),
            departure_timeout: seconds(spec.departure_timeout_seconds)
                .unwrap_or(defaults.departure_timeout),
            max_participants: spec.max_participants,
            metadata: spec.metadata.clone(),
        }
    }

    /// Remembers a spec that was put here.
    pub(crate) fn keep_spec(&self, room: &RoomKey, spec: &RoomSpec) {
        self.specs.keep(room, spec);
    }

    /// Its Room resource is gone: the name is free again.
    pub(crate) async fn remove_spec(&self, room: &RoomKey) {
        let directory = self.membership.directory();
        let kept = self.specs.forget(room);
        let spec = match kept {
            Some(spec) => Some(spec),
            None => directory.get_spec(room).await.ok().flatten(),
        };
        if let Some(spec) = spec
            && let Err(error) = directory.remove_spec(room, &spec.uid).await
        {
            tracing::warn!(room = %room.escaped(), %error, "the spec of a deleted Room resource stays in the directory");
        }
    }

    /// The Directory has lost history: what was put here is put again.
    pub(super) async fn write_specs_again(&self) {
        for (room, spec) in self.specs.all() {
            if let Err(error) = self.membership.directory().put_spec(&room, &spec).await {
                tracing::warn!(room = %room.escaped(), %error, "a room's spec is not written again; the operator puts it anew");
            }
        }
    }
}

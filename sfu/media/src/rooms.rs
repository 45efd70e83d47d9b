//! What a Shard knows of a room as a whole.

use hashbrown::HashMap;
use plenum_types::{ParticipantId, RoomHandle};

use crate::{
    clock::ParticipantClock,
    data::{DataRouter, DataTracks},
    keys::{TrackKey, TransportKey},
    speakers::SpeakerTimer,
};

/// A room with something on this Shard.
pub(crate) struct Room {
    pub(crate) handle: RoomHandle,
    pub(crate) transports: Vec<TransportKey>,
    pub(crate) tracks: Vec<TrackKey>,
    pub(crate) clocks: HashMap<ParticipantId, ParticipantClock>,
    pub(crate) speakers: SpeakerTimer,
    pub(crate) data: DataRouter,
    pub(crate) data_tracks: DataTracks,
}

impl Room {
    pub(crate) fn new(handle: RoomHandle) -> Self {
        Self {
            handle,
            transports: Vec::new(),
            tracks: Vec::new(),
            clocks: HashMap::new(),
            speakers: SpeakerTimer::default(),
            data: DataRouter::default(),
            data_tracks: DataTracks::default(),
        }
    }
}

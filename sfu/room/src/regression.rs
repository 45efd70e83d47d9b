//! What becomes of a track's first codec once its second one comes (`backup_codec_policy`, protocol.md 5.1): it stays for
//! those who can decode it, or everybody goes over to the second, so that the publisher encodes but once.

use livekit_protocol::BackupCodecPolicy;
use plenum_types::{Codec, TrackId};

use crate::{Room, publish::Track};

/// In a room of so many a publisher that only prefers a regression sends both, as with the reference: what the better codec
/// saves for all of them is worth a second encoder.
const LARGE_ROOM: usize = 5;

impl Track {
    /// What those get who can decode all that it may be sent in.
    pub(crate) fn main_codec(&self) -> Codec {
        self.backup
            .as_ref()
            .filter(|backup| backup.replaces_first)
            .map_or(self.codec, |backup| backup.codec)
    }
}

impl Room {
    /// Packets of a source come. Only then is the first codec given up for the second: no picture stands still for it.
    pub(crate) fn source_live(&mut self, source: TrackId) {
        if self.tracks.contains_key(&source) {
            // A first codec.
            return;
        }
        let present = self.participants.len();
        let Some((&track, published)) = self.tracks.iter_mut().find(|(_, published)| {
            let backup = published.backup.as_ref();
            backup.is_some_and(|backup| backup.id == source)
        }) else {
            return;
        };
        let regresses = match published.info.backup_codec_policy() {
            BackupCodecPolicy::Simulcast => false,
            BackupCodecPolicy::Regression => true,
            BackupCodecPolicy::PreferRegression => present < LARGE_ROOM,
        };
        if let Some(backup) = &mut published.backup
            && regresses
            && !std::mem::replace(&mut backup.replaces_first, true)
        {
            tracing::debug!(
                track = %published.sid,
                from = published.codec.name(),
                to = backup.codec.name(),
                "all get the second codec"
            );
            self.choose_codecs_anew(track);
        }
    }

    /// The best codec of a track is another one now: subscriptions follow with their next description.
    pub(crate) fn choose_codecs_anew(&mut self, track: TrackId) {
        let Some(published) = self.tracks.get(&track) else {
            return;
        };
        let codecs: Vec<Codec> = published.codecs();
        let subscribers: Vec<_> = published.subscribers.clone().into_iter().collect();
        for (subscriber, subscription) in subscribers {
            let changed = self
                .participants
                .get_mut(&subscriber)
                .is_some_and(|participant| participant.peer.set_codecs(subscription, &codecs));
            if changed {
                self.schedule_negotiation(subscriber);
            }
        }
        self.demand_changed(track);
    }
}

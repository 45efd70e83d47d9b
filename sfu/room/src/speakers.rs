//! Who speaks. Each participant hears of those whose sound it gets, and of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol::{self as proto, signal_response::Message};
use plenum_types::{ParticipantId, SpeakerLevel, TrackId};

use crate::{Room, SignalMessage, timers::TimerKind};

/// A participant that speaks: level by track, since a shared screen has sound too.
#[derive(Debug, Default)]
pub(crate) struct Speaker {
    levels: BTreeMap<TrackId, f32>,
    /// Pretended, by a client's wish to test itself.
    simulated: bool,
}

impl Speaker {
    fn level(&self) -> f32 {
        let pretended = if self.simulated { 1.0 } else { 0.0 };
        self.levels.values().copied().fold(pretended, f32::max)
    }

    fn is_silent(&self) -> bool {
        self.levels.is_empty() && !self.simulated
    }
}

impl Room {
    pub(crate) fn speakers_changed(&mut self, levels: &[SpeakerLevel]) {
        let mut changed = BTreeSet::new();
        for level in levels {
            let Some(publisher) = self.tracks.get(&level.track).map(|t| t.publisher) else {
                continue;
            };
            let speaker = self.speaking.entry(publisher).or_default();
            if level.active {
                speaker.levels.insert(level.track, level.level);
            } else {
                speaker.levels.remove(&level.track);
            }
            changed.insert(publisher);
        }
        let infos: Vec<_> = changed
            .into_iter()
            .filter_map(|id| Some((id, self.speaker_info(id)?)))
            .collect();
        self.speaking.retain(|_, speaker| !speaker.is_silent());
        self.tell_speakers(&infos);
    }

    fn speaker_info(&self, id: ParticipantId) -> Option<proto::SpeakerInfo> {
        let participant = self.participants.get(&id)?;
        let speaker = self.speaking.get(&id);
        Some(proto::SpeakerInfo {
            sid: participant.sid.to_string(),
            level: speaker.map_or(0.0, Speaker::level),
            active: speaker.is_some_and(|speaker| !speaker.is_silent()),
        })
    }

    /// In a conference most hear the same speakers: a message is made once for each set of them.
    fn tell_speakers(&mut self, changed: &[(ParticipantId, proto::SpeakerInfo)]) {
        let mut heard: BTreeMap<ParticipantId, BTreeSet<usize>> = BTreeMap::new();
        for (index, (id, _)) in changed.iter().enumerate() {
            let Some(speaker) = self.participants.get(id) else {
                continue;
            };
            heard.entry(*id).or_default().insert(index);
            for receiver in self.subscribers_of(speaker) {
                heard.entry(receiver).or_default().insert(index);
            }
        }
        let mut messages: BTreeMap<BTreeSet<usize>, Arc<SignalMessage>> = BTreeMap::new();
        for (receiver, speakers) in heard {
            let message = messages.entry(speakers).or_insert_with_key(|speakers| {
                let speakers = speakers
                    .iter()
                    .filter_map(|index| changed.get(*index))
                    .map(|(_, info)| info.clone())
                    .collect();
                SignalMessage::new(Message::SpeakersChanged(proto::SpeakersChanged {
                    speakers,
                }))
            });
            let message = Arc::clone(message);
            self.send_shared(receiver, &message);
        }
    }

    /// Tells one participant about one that speaks already.
    pub(crate) fn tell_speaker(&mut self, to: ParticipantId, speaker: ParticipantId) {
        if let Some(info) = self.speaker_info(speaker)
            && info.active
        {
            self.send(
                to,
                Message::SpeakersChanged(proto::SpeakersChanged {
                    speakers: vec![info],
                }),
            );
        }
    }

    pub(crate) fn simulate_speaker(&mut self, id: ParticipantId, seconds: i32) {
        let length = Duration::from_secs(u64::try_from(seconds.clamp(0, 60)).unwrap_or(0));
        self.speaking.entry(id).or_default().simulated = true;
        self.timers.set(TimerKind::Speaker(id), self.now + length);
        if let Some(info) = self.speaker_info(id) {
            self.tell_speakers(&[(id, info)]);
        }
    }

    pub(crate) fn simulated_speaker_ends(&mut self, id: ParticipantId) {
        if let Some(speaker) = self.speaking.get_mut(&id) {
            speaker.simulated = false;
        }
        if let Some(info) = self.speaker_info(id) {
            self.tell_speakers(&[(id, info)]);
        }
        self.speaking.retain(|_, speaker| !speaker.is_silent());
    }
}

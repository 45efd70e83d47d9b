//! Dynacast (protocol.md 5.4): a publisher learns which codecs and layers anyone wants, and rests the others.
//!
//! Votes are the targets of a track's subscriptions. More is told at once, less after a pause, so that a page that is
//! hidden for a moment costs no key frame. A publisher that was told to rest everything sends nothing and is not lost.

use std::time::Duration;

use livekit_protocol::{self as proto, VideoQuality, signal_response::Message};
use plenum_types::{Codec, MediaKind, ParticipantId, Timestamp, TrackId};

use crate::{Room, publish::Track, subscribe::Subscription, timers::TimerKind};

/// Less is wanted: told after this, as the reference does. The first update comes as late too, wanted or not, which is
/// within the 10 s that clients may wait for it.
const LESS_AFTER: Duration = Duration::from_secs(5);
/// An encoder that was told to go on starts within this; silent for longer, it is silent for another reason.
const RESUMES_WITHIN: Duration = Duration::from_secs(5);

/// The highest quality that anyone wants of a codec; `None`: nobody wants it. For sound there is only one.
type Demand = Option<u8>;

/// What is wanted of each codec, the one that was published first at the head.
type Votes = Vec<(Codec, Demand)>;

/// What the publisher of a track knows about the demand for it.
#[derive(Debug, Default)]
pub(crate) struct Dynacast {
    /// As it was told last; `None`: not yet, it sends all it has of its first codec.
    told: Option<Votes>,
    /// As it was counted last.
    counted: Votes,
    /// When it was told to go on after it had rested.
    resumed: Option<Timestamp>,
}

/// What a publisher that was told nothing sends.
const EVERYTHING: Demand = Some(VideoQuality::High as u8);

impl Dynacast {
    /// What the publisher was told last, by codec.
    pub(crate) fn told(&self) -> &[(Codec, Demand)] {
        self.told.as_deref().unwrap_or_default()
    }

    /// The publisher rests since nobody wants the track, or has just been told to go on.
    pub(crate) fn rests(&self, now: Timestamp) -> bool {
        let off = self
            .told
            .as_ref()
            .is_some_and(|told| told.iter().all(|(_, demand)| demand.is_none()));
        off || self
            .resumed
            .is_some_and(|at| now.saturating_since(at) < RESUMES_WITHIN)
    }

    fn believed(&self, codec: Codec, place: usize) -> Demand {
        match &self.told {
            None if place == 0 => EVERYTHING,
            None => None,
            Some(told) => demand(told, codec),
        }
    }
}

fn demand(votes: &Votes, codec: Codec) -> Demand {
    votes
        .iter()
        .find(|(other, _)| *other == codec)
        .and_then(|(_, demand)| *demand)
}

/// The quality of the highest layer that a subscription may get.
#[allow(deprecated)] // `layers`: the same as those of the first codec
fn vote(track: &Track, subscription: &Subscription) -> Demand {
    if subscription.target.paused {
        return None;
    }
    if track.kind == MediaKind::Audio {
        return EVERYTHING;
    }
    let layers = &track.info.layers;
    let place = usize::from(subscription.target.spatial);
    match layers.get(place) {
        Some(layer) if place + 1 < layers.len() => u8::try_from(layer.quality).ok(),
        _ => EVERYTHING,
    }
}

impl Room {
    /// The demand for a track may have changed.
    pub(crate) fn demand_changed(&mut self, track: TrackId) {
        self.demand_dirty.insert(track);
    }

    /// What one input changes together is counted once.
    pub(crate) fn count_demand(&mut self) {
        for track in std::mem::take(&mut self.demand_dirty) {
            self.weigh(track);
        }
    }

    fn votes(&self, track: &Track) -> Votes {
        let mut votes: Votes = vec![(track.codec, None)];
        for subscription in track
            .subscribers
            .values()
            .filter_map(|id| self.subscriptions.get(id))
        {
            let vote = vote(track, subscription);
            let wanted = match &subscription.sender {
                Some(sender) if track.kind == MediaKind::Video => sender.codec,
                // Opus is what RED is made of; before it has a section it is taken to decode what everyone does.
                _ => track.main_codec(),
            };
            match votes.iter_mut().find(|(codec, _)| *codec == wanted) {
                Some((_, most)) => *most = (*most).max(vote),
                None => votes.push((wanted, vote)),
            }
        }
        votes
    }

    /// Tells at once what is wanted more, and remembers what is wanted less.
    fn weigh(&mut self, id: TrackId) {
        let now = self.now;
        let Some(track) = self.tracks.get(&id) else {
            return;
        };
        let votes = self.votes(track);
        let raised: Votes = votes
            .iter()
            .enumerate()
            .map(|(place, (codec, most))| {
                (*codec, track.dynacast.believed(*codec, place).max(*most))
            })
            .collect();
        let is_more = raised
            .iter()
            .enumerate()
            .any(|(place, (codec, most))| *most > track.dynacast.believed(*codec, place));
        let is_less = raised != votes;
        let is_first = track.dynacast.told.is_none();
        let is_news = track.dynacast.counted != votes;
        if is_more {
            self.tell_demand(id, raised);
        }
        if let Some(track) = self.tracks.get_mut(&id) {
            track.dynacast.counted = votes;
        }
        if is_less && is_news || is_first {
            self.timers.set(TimerKind::Demand(id), now + LESS_AFTER);
        } else if !is_less {
            self.timers.clear(TimerKind::Demand(id));
        }
    }

    /// The pause is over: what is wanted now is told.
    pub(crate) fn demand_settled(&mut self, id: TrackId) {
        if let Some(track) = self.tracks.get(&id) {
            let votes = self.votes(track);
            self.tell_demand(id, votes);
        }
    }

    /// A resumed publisher may have missed what was told meanwhile.
    pub(crate) fn repeat_demand(&mut self, publisher: ParticipantId) {
        let tracks: Vec<_> = self
            .participants
            .get(&publisher)
            .into_iter()
            .flat_map(|participant| participant.tracks.values())
            .filter_map(|id| Some((*id, self.tracks.get(id)?.dynacast.told.clone()?)))
            .collect();
        for (id, told) in tracks {
            self.tell_demand(id, told);
        }
    }

    fn tell_demand(&mut self, id: TrackId, votes: Votes) {
        let now = self.now;
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        let wanted = votes.iter().any(|(_, demand)| demand.is_some());
        let rested = track
            .dynacast
            .told
            .as_ref()
            .is_some_and(|told| told.iter().all(|(_, demand)| demand.is_none()));
        if wanted && rested {
            track.dynacast.resumed = Some(now);
        }
        let message = match track.kind {
            MediaKind::Video => video_update(track, &votes),
            MediaKind::Audio => audio_update(track, &votes),
        };
        let publisher = track.publisher;
        track.dynacast.told = Some(votes);
        self.send(publisher, message);
    }
}

#[allow(deprecated)] // `subscribed_qualities`: old clients read that of the first codec
fn video_update(track: &Track, votes: &Votes) -> Message {
    let subscribed_codecs: Vec<_> = votes
        .iter()
        .map(|(codec, most)| proto::SubscribedCodec {
            codec: codec.name().to_owned(),
            qualities: [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High]
                .into_iter()
                .map(|quality| proto::SubscribedQuality {
                    quality: quality as i32,
                    enabled: most.is_some_and(|most| quality as i32 <= i32::from(most)),
                })
                .collect(),
        })
        .collect();
    Message::SubscribedQualityUpdate(proto::SubscribedQualityUpdate {
        track_sid: track.sid.to_string(),
        subscribed_qualities: subscribed_codecs
            .first()
            .map(|codec| codec.qualities.clone())
            .unwrap_or_default(),
        subscribed_codecs,
    })
}

fn audio_update(track: &Track, votes: &Votes) -> Message {
    Message::SubscribedAudioCodecUpdate(proto::SubscribedAudioCodecUpdate {
        track_sid: track.sid.to_string(),
        subscribed_audio_codecs: votes
            .iter()
            .map(|(codec, most)| proto::SubscribedAudioCodec {
                codec: codec.name().to_owned(),
                enabled: most.is_some(),
            })
            .collect(),
    })
}

//! Connection quality, judged every few seconds from loss and round trip.
//!
//! LOST is never said: a publishing browser answers it with a full reconnect, and what is really lost ends with its
//! Transport.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use livekit_protocol::{self as proto, ConnectionQuality, signal_response::Message};
use plenum_types::{LinkQuality, ParticipantId};

use crate::{Room, participant::Participant, timers::TimerKind};

/// How often it is judged, as the reference does.
const INTERVAL: Duration = Duration::from_secs(5);
/// Above these, the one worse for either direction, speech starts to suffer.
const GOOD_LOSS: f32 = 0.02;
const POOR_LOSS: f32 = 0.08;
const GOOD_RTT: Duration = Duration::from_millis(250);
const POOR_RTT: Duration = Duration::from_millis(500);

/// A judgement with the score of a listening test, 1 to 5.
fn judge(links: impl Iterator<Item = LinkQuality>) -> (ConnectionQuality, f32) {
    let mut loss = 0.0_f32;
    let mut rtt = Duration::ZERO;
    for link in links {
        loss = loss.max(link.downlink_loss);
        if link.uplink_expected {
            loss = loss.max(link.uplink_loss);
        }
        rtt = rtt.max(link.rtt.unwrap_or_default());
    }
    // 5 % of loss cost one point, half a second of delay costs one.
    let score = (5.0 - loss * 20.0 - rtt.as_secs_f32() * 2.0).clamp(1.0, 5.0);
    if loss > POOR_LOSS || rtt > POOR_RTT {
        (ConnectionQuality::Poor, score)
    } else if loss > GOOD_LOSS || rtt > GOOD_RTT {
        (ConnectionQuality::Good, score)
    } else {
        (ConnectionQuality::Excellent, score)
    }
}

impl Room {
    pub(crate) fn start_quality(&mut self) {
        self.timers
            .set_if_unset(TimerKind::Quality, self.now + INTERVAL);
    }

    /// Tells participants what changed about themselves and those they subscribe to. Goes from those who changed to their
    /// subscribers, since in a large room few change at a time.
    pub(crate) fn judge_quality(&mut self) {
        if self.participants.is_empty() {
            return;
        }
        self.timers.set(TimerKind::Quality, self.now + INTERVAL);
        let mut about: BTreeMap<ParticipantId, BTreeSet<ParticipantId>> = BTreeMap::new();
        let mut judged = BTreeMap::new();
        for participant in self.participants.values() {
            if !participant.was_active || participant.is_lost() {
                continue;
            }
            let id = participant.id;
            let (quality, score) = judge(participant.link.values().copied());
            let info = proto::ConnectionQualityInfo {
                participant_sid: participant.sid.to_string(),
                quality: quality as i32,
                score,
            };
            judged.insert(id, info);
            if participant.quality != Some(quality) {
                about.entry(id).or_default().insert(id);
                for receiver in self.subscribers_of(participant) {
                    about.entry(receiver).or_default().insert(id);
                }
            }
        }
        for participant in self.participants.values_mut() {
            let untold = std::mem::take(&mut participant.untold_quality);
            if !untold.is_empty() {
                about.entry(participant.id).or_default().extend(untold);
            }
            participant.quality = judged
                .get(&participant.id)
                .map(proto::ConnectionQualityInfo::quality);
        }
        for (receiver, about) in about {
            let updates: Vec<_> = about
                .iter()
                .filter_map(|id| judged.get(id).cloned())
                .collect();
            if !updates.is_empty() {
                self.send(
                    receiver,
                    Message::ConnectionQuality(proto::ConnectionQualityUpdate { updates }),
                );
            }
        }
    }

    /// Everyone who gets a track of this participant; some more than once.
    pub(crate) fn subscribers_of<'a>(
        &'a self,
        participant: &'a Participant,
    ) -> impl Iterator<Item = ParticipantId> + 'a {
        participant
            .tracks
            .values()
            .filter_map(|track| self.tracks.get(track))
            .flat_map(|track| track.subscribers.keys().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_on_the_uplink_of_a_listener_is_no_loss() {
        let link = LinkQuality {
            rtt: Some(Duration::from_millis(40)),
            uplink_loss: 1.0,
            downlink_loss: 0.0,
            uplink_expected: false,
        };
        assert_eq!(judge([link].into_iter()).0, ConnectionQuality::Excellent);
    }

    #[test]
    fn the_worse_direction_decides_and_nothing_is_ever_lost() {
        let link = LinkQuality {
            rtt: None,
            uplink_loss: 1.0,
            downlink_loss: 0.01,
            uplink_expected: true,
        };
        let (quality, score) = judge([link].into_iter());
        assert_eq!(quality, ConnectionQuality::Poor);
        assert!((score - 1.0).abs() < f32::EPSILON);
    }
}

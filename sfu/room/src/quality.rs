//! Connection quality, judged every few seconds from loss and round trip.
//!
//! LOST is never said: a publishing browser answers it with a full reconnect, and what is really lost ends by ICE.

use std::collections::BTreeMap;
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

    /// Tells each participant what changed about itself and those it subscribes to.
    pub(crate) fn judge_quality(&mut self) {
        if self.participants.is_empty() {
            return;
        }
        self.timers.set(TimerKind::Quality, self.now + INTERVAL);
        let judged: BTreeMap<ParticipantId, (ConnectionQuality, f32, String)> = self
            .participants
            .values()
            .filter(|p| p.was_active && !p.is_lost())
            .map(|p: &Participant| {
                let (quality, score) = judge(p.link.values().copied());
                (p.id, (quality, score, p.sid.to_string()))
            })
            .collect();
        let receivers: Vec<_> = judged.keys().copied().collect();
        for receiver in receivers {
            let mut about = self.publishers_for(receiver);
            about.insert(receiver);
            let Some(participant) = self.participants.get_mut(&receiver) else {
                continue;
            };
            if participant.connection().is_none() {
                continue;
            }
            let mut updates = Vec::new();
            for id in about {
                let Some((quality, score, sid)) = judged.get(&id) else {
                    continue;
                };
                if participant.told_quality.insert(id, *quality) != Some(*quality) {
                    updates.push(proto::ConnectionQualityInfo {
                        participant_sid: sid.clone(),
                        quality: *quality as i32,
                        score: *score,
                    });
                }
            }
            if !updates.is_empty() {
                self.send(
                    receiver,
                    Message::ConnectionQuality(proto::ConnectionQualityUpdate { updates }),
                );
            }
        }
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

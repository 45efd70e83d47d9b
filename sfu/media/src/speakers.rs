//! Who speaks, from the levels that clients measure themselves (RFC 6464).

use std::time::Duration;

use plenum_rtp::AudioLevel;
use plenum_types::{SpeakerLevel, Timestamp, TrackId};

/// Between two looks at a room's speakers.
pub(crate) const SPEAKER_INTERVAL: Duration = Duration::from_millis(400);
/// Louder than this (dB below overload) counts as sound.
const ACTIVE_DB: u8 = 35;
/// Share of an interval's packets that must be sound for its track to speak, in percent.
const ACTIVE_PERCENT: u32 = 40;
/// Weight of the newest interval.
const SMOOTHING: f32 = 0.5;
/// Levels are told in these steps, so that small changes are no news.
const STEPS: f32 = 8.0;
/// Smoothed levels below this are silence.
const SILENCE: f32 = 1.0 / 16.0;

/// Levels of one track.
#[derive(Debug, Default)]
pub(crate) struct Loudness {
    packets: u32,
    sounding: u32,
    loudest: Option<u8>,
    smoothed: f32,
    told: (f32, bool),
}

impl Loudness {
    /// A packet's level.
    pub(crate) fn observe(&mut self, level: AudioLevel) {
        self.packets += 1;
        let db = level.below_overload_db;
        if db <= ACTIVE_DB {
            self.sounding += 1;
            self.loudest = Some(self.loudest.map_or(db, |loudest| loudest.min(db)));
        }
    }

    /// Ends an interval; gives what changed since the last news.
    pub(crate) fn look(&mut self, track: TrackId, muted: bool) -> Option<SpeakerLevel> {
        let (packets, sounding) = (self.packets, self.sounding);
        let loudest = self.loudest.take();
        self.packets = 0;
        self.sounding = 0;
        let speaks = !muted && packets > 0 && sounding * 100 >= packets * ACTIVE_PERCENT;
        let level = match loudest {
            Some(db) if speaks => 10f32.powf(-f32::from(db) / 20.0),
            _ => 0.0,
        };
        // Amplitude of speech is a few percent of overload: the square root spreads it over the scale.
        self.smoothed += (level.sqrt() - self.smoothed) * SMOOTHING;
        if muted || self.smoothed < SILENCE {
            self.smoothed = 0.0;
        }
        let active = self.smoothed > 0.0;
        let quantised = (self.smoothed * STEPS).ceil().min(STEPS) / STEPS;
        if (quantised, active) == self.told {
            return None;
        }
        self.told = (quantised, active);
        Some(SpeakerLevel {
            track,
            level: quantised,
            active,
        })
    }
}

/// When a room's speakers are looked at next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SpeakerTimer {
    next: Timestamp,
}

impl SpeakerTimer {
    /// `true` once per interval.
    pub(crate) fn due(&mut self, now: Timestamp) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + SPEAKER_INTERVAL;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(loudness: &mut Loudness, db: u8) -> Option<SpeakerLevel> {
        for _ in 0..20 {
            loudness.observe(AudioLevel {
                voice: true,
                below_overload_db: db,
            });
        }
        loudness.look(TrackId(1), false)
    }

    #[test]
    fn a_voice_is_news_once_and_its_end_once() {
        let mut loudness = Loudness::default();
        assert!(interval(&mut loudness, 100).is_none());
        let began = interval(&mut loudness, 20).unwrap();
        assert!(began.active && began.level > 0.0);
        let mut news = 0;
        for _ in 0..50 {
            news += usize::from(interval(&mut loudness, 20).is_some());
        }
        assert!(news <= 3);
        let mut last = None;
        for _ in 0..20 {
            last = interval(&mut loudness, 100).or(last);
        }
        let ended = last.unwrap();
        assert!(!ended.active);
        assert_eq!(ended.level, 0.0);
    }

    #[test]
    fn a_click_is_no_speech() {
        let mut loudness = Loudness::default();
        for n in 0..20 {
            loudness.observe(AudioLevel {
                voice: false,
                below_overload_db: if n == 3 { 0 } else { 90 },
            });
        }
        assert!(loudness.look(TrackId(1), false).is_none());
    }

    #[test]
    fn levels_are_eighths() {
        let mut loudness = Loudness::default();
        for db in [0, 5, 10, 20, 30] {
            if let Some(level) = interval(&mut loudness, db) {
                assert_eq!((level.level * STEPS).fract(), 0.0);
                assert!((0.0..=1.0).contains(&level.level));
            }
        }
    }
}

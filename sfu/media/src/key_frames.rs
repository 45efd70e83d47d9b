//! Requests for key frames of one layer: gathered from all subscribers, throttled, repeated until one comes.

use std::time::Duration;

use plenum_types::Timestamp;

/// How often encoders are asked in the long run, and how long an answer may take: a key frame costs several ordinary ones.
const THROTTLE: Duration = Duration::from_millis(500);
/// How soon an encoder that has answered may be asked again while there is credit: people who come at the same moment, as
/// after a move of their room, are not ready at the same millisecond.
const SPACING: Duration = Duration::from_millis(100);
/// Requests that may follow each other at [`SPACING`]; one more is earned each [`THROTTLE`].
const CREDIT: u8 = 3;
/// Requests without an answer before we wait for someone to ask anew.
const MAX_TRIES: u8 = 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct KeyFrames {
    awaited: bool,
    tries: u8,
    asked: Option<Timestamp>,
    credit: u8,
    earned: Timestamp,
    last: Option<Timestamp>,
    /// One that was asked for came, and nobody has taken notice yet.
    answered: bool,
}

impl Default for KeyFrames {
    fn default() -> Self {
        Self {
            awaited: false,
            tries: 0,
            asked: None,
            credit: CREDIT,
            earned: Timestamp::ZERO,
            last: None,
            answered: false,
        }
    }
}

impl KeyFrames {
    /// Somebody needs one. `true`: ask the publisher now.
    pub(crate) fn request(&mut self, now: Timestamp) -> bool {
        if !self.awaited {
            self.awaited = true;
            self.tries = 0;
        }
        self.due(now)
    }

    /// `true`: ask the publisher now, since one is awaited and the last request is old enough.
    pub(crate) fn due(&mut self, now: Timestamp) -> bool {
        if !self.awaited {
            return false;
        }
        // `tries` is 0 until this need was asked for: what was asked before has been answered.
        let pause = if self.tries == 0 { SPACING } else { THROTTLE };
        if self
            .asked
            .is_some_and(|asked| now.saturating_since(asked) < pause)
            || !self.has_credit(now)
        {
            return false;
        }
        if self.tries >= MAX_TRIES {
            self.awaited = false;
            return false;
        }
        self.asked = Some(now);
        self.tries += 1;
        self.credit -= 1;
        true
    }

    fn has_credit(&mut self, now: Timestamp) -> bool {
        if self.credit >= CREDIT {
            self.earned = now;
        }
        while self.credit < CREDIT && now.saturating_since(self.earned) >= THROTTLE {
            self.credit += 1;
            self.earned += THROTTLE;
        }
        self.credit > 0
    }

    /// One came.
    pub(crate) fn on_key_frame(&mut self, now: Timestamp) {
        self.answered |= std::mem::take(&mut self.awaited);
        self.last = Some(now);
    }

    /// Whether one that was asked for has come since the last call.
    pub(crate) fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    /// How long ago the last one came.
    pub(crate) fn since_last(&self, now: Timestamp) -> Option<Duration> {
        self.last.map(|last| now.saturating_since(last))
    }

    /// One was asked for and has not come.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.awaited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_requests_becomes_one_per_interval() {
        let mut key_frames = KeyFrames::default();
        let asked = (0..1_000)
            .filter(|ms| key_frames.request(Timestamp::from_millis(*ms)))
            .count();
        assert_eq!(asked, 2);
    }

    #[test]
    fn those_who_come_together_wait_for_no_interval_and_a_stream_of_them_does() {
        let mut key_frames = KeyFrames::default();
        // An encoder that answers within 20 ms, and somebody new each 50 ms, for ten seconds.
        let mut answer_at = None;
        let asked: Vec<u64> = (0..10_000)
            .filter(|ms| {
                if answer_at == Some(*ms) {
                    key_frames.on_key_frame(Timestamp::from_millis(*ms));
                }
                let now = Timestamp::from_millis(*ms);
                let ask = if ms % 50 == 0 {
                    key_frames.request(now)
                } else {
                    key_frames.due(now)
                };
                if ask {
                    answer_at = Some(ms + 20);
                }
                ask
            })
            .collect();
        assert_eq!(asked[..3], [0, 100, 200]);
        assert!(asked.len() <= 23, "{asked:?}");
    }

    #[test]
    fn a_request_is_repeated_until_a_key_frame_comes() {
        let mut key_frames = KeyFrames::default();
        assert!(key_frames.request(Timestamp::from_millis(0)));
        assert!(!key_frames.due(Timestamp::from_millis(400)));
        assert!(key_frames.due(Timestamp::from_millis(500)));
        key_frames.on_key_frame(Timestamp::from_millis(600));
        assert!(!key_frames.due(Timestamp::from_millis(2_000)));
    }

    #[test]
    fn a_publisher_that_never_answers_is_asked_so_often_and_no_more() {
        let mut key_frames = KeyFrames::default();
        let mut asked = u32::from(key_frames.request(Timestamp::ZERO));
        for ms in 1..100_000 {
            asked += u32::from(key_frames.due(Timestamp::from_millis(ms)));
        }
        assert_eq!(asked, u32::from(MAX_TRIES));
        assert!(key_frames.request(Timestamp::from_millis(100_000)));
    }
}

//! Requests for key frames of one layer: gathered from all subscribers, throttled, repeated until one comes.

use std::time::Duration;

use plenum_types::Timestamp;

/// Encoders are not asked more often: a key frame costs several ordinary ones.
const THROTTLE: Duration = Duration::from_millis(500);
/// Requests without an answer before we wait for someone to ask anew.
const MAX_TRIES: u8 = 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct KeyFrames {
    awaited: bool,
    tries: u8,
    asked: Option<Timestamp>,
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
        if !self.awaited
            || self
                .asked
                .is_some_and(|asked| now.saturating_since(asked) < THROTTLE)
        {
            return false;
        }
        if self.tries >= MAX_TRIES {
            self.awaited = false;
            return false;
        }
        self.asked = Some(now);
        self.tries += 1;
        true
    }

    /// One came.
    pub(crate) fn on_key_frame(&mut self) {
        self.awaited = false;
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
    fn a_request_is_repeated_until_a_key_frame_comes() {
        let mut key_frames = KeyFrames::default();
        assert!(key_frames.request(Timestamp::from_millis(0)));
        assert!(!key_frames.due(Timestamp::from_millis(400)));
        assert!(key_frames.due(Timestamp::from_millis(500)));
        key_frames.on_key_frame();
        assert!(!key_frames.due(Timestamp::from_millis(2_000)));
    }
}

//! Whether what a client seals arrives: its media and data, besides the checks of ICE.
//!
//! Some firewalls let STUN pass and cut the rest, at once or in the middle of a call. ICE holds then, and nobody is asked for
//! anything: the call would stay silent for ever. So who has sealed nothing for a while is asked for an answer, and who does
//! not give one though its checks arrive has lost its media. Each client is asked once while all is well: one that does not
//! answer then is never judged by its silence.

use plenum_types::Timestamp;
use std::time::Duration;

/// Who has sealed nothing for this long is asked. Media comes more often, and so do reports of video; those of audio don't.
const QUIET: Duration = Duration::from_secs(3);
/// How often it is asked again.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Questions in vain that say enough. All in all it takes 15 s at most, as long as ICE takes, and 9 s at least. Where a fifth of
/// the datagrams is lost each way, nine in a row stay without an answer once in ten thousand times (0.36 to the ninth).
const MAX_ASKED: u8 = 9;
/// Questions to a client that is heard, until it answers one.
const MAX_TRIED: u8 = 3;

/// What is to be done about a client's silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing, or not yet.
    Nothing,
    /// It is to be asked for an answer.
    Ask,
    /// It was asked often enough.
    GiveUp,
}

/// How long a client has sealed nothing. It is looked at now and then, so that packets need no clock.
#[derive(Default)]
pub(crate) struct Silence {
    /// Something came since the last look.
    heard: bool,
    /// Questions since something came.
    asked: u8,
    /// Questions while it was heard.
    tried: u8,
    /// The next look.
    at: Timestamp,
}

impl Silence {
    /// Something came that only the client can have sealed.
    pub(crate) const fn hear(&mut self) {
        self.heard = true;
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if the client can be asked.
    pub(crate) const fn next_timeout(&self) -> Timestamp {
        self.at
    }

    /// What to do at `now`; `checked` says whether the client's checks arrive, `answers` whether it has answered a question.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp, checked: bool, answers: bool) -> Due {
        if now < self.at {
            return Due::Nothing;
        }
        if std::mem::take(&mut self.heard) {
            self.asked = 0;
            self.at = now + QUIET;
            if answers || self.tried >= MAX_TRIED {
                return Due::Nothing;
            }
            self.tried += 1;
            return Due::Ask;
        }
        self.at = now + ASK_EVERY;
        // Nothing at all arrives: that is for ICE to judge.
        if !checked {
            self.asked = 0;
            return Due::Nothing;
        }
        if self.asked >= MAX_ASKED {
            return if answers { Due::GiveUp } else { Due::Nothing };
        }
        self.asked += 1;
        Due::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is due in so many seconds of silence.
    fn silent(silence: &mut Silence, now: &mut Timestamp, seconds: u64, answers: bool) -> Vec<Due> {
        let looks = (0..seconds).map(|_| {
            *now += Duration::from_secs(1);
            silence.handle_timeout(*now, true, answers)
        });
        looks.collect()
    }

    #[test]
    fn who_never_answered_is_not_judged_by_its_silence() {
        for answers in [false, true] {
            let (mut silence, mut now) = (Silence::default(), Timestamp::default());
            let mut asked = 0;
            for _ in 0..5 {
                silence.hear();
                now += QUIET;
                asked += u8::from(silence.handle_timeout(now, true, answers) == Due::Ask);
            }
            assert_eq!(asked, if answers { 0 } else { MAX_TRIED });
            let due = silent(&mut silence, &mut now, 60, answers);
            assert_eq!(due.contains(&Due::GiveUp), answers);
            let asked = due.iter().filter(|due| **due == Due::Ask).count();
            assert_eq!(asked, usize::from(MAX_ASKED));
        }
    }
}

//! Whether what a client seals arrives: its media and data, besides the checks of ICE.
//!
//! Some firewalls let STUN pass and cut the rest, at once or in the middle of a call. ICE holds then, and nobody is asked for
//! anything: the call would stay silent for ever. So who has sealed nothing for a while is asked for an answer, and who does
//! not give one though its checks arrive has lost its media.

use plenum_types::Timestamp;
use std::time::Duration;

/// Who has sealed nothing for this long is asked. Media comes more often, and so do reports of video; those of audio don't.
const QUIET: Duration = Duration::from_secs(3);
/// How often it is asked again.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Questions in vain that say enough. All in all it takes 15 s at most, as long as ICE takes, and 9 s at least. Where a fifth of
/// the datagrams is lost each way, nine in a row stay without an answer once in ten thousand times (0.36 to the ninth).
const MAX_ASKED: u8 = 9;

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

    /// What to do at `now`; `checked` says whether the client's checks arrive.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp, checked: bool) -> Due {
        if now < self.at {
            return Due::Nothing;
        }
        if std::mem::take(&mut self.heard) {
            self.asked = 0;
            self.at = now + QUIET;
            return Due::Nothing;
        }
        self.at = now + ASK_EVERY;
        // Nothing at all arrives: that is for ICE to judge.
        if !checked {
            self.asked = 0;
            return Due::Nothing;
        }
        if self.asked >= MAX_ASKED {
            return Due::GiveUp;
        }
        self.asked += 1;
        Due::Ask
    }
}

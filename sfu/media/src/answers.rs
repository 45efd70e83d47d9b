//! What a subscriber that asks for packets again has got, and what it may still get.

use std::time::Duration;

use plenum_types::Timestamp;

/// Answers that are remembered.
const ANSWERS: usize = 256;
/// Retransmissions that a subscriber may have at once. One is earned with each packet: whoever asks for everything again and
/// again gets no more than was sent, and a client that loses half of it still gets all.
const MAX_CREDIT: u16 = 512;

/// Answers to the NACKs of one subscription.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Output number and time, each in the place that its number gives.
    given: Vec<(u64, Timestamp)>,
    /// Retransmissions that are left, see [`MAX_CREDIT`].
    credit: u16,
}

impl Answers {
    /// A packet was sent.
    pub(crate) fn earn(&mut self) {
        self.credit = (self.credit + 1).min(MAX_CREDIT);
    }

    /// A NACK asks for this number: `false` if it was answered less than `rtt` ago, or too much was asked for.
    pub(crate) fn may_answer(&mut self, out: u64, rtt: Duration, now: Timestamp) -> bool {
        if self.given.is_empty() {
            self.given.resize(ANSWERS, (0, Timestamp::ZERO));
        }
        let Some(answer) = self.given.get_mut(out as usize % ANSWERS) else {
            return false;
        };
        if answer.0 == out && now.saturating_since(answer.1) < rtt {
            return false;
        }
        let Some(left) = self.credit.checked_sub(1) else {
            return false;
        };
        self.credit = left;
        *answer = (out, now);
        true
    }
}

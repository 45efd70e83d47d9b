//! Circuit breaker: after some failures nobody waits for a store that is away; one probe at a time finds out when it is back.
//!
//! ```text
//! CLOSED --failures within window--> OPEN --pause--> HALF_OPEN --successes--> CLOSED
//!                                      ^----- a failed probe -----'
//! ```

use std::collections::VecDeque;
use std::time::Duration;

/// Settings of a [`Breaker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// This many failures open it, ...
    pub failures: usize,
    /// ... if they lie within this time.
    pub window: Duration,
    /// How long it stays open before a probe is let through.
    pub pause: Duration,
    /// This many probes in a row close it.
    pub successes: u32,
}

impl Default for BreakerSettings {
    /// For Redis: heartbeats come every 500 ms, so it opens after 1.5 s of refusals and is tried twice a second.
    fn default() -> Self {
        Self {
            failures: 3,
            window: Duration::from_secs(10),
            pause: Duration::from_millis(400),
            successes: 1,
        }
    }
}

/// Where a [`Breaker`] stands, for the metric and `/health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything is let through.
    Closed,
    /// Nothing is.
    Open,
    /// One probe at a time is.
    HalfOpen,
}

/// A call may go out, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it failed repeatedly and is left alone for a moment (circuit open)")]
pub struct CircuitOpen;

#[derive(Debug)]
enum State {
    Closed {
        failed_at: VecDeque<Duration>,
    },
    Open {
        since: Duration,
    },
    HalfOpen {
        probe_since: Option<Duration>,
        succeeded: u32,
    },
}

/// The state machine; time is an argument, on any clock that does not jump.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
}

impl Breaker {
    /// Closed.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            state: State::Closed {
                failed_at: VecDeque::new(),
            },
        }
    }

    /// Where it stands.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Asks before a call. After `Ok`, report with [`Breaker::succeeded`] or [`Breaker::failed`]; a probe that is never
    /// reported (its caller was cancelled) counts as failed after the pause.
    pub fn admit(&mut self, now: Duration) -> Result<(), CircuitOpen> {
        match &mut self.state {
            State::Closed { .. } => Ok(()),
            State::Open { since } if now.saturating_sub(*since) < self.settings.pause => {
                Err(CircuitOpen)
            }
            State::Open { .. } => {
                self.state = State::HalfOpen {
                    probe_since: Some(now),
                    succeeded: 0,
                };
                Ok(())
            }
            State::HalfOpen {
                probe_since: Some(since),
                ..
            } if now.saturating_sub(*since) < self.settings.pause => Err(CircuitOpen),
            State::HalfOpen { probe_since, .. } => {
                *probe_since = Some(now);
                Ok(())
            }
        }
    }

    /// A call came back. True if this closed the circuit.
    pub fn succeeded(&mut self) -> bool {
        match &mut self.state {
            State::Closed { .. } => false,
            // A call that was on its way when the circuit opened proves that the store answers.
            State::Open { .. } => {
                self.state = State::HalfOpen {
                    probe_since: None,
                    succeeded: 0,
                };
                self.succeeded()
            }
            State::HalfOpen {
                probe_since,
                succeeded,
            } => {
                *probe_since = None;
                *succeeded += 1;
                let closes = *succeeded >= self.settings.successes;
                if closes {
                    self.state = State::Closed {
                        failed_at: VecDeque::new(),
                    };
                }
                closes
            }
        }
    }

    /// A call failed for a transient reason. True if this opened the circuit; a probe that fails leaves it as it was.
    pub fn failed(&mut self, now: Duration) -> bool {
        match &mut self.state {
            State::Closed { failed_at } => {
                failed_at.push_back(now);
                while failed_at
                    .front()
                    .is_some_and(|at| now.saturating_sub(*at) > self.settings.window)
                {
                    failed_at.pop_front();
                }
                let opens = failed_at.len() >= self.settings.failures;
                if opens {
                    self.state = State::Open { since: now };
                }
                opens
            }
            // Late failures of calls from before do not prolong the pause.
            State::Open { .. } => false,
            State::HalfOpen { .. } => {
                self.state = State::Open { since: now };
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings {
            failures: 3,
            window: at(10_000),
            pause: at(1_000),
            successes: 2,
        })
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        assert!(!breaker.failed(at(0)) && !breaker.failed(at(10)) && breaker.failed(at(20)));
        breaker
    }

    #[test]
    fn failures_within_the_window_open_it() {
        let mut breaker = opened();
        assert_eq!(
            (breaker.state(), breaker.admit(at(1_019))),
            (BreakerState::Open, Err(CircuitOpen))
        );
    }

    #[test]
    fn failures_far_apart_do_not() {
        let mut breaker = breaker();
        for millis in [0, 6_000, 12_000, 18_000] {
            assert!(!breaker.failed(at(millis)));
        }
        assert_eq!(breaker.admit(at(18_001)), Ok(()));
    }

    #[test]
    fn one_probe_at_a_time_and_enough_of_them_close_it() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(1_020)), Ok(()));
        assert_eq!(breaker.admit(at(1_021)), Err(CircuitOpen));
        assert!(!breaker.succeeded());
        assert_eq!(breaker.admit(at(1_022)), Ok(()));
        assert!(breaker.succeeded());
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_it_again_for_the_whole_pause() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(1_020)), Ok(()));
        assert!(
            !breaker.failed(at(1_500)),
            "an outage is one transition, however many probes it fails"
        );
        assert_eq!(breaker.admit(at(2_499)), Err(CircuitOpen));
        assert_eq!(breaker.admit(at(2_500)), Ok(()));
    }

    #[test]
    fn a_probe_that_was_forgotten_does_not_block_the_next_for_ever() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(at(1_020)), Ok(()));
        assert_eq!(breaker.admit(at(2_019)), Err(CircuitOpen));
        assert_eq!(breaker.admit(at(2_020)), Ok(()));
    }
}

//! A Shard that panicked is made anew, a bounded number of times.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use plenum_types::Timestamp;

use crate::{
    Driven, ShardNews,
    driver::{Driver, Start},
};

/// Restarts within [`WINDOW`]; one more, and the Shard stays down. A fault that a client can bring about again and again
/// would otherwise have all clients of the Shard reconnect for ever; as it is, the process says that it is not healthy.
pub(crate) const MAX_RESTARTS: usize = 3;
/// See [`MAX_RESTARTS`].
const WINDOW: Duration = Duration::from_secs(60);

/// When restarts were.
#[derive(Debug, Default)]
struct Restarts(VecDeque<Timestamp>);

impl Restarts {
    /// Whether there may be one more now.
    fn allow(&mut self, now: Timestamp) -> bool {
        while self.0.front().is_some_and(|at| now - *at >= WINDOW) {
            self.0.pop_front();
        }
        if self.0.len() >= MAX_RESTARTS {
            return false;
        }
        self.0.push_back(now);
        true
    }
}

/// Runs a Shard until told to stop. When it panics its state is dropped, the rooms hear of it, and a fresh one goes on
/// with the same sockets.
pub(crate) fn run<S: Driven>(start: Start<S>) {
    let (events, status, id, clock) = (
        start.events.clone(),
        start.status.clone(),
        start.shard.shard,
        start.clock,
    );
    let mut restarts = Restarts::default();
    let mut driver = match Driver::new(start) {
        Ok(driver) => Some(driver),
        Err(error) => {
            tracing::error!(shard = %id, %error, "the media thread can't register its sockets");
            None
        }
    };
    while let Some(running) = &mut driver {
        match catch_unwind(AssertUnwindSafe(|| running.passes())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::error!(shard = %id, %error, "the media thread can't wait for its sockets");
                driver = None;
            }
            Err(_) if restarts.allow(clock.now()) => {
                tracing::error!(shard = %id, "the shard panicked; its rooms reconnect to a fresh one");
                status.restart();
                if !running.renew() {
                    return;
                }
            }
            Err(_) => {
                tracing::error!(
                    shard = %id,
                    "the shard panicked {} times within {} s and stays down; restart the process, and report what the log says",
                    MAX_RESTARTS + 1,
                    WINDOW.as_secs()
                );
                driver = None;
            }
        }
    }
    status.fail();
    // The thread has nothing else to do: wait until the news is taken. An error means that the process ends.
    let _ = events.blocking_send(ShardNews::Failed(id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_restarts_of_the_last_minute_count() {
        let mut restarts = Restarts::default();
        let at = Timestamp::from_millis;
        assert!((0..MAX_RESTARTS as u64).all(|i| restarts.allow(at(i))));
        assert!(!restarts.allow(at(59_999)));
        assert!(restarts.allow(at(60_000)));
        assert!(!restarts.allow(at(60_000)));
    }
}

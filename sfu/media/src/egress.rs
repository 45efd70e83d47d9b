//! What waits to be sent to one subscriber: the place between forwarding and sealing, where a pacer belongs.

use std::collections::VecDeque;

use plenum_types::{Queue, Timestamp};

use crate::keys::SubscriptionKey;

/// Packets per queue. At 1,200 bytes this is half a second of 10 Mbit/s; more is too late to be shown.
const MAX_QUEUED: usize = 512;

/// A packet to send, by numbers only: payloads stay in the history until they are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) subscription: SubscriptionKey,
    /// Output number.
    pub(crate) out: u64,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// Priority of a packet; audio first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Priority {
    Audio,
    Retransmission,
    Video,
}

impl Priority {
    /// The queue of this priority, as others name it.
    pub(crate) const fn queue(self) -> Queue {
        match self {
            Self::Audio => Queue::Audio,
            Self::Retransmission => Queue::Retransmission,
            Self::Video => Queue::Video,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    audio: VecDeque<Queued>,
    retransmissions: VecDeque<Queued>,
    video: VecDeque<Queued>,
    /// Listed as having something to send.
    pub(crate) ready: bool,
}

impl Egress {
    /// `false`: full, nothing was queued.
    pub(crate) fn push(&mut self, priority: Priority, packet: Queued) -> bool {
        let queue = self.queue(priority);
        if queue.len() >= MAX_QUEUED {
            return false;
        }
        queue.push_back(packet);
        true
    }

    fn queue(&mut self, priority: Priority) -> &mut VecDeque<Queued> {
        match priority {
            Priority::Audio => &mut self.audio,
            Priority::Retransmission => &mut self.retransmissions,
            Priority::Video => &mut self.video,
        }
    }

    /// Packets that wait.
    pub(crate) fn len(&self) -> usize {
        self.audio.len() + self.retransmissions.len() + self.video.len()
    }

    /// The next packet, most urgent first.
    pub(crate) fn pop(&mut self) -> Option<(Priority, Queued)> {
        for priority in [Priority::Audio, Priority::Retransmission, Priority::Video] {
            if let Some(packet) = self.queue(priority).pop_front() {
                return Some((priority, packet));
            }
        }
        None
    }

    /// Forgets what waits for a subscription.
    pub(crate) fn forget(&mut self, subscription: SubscriptionKey) {
        for priority in [Priority::Audio, Priority::Retransmission, Priority::Video] {
            self.queue(priority)
                .retain(|packet| packet.subscription != subscription);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_overtakes_retransmissions_and_video() {
        let mut egress = Egress::default();
        let packet = |out| Queued {
            subscription: SubscriptionKey::from_index(0),
            out,
            since: Timestamp::ZERO,
        };
        egress.push(Priority::Video, packet(1));
        egress.push(Priority::Retransmission, packet(2));
        egress.push(Priority::Audio, packet(3));
        let order: Vec<_> = std::iter::from_fn(|| egress.pop())
            .map(|(_, packet)| packet.out)
            .collect();
        assert_eq!(order, [3, 2, 1]);
    }

    #[test]
    fn a_full_queue_refuses() {
        let mut egress = Egress::default();
        let taken = (0..10_000)
            .filter(|out| {
                egress.push(
                    Priority::Video,
                    Queued {
                        subscription: SubscriptionKey::from_index(0),
                        out: *out,
                        since: Timestamp::ZERO,
                    },
                )
            })
            .count();
        assert_eq!(taken, MAX_QUEUED);
    }
}

//! Why nothing flows: the answer to "why is this picture frozen?".

use serde::{Deserialize, Serialize};

/// Why a subscriber gets nothing of a track, or a publisher sends nothing of it. The first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stall {
    /// The subscriber's token, or the publisher's list of subscribers, doesn't allow it.
    Permission,
    /// The subscriber can't decode what the publisher sends.
    Codec,
    /// The publisher has muted the track, or the server API has.
    Muted,
    /// The subscriber said that it doesn't show it (adaptive stream, or paused by hand).
    AdaptiveStreamHidden,
    /// The publisher rests, since nobody wanted the track; it was told to go on a moment ago, or not yet.
    Dynacast,
    /// No packets come from the publisher, or the way to the subscriber is not open yet.
    NoPackets,
    /// More is to be sent to the subscriber than its way takes: its queue drops packets, or the video pauses.
    Bandwidth,
    /// Packets come, and the subscriber waits for one that a picture can begin with.
    AwaitingKeyFrame,
}

/// What the answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an observation of its own, and all combinations occur"
)]
pub(crate) struct Facts {
    pub(crate) permitted: bool,
    pub(crate) decodable: bool,
    pub(crate) muted: bool,
    /// The subscription is paused.
    pub(crate) hidden: bool,
    /// The publisher was told to rest, or to go on a moment ago.
    pub(crate) rests: bool,
    /// Packets of at least one layer come.
    pub(crate) live: bool,
    /// The subscription is negotiated and its Transport connected.
    pub(crate) open: bool,
    /// A layer is being sent.
    pub(crate) sending: bool,
    /// Packets to the subscriber were dropped a moment ago, or none are sent since they would not fit.
    pub(crate) dropping: bool,
}

/// `None`: it flows.
pub(crate) const fn why(facts: Facts) -> Option<Stall> {
    let Facts {
        permitted,
        decodable,
        muted,
        hidden,
        rests,
        live,
        open,
        sending,
        dropping,
    } = facts;
    if !permitted {
        Some(Stall::Permission)
    } else if !decodable {
        Some(Stall::Codec)
    } else if muted {
        Some(Stall::Muted)
    } else if hidden {
        Some(Stall::AdaptiveStreamHidden)
    } else if !live && rests {
        Some(Stall::Dynacast)
    } else if !live || !open {
        Some(Stall::NoPackets)
    } else if sending {
        None
    } else if dropping {
        Some(Stall::Bandwidth)
    } else {
        Some(Stall::AwaitingKeyFrame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOWS: Facts = Facts {
        permitted: true,
        decodable: true,
        muted: false,
        hidden: false,
        rests: false,
        live: true,
        open: true,
        sending: true,
        dropping: false,
    };

    fn answer(change: impl FnOnce(&mut Facts)) -> Option<Stall> {
        let mut facts = FLOWS;
        change(&mut facts);
        why(facts)
    }

    #[test]
    fn what_flows_has_no_reason_not_to() {
        assert_eq!(why(FLOWS), None);
        assert_eq!(answer(|facts| facts.dropping = true), None);
        assert_eq!(answer(|facts| facts.rests = true), None);
    }

    #[test]
    fn who_may_not_have_it_reads_permission() {
        assert_eq!(
            answer(|facts| (facts.permitted, facts.muted) = (false, true)),
            Some(Stall::Permission)
        );
    }

    #[test]
    fn who_cannot_decode_it_reads_codec() {
        assert_eq!(answer(|facts| facts.decodable = false), Some(Stall::Codec));
    }

    #[test]
    fn a_muted_track_is_muted_whatever_else() {
        assert_eq!(
            answer(|facts| (facts.muted, facts.hidden, facts.live) = (true, true, false)),
            Some(Stall::Muted)
        );
    }

    #[test]
    fn a_hidden_element_is_named_before_the_rest_that_follows_from_it() {
        assert_eq!(
            answer(|facts| (facts.hidden, facts.rests, facts.live) = (true, true, false)),
            Some(Stall::AdaptiveStreamHidden)
        );
    }

    #[test]
    fn a_resting_publisher_is_not_a_silent_one() {
        let silent = |facts: &mut Facts| (facts.live, facts.sending) = (false, false);
        assert_eq!(answer(silent), Some(Stall::NoPackets));
        assert_eq!(
            answer(|facts| {
                silent(facts);
                facts.rests = true;
            }),
            Some(Stall::Dynacast)
        );
    }

    #[test]
    fn a_way_that_is_not_open_carries_no_packets() {
        assert_eq!(
            answer(|facts| (facts.open, facts.sending) = (false, false)),
            Some(Stall::NoPackets)
        );
    }

    #[test]
    fn a_stopped_picture_waits_for_bandwidth_while_its_queue_drops_and_for_a_key_frame_else() {
        assert_eq!(
            answer(|facts| (facts.sending, facts.dropping) = (false, true)),
            Some(Stall::Bandwidth)
        );
        assert_eq!(
            answer(|facts| facts.sending = false),
            Some(Stall::AwaitingKeyFrame)
        );
    }
}

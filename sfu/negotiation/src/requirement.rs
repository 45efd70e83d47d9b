//! Counts the recvonly sections that a v1 client was asked for, so that none is asked for twice.

use plenum_types::MediaKind;

use crate::SectionsRequirement;

/// Offers after which a request counts as forgotten. The first offer after a request may have been on its way when it was
/// made; clients make the next one with the sections in it (protocol.md 4).
const OFFERS_TO_COMPLY: u8 = 2;

/// Something per kind of media.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PerKind<T> {
    pub(crate) audio: T,
    pub(crate) video: T,
}

impl<T> PerKind<T> {
    pub(crate) const fn of_mut(&mut self, kind: MediaKind) -> &mut T {
        match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        }
    }
}

/// What the client was asked for and has not offered yet.
#[derive(Debug, Default)]
pub(crate) struct Requirement {
    asked: PerKind<u32>,
    /// Offers since the last request.
    offers: u8,
    /// A request is out that no offer followed.
    pub(crate) awaits_offer: bool,
}

impl Requirement {
    /// An offer came with this many recvonly sections that were not there before.
    pub(crate) fn offered(&mut self, fresh: PerKind<u32>) {
        self.awaits_offer = false;
        self.offers = self.offers.saturating_add(1);
        if self.offers >= OFFERS_TO_COMPLY {
            self.asked = PerKind::default();
        } else {
            self.asked.audio = self.asked.audio.saturating_sub(fresh.audio);
            self.asked.video = self.asked.video.saturating_sub(fresh.video);
        }
    }

    /// What of `missing` was not asked for yet.
    pub(crate) fn unasked(&self, missing: PerKind<u32>) -> SectionsRequirement {
        SectionsRequirement {
            audios: missing.audio.saturating_sub(self.asked.audio),
            videos: missing.video.saturating_sub(self.asked.video),
        }
    }

    /// A request goes out.
    pub(crate) fn ask(&mut self, request: SectionsRequirement) {
        self.asked.audio = self.asked.audio.saturating_add(request.audios);
        self.asked.video = self.asked.video.saturating_add(request.videos);
        self.offers = 0;
        self.awaits_offer = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_VIDEOS: PerKind<u32> = PerKind { audio: 0, video: 2 };

    #[test]
    fn what_was_asked_for_is_not_asked_for_again() {
        let mut requirement = Requirement::default();
        requirement.ask(requirement.unasked(TWO_VIDEOS));
        assert!(requirement.unasked(TWO_VIDEOS).is_zero());
        let three = PerKind { audio: 0, video: 3 };
        assert_eq!(requirement.unasked(three).videos, 1);
    }

    #[test]
    fn a_crossing_offer_does_not_void_a_request_but_the_next_one_does() {
        let mut requirement = Requirement::default();
        requirement.ask(requirement.unasked(TWO_VIDEOS));
        requirement.offered(PerKind::default());
        assert!(requirement.unasked(TWO_VIDEOS).is_zero());
        requirement.offered(PerKind::default());
        assert_eq!(requirement.unasked(TWO_VIDEOS).videos, 2);
    }

    #[test]
    fn offered_sections_settle_a_request() {
        let mut requirement = Requirement::default();
        requirement.ask(requirement.unasked(TWO_VIDEOS));
        requirement.offered(TWO_VIDEOS);
        assert_eq!(requirement.unasked(TWO_VIDEOS).videos, 2);
    }
}

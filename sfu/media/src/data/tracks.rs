//! Data tracks (protocol.md 6.4): packets of a publisher's numbered track go to those who subscribe, each under its own
//! number. Nothing else in a packet is touched; what is lost stays lost.

use std::time::Duration;

use hashbrown::HashMap;
use plenum_types::{DataTrackSubscriber, ParticipantId, Timestamp};
use smallvec::SmallVec;

use super::rate::SenderRate;

/// Bytes of a packet before its extensions.
const HEADER: usize = 12;
/// Where the track's number is.
const HANDLE: std::ops::Range<usize> = 2..4;
/// Where the frame's number is.
const FRAME: std::ops::Range<usize> = 6..8;

/// Where a packet goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routed {
    pub(super) to: SmallVec<[(ParticipantId, u16); 8]>,
    /// The sender keeps its rate: see [`super::rate`].
    pub(super) within_rate: bool,
}

/// All data tracks of a room.
#[derive(Debug, Default)]
pub(crate) struct DataTracks {
    routes: HashMap<(ParticipantId, u16), Vec<Receiver>>,
    /// Apart from that of messages: a stream of measurements takes nothing from a chat.
    rates: HashMap<ParticipantId, SenderRate>,
}

#[derive(Debug)]
struct Receiver {
    who: DataTrackSubscriber,
    /// The frame that came last, and whether the receiver gets it.
    frame: Option<(u16, bool)>,
    /// When it gets another one, if it wants fewer than there are.
    next: Timestamp,
}

impl Receiver {
    /// Whether it gets a packet of this frame.
    fn takes(&mut self, frame: u16, now: Timestamp) -> bool {
        let Some(frames) = self.who.frames_per_second.filter(|frames| *frames > 0) else {
            return true;
        };
        if let Some((last, taken)) = self.frame
            && last == frame
        {
            return taken;
        }
        let interval = Duration::from_secs(1) / frames;
        let taken = now >= self.next;
        if taken {
            // A frame that comes a little late is no reason to give fewer than were asked for.
            self.next = self.next.max(now.saturating_sub(interval)) + interval;
        }
        self.frame = Some((frame, taken));
        taken
    }
}

impl DataTracks {
    /// Who receives a track from now on.
    pub(crate) fn set(
        &mut self,
        publisher: ParticipantId,
        handle: u16,
        subscribers: Vec<DataTrackSubscriber>,
    ) {
        let before = self.routes.remove(&(publisher, handle)).unwrap_or_default();
        let receivers = subscribers
            .into_iter()
            .map(|who| {
                let known = before
                    .iter()
                    .find(|known| known.who.participant == who.participant);
                Receiver {
                    who,
                    frame: known.and_then(|known| known.frame),
                    next: known.map_or(Timestamp::ZERO, |known| known.next),
                }
            })
            .collect();
        self.routes.insert((publisher, handle), receivers);
    }

    /// A track has ended.
    pub(crate) fn remove(&mut self, publisher: ParticipantId, handle: u16) {
        self.routes.remove(&(publisher, handle));
        if !self.routes.keys().any(|(other, _)| *other == publisher) {
            self.rates.remove(&publisher);
        }
    }

    /// Where a packet goes; `None` if it is none, or of no track.
    pub(super) fn route(
        &mut self,
        from: ParticipantId,
        packet: &[u8],
        now: Timestamp,
    ) -> Option<Routed> {
        let header = packet.first_chunk::<HEADER>()?;
        let number = |range: std::ops::Range<usize>| {
            let bytes = header.get(range)?;
            Some(u16::from_be_bytes(bytes.try_into().ok()?))
        };
        let (handle, frame) = (number(HANDLE)?, number(FRAME)?);
        let receivers = self.routes.get_mut(&(from, handle))?;
        let to = receivers
            .iter_mut()
            .filter_map(|receiver| {
                receiver
                    .takes(frame, now)
                    .then_some((receiver.who.participant, receiver.who.handle))
            })
            .collect();
        let within_rate = self
            .rates
            .entry(from)
            .or_insert_with(|| SenderRate::new(now))
            .take(packet.len(), now);
        Some(Routed { to, within_rate })
    }
}

/// Writes a receiver's number into a packet that was routed.
pub(super) fn renumber(packet: &mut [u8], handle: u16) {
    if let Some(place) = packet.get_mut(HANDLE) {
        place.copy_from_slice(&handle.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: ParticipantId = ParticipantId(1);
    const BOB: ParticipantId = ParticipantId(2);

    fn packet(handle: u16, frame: u16) -> Vec<u8> {
        let mut packet = vec![0x18, 0];
        packet.extend(handle.to_be_bytes());
        packet.extend(1u16.to_be_bytes());
        packet.extend(frame.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(b"payload");
        packet
    }

    fn subscriber(frames_per_second: Option<u32>) -> DataTrackSubscriber {
        DataTrackSubscriber {
            participant: BOB,
            handle: 9,
            frames_per_second,
        }
    }

    #[test]
    fn a_packet_goes_to_subscribers_under_their_own_numbers() {
        let mut tracks = DataTracks::default();
        tracks.set(ALICE, 3, vec![subscriber(None)]);
        let mut sent = packet(3, 1);
        let routed = tracks.route(ALICE, &sent, Timestamp::ZERO).unwrap();
        assert_eq!(routed.to.as_slice(), [(BOB, 9)]);
        renumber(&mut sent, 9);
        assert_eq!(sent, packet(9, 1));
        assert_eq!(tracks.route(BOB, &sent, Timestamp::ZERO), None);
        assert_eq!(tracks.route(ALICE, &packet(4, 1), Timestamp::ZERO), None);
        assert_eq!(tracks.route(ALICE, &sent[..11], Timestamp::ZERO), None);
        tracks.remove(ALICE, 3);
        assert_eq!(tracks.route(ALICE, &packet(3, 1), Timestamp::ZERO), None);
    }

    #[test]
    fn who_wants_fewer_frames_gets_whole_ones() {
        let mut tracks = DataTracks::default();
        tracks.set(ALICE, 3, vec![subscriber(Some(10))]);
        let mut taken = Vec::new();
        for frame in 0..300u16 {
            let now = Timestamp::from_millis(u64::from(frame) * 10);
            let parts = (0..3)
                .filter(|_| {
                    !tracks
                        .route(ALICE, &packet(3, frame), now)
                        .unwrap()
                        .to
                        .is_empty()
                })
                .count();
            assert!(parts == 0 || parts == 3);
            taken.extend((parts == 3).then_some(frame));
        }
        assert!((29..=31).contains(&taken.len()), "{taken:?}");
    }

    #[test]
    fn a_flood_is_beyond_its_rate() {
        let mut tracks = DataTracks::default();
        tracks.set(ALICE, 3, vec![subscriber(None)]);
        let mut big = packet(3, 1);
        big.resize(60_000, 0);
        let within = (0..100)
            .filter(|_| {
                tracks
                    .route(ALICE, &big, Timestamp::ZERO)
                    .unwrap()
                    .within_rate
            })
            .count();
        assert_eq!(within, 8);
    }
}

//! The last second of a published layer in plaintext, shared by all its subscriptions.
//!
//! Payloads lie in a ring of bytes, their descriptions in a ring of slots. A slot is found by source index and is valid
//! while its bytes have not been written over: positions only grow, so one comparison tells.

use std::time::Duration;

use plenum_rtp::{AbsCaptureTime, AudioLevel, Payload};
use plenum_types::{MediaKind, Timestamp};

/// How long packets should stay: longer than a subscriber asks for them (a few round trips).
const KEEP: Duration = Duration::from_secs(1);
/// Rings begin with this many bytes and slots...
const FIRST_VIDEO: (usize, usize) = (64 << 10, 128);
/// ...for audio: one second of 20 ms frames at 64 kbit/s.
const FIRST_AUDIO: (usize, usize) = (8 << 10, 64);
/// A layer of 8 Mbit/s for one second.
const MAX_BYTES: usize = 1 << 20;
/// A layer of 2,000 packets a second.
const MAX_SLOTS: usize = 2048;

/// What all histories of a Shard may take together.
#[derive(Debug)]
pub(crate) struct HistoryBudget {
    used: usize,
    limit: usize,
}

impl HistoryBudget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.used.saturating_add(bytes) <= self.limit;
        if fits {
            self.used += bytes;
        }
        fits
    }

    fn give(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}

/// What the Shard knows of a packet without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PacketInfo {
    /// Extended sequence number within the layer, never 0 and never used twice.
    pub(crate) index: u64,
    /// When it came.
    pub(crate) arrival: Timestamp,
    /// As the publisher wrote it.
    pub(crate) timestamp: u32,
    /// See [`plenum_rtp::RtpPacket::marker`].
    pub(crate) marker: bool,
    /// What its payload says; `None` if it can't be read, or there is none: such a packet is never forwarded.
    pub(crate) payload: Option<Payload>,
    /// As the publisher measured it.
    pub(crate) audio_level: Option<AudioLevel>,
    /// On the publisher's clock.
    pub(crate) capture: Option<AbsCaptureTime>,
}

impl PacketInfo {
    /// A subscription can begin with this packet.
    pub(crate) fn starts(&self) -> bool {
        self.payload.is_some_and(|payload| payload.starts())
    }
}

/// A packet with its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) info: &'a PacketInfo,
    /// Value of the dependency descriptor, perhaps none.
    pub(crate) descriptor: &'a [u8],
    pub(crate) payload: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    info: PacketInfo,
    position: u64,
    /// Bytes of the dependency descriptor, which lies before the payload.
    descriptor_len: u8,
    /// Bytes of the payload.
    len: u16,
    /// False once a move to a larger ring has left the payload behind.
    kept: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct History {
    slots: Vec<Option<Slot>>,
    bytes: Vec<u8>,
    written: u64,
    newest: u64,
    /// Below this index all counts as seen: a ring that grows has empty slots where the smaller one had forgotten.
    floor: u64,
    bytes_wrapped: Timestamp,
    slots_wrapped: Timestamp,
}

impl History {
    /// Keeps a packet; forgets the oldest ones. Grows while a second does not fit and the budget allows.
    pub(crate) fn insert(
        &mut self,
        packet: Packet<'_>,
        kind: MediaKind,
        budget: &mut HistoryBudget,
    ) {
        let Packet {
            info,
            descriptor,
            payload,
        } = packet;
        // A longer one fits no packet of ours: the form of header extensions ends there.
        let descriptor_len = u8::try_from(descriptor.len()).unwrap_or(0);
        let descriptor = descriptor
            .get(..usize::from(descriptor_len))
            .unwrap_or_default();
        let len = descriptor.len() + payload.len();
        if self.slots.is_empty() {
            let (bytes, slots) = match kind {
                MediaKind::Audio => FIRST_AUDIO,
                MediaKind::Video => FIRST_VIDEO,
            };
            if !self.resize(bytes, slots, budget) {
                // Without slots `has_seen` goes by this alone.
                self.newest = self.newest.max(info.index);
                return;
            }
            self.bytes_wrapped = info.arrival;
            self.slots_wrapped = info.arrival;
        }
        self.grow_if_short(info, len, budget);
        let ring = self.bytes.len() as u64;
        let mut at = (self.written % ring) as usize;
        if at + len > self.bytes.len() {
            self.written += ring - at as u64;
            at = 0;
        }
        let Some((first, second)) = self
            .bytes
            .get_mut(at..at + len)
            .and_then(|place| place.split_at_mut_checked(descriptor.len()))
        else {
            return;
        };
        first.copy_from_slice(descriptor);
        second.copy_from_slice(payload);
        let position = self.written;
        self.written += len as u64;
        let mask = self.slots.len() as u64 - 1;
        if let Some(slot) = self.slots.get_mut((info.index & mask) as usize) {
            if slot.is_some_and(|held| held.info.index > info.index) {
                // A packet so late that a newer one has its slot.
                return;
            }
            *slot = Some(Slot {
                info: *info,
                position,
                descriptor_len,
                len: payload.len() as u16,
                kept: true,
            });
        }
        self.newest = self.newest.max(info.index);
    }

    fn grow_if_short(&mut self, info: &PacketInfo, len: usize, budget: &mut HistoryBudget) {
        let (bytes, slots) = (self.bytes.len(), self.slots.len());
        let bytes_wrap = (self.written % bytes as u64) as usize + len > bytes;
        let slots_wrap = info.index > self.newest && info.index & (slots as u64 - 1) == 0;
        let mut wanted = (bytes, slots);
        if bytes_wrap {
            if info.arrival.saturating_since(self.bytes_wrapped) < KEEP {
                wanted.0 = (bytes * 2).min(MAX_BYTES);
            }
            self.bytes_wrapped = info.arrival;
        }
        if slots_wrap {
            if info.arrival.saturating_since(self.slots_wrapped) < KEEP {
                wanted.1 = (slots * 2).min(MAX_SLOTS);
            }
            self.slots_wrapped = info.arrival;
        }
        if wanted != (bytes, slots) {
            self.resize(wanted.0, wanted.1, budget);
        }
    }

    fn resize(&mut self, bytes: usize, slots: usize, budget: &mut HistoryBudget) -> bool {
        let size = |bytes: usize, slots: usize| bytes + slots * size_of::<Option<Slot>>();
        let (before, after) = (size(self.bytes.len(), self.slots.len()), size(bytes, slots));
        if !budget.take(after - before) {
            return false;
        }
        let floor = self.forgotten_below();
        let old = std::mem::take(self);
        self.floor = floor;
        self.bytes = vec![0; bytes];
        self.slots = vec![None; slots];
        self.bytes_wrapped = old.bytes_wrapped;
        self.slots_wrapped = old.slots_wrapped;
        for mut slot in old.slots.iter().flatten().copied() {
            let held = old
                .bytes_of(slot.info.index)
                .map_or(&[][..], |(_, held)| held);
            let at = (self.written % bytes as u64) as usize;
            // All that the smaller ring held fits, once.
            slot.kept = !held.is_empty();
            slot.position = self.written;
            if let Some(place) = self.bytes.get_mut(at..at + held.len()) {
                place.copy_from_slice(held);
                self.written += held.len() as u64;
            }
            let place = (slot.info.index & (slots as u64 - 1)) as usize;
            if let Some(place) = self.slots.get_mut(place)
                && place.is_none_or(|held| held.info.index < slot.info.index)
            {
                *place = Some(slot);
            }
        }
        self.newest = old.newest;
        true
    }

    /// A packet, if it is still there.
    pub(crate) fn get(&self, index: u64) -> Option<Packet<'_>> {
        let (slot, held) = self.bytes_of(index)?;
        let (descriptor, payload) = held.split_at_checked(usize::from(slot.descriptor_len))?;
        Some(Packet {
            info: &slot.info,
            descriptor,
            payload,
        })
    }

    fn bytes_of(&self, index: u64) -> Option<(&Slot, &[u8])> {
        let mask = (self.slots.len() as u64).checked_sub(1)?;
        let slot = self.slots.get((index & mask) as usize)?.as_ref()?;
        let ring = self.bytes.len() as u64;
        if slot.info.index != index || !slot.kept || self.written > slot.position + ring {
            return None;
        }
        let at = (slot.position % ring) as usize;
        let len = usize::from(slot.descriptor_len) + usize::from(slot.len);
        Some((slot, self.bytes.get(at..at + len)?))
    }

    /// The packet came before, or is too old to tell: to forward it might use its output number, and with it an SRTP nonce,
    /// a second time.
    pub(crate) fn has_seen(&self, index: u64) -> bool {
        index < self.forgotten_below()
            || self
                .slots
                .get((index & (self.slots.len() as u64).wrapping_sub(1)) as usize)
                .and_then(Option::as_ref)
                .is_some_and(|slot| slot.info.index >= index)
    }

    /// Of indices below this one no slot tells whether they came.
    fn forgotten_below(&self) -> u64 {
        let first_told = match self.newest {
            0 => 0,
            newest => (newest + 1).saturating_sub(self.slots.len() as u64),
        };
        first_told.max(self.floor)
    }

    /// The highest index so far.
    pub(crate) const fn newest(&self) -> u64 {
        self.newest
    }

    /// Gives the memory back.
    pub(crate) fn release(&mut self, budget: &mut HistoryBudget) {
        budget.give(self.bytes.len() + self.slots.len() * size_of::<Option<Slot>>());
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(index: u64, millis: u64) -> PacketInfo {
        PacketInfo {
            index,
            arrival: Timestamp::from_millis(millis),
            timestamp: 0,
            marker: false,
            payload: None,
            audio_level: None,
            capture: None,
        }
    }

    fn insert(history: &mut History, info: PacketInfo, payload: &[u8], budget: &mut HistoryBudget) {
        let packet = Packet {
            info: &info,
            descriptor: &[],
            payload,
        };
        history.insert(packet, MediaKind::Video, budget);
    }

    #[test]
    fn dependency_descriptors_lie_beside_their_payloads() {
        let mut budget = HistoryBudget::new(1 << 20);
        let mut history = History::default();
        for n in 0..400u64 {
            let packet = Packet {
                info: &info(70_000 + n, n),
                descriptor: &[n as u8; 90][..(n % 91) as usize],
                payload: &[!n as u8; 700],
            };
            history.insert(packet, MediaKind::Video, &mut budget);
        }
        for n in 300..400u64 {
            let packet = history.get(70_000 + n).unwrap();
            assert_eq!(packet.descriptor, &[n as u8; 90][..(n % 91) as usize]);
            assert_eq!(packet.payload, [!n as u8; 700]);
        }
        // What no header extension can carry is left out.
        let packet = Packet {
            info: &info(70_400, 400),
            descriptor: &[1; 256],
            payload: &[7],
        };
        history.insert(packet, MediaKind::Video, &mut budget);
        let packet = history.get(70_400).unwrap();
        assert_eq!((packet.descriptor, packet.payload), (&[][..], &[7][..]));
    }

    #[test]
    fn a_second_of_packets_stays_whatever_the_rate() {
        let mut budget = HistoryBudget::new(16 << 20);
        let mut history = History::default();
        // 600 packets of 1,000 bytes a second for ten seconds.
        for n in 0..6_000u64 {
            let payload = [(n % 251) as u8; 1_000];
            insert(
                &mut history,
                info(100_000 + n, n * 10 / 6),
                &payload,
                &mut budget,
            );
        }
        for n in 5_400..6_000u64 {
            let Packet { info, payload, .. } = history.get(100_000 + n).unwrap();
            assert_eq!(info.index, 100_000 + n);
            assert_eq!(payload, [(n % 251) as u8; 1_000]);
        }
        assert!(history.get(100_000).is_none());
        assert!(budget.used() < 3 << 20);
        history.release(&mut budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_was_seen_is_known_after_its_bytes_are_gone() {
        let mut budget = HistoryBudget::new(16 << 20);
        let mut history = History::default();
        for n in 0..120u64 {
            insert(&mut history, info(70_000 + n, n), &[1; 1_200], &mut budget);
        }
        for n in 0..120 {
            assert!(history.has_seen(70_000 + n));
        }
        assert!(!history.has_seen(70_120));
        assert!(history.has_seen(60_000));
    }

    #[test]
    fn what_was_seen_stays_known_when_the_history_grows() {
        let mut budget = HistoryBudget::new(16 << 20);
        let mut history = History::default();
        for n in 0..4_000u64 {
            let slots = history.slots.len();
            insert(&mut history, info(70_000 + n, n / 4), &[1], &mut budget);
            if history.slots.len() != slots {
                for seen in 0..=n {
                    assert!(history.has_seen(70_000 + seen), "{seen} of {n}");
                }
            }
            assert!(!history.has_seen(70_000 + n + 1));
        }
        assert_eq!(history.slots.len(), MAX_SLOTS);
    }

    #[test]
    fn what_was_seen_is_known_without_any_memory_for_it() {
        let mut none = HistoryBudget::new(0);
        let mut history = History::default();
        for n in 0..10 {
            insert(&mut history, info(70_000 + n, n), &[1], &mut none);
        }
        assert!(history.has_seen(70_000));
        assert!(history.has_seen(70_009));
        assert!(!history.has_seen(70_010));
        // Memory was found: what came before it stays known.
        let mut budget = HistoryBudget::new(16 << 20);
        insert(&mut history, info(70_012, 20), &[1], &mut budget);
        assert!(history.has_seen(70_009));
        assert!(!history.has_seen(70_011));
        assert!(history.has_seen(70_012));
    }

    #[test]
    fn at_the_budget_histories_stop_growing() {
        let limit = 100_000;
        let mut budget = HistoryBudget::new(limit);
        let mut history = History::default();
        for n in 0..2_000u64 {
            insert(
                &mut history,
                info(100_000 + n, n / 10),
                &[0; 1_000],
                &mut budget,
            );
        }
        assert!(budget.used() <= limit);
        assert!(history.get(101_999).is_some());
    }

    #[test]
    fn overwritten_bytes_are_never_read() {
        let mut budget = HistoryBudget::new(200_000);
        let mut history = History::default();
        for n in 0..500u64 {
            insert(
                &mut history,
                info(70_000 + n, n),
                &[n as u8; 1_200],
                &mut budget,
            );
            for back in 0..200 {
                if let Some(Packet { info, payload, .. }) = history.get(70_000 + n - back.min(n)) {
                    assert_eq!(payload, [(info.index - 70_000) as u8; 1_200]);
                }
            }
        }
    }
}

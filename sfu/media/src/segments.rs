//! Which number of a layer a subscription's number stands for.
//!
//! Each stretch between two layer switches or dropped temporal layers is a [`Segment`] with constant offsets;
//! retransmissions find theirs by output number, so that they repeat what was sent.

use std::collections::VecDeque;

use plenum_types::MediaKind;

/// Segments that retransmissions can still find: dropping every other frame makes 15 a second.
const MAX_OLDER: usize = 32;
/// Place of a segment's layer before anything was sent, and after the layer's source or place has changed.
const NO_LAYER: u8 = u8::MAX;

/// Constant offsets from a layer's numbers to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The layer's place in its track.
    pub(crate) layer: u8,
    /// First source index.
    pub(crate) first_source: u64,
    /// Its output number.
    pub(crate) first_out: u64,
    /// Added to the timestamp.
    pub(crate) timestamp_offset: u32,
    /// Added to the picture id.
    pub(crate) picture_offset: u16,
    /// Added to TL0PICIDX.
    pub(crate) tl0_offset: u8,
}

impl Segment {
    /// Source index of an output number.
    pub(crate) const fn source(&self, out: u64) -> u64 {
        self.first_source
            .wrapping_add(out.wrapping_sub(self.first_out))
    }

    /// Output number of a source index.
    pub(crate) const fn out(&self, source: u64) -> u64 {
        self.first_out
            .wrapping_add(source.wrapping_sub(self.first_source))
    }
}

/// The segments of a subscription: the newest, and those that retransmissions can still find.
#[derive(Debug)]
pub(crate) struct Segments {
    newest: Segment,
    older: VecDeque<Segment>,
}

impl Segments {
    /// Nothing was sent yet.
    pub(crate) fn new(kind: MediaKind, first_out: u64) -> Self {
        Self {
            newest: Segment {
                layer: NO_LAYER,
                first_source: 0,
                first_out,
                timestamp_offset: 0,
                picture_offset: 0,
                tl0_offset: 0,
            },
            // Video will switch: not while packets are forwarded is the time to find memory for it.
            older: match kind {
                MediaKind::Audio => VecDeque::new(),
                MediaKind::Video => VecDeque::with_capacity(MAX_OLDER + 1),
            },
        }
    }

    /// What packets are sent by, or would be.
    pub(crate) const fn newest(&self) -> &Segment {
        &self.newest
    }

    /// The newest one, if something was sent by it.
    pub(crate) fn newest_sent(&self) -> Option<&Segment> {
        (self.newest.layer != NO_LAYER).then_some(&self.newest)
    }

    /// The first one: nothing was sent before it.
    pub(crate) const fn begin(&mut self, segment: Segment) {
        self.newest = segment;
    }

    /// The next one.
    pub(crate) fn push(&mut self, segment: Segment) {
        // Before the first one there is nothing to find.
        if self.newest.layer != NO_LAYER || !self.older.is_empty() {
            if self.older.len() == MAX_OLDER {
                self.older.pop_front();
            }
            self.older.push_back(self.newest);
        }
        self.newest = segment;
    }

    /// The output number that is still free for a packet of this layer; `next_out` is the first that was not used.
    pub(crate) fn hole_for(&self, layer: u8, source: u64, next_out: u64) -> Option<u64> {
        let mut until = next_out;
        for segment in std::iter::once(&self.newest).chain(self.older.iter().rev()) {
            if segment.layer == layer && source >= segment.first_source {
                let out = segment.out(source);
                return (out < until).then_some(out);
            }
            until = segment.first_out;
        }
        None
    }

    /// The segment of an output number that was or could have been sent.
    pub(crate) fn of(&self, out: u64, next_out: u64) -> Option<&Segment> {
        if out >= self.newest.first_out {
            return (out < next_out).then_some(&self.newest);
        }
        self.older
            .iter()
            .rev()
            .find(|segment| out >= segment.first_out)
    }

    /// What was sent of this layer is out of reach: its source indices mean something else now.
    pub(crate) fn lose(&mut self, layer: u8) {
        for segment in self.older.iter_mut().chain([&mut self.newest]) {
            if segment.layer == layer {
                segment.layer = NO_LAYER;
            }
        }
    }

    /// What was sent of all layers is out of reach.
    pub(crate) fn lose_all(&mut self) {
        self.older.clear();
        self.newest.layer = NO_LAYER;
    }
}

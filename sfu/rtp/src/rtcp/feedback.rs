//! Feedback messages: generic NACK (RFC 4585), FIR (RFC 5104), REMB.

use plenum_types::Ssrc;

use super::Sources;
use crate::bytes::{array_at, u8_at, u16_at, u24_at, u32_at};

/// Generic NACK: packets that a receiver misses.
#[derive(Debug, Clone, Copy)]
pub struct Nack<'a> {
    /// The stream they belong to.
    pub media: Ssrc,
    /// Which ones.
    pub pairs: NackPairs<'a>,
}

impl<'a> Nack<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            media: Ssrc(u32_at(body, 4)?),
            pairs: NackPairs {
                rest: body.get(8..)?,
                first: 0,
                mask: 0,
            },
        })
    }
}

/// Walks the sequence numbers of a NACK, each once, in the order of the message.
#[derive(Debug, Clone, Copy)]
pub struct NackPairs<'a> {
    rest: &'a [u8],
    first: u16,
    mask: u16,
}

impl Iterator for NackPairs<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask != 0 {
            let bit = self.mask.trailing_zeros();
            self.mask &= self.mask - 1;
            return Some(self.first.wrapping_add(bit as u16 + 1));
        }
        let (pair, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        self.first = u16_at(pair, 0)?;
        self.mask = u16_at(pair, 2)?;
        Some(self.first)
    }
}

/// Full intra request: streams that need a key frame.
#[derive(Debug, Clone, Copy)]
pub struct Fir<'a> {
    rest: &'a [u8],
}

impl<'a> Fir<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        Some(Self {
            rest: body.get(8..)?,
        })
    }
}

impl Iterator for Fir<'_> {
    /// The stream, and the request's number: a number seen before is a repetition.
    type Item = (Ssrc, u8);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some((Ssrc(u32_at(entry, 0)?), u8_at(entry, 4)?))
    }
}

/// Receiver-estimated maximum bitrate.
#[derive(Debug, Clone, Copy)]
pub struct Remb<'a> {
    /// In bits per second.
    pub bitrate_bps: u64,
    /// The streams that share it.
    pub sources: Sources<'a>,
}

impl<'a> Remb<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        if array_at::<4>(body, 8)? != *b"REMB" {
            return None;
        }
        let exponent = u8_at(body, 13)? >> 2;
        let mantissa = u64::from(u24_at(body, 13)? & 0x3_ffff);
        let count = usize::from(u8_at(body, 12)?);
        Some(Self {
            bitrate_bps: mantissa
                .checked_shl(u32::from(exponent))
                .unwrap_or(u64::MAX),
            sources: Sources {
                rest: body.get(16..16 + count * 4)?,
            },
        })
    }
}

//! Sender and receiver reports (RFC 3550 section 6.4).

use plenum_types::{NtpTime, Ssrc};

use crate::bytes::{u8_at, u24_at, u32_at, u64_at};

/// Bytes of a report block.
pub(crate) const BLOCK: usize = 24;

/// What a sender says of its own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// Its stream.
    pub ssrc: Ssrc,
    /// Wall clock of the sender at the report.
    pub ntp: NtpTime,
    /// Media timestamp at the same moment.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// SR: sender information and report blocks.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'a> {
    /// About the sender's stream.
    pub info: SenderInfo,
    /// About streams it receives.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(crate) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self {
            info: SenderInfo {
                ssrc: Ssrc(u32_at(body, 0)?),
                ntp: NtpTime(u64_at(body, 4)?),
                rtp_timestamp: u32_at(body, 12)?,
                packets: u32_at(body, 16)?,
                octets: u32_at(body, 20)?,
            },
            blocks: ReportBlocks::read(count, body.get(24..)?)?,
        })
    }
}

/// RR: report blocks only.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub sender: Ssrc,
    /// About streams it receives.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(crate) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self {
            sender: Ssrc(u32_at(body, 0)?),
            blocks: ReportBlocks::read(count, body.get(4..)?)?,
        })
    }
}

/// How one stream arrives at the reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: Ssrc,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the start; 24 bits, may be negative through duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number with the count of its wraps above.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the media clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 if there was none.
    pub last_sr: u32,
    /// Since that report arrived, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// Walks report blocks, as many as the header counts.
#[derive(Debug, Clone, Copy)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    /// `None` if fewer are there than the header counts.
    fn read(count: u8, rest: &'a [u8]) -> Option<Self> {
        let rest = rest.get(..usize::from(count) * BLOCK)?;
        Some(Self { rest })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_at_checked(BLOCK)?;
        self.rest = rest;
        // Sign-extends 24 bits.
        let lost = ((u24_at(block, 5)? << 8).cast_signed()) >> 8;
        Some(ReportBlock {
            ssrc: Ssrc(u32_at(block, 0)?),
            fraction_lost: u8_at(block, 4)?,
            cumulative_lost: lost,
            highest_sequence: u32_at(block, 8)?,
            jitter: u32_at(block, 12)?,
            last_sr: u32_at(block, 16)?,
            delay_since_last_sr: u32_at(block, 20)?,
        })
    }
}

//! Attacks of a publisher: RTP that lies about its lengths, its source, its layer, its numbers or its rate.

use anyhow::Context as _;

use crate::{Facts, LENGTH, insider::Insider};

/// Packets a second of attacks that are not about their rate: what a camera of 20 Mbit/s sends.
const RATE: u64 = 2_000;
/// Packets a second of attacks that are.
const FLOOD: u64 = 12_000;
/// Bytes of a full packet's payload.
const FULL: usize = 1_150;

/// An RTP header without extensions.
fn header(payload_type: u8, ssrc: u32, timestamp: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0x80 | payload_type, 0, 0];
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet
}

/// Adds elements in the two-byte form (RFC 8285 section 4.3); the header's length.
fn extend(packet: &mut Vec<u8>, elements: &[(u8, &[u8])]) -> usize {
    let mut block: Vec<u8> = elements
        .iter()
        .flat_map(|(id, value)| [&[*id, value.len() as u8][..], *value].concat())
        .collect();
    block.resize(block.len().next_multiple_of(4), 0);
    add_block(packet, 0x1000, &block)
}

fn add_block(packet: &mut Vec<u8>, profile: u16, block: &[u8]) -> usize {
    if let Some(first) = packet.first_mut() {
        *first |= 0x10;
    }
    packet.extend(profile.to_be_bytes());
    packet.extend(((block.len() / 4) as u16).to_be_bytes());
    packet.extend(block);
    packet.len()
}

/// Payload of a VP8 packet that begins a picture.
fn vp8(picture: u16, tl0: u8, temporal: u8, key: bool, len: usize) -> Vec<u8> {
    let [high, low] = (picture | 0x8000).to_be_bytes();
    let mut payload = vec![0x90, 0xe0, high, low, tl0, temporal << 6, u8::from(!key)];
    payload.resize(len.max(payload.len()), 0x55);
    payload
}

/// Where a track's packets go: `ssrc=`, or `mid=` and `rid=` with the ids of their elements.
struct Track {
    payload_type: u8,
    ssrc: u32,
    mid: Option<(u8, String)>,
    rid: Option<(u8, String)>,
}

impl Track {
    fn read(facts: &Facts) -> anyhow::Result<Self> {
        let element = |id: &str, name: &str| -> anyhow::Result<Option<(u8, String)>> {
            let Ok(value) = facts.text(name) else {
                return Ok(None);
            };
            Ok(Some((u8::try_from(facts.number(id)?)?, value.to_owned())))
        };
        Ok(Self {
            payload_type: u8::try_from(facts.number("pt")?)?,
            ssrc: facts.number("ssrc")?,
            mid: element("mid_id", "mid")?,
            rid: element("rid_id", "rid")?,
        })
    }

    /// A packet with this payload, and where that begins.
    fn packet(&self, timestamp: u32, payload: &[u8]) -> (Vec<u8>, usize) {
        let mut packet = header(self.payload_type, self.ssrc, timestamp);
        let elements: Vec<(u8, &[u8])> = [&self.mid, &self.rid]
            .into_iter()
            .flatten()
            .map(|(id, value)| (*id, value.as_bytes()))
            .collect();
        let header_len = if elements.is_empty() {
            packet.len()
        } else {
            extend(&mut packet, &elements)
        };
        packet.extend(payload);
        (packet, header_len)
    }
}

/// Padding of more bytes than there are, or of none.
pub(crate) fn long_padding(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let track = Track::read(facts)?;
    while insider.may_go_on(LENGTH, RATE)? {
        let count = [0, 200, 255][insider.sent() as usize % 3];
        let (mut packet, header_len) = track.packet(insider.sent() as u32 * 3_000, &[7; 20]);
        if let Some(last) = packet.last_mut() {
            *last = count;
        }
        if let Some(first) = packet.first_mut() {
            *first |= 0x20;
        }
        insider.rtp(&packet, header_len)?;
    }
    Ok(())
}

/// Header extensions longer than the packet, and elements longer than their block.
pub(crate) fn long_extensions(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let track = Track::read(facts)?;
    let blocks: [(u16, &[u8]); 5] = [
        // Of the one-byte form: 16 bytes where 3 are; the id that ends all; ids without end.
        (0xbede, &[0x4f, 1, 2, 3]),
        (0xbede, &[0xf0, 0x42, b'1', 0]),
        (0xbede, &[0x10; 64]),
        // Of the two-byte form: 255 bytes where 2 are, and where the length is missing.
        (0x1000, &[4, 255, 1, 2]),
        (0x100f, &[0, 0, 0, 4]),
    ];
    while insider.may_go_on(LENGTH, RATE)? {
        let turn = insider.sent() as usize % (blocks.len() + 1);
        let mut packet = header(track.payload_type, track.ssrc, 0);
        match blocks.get(turn) {
            Some((profile, block)) => {
                let header_len = add_block(&mut packet, *profile, block);
                packet.extend(vp8(1, 1, 0, true, 40));
                insider.rtp(&packet, header_len)?;
            }
            // Nothing can be sealed that ends within its header.
            None => {
                add_block(&mut packet, 0xbede, &[0; 4]);
                packet
                    .get_mut(14..16)
                    .context("there is a length")?
                    .fill(0xff);
                insider.raw(&packet)?;
            }
        }
    }
    Ok(())
}

/// One packet again and again, and old ones.
pub(crate) fn replay(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let track = Track::read(facts)?;
    let mut sealed = Vec::new();
    for picture in 0..50 {
        let (packet, header_len) = track.packet(0, &vp8(picture, 0, 0, picture == 0, 500));
        sealed.push(insider.rtp(&packet, header_len)?);
    }
    while insider.may_go_on(LENGTH, FLOOD)? {
        let turn = insider.sent() as usize % sealed.len();
        insider.raw(sealed.get(turn).context("all are there")?)?;
    }
    Ok(())
}

/// Sources of other people, `ssrcs=`: in packets that name no layer, and as new sources of a layer of one's own.
pub(crate) fn foreign_sources(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let own = Track::read(facts)?;
    let foreign = facts.numbers("ssrcs")?;
    while insider.may_go_on(LENGTH, RATE)? {
        let sent = insider.sent() as usize;
        let ssrc = *foreign.get(sent % foreign.len()).context("one at least")?;
        let whole = sent % 4 == 3;
        let track = Track {
            ssrc,
            mid: own.mid.clone().filter(|_| whole),
            rid: own.rid.clone().filter(|_| whole),
            ..own
        };
        let (packet, header_len) =
            track.packet(sent as u32 * 90, &vp8(sent as u16, 0, 0, true, 300));
        insider.rtp(&packet, header_len)?;
    }
    Ok(())
}

/// Layers by names that were not announced, sections that are not there, and payload types of nobody.
pub(crate) fn strange_layers(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let own = Track::read(facts)?;
    let (mid_id, mid) = own.mid.context("this attack needs mid=")?;
    let (rid_id, rid) = own.rid.context("this attack needs rid=")?;
    let long = "f".repeat(200);
    while insider.may_go_on(LENGTH, RATE)? {
        let sent = insider.sent();
        let turn = sent % 6;
        let (mid, rid, payload_type) = match turn {
            0 => (mid.as_str(), "x", own.payload_type),
            1 => (mid.as_str(), "", own.payload_type),
            2 => (mid.as_str(), long.as_str(), own.payload_type),
            3 => ("99", rid.as_str(), own.payload_type),
            4 => (long.as_str(), rid.as_str(), own.payload_type),
            _ => (mid.as_str(), "y", 35),
        };
        let track = Track {
            payload_type,
            // Few enough that all of them are opened.
            ssrc: own.ssrc.wrapping_add(1_000 + turn as u32),
            mid: Some((mid_id, mid.to_owned())),
            rid: Some((rid_id, rid.to_owned())),
        };
        let (packet, header_len) = track.packet(0, &vp8(sent as u16, 0, 0, true, 300));
        insider.rtp(&packet, header_len)?;
    }
    Ok(())
}

/// AV1 with dependency descriptors (`id=`) whose templates, decode targets and frame numbers are whatever chance says.
pub(crate) fn descriptors(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let track = Track::read(facts)?;
    let id = u8::try_from(facts.number("id")?)?;
    let mut chance = fastrand::Rng::with_seed(5);
    while insider.may_go_on(LENGTH, RATE)? {
        let sent = insider.sent();
        let mut descriptor: Vec<u8> = std::iter::repeat_with(|| chance.u8(..))
            .take([3, 4, 12, 40, 255][sent as usize % 5])
            .collect();
        // Start and end of a frame, and template 63; from the fourth byte on, that a structure follows.
        if let Some(first) = descriptor.first_mut() {
            *first |= 0xff;
        }
        if let Some(flags) = descriptor.get_mut(3) {
            *flags |= 0xf0;
        }
        let mut packet = header(track.payload_type, track.ssrc, sent as u32 * 3_000);
        let header_len = extend(&mut packet, &[(id, &descriptor)]);
        // One element, new sequence; an OBU of a length that is not there.
        packet.extend([0x18, 0x0a, 0xff, 0xff, 0xff, 0x7f]);
        packet.resize(packet.len() + 100, chance.u8(..));
        insider.rtp(&packet, header_len)?;
    }
    Ok(())
}

/// Numbers that jump: of packets, pictures, temporal layers and of the clock.
pub(crate) fn jumps(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let track = Track::read(facts)?;
    let mut chance = fastrand::Rng::with_seed(7);
    while insider.may_go_on(LENGTH, RATE / 4)? {
        let payload = vp8(
            chance.u16(..),
            chance.u8(..),
            chance.u8(..4),
            chance.bool(),
            200,
        );
        let (packet, header_len) = track.packet(chance.u32(..), &payload);
        // Less than half of the circle, so that they can be opened.
        let step = if chance.bool() {
            1
        } else {
            chance.u64(2..20_000)
        };
        insider.rtp_after(step, &packet, header_len)?;
    }
    Ok(())
}

/// Full packets at many times what any camera sends.
pub(crate) fn flood(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let track = Track::read(facts)?;
    while insider.may_go_on(LENGTH, FLOOD)? {
        let sent = insider.sent();
        let payload = vp8((sent / 10) as u16, 0, 0, sent.is_multiple_of(10), FULL);
        let (packet, header_len) = track.packet((sent / 10) as u32 * 3_000, &payload);
        insider.rtp(&packet, header_len)?;
    }
    Ok(())
}

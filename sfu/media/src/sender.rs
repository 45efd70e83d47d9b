//! Writes packets as a subscriber expects them: its SSRC, payload type, numbers and header extensions.

use plenum_rtp::{
    HeaderWriter, Payload, RtpHeader,
    dependency::set_frame_number,
    extensions::{AbsCaptureTime, abs_send_time},
    packet::ExtensionForm,
    red,
    rtx::RTX_HEADER,
};
use plenum_types::{Codec, Mid, NtpTime, RtpExtension, SenderParams};

use crate::{history::Packet, segments::Segment};

/// Header extension ids of a subscription, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct SenderLayout {
    form: ExtensionForm,
    mid: Option<(u8, Mid)>,
    abs_send_time: Option<u8>,
    transport_cc: Option<u8>,
    capture: Option<u8>,
    audio_level: Option<u8>,
    dependency: Option<u8>,
}

/// Bytes of an element that the one-byte form can carry (RFC 8285 section 4.2).
const MAX_ONE_BYTE: usize = 16;

impl SenderLayout {
    pub(crate) fn new(params: &SenderParams) -> Self {
        let get = |extension| params.extensions.get(extension);
        let one_byte = RtpExtension::ALL
            .into_iter()
            .filter_map(get)
            .all(|id| id <= 14)
            && params.mid.as_str().len() <= 16;
        Self {
            form: if one_byte {
                ExtensionForm::OneByte
            } else {
                ExtensionForm::TwoByte
            },
            mid: get(RtpExtension::Mid)
                .filter(|_| !params.mid.as_str().is_empty())
                .map(|id| (id, params.mid.clone())),
            abs_send_time: get(RtpExtension::AbsSendTime),
            transport_cc: get(RtpExtension::TransportWideCc),
            capture: get(RtpExtension::AbsCaptureTime),
            audio_level: get(RtpExtension::AudioLevel),
            // Of the other codecs' payloads clients read what it says in the payload; its numbers would have to agree.
            dependency: get(RtpExtension::DependencyDescriptor)
                .filter(|_| params.codec == Codec::Av1),
        }
    }

    /// The form of a packet's header extensions: the one-byte form can't carry the structure that comes with key frames.
    fn form_of(&self, packet: &Packet<'_>) -> ExtensionForm {
        if self.dependency.is_some() && packet.descriptor.len() > MAX_ONE_BYTE {
            ExtensionForm::TwoByte
        } else {
            self.form
        }
    }

    /// Packets carry transport-wide numbers.
    pub(crate) const fn has_transport_cc(&self) -> bool {
        self.transport_cc.is_some()
    }
}

/// What is known only when a packet leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departure {
    /// Our wall clock.
    pub(crate) ntp: NtpTime,
    /// Transport-wide number.
    pub(crate) transport_sequence: u16,
    /// The subscriber does not know yet which section our SSRC belongs to.
    pub(crate) with_mid: bool,
    /// From the publisher's clock to ours, 32.32 fixed point seconds.
    pub(crate) clock_offset: Option<i64>,
    /// Output number.
    pub(crate) out: u64,
    /// Number in the stream of retransmissions, if it is one.
    pub(crate) rtx: Option<u64>,
}

/// Lengths of a written packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) header_len: usize,
    pub(crate) len: usize,
}

/// Writes a packet at the start of `buffer`; `None` if it does not fit.
pub(crate) fn write_packet(
    buffer: &mut [u8],
    params: &SenderParams,
    layout: &SenderLayout,
    segment: &Segment,
    packet: &Packet<'_>,
    departure: &Departure,
) -> Option<Written> {
    let info = packet.info;
    let (media_type, payload) = match (info.payload?, params.codec) {
        (Payload::Red { primary_at }, Codec::Opus) => (
            params.payload_type,
            packet.payload.get(usize::from(primary_at)..)?,
        ),
        (Payload::Opus, Codec::Red) => (params.opus_payload_type?, packet.payload),
        _ => (params.payload_type, packet.payload),
    };
    let (ssrc, payload_type, sequence) = match departure.rtx {
        None => (params.ssrc, media_type, departure.out),
        Some(sequence) => (params.rtx_ssrc?, params.rtx_payload_type?, sequence),
    };
    let header = RtpHeader {
        marker: info.marker,
        payload_type,
        sequence: sequence as u16,
        timestamp: info.timestamp.wrapping_add(segment.timestamp_offset),
        ssrc,
    };
    let mut writer = HeaderWriter::new(buffer, header, layout.form_of(packet))?;
    // An element that the form can't carry is left out.
    if let Some(id) = layout.abs_send_time {
        writer.push(id, &abs_send_time(departure.ntp));
    }
    if let Some(id) = layout.transport_cc {
        writer.push(id, &departure.transport_sequence.to_be_bytes());
    }
    if let (Some(id), Some(capture)) = (layout.capture, info.capture) {
        let own = capture.clock_offset.unwrap_or(0);
        let offset = departure.clock_offset.unwrap_or(0);
        let value = AbsCaptureTime {
            captured: capture.captured,
            clock_offset: Some(own.wrapping_add(offset)),
        };
        writer.push(id, &value.write());
    }
    if let (Some(id), Some(level)) = (layout.audio_level, info.audio_level) {
        writer.push(id, &level.write());
    }
    if departure.with_mid
        && let Some((id, mid)) = &layout.mid
    {
        writer.push(*id, mid.as_str().as_bytes());
    }
    let dependency = layout
        .dependency
        .filter(|_| !packet.descriptor.is_empty())
        .and_then(|id| writer.push(id, packet.descriptor));
    let header_len = writer.finish()?;
    if let (Some(at), Some(number)) = (dependency, info.payload.and_then(|read| read.picture())) {
        set_frame_number(
            buffer.get_mut(at..)?,
            number.wrapping_add(segment.picture_offset),
        );
    }
    let mut at = header_len;
    if departure.rtx.is_some() {
        buffer
            .get_mut(at..at + RTX_HEADER)?
            .copy_from_slice(&(departure.out as u16).to_be_bytes());
        at += RTX_HEADER;
    }
    let place = buffer.get_mut(at..at + payload.len())?;
    place.copy_from_slice(payload);
    if let Some(read) = &info.payload {
        read.rewrite(place, segment.picture_offset, segment.tl0_offset);
        if let (Payload::Red { .. }, Codec::Red) = (read, params.codec) {
            red::set_payload_types(place, params.opus_payload_type?.0);
        }
    }
    Some(Written {
        header_len,
        len: at + payload.len(),
    })
}

//! RTP packets (RFC 3550 section 5.1): a checked view to read, a writer for headers.

use plenum_types::{PayloadType, Ssrc};

use crate::{
    bytes::{put, u16_at, u32_at},
    extensions::Extensions,
};

/// Bytes of the fixed header.
pub const FIXED_HEADER: usize = 12;
/// Bytes of the extension header: profile and length.
const EXTENSION_HEADER: usize = 4;
/// Profile of one-byte extension elements (RFC 8285 section 4.2).
pub(crate) const ONE_BYTE_PROFILE: u16 = 0xBEDE;
/// Profile of two-byte extension elements (RFC 8285 section 4.3), app bits zero.
pub(crate) const TWO_BYTE_PROFILE: u16 = 0x1000;

/// Why bytes are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// The header, its sources or its extensions run past the end.
    #[error("RTP packet of {length} bytes ends inside its header")]
    Truncated {
        /// What there was.
        length: usize,
    },
    /// Only version 2 exists.
    #[error("RTP version {0} is not 2")]
    Version(u8),
    /// Padding is longer than the payload, or zero long.
    #[error("RTP padding of {padding} bytes does not fit a payload of {payload}")]
    Padding {
        /// The last byte.
        padding: u8,
        /// Bytes after the header.
        payload: usize,
    },
}

/// A view of an RTP packet whose lengths have been checked.
#[derive(Debug, Clone, Copy)]
pub struct RtpPacket<'a> {
    bytes: &'a [u8],
    extension: Option<(u16, usize, usize)>,
    header_len: usize,
    payload_end: usize,
}

impl<'a> RtpPacket<'a> {
    /// Reads the header of a protected packet: its padding is encrypted and stays part of the payload.
    ///
    /// # Errors
    /// [`RtpError`] when lengths disagree.
    pub fn parse_header(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let truncated = RtpError::Truncated {
            length: bytes.len(),
        };
        if bytes.len() < FIXED_HEADER {
            return Err(truncated);
        }
        let first = bytes.first().copied().unwrap_or(0);
        if first >> 6 != 2 {
            return Err(RtpError::Version(first >> 6));
        }
        let mut header_len = FIXED_HEADER + usize::from(first & 0x0f) * 4;
        let mut extension = None;
        if first & 0x10 != 0 {
            let profile = u16_at(bytes, header_len).ok_or(truncated)?;
            let words = u16_at(bytes, header_len + 2).ok_or(truncated)?;
            let start = header_len + EXTENSION_HEADER;
            header_len = start + usize::from(words) * 4;
            extension = Some((profile, start, header_len));
        }
        if header_len > bytes.len() {
            return Err(truncated);
        }
        Ok(Self {
            bytes,
            extension,
            header_len,
            payload_end: bytes.len(),
        })
    }

    /// Reads a plaintext packet, with its padding.
    ///
    /// # Errors
    /// [`RtpError`] when lengths disagree.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RtpError> {
        let mut packet = Self::parse_header(bytes)?;
        if bytes.first().is_some_and(|first| first & 0x20 != 0) {
            let payload = bytes.len() - packet.header_len;
            let padding = bytes.last().copied().unwrap_or(0);
            if padding == 0 || usize::from(padding) > payload {
                return Err(RtpError::Padding { padding, payload });
            }
            packet.payload_end -= usize::from(padding);
        }
        Ok(packet)
    }

    /// End of a frame for video, start of a talk spurt for audio.
    #[must_use]
    pub fn marker(&self) -> bool {
        self.bytes.get(1).is_some_and(|byte| byte & 0x80 != 0)
    }

    /// Payload type.
    #[must_use]
    pub fn payload_type(&self) -> PayloadType {
        PayloadType(self.bytes.get(1).map_or(0, |byte| byte & 0x7f))
    }

    /// Sequence number.
    #[must_use]
    pub fn sequence(&self) -> u16 {
        u16_at(self.bytes, 2).unwrap_or(0)
    }

    /// Media timestamp in units of the codec's clock.
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        u32_at(self.bytes, 4).unwrap_or(0)
    }

    /// Synchronisation source.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc(u32_at(self.bytes, 8).unwrap_or(0))
    }

    /// Bytes before the payload.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.header_len
    }

    /// Payload without padding.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes
            .get(self.header_len..self.payload_end)
            .unwrap_or_default()
    }

    /// Bytes of padding after the payload.
    #[must_use]
    pub fn padding(&self) -> usize {
        self.bytes.len() - self.payload_end
    }

    /// Header extension elements, in either form (RFC 8285).
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        match self.extension {
            Some((profile, start, end)) => {
                Extensions::new(profile, self.bytes.get(start..end).unwrap_or_default())
            }
            None => Extensions::default(),
        }
    }
}

/// The fixed fields of a packet to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// See [`RtpPacket::marker`].
    pub marker: bool,
    /// See [`RtpPacket::payload_type`].
    pub payload_type: PayloadType,
    /// See [`RtpPacket::sequence`].
    pub sequence: u16,
    /// See [`RtpPacket::timestamp`].
    pub timestamp: u32,
    /// See [`RtpPacket::ssrc`].
    pub ssrc: Ssrc,
}

/// Form of header extension elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtensionForm {
    /// Ids 1 to 14, 1 to 16 bytes each.
    OneByte,
    /// Ids 1 to 255, 0 to 255 bytes each.
    TwoByte,
}

/// Writes a header with extensions into a buffer of the caller. The payload follows at the length that
/// [`HeaderWriter::finish`] gives.
#[derive(Debug)]
pub struct HeaderWriter<'a> {
    buffer: &'a mut [u8],
    at: usize,
    form: ExtensionForm,
    extended: bool,
}

impl<'a> HeaderWriter<'a> {
    /// Starts with the fixed header; `None` if the buffer is shorter.
    pub fn new(buffer: &'a mut [u8], header: RtpHeader, form: ExtensionForm) -> Option<Self> {
        let [s0, s1] = header.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = header.timestamp.to_be_bytes();
        let [r0, r1, r2, r3] = header.ssrc.0.to_be_bytes();
        let second = (u8::from(header.marker) << 7) | (header.payload_type.0 & 0x7f);
        let fixed = [0x80, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3];
        *buffer.first_chunk_mut::<FIXED_HEADER>()? = fixed;
        Some(Self {
            buffer,
            at: FIXED_HEADER,
            form,
            extended: false,
        })
    }

    /// Appends an element. Gives where its value lies, so that a later stage can fill it in; `None` (nothing written) if
    /// the form can't carry it or the buffer ends.
    pub fn push(&mut self, id: u8, value: &[u8]) -> Option<usize> {
        let mut at = self.at;
        if !self.extended {
            at += EXTENSION_HEADER;
        }
        match self.form {
            ExtensionForm::OneByte => {
                if !(1..=14).contains(&id) || !(1..=16).contains(&value.len()) {
                    return None;
                }
                let head = (id << 4) | u8::try_from(value.len() - 1).ok()?;
                put(self.buffer, at, &[head])?;
                at += 1;
            }
            ExtensionForm::TwoByte => {
                if id == 0 {
                    return None;
                }
                put(self.buffer, at, &[id, u8::try_from(value.len()).ok()?])?;
                at += 2;
            }
        }
        put(self.buffer, at, value)?;
        self.extended = true;
        self.at = at + value.len();
        Some(at)
    }

    /// Pads the elements to a whole word and writes their header. Gives the header's length; `None` if the buffer ends.
    #[must_use]
    pub fn finish(self) -> Option<usize> {
        if !self.extended {
            return Some(self.at);
        }
        let start = FIXED_HEADER + EXTENSION_HEADER;
        let words = (self.at - start).div_ceil(4);
        let end = start + words * 4;
        self.buffer.get_mut(self.at..end)?.fill(0);
        let profile = match self.form {
            ExtensionForm::OneByte => ONE_BYTE_PROFILE,
            ExtensionForm::TwoByte => TWO_BYTE_PROFILE,
        };
        put(self.buffer, FIXED_HEADER, &profile.to_be_bytes())?;
        put(
            self.buffer,
            FIXED_HEADER + 2,
            &u16::try_from(words).ok()?.to_be_bytes(),
        )?;
        if let Some(first) = self.buffer.first_mut() {
            *first |= 0x10;
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> RtpHeader {
        RtpHeader {
            marker: true,
            payload_type: PayloadType(96),
            sequence: 65_535,
            timestamp: 0xdead_beef,
            ssrc: Ssrc(7),
        }
    }

    #[test]
    fn a_written_header_reads_back() {
        for form in [ExtensionForm::OneByte, ExtensionForm::TwoByte] {
            let mut buffer = [0xffu8; 64];
            let mut writer = HeaderWriter::new(&mut buffer, header(), form).unwrap();
            writer.push(3, b"ab").unwrap();
            writer.push(14, &[9]).unwrap();
            let len = writer.finish().unwrap();
            buffer[len] = 0x55;
            let packet = RtpPacket::parse(&buffer[..=len]).unwrap();
            assert!(packet.marker());
            assert_eq!(packet.payload_type(), PayloadType(96));
            assert_eq!(packet.sequence(), 65_535);
            assert_eq!(packet.timestamp(), 0xdead_beef);
            assert_eq!(packet.ssrc(), Ssrc(7));
            assert_eq!(packet.payload(), [0x55]);
            let elements: Vec<_> = packet.extensions().collect();
            assert_eq!(elements, [(3, &b"ab"[..]), (14, &[9][..])]);
        }
    }

    #[test]
    fn the_one_byte_form_refuses_what_it_cannot_carry() {
        let mut buffer = [0u8; 64];
        let mut writer = HeaderWriter::new(&mut buffer, header(), ExtensionForm::OneByte).unwrap();
        assert!(writer.push(15, &[1]).is_none());
        assert!(writer.push(1, &[0; 17]).is_none());
        assert_eq!(writer.finish(), Some(FIXED_HEADER));
    }

    #[test]
    fn padding_longer_than_the_payload_is_refused() {
        let mut packet = [0u8; 16];
        packet[0] = 0xa0;
        packet[15] = 4;
        assert_eq!(RtpPacket::parse(&packet).unwrap().payload(), []);
        packet[15] = 5;
        assert!(matches!(
            RtpPacket::parse(&packet),
            Err(RtpError::Padding { .. })
        ));
        packet[15] = 0;
        assert!(RtpPacket::parse(&packet).is_err());
    }

    #[test]
    fn an_extension_past_the_end_is_refused() {
        let mut packet = [0u8; 20];
        packet[0] = 0x90;
        packet[15] = 2;
        assert!(matches!(
            RtpPacket::parse(&packet),
            Err(RtpError::Truncated { length: 20 })
        ));
    }
}

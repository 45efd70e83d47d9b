//! VP8 payload descriptor (RFC 7741 section 4.2).

use crate::bytes::{put, u8_at, u16_at};

/// Picture ids are at most 15 bits long.
pub const PICTURE_ID_MASK: u16 = 0x7fff;

/// What a descriptor says, and where its fields lie so that they can be rewritten in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// Bytes of the descriptor, 1 to 6.
    pub len: u8,
    /// First packet of a frame: start of partition 0.
    pub frame_start: bool,
    /// First packet of a frame that needs no earlier one.
    pub key_frame: bool,
    /// May be dropped without harm to later frames.
    pub non_reference: bool,
    /// Picture id: 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// Index of the last frame of temporal layer 0.
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer; 0 if the descriptor has none.
    pub temporal: u8,
    /// The frame needs temporal layer 0 only, so a receiver may step up here.
    pub layer_sync: bool,
    /// Temporal key frame index, 5 bits.
    pub key_idx: Option<u8>,
    tl0_at: u8,
}

/// Picture id with the form it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// 0 to 127 or 0 to 32,767.
    pub value: u16,
    /// 15 bits instead of 7.
    pub long: bool,
}

impl PictureId {
    /// Writes another value in the same form, at a place that was read.
    pub(crate) fn write(self, payload: &mut [u8], at: usize, value: u16) {
        // A place that was read is there.
        let _ = if self.long {
            put(
                payload,
                at,
                &((value & PICTURE_ID_MASK) | 0x8000).to_be_bytes(),
            )
        } else {
            put(payload, at, &[(value & 0x7f) as u8])
        };
    }
}

impl Vp8Descriptor {
    /// Reads the descriptor at the start of a payload; `None` if it runs past the end or carries no frame data.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = u8_at(payload, 0)?;
        let mut at = 1usize;
        let mut descriptor = Self {
            len: 1,
            frame_start: first & 0x10 != 0 && first & 0x07 == 0,
            key_frame: false,
            non_reference: first & 0x20 != 0,
            picture_id: None,
            tl0_pic_idx: None,
            temporal: 0,
            layer_sync: false,
            key_idx: None,
            tl0_at: 0,
        };
        if first & 0x80 != 0 {
            let extended = u8_at(payload, at)?;
            at += 1;
            if extended & 0x80 != 0 {
                let byte = u8_at(payload, at)?;
                if byte & 0x80 == 0 {
                    descriptor.picture_id = Some(PictureId {
                        value: u16::from(byte),
                        long: false,
                    });
                    at += 1;
                } else {
                    descriptor.picture_id = Some(PictureId {
                        value: u16_at(payload, at)? & PICTURE_ID_MASK,
                        long: true,
                    });
                    at += 2;
                }
            }
            if extended & 0x40 != 0 {
                descriptor.tl0_pic_idx = Some(u8_at(payload, at)?);
                descriptor.tl0_at = at as u8;
                at += 1;
            }
            if extended & 0x30 != 0 {
                let byte = u8_at(payload, at)?;
                if extended & 0x20 != 0 {
                    descriptor.temporal = byte >> 6;
                    descriptor.layer_sync = byte & 0x20 != 0;
                }
                if extended & 0x10 != 0 {
                    descriptor.key_idx = Some(byte & 0x1f);
                }
                at += 1;
            }
        }
        descriptor.len = at as u8;
        let frame = u8_at(payload, at)?;
        // RFC 7741 section 4.3: P is 0 in the first octet of a key frame.
        descriptor.key_frame = descriptor.frame_start && frame & 0x01 == 0;
        Some(descriptor)
    }

    /// Writes other numbers into a copy of the payload that this was read from. Fields that the descriptor lacks are
    /// ignored; a 7-bit picture id keeps its low 7 bits.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
        if let Some(id) = self.picture_id {
            id.write(payload, 2, picture_id);
        }
        if self.tl0_pic_idx.is_some() {
            // A place that `parse` has read is there.
            let _ = put(payload, usize::from(self.tl0_at), &[tl0_pic_idx]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chromium_descriptor_reads_and_rewrites() {
        // X, S; I L T K; long picture id 0x1234; tl0 7; tid 1, sync, key index 3; key frame.
        let mut payload = [0x90, 0xf0, 0x92, 0x34, 7, 0x63, 0x50, 0, 0];
        let read = Vp8Descriptor::parse(&payload).unwrap();
        assert_eq!(read.len, 6);
        assert!(read.frame_start && read.key_frame && read.layer_sync);
        assert_eq!(
            read.picture_id,
            Some(PictureId {
                value: 0x1234,
                long: true
            })
        );
        assert_eq!(read.tl0_pic_idx, Some(7));
        assert_eq!((read.temporal, read.key_idx), (1, Some(3)));
        read.rewrite(&mut payload, 0x7fff, 200);
        let again = Vp8Descriptor::parse(&payload).unwrap();
        assert_eq!(again.picture_id.unwrap().value, 0x7fff);
        assert_eq!(again.tl0_pic_idx, Some(200));
        assert_eq!(again.len, 6);
    }

    #[test]
    fn a_later_packet_of_a_key_frame_is_not_its_start() {
        let read = Vp8Descriptor::parse(&[0x00, 0x00]).unwrap();
        assert!(!read.key_frame && !read.frame_start);
        let second_partition = Vp8Descriptor::parse(&[0x11, 0x00]).unwrap();
        assert!(!second_partition.key_frame);
    }

    #[test]
    fn short_descriptors_are_refused() {
        let full = [0x90, 0xf0, 0x92, 0x34, 7, 0x63];
        for end in 0..=full.len() {
            assert!(Vp8Descriptor::parse(&full[..end]).is_none());
        }
    }
}

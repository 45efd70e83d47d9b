//! VP9 payload descriptor (RFC 9628 section 4.2).

use crate::{
    bytes::{put, u8_at, u16_at},
    vp8::{PICTURE_ID_MASK, PictureId},
};

/// Where the picture id lies, if there is one.
const PICTURE_ID_AT: usize = 1;
/// Differences to reference pictures that one descriptor may list (section 4.2.1).
const MAX_REFERENCES: usize = 3;

/// What a descriptor says, and where its fields lie so that they can be rewritten in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp9Descriptor {
    /// Bytes of the descriptor; a scalability structure may take a thousand.
    pub len: u16,
    /// First packet of a picture, which is one frame of each spatial layer.
    pub picture_start: bool,
    /// First packet of a picture that needs no earlier one.
    pub key_frame: bool,
    /// Picture id: 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// Index of the last picture of temporal layer 0; only in non-flexible mode.
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer; 0 if the descriptor has none.
    pub temporal: u8,
    /// Spatial layer; 0 if the descriptor has none.
    pub spatial: u8,
    /// A receiver may step up to this temporal layer here.
    pub layer_sync: bool,
    tl0_at: u8,
}

impl Vp9Descriptor {
    /// Reads the descriptor at the start of a payload; `None` if it runs past the end or carries no frame data.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = u8_at(payload, 0)?;
        let flexible = first & 0x10 != 0;
        let predicted = first & 0x40 != 0;
        let frame_start = first & 0x08 != 0;
        let mut at = PICTURE_ID_AT;
        let mut descriptor = Self {
            len: 0,
            picture_start: false,
            key_frame: false,
            picture_id: None,
            tl0_pic_idx: None,
            temporal: 0,
            spatial: 0,
            layer_sync: false,
            tl0_at: 0,
        };
        if first & 0x80 != 0 {
            let byte = u8_at(payload, at)?;
            let long = byte & 0x80 != 0;
            let value = if long {
                u16_at(payload, at)? & PICTURE_ID_MASK
            } else {
                u16::from(byte)
            };
            descriptor.picture_id = Some(PictureId { value, long });
            at += if long { 2 } else { 1 };
        }
        if first & 0x20 != 0 {
            let byte = u8_at(payload, at)?;
            descriptor.temporal = byte >> 5;
            descriptor.layer_sync = byte & 0x10 != 0;
            descriptor.spatial = (byte >> 1) & 0x07;
            at += 1;
            if !flexible {
                descriptor.tl0_pic_idx = Some(u8_at(payload, at)?);
                descriptor.tl0_at = at as u8;
                at += 1;
            }
        }
        if flexible && predicted {
            for place in 0..=MAX_REFERENCES {
                if place == MAX_REFERENCES {
                    return None;
                }
                let more = u8_at(payload, at)? & 0x01 != 0;
                at += 1;
                if !more {
                    break;
                }
            }
        }
        if first & 0x02 != 0 {
            at = skip_structure(payload, at)?;
        }
        // There is something to decode.
        u8_at(payload, at)?;
        descriptor.len = u16::try_from(at).ok()?;
        descriptor.picture_start = frame_start && descriptor.spatial == 0;
        // Higher layers of a key picture refer to the layer below; of layer 0 nothing is left to refer to but older pictures.
        descriptor.key_frame = descriptor.picture_start && !predicted;
        Some(descriptor)
    }

    /// Writes other numbers into a copy of the payload that this was read from. Fields that the descriptor lacks are
    /// ignored; a 7-bit picture id keeps its low 7 bits.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
        if let Some(id) = self.picture_id {
            id.write(payload, PICTURE_ID_AT, picture_id);
        }
        if self.tl0_pic_idx.is_some() {
            // A place that `parse` has read is there.
            let _ = put(payload, usize::from(self.tl0_at), &[tl0_pic_idx]);
        }
    }
}

/// Where the scalability structure at `at` ends (section 4.2.2).
fn skip_structure(payload: &[u8], mut at: usize) -> Option<usize> {
    let head = u8_at(payload, at)?;
    at += 1;
    let layers = usize::from(head >> 5) + 1;
    if head & 0x10 != 0 {
        // Width and height of each layer.
        at += layers * 4;
    }
    if head & 0x08 != 0 {
        let pictures = u8_at(payload, at)?;
        at += 1;
        for _ in 0..pictures {
            let references = (u8_at(payload, at)? >> 2) & 0x03;
            at += 1 + usize::from(references);
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Chromium 156 begins L3T3_KEY: non-flexible, with a structure of three layers and four pictures.
    fn key_frame() -> Vec<u8> {
        let mut payload = vec![0x80 | 0x20 | 0x08 | 0x02, 0x92, 0x34, 0x00, 7];
        payload.push(0x50 | 0x08);
        payload.extend([0, 160, 0, 90, 1, 64, 0, 180]);
        payload.extend([2, 128, 1, 104]);
        payload.extend([4, 0x04, 4, 0x54, 1, 0x34, 2, 0x54, 1]);
        payload.extend([0xaa, 0xbb]);
        payload
    }

    #[test]
    fn a_key_frame_with_its_structure_reads_and_rewrites() {
        let mut payload = key_frame();
        let read = Vp9Descriptor::parse(&payload).unwrap();
        assert!(read.picture_start && read.key_frame);
        assert_eq!(read.picture_id.unwrap().value, 0x1234);
        assert_eq!(read.tl0_pic_idx, Some(7));
        assert_eq!(usize::from(read.len), payload.len() - 2);
        read.rewrite(&mut payload, 0x7fff, 200);
        let again = Vp9Descriptor::parse(&payload).unwrap();
        assert_eq!(again.picture_id.unwrap().value, 0x7fff);
        assert_eq!(again.tl0_pic_idx, Some(200));
        assert_eq!(again.len, read.len);
    }

    #[test]
    fn higher_layers_of_a_key_picture_do_not_start_a_stream() {
        // Spatial layer 2, which needs the one below.
        let read = Vp9Descriptor::parse(&[0xa8, 0x05, 0x05, 7, 0xaa]).unwrap();
        assert_eq!(read.spatial, 2);
        assert!(!read.picture_start && !read.key_frame);
        // A later packet of the lowest layer's frame.
        let read = Vp9Descriptor::parse(&[0xa0, 0x05, 0x00, 7, 0xaa]).unwrap();
        assert!(!read.key_frame);
        // A predicted frame.
        let read = Vp9Descriptor::parse(&[0xe8, 0x05, 0x30, 7, 0xaa]).unwrap();
        assert!(read.picture_start && !read.key_frame && read.layer_sync);
        assert_eq!(read.temporal, 1);
    }

    #[test]
    fn descriptors_past_the_end_are_refused() {
        let full = key_frame();
        let len = full.len() - 2;
        for end in 0..=len {
            assert!(Vp9Descriptor::parse(&full[..end]).is_none(), "{end}");
        }
        // 255 pictures announced, none there.
        assert!(Vp9Descriptor::parse(&[0x0a, 0x08, 255, 0x0c, 1]).is_none());
    }

    #[test]
    fn a_fourth_reference_is_refused() {
        let three = [0xd8, 5, 0x03, 0x05, 0x06, 0xaa];
        assert!(Vp9Descriptor::parse(&three).is_some());
        let four = [0xd8, 5, 0x03, 0x05, 0x07, 0x08, 0xaa];
        assert!(Vp9Descriptor::parse(&four).is_none());
    }
}

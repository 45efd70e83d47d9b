//! What a forwarder must know of a payload, whatever its codec.

use plenum_types::Codec;

use crate::{Vp8Descriptor, Vp9Descriptor, av1, dependency::DependencyDescriptor, h264, red};

/// A payload that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// A frame of sound.
    Opus,
    /// A frame of sound with earlier ones.
    Red {
        /// Where its own frame begins.
        primary_at: u16,
    },
    /// See [`Vp8Descriptor`].
    Vp8(Vp8Descriptor),
    /// See [`Vp9Descriptor`].
    Vp9(Vp9Descriptor),
    /// A packet without numbers of its own.
    H264 {
        /// A stream can be decoded from here on.
        key_frame: bool,
    },
    /// A packet whose numbers, if it has any, are in its header extension.
    Av1 {
        /// A stream can be decoded from here on.
        key_frame: bool,
        /// Of the dependency descriptor.
        frame_number: Option<u16>,
    },
}

/// Which temporal layer a packet of video belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Temporal {
    /// 0 is the lowest frame rate.
    pub layer: u8,
    /// A receiver may step up to this layer here.
    pub sync: bool,
    /// First packet of a picture.
    pub start: bool,
}

impl Payload {
    /// Reads a payload; `None` if its descriptor can't be read, so that no client could use it. `descriptor` is the value
    /// of the dependency descriptor.
    #[must_use]
    pub fn read(codec: Codec, payload: &[u8], descriptor: Option<&[u8]>) -> Option<Self> {
        match codec {
            Codec::Opus => Some(Self::Opus),
            Codec::Red => Some(Self::Red {
                primary_at: red::primary_at(payload)?,
            }),
            Codec::Vp8 => Vp8Descriptor::parse(payload).map(Self::Vp8),
            Codec::Vp9 => Vp9Descriptor::parse(payload).map(Self::Vp9),
            Codec::H264 | Codec::H264High => Some(Self::H264 {
                key_frame: h264::starts_key_frame(payload),
            }),
            Codec::Av1 => {
                let descriptor = descriptor.and_then(DependencyDescriptor::parse);
                Some(Self::Av1 {
                    key_frame: descriptor.map_or_else(
                        || av1::starts_key_frame(payload),
                        DependencyDescriptor::starts_key_frame,
                    ),
                    frame_number: descriptor.map(|descriptor| descriptor.frame_number),
                })
            }
            _ => None,
        }
    }

    /// What it is encoded in; a payload doesn't tell the profiles of H.264 apart.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        match self {
            Self::Opus => Codec::Opus,
            Self::Red { .. } => Codec::Red,
            Self::Vp8(_) => Codec::Vp8,
            Self::Vp9(_) => Codec::Vp9,
            Self::H264 { .. } => Codec::H264,
            Self::Av1 { .. } => Codec::Av1,
        }
    }

    /// A stream can be decoded from this packet on.
    #[must_use]
    pub const fn starts(&self) -> bool {
        match self {
            Self::Opus | Self::Red { .. } => true,
            Self::Vp8(descriptor) => descriptor.key_frame,
            Self::Vp9(descriptor) => descriptor.key_frame,
            Self::H264 { key_frame } | Self::Av1 { key_frame, .. } => *key_frame,
        }
    }

    /// Number of its picture (VP8, VP9) or frame (AV1), which decoders expect to go on from one to the next.
    #[must_use]
    pub fn picture(&self) -> Option<u16> {
        match self {
            Self::Vp8(descriptor) => descriptor.picture_id.map(|id| id.value),
            Self::Vp9(descriptor) => descriptor.picture_id.map(|id| id.value),
            Self::Av1 { frame_number, .. } => *frame_number,
            Self::Opus | Self::Red { .. } | Self::H264 { .. } => None,
        }
    }

    /// Decoders take a hole in the numbers of pictures for a loss. Those of VP9 and AV1 find what a picture refers to by
    /// the distance in numbers, so that there dropped pictures must leave their hole.
    #[must_use]
    pub const fn counts_without_holes(&self) -> bool {
        matches!(self, Self::Vp8(_))
    }

    /// Index of the last picture of temporal layer 0.
    #[must_use]
    pub const fn tl0(&self) -> Option<u8> {
        match self {
            Self::Vp8(descriptor) => descriptor.tl0_pic_idx,
            Self::Vp9(descriptor) => descriptor.tl0_pic_idx,
            _ => None,
        }
    }

    /// Its temporal layer, if its descriptor says so.
    #[must_use]
    pub const fn temporal(&self) -> Option<Temporal> {
        match self {
            Self::Vp8(descriptor) => Some(Temporal {
                layer: descriptor.temporal,
                sync: descriptor.layer_sync,
                start: descriptor.frame_start,
            }),
            Self::Vp9(descriptor) => Some(Temporal {
                layer: descriptor.temporal,
                sync: descriptor.layer_sync,
                start: descriptor.picture_start,
            }),
            _ => None,
        }
    }

    /// Adds to the numbers in a copy of the payload that this was read from.
    pub fn rewrite(&self, payload: &mut [u8], picture_offset: u16, tl0_offset: u8) {
        let picture = self.picture().unwrap_or(0).wrapping_add(picture_offset);
        let tl0 = self.tl0().unwrap_or(0).wrapping_add(tl0_offset);
        match self {
            Self::Vp8(descriptor) => descriptor.rewrite(payload, picture, tl0),
            Self::Vp9(descriptor) => descriptor.rewrite(payload, picture, tl0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dependency_descriptor_is_believed_before_the_payload() {
        let encrypted = [0x18, 0xff, 0xff];
        let read = Payload::read(Codec::Av1, &encrypted, Some(&[0xc0, 0, 9, 0])).unwrap();
        assert!(!read.starts());
        assert_eq!(read.picture(), Some(9));
        let read = Payload::read(Codec::Av1, &[0x10, 0xff], Some(&[0xc0, 0, 9, 0x80])).unwrap();
        assert!(read.starts());
        let read = Payload::read(Codec::Av1, &encrypted, None).unwrap();
        assert!(read.starts());
        assert_eq!(read.picture(), None);
    }

    #[test]
    fn what_no_client_could_read_is_refused() {
        assert_eq!(Payload::read(Codec::Vp8, &[0x90], None), None);
        assert_eq!(Payload::read(Codec::Vp9, &[0x80, 0x80], None), None);
        assert_eq!(Payload::read(Codec::Red, &[0xef, 0, 0, 9], None), None);
    }
}

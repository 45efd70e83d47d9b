//! The dependency descriptor (AV1 RTP specification, appendix A): what a frame needs, said in a header extension so that
//! nobody must look into the payload.
//!
//! The server forwards it as it is but for the frame number; of the rest it reads what tells where a stream can begin.

use crate::bytes::{put, u8_at, u16_at};

/// Bytes that every descriptor has.
const MANDATORY: usize = 3;
/// Where the frame number lies.
const FRAME_NUMBER_AT: usize = 1;
/// First packet of its frame.
const START_OF_FRAME: u8 = 0x80;
/// The extended part has a structure of templates (first bit of its first byte).
const HAS_STRUCTURE: u8 = 0x80;

/// What the fixed part says, and whether a structure follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// First packet of its frame.
    pub start_of_frame: bool,
    /// Counts frames of all layers.
    pub frame_number: u16,
    /// The structure that later descriptors refer to is here: only first frames of a coded video sequence have it.
    pub has_structure: bool,
}

impl DependencyDescriptor {
    /// Reads an element's value; `None` if it is too short.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let first = u8_at(value, 0)?;
        Some(Self {
            start_of_frame: first & START_OF_FRAME != 0,
            frame_number: u16_at(value, FRAME_NUMBER_AT)?,
            has_structure: u8_at(value, MANDATORY).is_some_and(|byte| byte & HAS_STRUCTURE != 0),
        })
    }

    /// A stream can be decoded from this packet on.
    #[must_use]
    pub const fn starts_key_frame(self) -> bool {
        self.start_of_frame && self.has_structure
    }
}

/// Writes another frame number into a copy of a value that was read.
pub fn set_frame_number(value: &mut [u8], frame_number: u16) {
    // A place that was read is there.
    let _ = put(value, FRAME_NUMBER_AT, &frame_number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_has_its_structure_with_it() {
        let mut value = [0xc0, 0x12, 0x34, 0x80, 0x01, 0x1e];
        let read = DependencyDescriptor::parse(&value).unwrap();
        assert!(read.starts_key_frame());
        assert_eq!(read.frame_number, 0x1234);
        set_frame_number(&mut value, 0xfffe);
        assert_eq!(value, [0xc0, 0xff, 0xfe, 0x80, 0x01, 0x1e]);
    }

    #[test]
    fn a_frame_that_refers_to_templates_begins_nothing() {
        let fixed = DependencyDescriptor::parse(&[0xff, 0, 1]).unwrap();
        assert!(fixed.start_of_frame && !fixed.starts_key_frame());
        // Custom fields, but no structure; a structure in a later packet of its frame.
        for value in [[0xc0, 0, 1, 0x20], [0x40, 0, 1, 0x80]] {
            assert!(
                !DependencyDescriptor::parse(&value)
                    .unwrap()
                    .starts_key_frame()
            );
        }
    }

    #[test]
    fn short_values_are_refused() {
        for value in [&[][..], &[0xc0], &[0xc0, 0]] {
            assert_eq!(DependencyDescriptor::parse(value), None);
        }
        set_frame_number(&mut [0xc0, 0], 7);
    }
}

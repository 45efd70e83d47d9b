//! Descriptors of payloads.

use plenum_rtp::{Payload, dependency, red};
use plenum_types::Codec;

/// A payload of any codec, the first byte says which; with other numbers it says the same.
pub(crate) fn payload(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let codecs = [
        Codec::Opus,
        Codec::Red,
        Codec::Vp8,
        Codec::Vp9,
        Codec::H264,
        Codec::Av1,
    ];
    let codec = codecs[usize::from(*choice) % codecs.len()];
    // A dependency descriptor lies beside the payload: here in front of it.
    let (descriptor, bytes) = match codec {
        Codec::Av1 => bytes.split_at(bytes.len().min(usize::from(*choice) / 8)),
        _ => (&[][..], bytes),
    };
    let descriptor = (!descriptor.is_empty()).then_some(descriptor);
    let Some(read) = Payload::read(codec, bytes, descriptor) else {
        return;
    };
    assert_eq!(read.codec(), codec);
    let mut copy = bytes.to_vec();
    read.rewrite(&mut copy, 1_000, 7);
    let again = Payload::read(codec, &copy, descriptor).expect("only numbers have changed");
    assert_eq!(
        (again.starts(), again.temporal()),
        (read.starts(), read.temporal())
    );
    assert_eq!(again.picture().is_some(), read.picture().is_some());
    if matches!(codec, Codec::Vp8 | Codec::Vp9) {
        assert_eq!(again.tl0(), read.tl0().map(|index| index.wrapping_add(7)));
        again.rewrite(&mut copy, 0_u16.wrapping_sub(1_000), 0_u8.wrapping_sub(7));
        assert_eq!(copy, bytes, "and back");
    }
    if let Payload::Red { primary_at } = read {
        assert!(usize::from(primary_at) < bytes.len());
        red::set_payload_types(&mut copy, 100);
        assert_eq!(red::primary_at(&copy), Some(primary_at));
    }
    if let Some(value) = descriptor {
        let mut value = value.to_vec();
        dependency::set_frame_number(&mut value, 0xfffe);
        if let Some(found) = dependency::DependencyDescriptor::parse(&value) {
            assert_eq!(found.frame_number, 0xfffe);
        }
    }
}

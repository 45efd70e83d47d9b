//! Profiles of H.264, as `profile-level-id` names them (RFC 6184 section 8.1).
//!
//! Levels are not matched: clients ignore them, and with `level-asymmetry-allowed=1` on both sides each tells only what it
//! takes itself.

use plenum_types::Codec;

/// Which tools an encoder uses, or a decoder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    ConstrainedBaseline,
    /// Has more against losses, which no client uses.
    Baseline,
    /// Also the constrained one: it lacks interlacing and B slices, which encoders for calls do without.
    High,
    /// High with more colour: its decoders decode high, but not the other way round.
    HighPredictive444,
}

impl Profile {
    /// `None` for what we don't take, and for what is no `profile-level-id`.
    pub(crate) fn of(profile_level_id: u32) -> Option<Self> {
        let [idc @ .., _] = profile_level_id.to_be_bytes();
        // Table 5; some profiles with the right constraint flags are subsets of others.
        match idc {
            [0, 0x42, iop] if iop & 0x4f == 0x40 => Some(Self::ConstrainedBaseline),
            [0, 0x4d, iop] if iop & 0x8f == 0x80 => Some(Self::ConstrainedBaseline),
            [0, 0x58, iop] if iop & 0xcf == 0xc0 => Some(Self::ConstrainedBaseline),
            [0, 0x42, iop] if iop & 0x4f == 0 => Some(Self::Baseline),
            [0, 0x58, iop] if iop & 0xcf == 0x80 => Some(Self::Baseline),
            [0, 0x64, 0 | 0x0c] => Some(Self::High),
            [0, 0xf4, 0] => Some(Self::HighPredictive444),
            _ => None,
        }
    }

    /// What such a decoder can take, or such an encoder sends, if that can be forwarded.
    pub(crate) const fn codec(self, is_sent_to_us: bool) -> Option<Codec> {
        match self {
            Self::ConstrainedBaseline | Self::Baseline => Some(Codec::H264),
            // For what would be sent in it few have a decoder.
            Self::HighPredictive444 if is_sent_to_us => None,
            Self::High | Self::HighPredictive444 => Some(Codec::H264High),
        }
    }

    /// Of two names for the same codec this one says better what is sent.
    pub(crate) const fn is_exact(self) -> bool {
        matches!(self, Self::ConstrainedBaseline | Self::High)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_those_of_the_table() {
        for (id, expected) in [
            (0x42_e01f, Some(Profile::ConstrainedBaseline)),
            (0x42_c00b, Some(Profile::ConstrainedBaseline)),
            (0x4d_801f, Some(Profile::ConstrainedBaseline)),
            (0x58_c01f, Some(Profile::ConstrainedBaseline)),
            (0x42_001f, Some(Profile::Baseline)),
            (0x58_8034, Some(Profile::Baseline)),
            (0x64_001f, Some(Profile::High)),
            (0x64_0032, Some(Profile::High)),
            (0x64_0c1f, Some(Profile::High)),
            (0xf4_001f, Some(Profile::HighPredictive444)),
            // Main, extended, high 10, and flags that nobody has explained.
            (0x4d_001f, None),
            (0x58_001f, None),
            (0x6e_001f, None),
            (0x42_e11f, None),
            (0x64_081f, None),
            (0x0142_e01f, None),
        ] {
            assert_eq!(Profile::of(id), expected, "{id:06x}");
        }
    }

    #[test]
    fn a_decoder_of_more_colour_takes_high_but_an_encoder_of_it_is_not_taken() {
        let more = Profile::HighPredictive444;
        assert_eq!(more.codec(false), Some(Codec::H264High));
        assert_eq!(more.codec(true), None);
    }
}

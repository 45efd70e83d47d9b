//! What clients may send and how: codecs and their bitrates.

use plenum_types::{Codec, MediaPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Codecs and their bitrates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// Codecs that clients may publish and receive, best first, of `vp8`, `h264`, `vp9`, `av1`, `opus`, `red`. What is
    /// left out is off.
    #[schemars(extend("x-variable" = "PLENUM_CODECS", "x-reloads" = true))]
    pub codecs: Vec<String>,
    /// Bits per second at which an encoder of video begins; 0 leaves it to the client.
    #[schemars(extend("x-variable" = "PLENUM_INITIAL_VIDEO_BITRATE", "x-reloads" = true))]
    pub initial_video_bitrate_bps: u32,
    /// Bits per second below which an encoder of video does not go; 0 leaves it to the client.
    #[schemars(extend("x-variable" = "PLENUM_MIN_VIDEO_BITRATE", "x-reloads" = true))]
    pub min_video_bitrate_bps: u32,
    /// Bits per second that stereo sound may take, 6000 to 510000.
    #[schemars(extend("x-variable" = "PLENUM_STEREO_BITRATE", "x-reloads" = true))]
    pub stereo_bitrate_bps: u32,
    /// Clients may stop sending sound while there is silence.
    #[schemars(extend("x-variable" = "PLENUM_DTX", "x-reloads" = true))]
    pub dtx: bool,
}

impl Default for MediaConfig {
    fn default() -> Self {
        let policy = MediaPolicy::default();
        Self {
            codecs: policy
                .codecs
                .iter()
                .map(|codec| codec.name().to_owned())
                .collect(),
            initial_video_bitrate_bps: policy.initial_video_bitrate_bps,
            min_video_bitrate_bps: policy.min_video_bitrate_bps,
            stereo_bitrate_bps: policy.stereo_bitrate_bps,
            dtx: policy.dtx,
        }
    }
}

impl MediaConfig {
    /// What rooms are told. Names that are no codec are left out: [`check`](Self::check) refuses them.
    #[must_use]
    pub fn policy(&self) -> MediaPolicy {
        MediaPolicy {
            codecs: self
                .codecs
                .iter()
                .filter_map(|name| Codec::named(name))
                .collect(),
            initial_video_bitrate_bps: self.initial_video_bitrate_bps,
            min_video_bitrate_bps: self.min_video_bitrate_bps,
            stereo_bitrate_bps: self.stereo_bitrate_bps,
            dtx: self.dtx,
        }
    }

    /// Names each setting that can't work, the limit and the mend.
    pub(super) fn contradictions(&self, wrong: &mut impl FnMut(&str, String)) {
        let known = Codec::ALL.map(Codec::name).join(", ");
        for name in self
            .codecs
            .iter()
            .filter(|name| Codec::named(name).is_none())
        {
            wrong(
                "media.codecs",
                format!("`{name}` is no codec; there are {known}"),
            );
        }
        if !self.policy().codecs.contains(&Codec::Opus) {
            wrong(
                "media.codecs",
                "`opus` is needed, every client's sound is in it; add it to the list".to_owned(),
            );
        }
        // RFC 7587 section 6.1.
        if !(6_000..=510_000).contains(&self.stereo_bitrate_bps) {
            wrong(
                "media.stereo_bitrate_bps",
                format!("{}: Opus takes 6000 to 510000", self.stereo_bitrate_bps),
            );
        }
        let (initial, min) = (self.initial_video_bitrate_bps, self.min_video_bitrate_bps);
        if initial > 0 && min > initial {
            wrong(
                "media.min_video_bitrate_bps",
                format!(
                    "{min}: above media.initial_video_bitrate_bps, {initial}; lower it, or write 0 for none"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_in(config: &MediaConfig) -> Vec<String> {
        let mut found = Vec::new();
        config.contradictions(&mut |setting, message| found.push(format!("{setting} {message}")));
        found
    }

    fn refused(change: impl FnOnce(&mut MediaConfig)) -> String {
        let mut config = MediaConfig::default();
        change(&mut config);
        wrong_in(&config).concat()
    }

    #[test]
    fn the_defaults_are_those_of_rooms() {
        let config = MediaConfig::default();
        assert_eq!(wrong_in(&config), Vec::<String>::new());
        assert_eq!(config.policy(), MediaPolicy::default());
    }

    #[test]
    fn codecs_are_on_off_and_in_order_as_listed() {
        let config = MediaConfig {
            codecs: ["AV1", "opus", "vp8"].map(str::to_owned).to_vec(),
            ..MediaConfig::default()
        };
        assert_eq!(wrong_in(&config), Vec::<String>::new());
        assert_eq!(
            config.policy().codecs,
            [Codec::Av1, Codec::Opus, Codec::Vp8]
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_mend() {
        let unknown = refused(|config| config.codecs.push("vp7".to_owned()));
        assert!(unknown.contains("`vp7`") && unknown.contains("vp8, h264"));
        assert!(refused(|config| config.codecs.retain(|name| name != "opus")).contains("add it"));
        assert!(refused(|config| config.stereo_bitrate_bps = 1).contains("6000 to 510000"));
        assert!(refused(|config| config.min_video_bitrate_bps = 9_000_000).contains("9000000"));
    }
}

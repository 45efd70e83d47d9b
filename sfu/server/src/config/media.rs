//! What clients may send and how: codecs and their bitrates.

use plenum_types::{Codec, MediaPolicy};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Codecs and their bitrates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// Codecs that clients may publish and receive, best first, of `vp8`, `h264`, `vp9`, `av1`, `opus`, `red`. What is
    /// left out is off.
    pub codecs: Vec<String>,
    /// Bits per second at which an encoder of video begins; 0 leaves it to the client.
    pub initial_video_bitrate_bps: u32,
    /// Bits per second below which an encoder of video does not go; 0 leaves it to the client.
    pub min_video_bitrate_bps: u32,
    /// Bits per second that stereo sound may take, 6000 to 510000.
    pub stereo_bitrate_bps: u32,
    /// Clients may stop sending sound while there is silence.
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

    /// Refuses what can't work.
    ///
    /// # Errors
    /// Names the setting, the limit and the mend.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |message: String| Err(ConfigError::Invalid(message));
        let known = Codec::ALL.map(Codec::name).join(", ");
        if let Some(name) = self.codecs.iter().find(|name| Codec::named(name).is_none()) {
            return wrong(format!(
                "media.codecs: `{name}` is no codec; there are {known}"
            ));
        }
        let codecs = self.policy().codecs;
        if !codecs.contains(&Codec::Opus) {
            return wrong(
                "media.codecs: `opus` is needed, every client's sound is in it; add it to the list"
                    .to_owned(),
            );
        }
        // RFC 7587 section 6.1.
        if !(6_000..=510_000).contains(&self.stereo_bitrate_bps) {
            return wrong(format!(
                "media.stereo_bitrate_bps {}: Opus takes 6000 to 510000",
                self.stereo_bitrate_bps
            ));
        }
        let (initial, min) = (self.initial_video_bitrate_bps, self.min_video_bitrate_bps);
        if initial > 0 && min > initial {
            return wrong(format!(
                "media.min_video_bitrate_bps {min}: above media.initial_video_bitrate_bps {initial}; lower it, or set 0 for none"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut MediaConfig)) -> String {
        let mut config = MediaConfig::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_those_of_rooms() {
        let config = MediaConfig::default();
        assert!(config.check().is_ok());
        assert_eq!(config.policy(), MediaPolicy::default());
    }

    #[test]
    fn codecs_are_on_off_and_in_order_as_listed() {
        let config = MediaConfig {
            codecs: ["AV1", "opus", "vp8"].map(str::to_owned).to_vec(),
            ..MediaConfig::default()
        };
        assert!(config.check().is_ok());
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

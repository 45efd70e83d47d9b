//! Reads the configuration: file, then environment. Unknown names fail with the nearest known one.

use std::{fs, path::Path};

use serde_norway::{Mapping, Value};

use super::Config;

/// Names further away than this share of similarity are not offered as a mend.
const NEAR_ENOUGH: f64 = 0.6;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("config file {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not YAML, or a value has the wrong type.
    #[error("config file {path}: {message}")]
    Parse {
        /// Which file.
        path: String,
        /// Where and what.
        message: String,
    },
    /// A name that does not exist.
    #[error("config file {path}: unknown setting `{key}`{}", nearest.as_ref().map(|name| format!(", did you mean `{name}`?")).unwrap_or_default())]
    Unknown {
        /// Which file.
        path: String,
        /// Dotted name.
        key: String,
        /// Dotted name of the nearest setting, if one is near.
        nearest: Option<String>,
    },
    /// An environment variable can't be read.
    #[error("environment variable {name}: {message}")]
    Environment {
        /// Which one.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The settings contradict each other.
    #[error("{0}")]
    Invalid(String),
}

/// Which environment variable sets what (dotted name in the file).
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("PLENUM_PORT", "port"),
    ("PLENUM_BIND", "bind"),
    ("PLENUM_KEYS", "keys"),
    ("LOG_LEVEL", "log_level"),
    ("PLENUM_LOG_JSON", "log_json"),
    ("PLENUM_ADMIN_ADDRESS", "admin.address"),
    ("RTC_MIN_PORT", "rtc.min_port"),
    ("RTC_MAX_PORT", "rtc.max_port"),
    ("RTC_TCP_PORT", "rtc.tcp_port"),
    ("PLENUM_SHARDS", "rtc.shards"),
    ("PLENUM_ADVERTISE", "rtc.advertise"),
    ("PLENUM_WAIT_FOR_ADDRESSES", "rtc.wait_for_addresses"),
    ("PLENUM_CODECS", "media.codecs"),
    (
        "PLENUM_INITIAL_VIDEO_BITRATE",
        "media.initial_video_bitrate_bps",
    ),
    ("PLENUM_MIN_VIDEO_BITRATE", "media.min_video_bitrate_bps"),
    ("PLENUM_STEREO_BITRATE", "media.stereo_bitrate_bps"),
    ("PLENUM_DTX", "media.dtx"),
    ("PLENUM_AUTO_CREATE", "room.auto_create"),
    ("PLENUM_EMPTY_TIMEOUT", "room.empty_timeout_seconds"),
    ("PLENUM_DEPARTURE_TIMEOUT", "room.departure_timeout_seconds"),
    ("PLENUM_MAX_PARTICIPANTS", "room.max_participants"),
    ("PLENUM_MAX_ROOMS", "room.max_rooms"),
    ("PLENUM_ENABLE_DATA_TRACKS", "room.enable_data_tracks"),
    ("SERVER_INSTANCE_ID", "cluster.instance_id"),
    ("REDIS_URL", "cluster.redis_url"),
    ("PLENUM_INTERNAL_ADDRESS", "cluster.internal_address"),
    ("PLENUM_CLUSTER_SECRET", "cluster.secret"),
    ("PLENUM_POOL", "cluster.pool"),
    ("PLENUM_INSTALL", "cluster.install"),
    ("PLENUM_PEERS", "cluster.peers"),
    ("PLENUM_DRAIN_SECONDS", "cluster.drain_seconds"),
];

/// Settings whose keys are free names.
const FREE_MAPS: &[&str] = &["keys"];
/// Settings that are lists; in the environment their items are separated by commas or spaces.
const LISTS: &[&str] = &["bind", "rtc.advertise", "media.codecs", "cluster.peers"];

/// Reads the configuration.
///
/// # Errors
/// Names the file or variable, the setting and the mend.
pub fn load(
    file: Option<&Path>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let known = serde_norway::to_value(Config::default()).unwrap_or(Value::Null);
    let mut tree = Value::Mapping(Mapping::new());
    let path = file.map_or_else(String::new, |file| file.display().to_string());
    if let Some(file) = file {
        let text = fs::read_to_string(file).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        let parsed: Value = serde_norway::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.clone(),
            message: error.to_string(),
        })?;
        if !parsed.is_null() {
            check_names(&parsed, &known, "", &path)?;
            tree = parsed;
        }
        from_tree(&tree).map_err(|message| ConfigError::Parse {
            path: path.clone(),
            message,
        })?;
    }
    for (name, setting) in ENVIRONMENT {
        let Some(text) = environment(name).filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        let failed = |message: String| ConfigError::Environment {
            name: (*name).to_owned(),
            message,
        };
        let value = environment_value(setting, &text, find(&known, setting)).map_err(failed)?;
        set(&mut tree, setting, value);
        from_tree(&tree).map_err(failed)?;
    }
    from_tree(&tree).map_err(|message| ConfigError::Parse { path, message })
}

fn from_tree(tree: &Value) -> Result<Config, String> {
    serde_norway::from_value(tree.clone()).map_err(|error| error.to_string())
}

fn find<'a>(tree: &'a Value, setting: &str) -> Option<&'a Value> {
    setting
        .split('.')
        .try_fold(tree, |node, part| node.get(part))
}

fn set(tree: &mut Value, setting: &str, value: Value) {
    let Value::Mapping(map) = tree else {
        return;
    };
    match setting.split_once('.') {
        None => {
            map.insert(Value::from(setting), value);
        }
        Some((section, rest)) => {
            let below = map
                .entry(Value::from(section))
                .or_insert_with(|| Value::Mapping(Mapping::new()));
            set(below, rest, value);
        }
    }
}

/// A variable's text as the type that the setting has.
fn environment_value(setting: &str, text: &str, default: Option<&Value>) -> Result<Value, String> {
    let text = text.trim();
    if FREE_MAPS.contains(&setting) {
        return key_pairs(text);
    }
    if LISTS.contains(&setting) {
        return Ok(text
            .split([',', ' '])
            .filter(|item| !item.is_empty())
            .map(Value::from)
            .collect::<Vec<_>>()
            .into());
    }
    match default {
        Some(Value::Bool(_)) => match text {
            "1" | "true" | "yes" | "on" => Ok(Value::Bool(true)),
            "0" | "false" | "no" | "off" => Ok(Value::Bool(false)),
            _ => Err(format!("`{text}` is not true or false")),
        },
        Some(Value::Number(_)) => text
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| format!("`{text}` is not a whole number")),
        _ => Ok(Value::from(text)),
    }
}

/// `name: secret, name: secret`; a comma before something without a colon belongs to the secret. The error never repeats
/// the text.
fn key_pairs(text: &str) -> Result<Value, String> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for part in text.split([',', '\n']) {
        match (part.split_once(':'), pairs.last_mut()) {
            (Some((name, secret)), _) => pairs.push((name.trim(), secret.trim().to_owned())),
            (None, Some((_, secret))) => {
                secret.push(',');
                secret.push_str(part);
            }
            (None, None) => break,
        }
    }
    if pairs.is_empty()
        || pairs
            .iter()
            .any(|(name, secret)| name.is_empty() || secret.is_empty())
    {
        return Err("expected `name: secret`, several separated by commas".to_owned());
    }
    let map: Mapping = pairs
        .into_iter()
        .map(|(name, secret)| (Value::from(name), Value::from(secret.trim_end())))
        .collect();
    Ok(Value::Mapping(map))
}

fn check_names(given: &Value, known: &Value, prefix: &str, path: &str) -> Result<(), ConfigError> {
    let (Value::Mapping(given), Value::Mapping(known)) = (given, known) else {
        return Ok(());
    };
    for (key, value) in given {
        let key = key
            .as_str()
            .map_or_else(|| format!("{key:?}"), str::to_owned);
        let dotted = format!("{prefix}{key}");
        let Some(below) = known.get(key.as_str()) else {
            let nearest = known
                .keys()
                .filter_map(Value::as_str)
                .map(|name| (strsim::jaro_winkler(&key, name), name))
                .filter(|(similarity, _)| *similarity >= NEAR_ENOUGH)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, name)| format!("{prefix}{name}"));
            return Err(ConfigError::Unknown {
                path: path.to_owned(),
                key: dotted,
                nearest,
            });
        };
        if !FREE_MAPS.contains(&dotted.as_str()) {
            check_names(value, below, &format!("{dotted}."), path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Config, ConfigError> {
        let path = std::env::temp_dir().join(format!(
            "plenum-config-{}-{}.yaml",
            std::process::id(),
            fastrand::u64(..)
        ));
        fs::write(&path, text).unwrap();
        let loaded = load(Some(&path), |_| None);
        fs::remove_file(&path).unwrap();
        loaded
    }

    #[test]
    fn an_unknown_setting_is_refused_with_the_nearest_name() {
        let error = file("rtc:\n  min_prot: 5000\n").unwrap_err().to_string();
        assert!(error.contains("`rtc.min_prot`"), "{error}");
        assert!(error.contains("did you mean `rtc.min_port`"), "{error}");
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let config = file("port: 8000\nkeys:\n  any name: s\nrtc: {shards: 3}\n").unwrap();
        assert_eq!((config.port, config.rtc.shards), (8000, 3));
        assert_eq!(config.rtc.min_port, Config::default().rtc.min_port);
        assert_eq!(config.keys.0.get("any name").map(String::as_str), Some("s"));
        assert_eq!(file("").unwrap(), Config::default());
    }

    #[test]
    fn the_environment_wins_over_defaults() {
        let config = load(None, |name| {
            match name {
                "PLENUM_KEYS" => Some("a: 1, b: 22"),
                "PLENUM_ADVERTISE" => Some("10.0.0.1, [::1]:900"),
                "PLENUM_WAIT_FOR_ADDRESSES" => Some("true"),
                "RTC_MIN_PORT" => Some("6000"),
                "SERVER_INSTANCE_ID" => Some("007"),
                _ => None,
            }
            .map(str::to_owned)
        })
        .unwrap();
        assert_eq!(config.keys.0.len(), 2);
        assert_eq!(config.rtc.advertise.len(), 2);
        assert!(config.rtc.wait_for_addresses);
        assert_eq!(config.rtc.min_port, 6000);
        assert_eq!(config.cluster.instance_id, "007");
    }

    #[test]
    fn a_secret_may_have_a_comma() {
        let config = load(None, |name| {
            (name == "PLENUM_KEYS").then(|| "a: one, and more,b:two".to_owned())
        })
        .unwrap();
        let secrets: Vec<_> = config.keys.0.into_iter().collect();
        let expected = [("a", "one, and more"), ("b", "two")];
        assert_eq!(secrets, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn every_variable_names_an_existing_setting() {
        let known = serde_norway::to_value(Config::default()).unwrap();
        for (name, setting) in ENVIRONMENT {
            assert!(find(&known, setting).is_some(), "{name} -> {setting}");
        }
    }

    #[test]
    fn a_wrong_variable_is_named_and_its_secret_is_not_repeated() {
        let set = |wanted: &'static str, text: &'static str| {
            load(None, move |name| (name == wanted).then(|| text.to_owned()))
                .unwrap_err()
                .to_string()
        };
        assert!(set("PLENUM_PORT", "http").contains("PLENUM_PORT"));
        assert!(set("PLENUM_PORT", "70000").contains("PLENUM_PORT"));
        assert!(set("PLENUM_BIND", "nowhere").contains("PLENUM_BIND"));
        assert!(!set("PLENUM_KEYS", "hushhush").contains("hushhush"));
    }

    #[test]
    fn contradictions_are_refused_with_the_mend() {
        let no_keys = Config::default().check().unwrap_err().to_string();
        assert!(no_keys.contains("PLENUM_KEYS"), "{no_keys}");
        let mut config = Config::default().with_dev_keys();
        assert!(config.check().is_ok());
        config.rtc.shards = 200;
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("rtc.shards 200")
        );
    }
}

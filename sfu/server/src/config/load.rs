//! Reads the configuration: file, then environment. All that is wrong is gathered, each with its place, and told at once.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    Config, NEAR_ENOUGH,
    settings::{self, Kind, Setting},
    yaml::{self, Content, Node},
};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file.
    File(PathBuf, u64),
    /// An environment variable.
    Environment(String),
    /// Nowhere: it is not set.
    Unset,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}: ", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}: "),
            Self::Unset => Ok(()),
        }
    }
}

/// One thing that is wrong. What it says never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// Which setting; empty if it is about the file itself.
    pub setting: String,
    /// What is wrong, the limit, and what to write.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if !self.setting.is_empty() {
            write!(f, "{}: ", self.setting)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// A configuration that has been read and not yet been held against the rules of dev mode or production.
#[derive(Debug)]
pub struct Loaded {
    config: Config,
    places: BTreeMap<String, Place>,
    problems: Vec<Problem>,
}

/// Reads the configuration. What is wrong is kept for [`Loaded::finish`].
#[must_use]
pub fn load(file: Option<&Path>, environment: impl Fn(&str) -> Option<String>) -> Loaded {
    let mut reading = Reading {
        tree: Value::Object(Map::new()),
        places: BTreeMap::new(),
        problems: Vec::new(),
    };
    if let Some(file) = file {
        reading.file(file);
    }
    for setting in settings::settings() {
        let text = environment(&setting.variable).filter(|text| !text.trim().is_empty());
        if let Some(text) = text {
            let place = Place::Environment(setting.variable.clone());
            match setting.of_text(&text) {
                Ok(value) => reading.value(setting, value, place),
                Err(message) => reading.problem(place, &setting.name, message),
            }
        }
    }
    let Reading {
        tree,
        places,
        mut problems,
    } = reading;
    let config = serde_json::from_value(tree).unwrap_or_else(|_| {
        problems.push(Problem {
            place: Place::Unset,
            setting: String::new(),
            message: "the settings can't be read together".to_owned(),
        });
        Config::default()
    });
    Loaded {
        config,
        places,
        problems,
    }
}

impl Loaded {
    /// Neither keys nor a Redis are set, and nothing is wrong: with no file either, this is somebody who tries the server.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.problems.is_empty()
            && self.config.keys.is_empty()
            && self.config.cluster.redis_url.0.is_empty()
    }

    /// Holds the settings against each other and against the rules of production.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn finish(self, dev: bool) -> Result<Config, ConfigError> {
        let Self {
            config,
            places,
            mut problems,
        } = self;
        let config = if dev { config.with_dev_keys() } else { config };
        for (setting, message) in config.contradictions(dev) {
            // Of a key that the environment sets, the place of all keys.
            let parent = setting.rsplit_once('.').map_or("", |(parent, _)| parent);
            let place = places
                .get(&setting)
                .or_else(|| places.get(parent))
                .cloned()
                .unwrap_or(Place::Unset);
            problems.push(Problem {
                place,
                setting,
                message,
            });
        }
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }
}

struct Reading {
    tree: Value,
    places: BTreeMap<String, Place>,
    problems: Vec<Problem>,
}

impl Reading {
    fn file(&mut self, path: &Path) {
        let at = |line| Place::File(path.to_owned(), line);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("config file {}: {error}", path.display());
                return self.problem(Place::Unset, "", message);
            }
        };
        match yaml::parse(&text) {
            Ok(None) => {}
            Ok(Some(Node {
                content: Content::Section(entries),
                ..
            })) => self.section(entries, "", path),
            Ok(Some(node)) => self.problem(
                at(node.line),
                "",
                "expected settings, as in `port: 7880`".to_owned(),
            ),
            Err(error) => self.problem(at(error.line), "", error.message),
        }
    }

    fn section(&mut self, entries: Vec<(String, u64, Node)>, prefix: &str, path: &Path) {
        for (name, line, node) in entries {
            let dotted = format!("{prefix}{name}");
            let place = Place::File(path.to_owned(), line);
            let setting = settings::settings().iter().find(|one| one.name == dotted);
            let is_section = settings::sections().iter().any(|one| one.name == dotted);
            match (setting, node.content) {
                (Some(setting), Content::Section(entries)) if setting.kind == Kind::Named => {
                    self.named(setting, entries, place, path);
                }
                (Some(setting), content) => {
                    if let (Kind::Keys, Content::Section(keys)) = (setting.kind, &content) {
                        for (key, line, _) in keys {
                            let place = Place::File(path.to_owned(), *line);
                            self.places.insert(format!("{dotted}.{key}"), place);
                        }
                    }
                    self.value(setting, content.into_value(), place);
                }
                (None, Content::Section(entries)) if is_section => {
                    self.section(entries, &format!("{dotted}."), path);
                }
                (None, Content::Leaf(Value::Null)) if is_section => {}
                (None, Content::Leaf(_)) if is_section => self.problem(
                    place,
                    &dotted,
                    "is a section: its settings belong on lines of their own, indented".to_owned(),
                ),
                (None, _) => {
                    let mend = nearest(prefix, &name)
                        .map(|near| format!(", did you mean `{near}`?"))
                        .unwrap_or_default();
                    let message = format!("unknown setting `{dotted}`{mend}");
                    self.problem(place, "", message);
                }
            }
        }
    }

    /// Things by name, each checked by itself.
    fn named(
        &mut self,
        setting: &Setting,
        entries: Vec<(String, u64, Node)>,
        place: Place,
        path: &Path,
    ) {
        let mut good = Map::new();
        for (name, line, node) in entries {
            let dotted = format!("{}.{name}", setting.name);
            let place = Place::File(path.to_owned(), line);
            let value = node.content.into_value();
            let alone = Map::from_iter([(name.clone(), value.clone())]);
            match setting.check(&alone.into()) {
                Ok(()) => {
                    self.places.insert(dotted, place);
                    good.insert(name, value);
                }
                Err(message) => self.problem(place, &dotted, message),
            }
        }
        self.value(setting, good.into(), place);
    }

    fn value(&mut self, setting: &Setting, value: Value, place: Place) {
        match setting.check(&value) {
            Ok(()) => {
                if matches!(place, Place::Environment(_)) {
                    // The whole value of the file is replaced, so the places of its parts are, too.
                    let below = format!("{}.", setting.name);
                    self.places.retain(|name, _| !name.starts_with(&below));
                }
                settings::insert(&mut self.tree, &setting.name, value);
                self.places.insert(setting.name.clone(), place);
            }
            Err(message) => self.problem(place, &setting.name, message),
        }
    }

    fn problem(&mut self, place: Place, setting: &str, message: String) {
        self.problems.push(Problem {
            place,
            setting: setting.to_owned(),
            message,
        });
    }
}

/// The setting or section that was probably meant: one of that very name elsewhere, or the nearest of the same section.
fn nearest(prefix: &str, name: &str) -> Option<String> {
    let names = settings::settings()
        .iter()
        .map(|setting| setting.name.as_str())
        .chain(settings::sections().iter().map(|one| one.name.as_str()));
    let elsewhere = names
        .clone()
        .find(|known| known.rsplit('.').next() == Some(name));
    let near = || {
        names
            .filter_map(|known| known.strip_prefix(prefix).map(|rest| (known, rest)))
            .filter(|(_, rest)| !rest.is_empty() && !rest.contains('.'))
            .map(|(known, rest)| (strsim::jaro_winkler(name, rest), known))
            .filter(|(similarity, _)| *similarity >= NEAR_ENOUGH)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known)
    };
    elsewhere.or_else(near).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    fn file_and(
        text: &str,
        environment: &[(&str, &str)],
        dev: bool,
    ) -> Result<Config, ConfigError> {
        let path = std::env::temp_dir().join(format!(
            "plenum-config-{}-{}.yaml",
            std::process::id(),
            fastrand::u64(..)
        ));
        fs::write(&path, text).unwrap();
        let loaded = load(Some(&path), |name| {
            environment
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .finish(dev);
        fs::remove_file(&path).unwrap();
        loaded
    }

    fn file(text: &str) -> Result<Config, ConfigError> {
        file_and(text, &[], true)
    }

    fn environment(all: &[(&str, &str)]) -> Result<Config, ConfigError> {
        file_and("", all, true)
    }

    #[test]
    fn an_unknown_setting_is_refused_with_its_line_and_the_nearest_name() {
        let error = file("port: 1\nrtc:\n  min_prot: 5000\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains(".yaml:3: "), "{error}");
        assert!(error.contains("`rtc.min_prot`"), "{error}");
        assert!(error.contains("did you mean `rtc.min_port`"), "{error}");
        let error = file("min_port: 5000\n").unwrap_err().to_string();
        assert!(error.contains("did you mean `rtc.min_port`"), "{error}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = format!(
            "prot: 1\nport: 70000\nlog_json: 7\nrtc: 5\nbind: [here]\nroom:\n  max_rooms: -1\nkeys:\n  devkey: {LONG}\n  a: hushhush\n"
        );
        let error = file_and(&text, &[("PLENUM_SHARDS", "many")], false).unwrap_err();
        let text = error.to_string();
        for expected in [
            ":1: unknown setting `prot`, did you mean `port`?",
            ":2: port: expected a whole number from 0 to 65535, found 70000",
            ":3: log_json: expected true or false, found 7",
            ":4: rtc: is a section",
            ":5: bind: ",
            ":7: room.max_rooms: expected a whole number",
            "environment variable PLENUM_SHARDS: rtc.shards: `many` is not a whole number",
            ":9: keys.devkey: ",
            ":10: keys.a: the secret has 8 bytes; at least 32",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert_eq!(error.0.len(), 9, "{text}");
        assert!(!text.contains("hushhush"), "{text}");
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let config = file("port: 8000\nkeys:\n  any name: s\nrtc: {shards: 3}\n").unwrap();
        assert_eq!((config.port, config.rtc.shards), (8000, 3));
        assert_eq!(config.rtc.min_port, Config::default().rtc.min_port);
        assert_eq!(config.keys.names().collect::<Vec<_>>(), ["any name"]);
        assert_eq!(file("").unwrap(), Config::default().with_dev_keys());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = file_and(
            "rtc:\n  min_port: 5000\nkeys: {c: 3}\n",
            &[("RTC_MIN_PORT", "6000")],
            true,
        );
        // A number is no secret, whoever means it as one.
        let error = config.unwrap_err().to_string();
        assert!(error.contains("put it into quotes"), "{error}");
        let config = environment(&[
            ("PLENUM_KEYS", "a: 1, b: 22"),
            ("PLENUM_ADVERTISE", "10.0.0.1, [::1]:900"),
            ("PLENUM_WAIT_FOR_ADDRESSES", "true"),
            ("RTC_MIN_PORT", "6000"),
            ("SERVER_INSTANCE_ID", "007"),
        ])
        .unwrap();
        assert_eq!(config.keys.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(config.rtc.advertise.len(), 2);
        assert!(config.rtc.wait_for_addresses);
        assert_eq!(config.rtc.min_port, 6000);
        assert_eq!(config.cluster.instance_id, "007");
    }

    #[test]
    fn presets_are_read_by_name_and_what_is_wrong_in_one_is_told_by_its_line() {
        let config = file(
            "room:\n  presets:\n    studio: {max_participants: 4, agents: [{agent_name: notes}]}\n    hall:\n      metadata: m\n",
        )
        .unwrap();
        let studio = config.room.presets.find("studio").unwrap().unwrap();
        assert_eq!(studio.max_participants, 4);
        assert_eq!(studio.dispatches()[0].agent_name, "notes");
        let error = file(
            "room:\n  presets:\n    studio: {max_participant: 4}\n    hall:\n      empty_timeout_seconds: soon\n    yard: {}\n",
        )
        .unwrap_err();
        let text = error.to_string();
        for expected in [
            ":3: room.presets.studio: unknown field `max_participant`, expected one of `empty_timeout_seconds`",
            ":4: room.presets.hall: ",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert_eq!(error.0.len(), 2, "{text}");
        let variable = |text| environment(&[("PLENUM_ROOM_PRESETS", text)]);
        let config = variable(r#"{"studio": {"metadata": "m"}}"#).unwrap();
        assert!(config.room.presets.find("studio").is_ok());
        let error = variable("studio: {}").unwrap_err().to_string();
        assert!(
            error.contains("environment variable PLENUM_ROOM_PRESETS: room.presets: expected JSON"),
            "{error}"
        );
        assert!(variable("[]").is_err());
    }

    #[test]
    fn a_secret_may_have_a_comma_and_a_key_two_secrets() {
        let config = environment(&[("PLENUM_KEYS", "a: one, and more,b:two, b: three")]).unwrap();
        let expected = [("a", "one, and more"), ("b", "two"), ("b", "three")];
        assert_eq!(
            config.keys.pairs().collect::<Vec<_>>(),
            expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        let config = file("keys:\n  b: [two, three]\n").unwrap();
        assert_eq!(config.keys.pairs().count(), 2);
    }

    #[test]
    fn a_wrong_variable_is_named_and_its_secret_is_not_repeated() {
        let wrong = |name: &str, text: &str| environment(&[(name, text)]).unwrap_err().to_string();
        assert!(wrong("PLENUM_PORT", "http").contains("PLENUM_PORT"));
        assert!(wrong("PLENUM_PORT", "70000").contains("from 0 to 65535"));
        assert!(wrong("PLENUM_BIND", "nowhere").contains("PLENUM_BIND"));
        assert!(!wrong("PLENUM_KEYS", "hushhush").contains("hushhush"));
    }

    #[test]
    fn production_wants_keys_that_nobody_knows() {
        let production = |all: &[(&str, &str)]| file_and("", all, false);
        let refused = |all: &[(&str, &str)]| production(all).unwrap_err().to_string();
        assert!(refused(&[]).contains("PLENUM_KEYS"));
        let known = refused(&[("PLENUM_KEYS", &format!("devkey: {LONG}"))]);
        assert!(
            known.contains("environment variable PLENUM_KEYS: keys.devkey"),
            "{known}"
        );
        let short = refused(&[("PLENUM_KEYS", &format!("a: {}", &LONG[1..]))]);
        assert!(short.contains("has 31 bytes; at least 32"), "{short}");
        assert!(short.contains("openssl rand"), "{short}");
        assert!(!short.contains(&LONG[1..]), "{short}");
        assert!(production(&[("PLENUM_KEYS", &format!("a: {LONG}"))]).is_ok());
        let cluster = [
            ("PLENUM_KEYS", &*format!("a: {LONG}")),
            ("PLENUM_CLUSTER_SECRET", "short"),
        ];
        assert!(refused(&cluster).contains("cluster.secret"));
    }

    #[test]
    fn contradictions_are_refused_with_the_mend() {
        let error = file("rtc:\n  shards: 200\n").unwrap_err().to_string();
        assert!(error.contains(":2: rtc.shards: "), "{error}");
        let error = file("cluster:\n  redis_url: redis://x\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("cluster.internal_address: "), "{error}");
        assert!(error.contains("PLENUM_INTERNAL_ADDRESS"), "{error}");
        let error = file("log_level: 'a=b=c'\n").unwrap_err().to_string();
        assert!(error.contains(":1: log_level: "), "{error}");
        let error = file("tls:\n  certificate: /nowhere/tls.crt\n  key: /nowhere/tls.key\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains(":2: tls.certificate: "), "{error}");
        let error = file("tls:\n  key: /nowhere/tls.key\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("tls.certificate: "), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Some(Path::new("/nowhere/plenum.yaml")), |_| None)
            .finish(false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere/plenum.yaml"), "{error}");
    }
}

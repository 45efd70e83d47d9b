//! The settings of a running process: versioned snapshots, and what a new reading changes of them.

use std::{ops::Deref, sync::Arc};

use arc_swap::ArcSwap;
use serde_json::Value;

use super::{
    Config,
    settings::{find, insert, settings},
};

/// The settings that are in force.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// 1 at the start, one more with each change.
    pub version: u64,
    config: Config,
}

/// Where they are read; each read sees one snapshot.
pub type Live = Arc<ArcSwap<Snapshot>>;

/// What a new reading of the configuration means for a running process.
#[derive(Debug)]
pub struct Change {
    /// The settings that are to be in force: a mixture of both readings.
    pub config: Config,
    /// Names of settings that change now.
    pub now: Vec<&'static str>,
    /// Names of settings that differ and wait for the next start.
    pub at_next_start: Vec<&'static str>,
}

impl Snapshot {
    /// The settings at the start.
    #[must_use]
    pub fn first(config: Config) -> Live {
        Arc::new(ArcSwap::from_pointee(Self { version: 1, config }))
    }

    /// The next snapshot.
    #[must_use]
    pub const fn next(&self, config: Config) -> Self {
        Self {
            version: self.version + 1,
            config,
        }
    }

    /// What changes with a new reading. `fixed` are settings that can't change in this process although others could.
    ///
    /// # Errors
    /// Never in practice: both are configurations.
    pub fn change_to(&self, new: &Config, fixed: &[&str]) -> serde_json::Result<Change> {
        let mut tree = serde_json::to_value(&self.config)?;
        let new = serde_json::to_value(new)?;
        let (mut now, mut at_next_start) = (Vec::new(), Vec::new());
        for setting in settings() {
            let name = setting.name.as_str();
            let wanted = find(&new, name).unwrap_or(&Value::Null);
            if find(&tree, name) == Some(wanted) {
                continue;
            }
            if setting.reloads && !fixed.contains(&name) {
                insert(&mut tree, name, wanted.clone());
                now.push(name);
            } else {
                at_next_start.push(name);
            }
        }
        Ok(Change {
            config: serde_json::from_value(tree)?,
            now,
            at_next_start,
        })
    }
}

impl Deref for Snapshot {
    type Target = Config;
    fn deref(&self) -> &Config {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_reading_changes_what_may_change_and_names_the_rest() {
        let live = Snapshot::first(Config::default());
        let mut new = Config {
            port: 1,
            log_level: "debug".to_owned(),
            ..Config::default()
        };
        new.keys.insert("a", "b");
        new.tls.key = "key".to_owned();
        let change = live.load().change_to(&new, &["tls.key"]).unwrap();
        let mut now = change.now.clone();
        now.sort_unstable();
        assert_eq!(now, ["keys", "log_level"]);
        let mut later = change.at_next_start.clone();
        later.sort_unstable();
        assert_eq!(later, ["port", "tls.key"]);
        assert_eq!(change.config.port, Config::default().port);
        assert_eq!(change.config.log_level, "debug");
        let second = live.load().next(change.config);
        assert_eq!(second.version, 2);
        let same = second.change_to(&second, &[]).unwrap();
        assert!(same.now.is_empty() && same.at_next_start.is_empty());
    }
}

//! What is never shown.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// API keys with their secrets; `Debug` shows the keys only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(BTreeMap<String, SecretsOfKey>);

/// Several while a secret is being changed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum SecretsOfKey {
    One(String),
    Several(Vec<String>),
}

impl Secrets {
    /// No key is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs().next().is_none()
    }

    /// The keys, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Each key with each of its secrets, the one that signs first.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().flat_map(|(key, secrets)| {
            let secrets = match secrets {
                SecretsOfKey::One(secret) => std::slice::from_ref(secret),
                SecretsOfKey::Several(secrets) => secrets.as_slice(),
            };
            secrets.iter().map(|secret| (key.clone(), secret.clone()))
        })
    }

    /// Adds a key with one secret.
    pub fn insert(&mut self, key: &str, secret: &str) {
        self.0
            .insert(key.to_owned(), SecretsOfKey::One(secret.to_owned()));
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// A secret text; `Debug` says only whether there is one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "unset" } else { "set" })
    }
}

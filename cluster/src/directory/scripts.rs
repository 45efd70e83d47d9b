//! The two Lua scripts, called by the hash of their content: members of different builds can share one Redis.

use std::sync::LazyLock;

use bytes::Bytes;
use redis::Script;

/// Changes of homes in one bucket.
pub(super) static CLAIMS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("claims.lua")));
/// Registration, heartbeats and tombstones.
pub(super) static MEMBERS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("members.lua")));

/// A script's answer: a word, then its values, read in order. `None` when it does not read as expected.
pub(super) struct Reply {
    word: String,
    values: std::vec::IntoIter<Bytes>,
}

impl Reply {
    pub(super) fn new(parts: Vec<Bytes>) -> Option<Self> {
        let mut values = parts.into_iter();
        let word = as_text(values.next()?)?;
        Some(Self { word, values })
    }

    pub(super) fn word(&self) -> &str {
        &self.word
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.values.len() == 0
    }

    pub(super) fn text(&mut self) -> Option<String> {
        as_text(self.values.next()?)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.text()?.parse().ok()
    }

    /// `Some(None)` is "there is no snapshot".
    pub(super) fn snapshot(&mut self) -> Option<Option<Bytes>> {
        let bytes = self.values.next()?;
        match bytes.first() {
            None => Some(None),
            Some(b'+') => Some(Some(bytes.slice(1..))),
            Some(_) => None,
        }
    }
}

/// How a snapshot is passed to a script: nothing for none, else a plus sign and the bytes.
pub(super) fn snapshot_argument(snapshot: Option<&Bytes>) -> Vec<u8> {
    let Some(bytes) = snapshot else {
        return Vec::new();
    };
    let mut argument = Vec::with_capacity(bytes.len() + 1);
    argument.push(b'+');
    argument.extend_from_slice(bytes);
    argument
}

fn as_text(bytes: Bytes) -> Option<String> {
    String::from_utf8(bytes.into()).ok()
}

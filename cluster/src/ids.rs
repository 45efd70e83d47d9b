//! Identifiers of members and rooms, and the Redis keys that are made of them.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

use serde::{Deserialize, Serialize};

/// Longest [`NodeId`]: a Kubernetes pod name is a DNS subdomain of at most 253 characters.
pub const MAX_NODE_ID_BYTES: usize = 253;
/// Longest room name: the protocol page gives a room 256 bytes of UTF-8.
pub const MAX_ROOM_NAME_BYTES: usize = 256;
/// Largest [`Epoch`] and [`Incarnation`]: Redis scripts and JSON readers hold integers in doubles, exact up to here.
pub const MAX_EXACT_INTEGER: u64 = (1 << 53) - 1;
/// Claims are spread over this many hash tags (claims.md rule 17): a failover needs at most as many scripts.
pub const BUCKETS: u8 = 64;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{what} is empty; give it at least one character")]
    Empty {
        /// Which identifier.
        what: &'static str,
    },
    /// Longer than the limit.
    #[error("{what} has {bytes} bytes; at most {limit} are allowed: shorten it")]
    TooLong {
        /// Which identifier.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A character that has no place in it.
    #[error("{what} contains {character:?}; use letters, digits, '.', '_' and '-' only")]
    BadCharacter {
        /// Which identifier.
        what: &'static str,
        /// The first one that is wrong.
        character: char,
    },
}

/// Stable identity of a member: the pod's name in Kubernetes, `SERVER_INSTANCE_ID` elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    /// Letters, digits, `.`, `_` and `-`, 1 to [`MAX_NODE_ID_BYTES`] bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        plain("a node id", &text, MAX_NODE_ID_BYTES)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl std::str::FromStr for NodeId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One life of a member: new at every start and after every fencing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(u64);

impl Incarnation {
    /// One that was chosen before, as read from a record. Values above [`MAX_EXACT_INTEGER`] are cut to it.
    pub fn new(value: u64) -> Self {
        Self(value.min(MAX_EXACT_INTEGER))
    }

    /// A new one, drawn from the operating system's randomness: two processes never share it.
    pub fn fresh() -> Self {
        Self((RandomState::new().build_hasher().finish() & MAX_EXACT_INTEGER).max(1))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the homes that a room has had; it only grows, even when Redis has lost what it knew (claims.md rule 1).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// Below every epoch that a Directory gives.
    pub const ZERO: Self = Self(0);

    /// An epoch read from a record or a Room's status. Values above [`MAX_EXACT_INTEGER`] are cut to it.
    pub fn new(value: u64) -> Self {
        Self(value.min(MAX_EXACT_INTEGER))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The one after.
    pub fn next(self) -> Self {
        Self::new(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a room as claims know it: any text of 1 to 256 bytes. In Redis it appears only in its escaped form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomKey(String);

impl RoomKey {
    /// Checks the length; every character is allowed.
    pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
        let name = name.into();
        bounded("a room name", &name, MAX_ROOM_NAME_BYTES)?;
        Ok(Self(name))
    }

    /// The name in the protocol.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Percent-encoded: all but letters, digits, `.`, `_` and `-`. Fit for a Redis field, a log line and a URL path.
    pub fn escaped(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
                out.push(char::from(byte));
            } else {
                out.push('%');
                out.push(hex_digit(byte >> 4));
                out.push(hex_digit(byte & 15));
            }
        }
        out
    }

    /// Reads what [`RoomKey::escaped`] wrote; `None` for anything else.
    pub fn from_escaped(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            } else {
                bytes.push(byte);
            }
        }
        Self::new(String::from_utf8(bytes).ok()?).ok()
    }

    /// Which of the [`BUCKETS`] its claim lies in: the same in every build and on every machine.
    pub fn bucket(&self) -> Bucket {
        Bucket((stable_hash(&[self.0.as_bytes()]) % u64::from(BUCKETS)) as u8)
    }
}

impl TryFrom<String> for RoomKey {
    type Error = IdError;
    fn try_from(name: String) -> Result<Self, IdError> {
        Self::new(name)
    }
}

impl From<RoomKey> for String {
    fn from(room: RoomKey) -> Self {
        room.0
    }
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the [`BUCKETS`] parts that the claims of a pool are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u8);

impl Bucket {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..BUCKETS).map(Self)
    }
}

/// Names a pool, which is a realm of its own (claims.md rule 18), and makes its Redis keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    install: String,
    pool: String,
}

impl PoolKey {
    /// `install`: the Helm release or cluster; `pool`: the MediaPool's uid, or any name. Both follow [`NodeId`]'s alphabet.
    pub fn new(install: impl Into<String>, pool: impl Into<String>) -> Result<Self, IdError> {
        let (install, pool) = (install.into(), pool.into());
        plain("an installation's name", &install, MAX_NODE_ID_BYTES)?;
        plain("a pool's name", &pool, MAX_NODE_ID_BYTES)?;
        Ok(Self { install, pool })
    }

    /// A key that holds something of the pool's members; all of these share one hash tag.
    pub(crate) fn member_key(&self, what: &str) -> String {
        format!("plenum:{}:{}:{{members}}:{what}", self.install, self.pool)
    }

    /// A key that holds something of the rooms of one bucket; its hash tag is the bucket.
    pub(crate) fn bucket_key(&self, bucket: Bucket, what: &str) -> String {
        format!(
            "plenum:{}:{}:{{{:02}}}:{what}",
            self.install, self.pool, bucket.0
        )
    }
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.install, self.pool)
    }
}

/// Hash that never changes between builds: FNV-1a over the parts, a separator after each, then the finaliser of
/// SplitMix64, because FNV alone leaves its high bits almost equal for texts that differ in the last character.
pub(crate) fn stable_hash(parts: &[&[u8]]) -> u64 {
    const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = FNV_OFFSET;
    for part in parts {
        for byte in part.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16)
        .unwrap_or('0')
        .to_ascii_uppercase()
}

fn bounded(what: &'static str, text: &str, limit: usize) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty { what }),
        bytes if bytes > limit => Err(IdError::TooLong { what, bytes, limit }),
        _ => Ok(()),
    }
}

fn plain(what: &'static str, text: &str, limit: usize) -> Result<(), IdError> {
    bounded(what, text, limit)?;
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-'))
    {
        Some(character) => Err(IdError::BadCharacter { what, character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn escaping_is_reversible_and_leaves_nothing_special(name in "\\PC{1,60}|[\\x00-\\x7f]{1,60}") {
            let room = RoomKey::new(name).unwrap();
            let escaped = room.escaped();
            prop_assert!(escaped.chars().all(|c| c.is_ascii_alphanumeric() || "._-%".contains(c)));
            prop_assert_eq!(RoomKey::from_escaped(&escaped), Some(room));
        }
    }

    #[test]
    fn a_room_name_cannot_choose_its_hash_tag() {
        let pool = PoolKey::new("main", "default").unwrap();
        let room = RoomKey::new("{members}:records").unwrap();
        assert!(!room.escaped().contains(['{', '}', ':']));
        assert!(
            pool.bucket_key(room.bucket(), "claims")
                .starts_with("plenum:main:default:{")
        );
        assert!(PoolKey::new("a:b", "c").is_err());
    }

    #[test]
    fn limits_are_named_in_the_error() {
        let error = RoomKey::new("x".repeat(257)).unwrap_err().to_string();
        assert!(error.contains("257") && error.contains("256"), "{error}");
        assert!(RoomKey::new("x".repeat(256)).is_ok());
        assert!(
            NodeId::new("pod a")
                .unwrap_err()
                .to_string()
                .contains("' '")
        );
    }

    #[test]
    fn buckets_are_used_evenly() {
        let mut count = [0u32; BUCKETS as usize];
        for i in 0..6400 {
            count[RoomKey::new(format!("room-{i}")).unwrap().bucket().0 as usize] += 1;
        }
        assert!(count.iter().all(|n| (50..150).contains(n)), "{count:?}");
    }
}

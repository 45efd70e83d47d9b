//! Names of workers, jobs and dispatches, in the shape that clients know: a prefix and 12 characters.

use std::fmt;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// 71 bits: names of a member's life never meet.
const RANDOM_CHARACTERS: usize = 12;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new one.
            #[must_use]
            pub fn random(rng: &mut Rng) -> Self {
                let random = std::iter::repeat_with(|| rng.alphanumeric()).take(RANDOM_CHARACTERS);
                Self([$prefix, &random.collect::<String>()].concat())
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

random_id!(
    /// One registration of a worker: `AW_...`.
    WorkerId,
    "AW_"
);
random_id!(
    /// One job, from its first offer to its end: `AJ_...`.
    JobId,
    "AJ_"
);
random_id!(
    /// One dispatch of agents to a room: `AD_...`.
    DispatchId,
    "AD_"
);

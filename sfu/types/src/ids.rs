//! Identifiers. A string or number that means one thing is never passed where another is meant.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
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
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($of:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $of);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id!(
    /// Name of a room as tokens and the server API give it: any text up to 256 bytes.
    RoomName
);
text_id!(
    /// `RM_...`: one life of a room. Kept through moves between members.
    RoomSid
);
text_id!(
    /// What a token's `sub` says; unique in a room.
    ParticipantIdentity
);
text_id!(
    /// `PA_...`: one session of a participant; survives resumes.
    ParticipantSid
);
text_id!(
    /// `TR_...`: a published track.
    TrackSid
);
text_id!(
    /// Identification tag of a media section (RFC 8843 section 15).
    Mid
);
text_id!(
    /// Name of a simulcast encoding (RFC 8851); browsers use `q`, `h`, `f`.
    Rid
);

number_id!(
    /// A room on this member, unique for the life of the process. Routes events back to the room's task.
    RoomHandle(u64)
);
number_id!(
    /// A media thread of this member, counted from 0.
    ShardId(u16)
);
number_id!(
    /// A TCP connection of this member, unique for the life of the process.
    StreamId(u64)
);
number_id!(
    /// A participant's session, unique on this member, since it may move to another room. Not reused.
    ParticipantId(u64)
);
number_id!(
    /// A Transport, unique on this member. Not reused.
    TransportId(u64)
);
number_id!(
    /// A published track as Shards know it, unique on this member. Not reused.
    TrackId(u64)
);
number_id!(
    /// A track forwarded to one participant, unique in its room. Not reused.
    SubscriptionId(u64)
);
number_id!(
    /// A remote procedure call of the server (PerformRpc), unique in its room. Not reused.
    RpcId(u64)
);

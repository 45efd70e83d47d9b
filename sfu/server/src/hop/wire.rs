//! What edge and home say to each other before the client's frames.

use plenum_cluster::{directory::Holder, member_api::INTERNAL_PROTOCOL};
use serde::{Deserialize, Serialize};

use crate::{
    auth::TokenError,
    signal::{JoinContext, JoinError},
};

/// Close code for "cut the client's socket without a Leave"; its client resumes. 1000 passes a close on as it is.
pub(super) const CLOSE_CUT: u16 = 4000;

/// The edge's first message, as JSON text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hello {
    /// [`INTERNAL_PROTOCOL`] of the edge.
    pub(crate) protocol: u32,
    /// Whom the edge means; another life of the same member is another member.
    pub(crate) to: Holder,
    /// The edge.
    pub(crate) from: Holder,
    /// The client.
    pub(crate) context: JoinContext,
}

/// The home's answer, as JSON text. After `LetIn` the room's first frame follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Welcome {
    /// The client is in.
    LetIn,
    /// Locate the room again.
    NotHome(String),
    /// 404
    NoRoom,
    /// 400
    Malformed(String),
    /// 401: revoked in this room. All else about tokens is known at the edge.
    TokenRevoked,
    /// 503
    Unavailable(String),
}

impl From<JoinError> for Welcome {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::NoRoom => Self::NoRoom,
            JoinError::Malformed(why) => Self::Malformed(why),
            JoinError::Token(TokenError::Revoked) => Self::TokenRevoked,
            // Tokens are checked at the edge.
            JoinError::Token(_) | JoinError::NoJoinGrant => Self::Malformed(error.to_string()),
            JoinError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// A member speaks with its neighbours of one version before and after.
pub(super) fn check_protocol(theirs: u32) -> Result<(), String> {
    if theirs.abs_diff(INTERNAL_PROTOCOL) <= 1 {
        return Ok(());
    }
    Err(format!(
        "this member speaks internal protocol {INTERNAL_PROTOCOL}, the edge {theirs}; they may differ by one: update in steps"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_version_understand_each_other() {
        assert!(check_protocol(INTERNAL_PROTOCOL).is_ok());
        assert!(check_protocol(INTERNAL_PROTOCOL + 1).is_ok());
        assert!(check_protocol(INTERNAL_PROTOCOL + 2).is_err());
    }
}

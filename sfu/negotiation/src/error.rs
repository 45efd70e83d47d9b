//! What can be wrong with a description.

use thiserror::Error;

/// A description was refused. The state is as before it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NegotiationError {
    /// More than we are willing to hold.
    #[error("too much: {count} {what}, the limit is {limit}")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        count: usize,
        /// See [`crate::limits`].
        limit: usize,
    },
    /// A line can't be read.
    #[error("line {line}: {what}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What was expected.
        what: &'static str,
    },
    /// Something that must be there is not.
    #[error("the description has no {0}")]
    Missing(&'static str),
    /// A section contradicts the one that had its place before, or another one.
    #[error("section {index}: {what}")]
    Section {
        /// From 0.
        index: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Another certificate: that needs a new connection.
    #[error("the DTLS fingerprint changed; open a new connection")]
    FingerprintChanged,
    /// Called out of order.
    #[error("{called} while {state}")]
    OutOfOrder {
        /// What was called.
        called: &'static str,
        /// Where the negotiation is.
        state: &'static str,
    },
    /// An answer to an offer that is not the last one.
    #[error("answer {got}, but offer {expected} is open")]
    WrongId {
        /// What the answer says.
        got: u32,
        /// What we wait for.
        expected: u32,
    },
}

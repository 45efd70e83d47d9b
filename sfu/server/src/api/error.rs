//! Errors in Twirp's words.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use plenum_room::{ApiError, ApiErrorCode};
use serde_json::json;

use crate::{agents::DispatchError, rooms::OpenError};

/// Twirp error codes that this server gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No such service or method, or a body in an unknown encoding.
    BadRoute,
    /// The body is not what the method takes.
    Malformed,
    /// A value is not allowed.
    InvalidArgument,
    /// No good token, or one without the right for this call. The reference server uses one code for both.
    Unauthenticated,
    /// No such room, participant or track.
    NotFound,
    /// Not in this state.
    FailedPrecondition,
    /// A limit is reached.
    ResourceExhausted,
    /// Try again.
    Unavailable,
    /// What was asked of a participant took too long.
    Canceled,
    /// A participant's own error.
    Internal,
    /// This server doesn't offer it.
    Unimplemented,
}

impl Code {
    const ALL: [Self; 11] = [
        Self::BadRoute,
        Self::Malformed,
        Self::InvalidArgument,
        Self::Unauthenticated,
        Self::NotFound,
        Self::FailedPrecondition,
        Self::ResourceExhausted,
        Self::Unavailable,
        Self::Canceled,
        Self::Internal,
        Self::Unimplemented,
    ];

    /// As Twirp writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRoute => "bad_route",
            Self::Malformed => "malformed",
            Self::InvalidArgument => "invalid_argument",
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not_found",
            Self::FailedPrecondition => "failed_precondition",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unavailable => "unavailable",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
            Self::Unimplemented => "unimplemented",
        }
    }

    /// The HTTP status that Twirp gives it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRoute | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Malformed | Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Canceled => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// A call that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .code.as_str())]
pub struct TwirpError {
    /// What sort.
    pub code: Code,
    /// For a person.
    pub message: String,
}

impl TwirpError {
    /// An error with a text.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Reads what another member answered; `None` if it is no Twirp error.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Body {
            code: String,
            msg: String,
        }
        let body: Body = serde_json::from_slice(body).ok()?;
        let code = Code::ALL
            .into_iter()
            .find(|code| code.as_str() == body.code)?;
        Some(Self::new(code, body.msg))
    }

    /// As Twirp answers it.
    #[must_use]
    pub fn response(&self) -> HttpResponse {
        let body = json!({"code": self.code.as_str(), "msg": self.message, "meta": {}});
        HttpResponse::build(self.code.status())
            // Exactly this: some clients compare the whole header.
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .body(body.to_string())
    }
}

impl From<ApiError> for TwirpError {
    fn from(error: ApiError) -> Self {
        let code = match error.code {
            ApiErrorCode::NotFound => Code::NotFound,
            ApiErrorCode::InvalidArgument => Code::InvalidArgument,
            ApiErrorCode::FailedPrecondition => Code::FailedPrecondition,
            ApiErrorCode::ResourceExhausted => Code::ResourceExhausted,
            ApiErrorCode::Unavailable => Code::Unavailable,
            ApiErrorCode::Canceled => Code::Canceled,
            ApiErrorCode::Malformed => Code::Malformed,
            ApiErrorCode::Internal => Code::Internal,
            ApiErrorCode::Unimplemented => Code::Unimplemented,
        };
        Self::new(code, error.message)
    }
}

impl From<DispatchError> for TwirpError {
    fn from(error: DispatchError) -> Self {
        let code = match error {
            DispatchError::NoRoom | DispatchError::NotFound(_) => Code::NotFound,
            DispatchError::TooMany => Code::ResourceExhausted,
            DispatchError::TooLong(..) | DispatchError::TooLongTogether(_) => Code::InvalidArgument,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OpenError> for TwirpError {
    fn from(error: OpenError) -> Self {
        let code = match error {
            OpenError::Name(_) => Code::InvalidArgument,
            OpenError::TooManyRooms { .. } => Code::ResourceExhausted,
            OpenError::NotHeld | OpenError::NoShard | OpenError::Ending => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

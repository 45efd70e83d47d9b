//! How a refused join looks: status and plain text (protocol.md 1.2).

use actix_web::{HttpResponse, http::StatusCode, http::header};

use crate::signal::JoinError;

/// Seconds after which a refused client may try again.
const RETRY_AFTER: &str = "1";

/// The documented status of a refusal.
pub(super) fn status(error: &JoinError) -> StatusCode {
    match error {
        JoinError::Token(_) | JoinError::NoJoinGrant => StatusCode::UNAUTHORIZED,
        JoinError::Malformed(_) => StatusCode::BAD_REQUEST,
        JoinError::NoRoom => StatusCode::NOT_FOUND,
        JoinError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The answer to a refused client.
pub(super) fn response(error: &JoinError) -> HttpResponse {
    let mut response = HttpResponse::build(status(error));
    if matches!(error, JoinError::Unavailable(_)) {
        response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
    }
    response
        .content_type("text/plain; charset=utf-8")
        .body(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TokenError;

    #[test]
    fn each_refusal_has_its_documented_status() {
        for (error, expected) in [
            (JoinError::Token(TokenError::Missing), 401),
            (JoinError::Token(TokenError::Expired), 401),
            (JoinError::Token(TokenError::Revoked), 401),
            (JoinError::NoJoinGrant, 401),
            (JoinError::Malformed("x".to_owned()), 400),
            (JoinError::NoRoom, 404),
            (JoinError::Unavailable("x".to_owned()), 503),
        ] {
            assert_eq!(status(&error).as_u16(), expected, "{error}");
        }
        // Clients look for this phrase.
        assert!(
            JoinError::NoRoom
                .to_string()
                .contains("requested room does not exist")
        );
    }
}

//! Access tokens: JWT signed with HS256 by an API key's secret (protocol.md 11).
//!
//! A token names its key in `iss`; the secret of that key must have made the signature. Which key a token names is no
//! secret, the signature is compared in constant time by the cryptographic library. Tokens and secrets are never logged and
//! never repeated in an error.

mod grants;

pub use grants::{Claims, ParticipantKind, TrackSourceName, VideoGrant};

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;

/// Seconds by which the clocks of a token's maker and of this member may differ. The reference server allows the same.
const CLOCK_LEEWAY_SECONDS: u64 = 60;
/// Longest accepted token in bytes: the longest request line is 65,534 bytes, and a token also travels in headers.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// API keys and their secrets.
#[derive(Clone, Default)]
pub struct Keys {
    secrets: BTreeMap<String, String>,
}

/// Why a token was not accepted. None of the texts repeats the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Neither `Authorization: Bearer` nor `access_token`.
    #[error(
        "no access token: send `Authorization: Bearer <token>` or the query parameter `access_token`"
    )]
    Missing,
    /// Not three parts of base64url with JSON inside, or too long.
    #[error("invalid access token: not a JSON Web Token signed with HS256")]
    Malformed,
    /// `iss` names no key of this server.
    #[error("invalid access token: its API key is unknown here")]
    UnknownKey,
    /// The signature is not that of the key's secret.
    #[error("invalid access token: the signature does not match the API key's secret")]
    Signature,
    /// `exp` is in the past.
    #[error("access token expired: make a new one")]
    Expired,
    /// `nbf` is in the future.
    #[error("access token is not valid yet: compare the clocks of its maker and of this server")]
    NotYetValid,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

impl Keys {
    /// From pairs of API key and secret.
    pub fn new(secrets: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            secrets: secrets.into_iter().collect(),
        }
    }

    /// The key that signs what this server issues itself (refreshed tokens): the first by name.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.secrets.keys().next().map(String::as_str)
    }

    /// Checks signature and times of a token.
    ///
    /// # Errors
    /// Says which check failed.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let payload = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| TokenError::Malformed)?;
        let Issuer { iss } = serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
        let secret = self.secrets.get(&iss).ok_or(TokenError::UnknownKey)?;

        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = CLOCK_LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp"]);
        jsonwebtoken::decode::<Claims>(
            token,
            &DecodingKey::from_secret(secret.as_bytes()),
            &validation,
        )
        .map(|data| data.claims)
        .map_err(|error| {
            use jsonwebtoken::errors::ErrorKind;
            match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                ErrorKind::ImmatureSignature => TokenError::NotYetValid,
                ErrorKind::InvalidSignature => TokenError::Signature,
                _ => TokenError::Malformed,
            }
        })
    }

    /// Signs claims with the secret of the key that `claims.iss` names.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] if there is no such key.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let secret = self
            .secrets
            .get(&claims.iss)
            .ok_or(TokenError::UnknownKey)?;
        jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            claims,
            &EncodingKey::from_secret(secret.as_bytes()),
        )
        .map_err(|_| TokenError::Malformed)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.secrets.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new([("devkey".to_owned(), "secret".to_owned())])
    }

    fn claims(exp: u64) -> Claims {
        Claims {
            iss: "devkey".to_owned(),
            sub: "ada".to_owned(),
            exp,
            video: VideoGrant::join("lobby"),
            ..Claims::default()
        }
    }

    const FAR: u64 = 4_000_000_000;

    #[test]
    fn a_signed_token_verifies_with_its_claims() {
        let token = keys().sign(&claims(FAR)).unwrap();
        let verified = keys().verify(&token).unwrap();
        assert_eq!(verified.sub, "ada");
        assert!(verified.video.room_join);
    }

    #[test]
    fn another_secret_is_refused() {
        let other = Keys::new([("devkey".to_owned(), "other".to_owned())]);
        let token = other.sign(&claims(FAR)).unwrap();
        assert_eq!(keys().verify(&token), Err(TokenError::Signature));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let other = Keys::new([("nokey".to_owned(), "secret".to_owned())]);
        let mut of_another = claims(FAR);
        of_another.iss = "nokey".to_owned();
        let token = other.sign(&of_another).unwrap();
        assert_eq!(keys().verify(&token), Err(TokenError::UnknownKey));
    }

    /// covers: grant.exp, grant.nbf
    #[test]
    fn old_and_early_tokens_are_refused() {
        let token = keys().sign(&claims(1_000_000)).unwrap();
        assert_eq!(keys().verify(&token), Err(TokenError::Expired));
        let mut early = claims(FAR);
        early.nbf = Some(FAR - 1);
        let token = keys().sign(&early).unwrap();
        assert_eq!(keys().verify(&token), Err(TokenError::NotYetValid));
    }

    #[test]
    fn tokens_without_a_signature_are_refused() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let payload = part(r#"{"iss":"devkey","sub":"ada","exp":4000000000}"#);
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS384","typ":"JWT"}"#] {
            let token = format!("{}.{payload}.", part(header));
            assert_eq!(
                keys().verify(&token),
                Err(TokenError::Malformed),
                "{header}"
            );
        }
        assert_eq!(keys().verify("nonsense"), Err(TokenError::Malformed));
        assert_eq!(keys().verify(""), Err(TokenError::Missing));
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        assert_eq!(format!("{:?}", keys()), r#"["devkey"]"#);
    }
}

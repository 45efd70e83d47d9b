//! Access tokens: JWT signed with HS256 by an API key's secret (protocol.md 11).
//!
//! A token names its key in `iss`; the secret of that key must have made the signature. Which key a token names is no
//! secret, the signature is compared in constant time by the cryptographic library. Tokens and secrets are never logged and
//! never repeated in an error.

mod grants;

pub use grants::{Claims, ParticipantKind, TrackSourceName, VideoGrant};

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;

/// Seconds by which the clocks of a token's maker and of this member may differ. The reference server allows the same.
const CLOCK_LEEWAY_SECONDS: u64 = 60;
/// Longest accepted token in bytes: the longest request line is 65,534 bytes, and a token also travels in headers.
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// API keys and their secrets. Clones share them, so that all see a change at once.
#[derive(Clone, Default)]
pub struct Keys {
    secrets: Arc<ArcSwap<SecretsByKey>>,
}

/// The first secret of a key signs; tokens of all are accepted.
type SecretsByKey = BTreeMap<String, Vec<String>>;

/// Why a token was not accepted. None of the texts repeats the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Neither `Authorization: Bearer` nor `access_token`.
    #[error(
        "no access token: send `Authorization: Bearer <token>` or the query parameter `access_token`"
    )]
    Missing,
    /// Longer than any token has a reason to be.
    #[error("invalid access token: it has {bytes} bytes; at most {MAX_TOKEN_BYTES} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not three parts of base64url with JSON inside.
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
    /// RemoveParticipant has revoked it in its room.
    #[error(
        "access token revoked: the participant was removed from the room, and only tokens whose `nbf` is later count"
    )]
    Revoked,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

impl Keys {
    /// From pairs of API key and secret.
    pub fn new(secrets: impl IntoIterator<Item = (String, String)>) -> Self {
        let keys = Self::default();
        keys.replace(secrets);
        keys
    }

    /// From now on these count and no others. A key may come several times, with a secret each.
    pub fn replace(&self, secrets: impl IntoIterator<Item = (String, String)>) {
        let mut all = SecretsByKey::new();
        for (key, secret) in secrets {
            all.entry(key).or_default().push(secret);
        }
        self.secrets.store(Arc::new(all));
    }

    /// The key that signs what this server issues itself (refreshed tokens): the first by name.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        self.secrets.load().keys().next().cloned()
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
            return Err(TokenError::TooLong { bytes: token.len() });
        }
        let payload = token.split('.').nth(1).ok_or(TokenError::Malformed)?;
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| TokenError::Malformed)?;
        let Issuer { iss } = serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
        let known = self.secrets.load();
        let secrets = known.get(&iss).ok_or(TokenError::UnknownKey)?;

        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = CLOCK_LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp"]);
        let mut result = Err(TokenError::Signature);
        for secret in secrets {
            result = jsonwebtoken::decode::<Claims>(
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
            });
            if result != Err(TokenError::Signature) {
                break;
            }
        }
        result
    }

    /// Signs claims with the secret of the key that `claims.iss` names.
    ///
    /// # Errors
    /// [`TokenError::UnknownKey`] if there is no such key.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let known = self.secrets.load();
        let secret = known
            .get(&claims.iss)
            .and_then(|secrets| secrets.first())
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
        f.debug_list().entries(self.secrets.load().keys()).finish()
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
    fn a_key_with_two_secrets_takes_tokens_of_both_until_one_is_gone() {
        let pair = |secret: &str| ("devkey".to_owned(), secret.to_owned());
        let old = keys().sign(&claims(FAR)).unwrap();
        let keys = Keys::new([pair("new"), pair("secret")]);
        let clone = keys.clone();
        let new = keys.sign(&claims(FAR)).unwrap();
        assert!(new != old && keys.verify(&new).is_ok() && keys.verify(&old).is_ok());
        keys.replace([pair("new")]);
        assert!(clone.verify(&new).is_ok());
        assert_eq!(clone.verify(&old), Err(TokenError::Signature));
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
    fn a_token_has_a_longest_length_whatever_its_claims() {
        let long = |name: usize| {
            let mut claims = claims(FAR);
            claims.name = "n".repeat(name);
            keys().sign(&claims).unwrap()
        };
        // Three bytes of claims are four of the token.
        let most = MAX_TOKEN_BYTES / 4 * 3 - 400;
        assert!(keys().verify(&long(most)).is_ok());
        let token = long(most + 600);
        let error = keys().verify(&token).unwrap_err();
        assert_eq!(error, TokenError::TooLong { bytes: token.len() });
        assert!(error.to_string().contains("at most 65536"), "{error}");
    }

    #[test]
    fn debug_output_keeps_the_secret() {
        assert_eq!(format!("{:?}", keys()), r#"["devkey"]"#);
    }
}

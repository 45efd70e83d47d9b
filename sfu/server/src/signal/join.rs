//! What a client's URL and token say, read into one value that a hop can carry to another member.

use std::io::Read as _;

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use livekit_protocol as proto;
use plenum_types::RoomName;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::parts;
use crate::{
    agents,
    auth::{Claims, Keys, TokenError},
    config::Presets,
};

/// One peer connection or two, as the path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalVersion {
    /// `/rtc`: two peer connections.
    V0,
    /// `/rtc/v1`: one peer connection, `join_request` in the query.
    V1,
}

/// Everything that a room's home must know of a client before its first message. The frames follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JoinContext {
    /// The room that the token names.
    pub room: RoomName,
    /// The verified token.
    pub claims: Claims,
    /// By the path.
    pub version: SignalVersion,
    /// What the client asks for; `/rtc` parameters are read into the same message.
    #[serde(with = "as_protobuf")]
    pub request: proto::JoinRequest,
}

/// Why a client is not let in, as far as its URL and token say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// 401
    #[error(transparent)]
    Token(#[from] TokenError),
    /// 401: the token is good, but not for joining.
    #[error("the access token does not allow joining: it needs the grant `video.roomJoin`")]
    NoJoinGrant,
    /// 400
    #[error("{0}")]
    Malformed(String),
    /// 404: the phrase is what clients look for.
    #[error("requested room does not exist")]
    NoRoom,
    /// 503 with Retry-After: the same request may succeed a moment later or on another member.
    #[error("{0}")]
    Unavailable(String),
}

/// Longest room name in bytes, as in the reference server.
const MAX_ROOM_NAME: usize = 256;
/// Longest identity in bytes, as in the reference server.
const MAX_IDENTITY: usize = 256;
/// Most bytes of a decompressed join request (protocol.md 1.1): 1,000 times less than what 64 KB of gzip can grow to.
const MAX_JOIN_REQUEST: u64 = 1024 * 1024;

/// base64url with or without padding, and with loose trailing bits: SDKs differ.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl JoinContext {
    /// Reads token and query of `/rtc`, `/rtc/v1` or one of their `validate` paths. `bearer` is the token of the
    /// `Authorization` header, which wins over `access_token`.
    ///
    /// # Errors
    /// Whatever of [`JoinError`] can be known without the room.
    pub fn read(
        keys: &Keys,
        version: SignalVersion,
        bearer: Option<&str>,
        query: &[(String, String)],
    ) -> Result<Self, JoinError> {
        let parameter = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let token = bearer
            .or_else(|| parameter("access_token"))
            .ok_or(TokenError::Missing)?;
        let claims = keys.verify(token)?;
        if !claims.video.room_join {
            return Err(JoinError::NoJoinGrant);
        }
        check_name("identity (`sub` of the token)", &claims.sub, MAX_IDENTITY)?;
        check_name(
            "room (`video.room` of the token)",
            &claims.video.room,
            MAX_ROOM_NAME,
        )?;
        check_room_configuration(&claims)?;
        let mut request = match (version, parameter("join_request")) {
            (SignalVersion::V1, Some(wrapped)) => unwrap_join_request(wrapped)?,
            (SignalVersion::V1, None) => proto::JoinRequest {
                connection_settings: Some(proto::ConnectionSettings {
                    auto_subscribe: true,
                    ..Default::default()
                }),
                ..Default::default()
            },
            (SignalVersion::V0, _) => legacy_join_request(&parameter)?,
        };
        if request.reconnect && request.participant_sid.is_empty() {
            // Without its sid a session can't be told from a later one of the same identity: join anew.
            request.reconnect = false;
        }
        Ok(Self {
            room: claims.video.room.as_str().into(),
            claims,
            version,
            request,
        })
    }

    /// Whether the preset that the token names, if any, is there. Who comes back to its session made its room long ago.
    ///
    /// # Errors
    /// It is not.
    pub fn check_preset(&self, presets: &Presets) -> Result<(), JoinError> {
        if self.request.reconnect {
            return Ok(());
        }
        presets
            .find(&self.claims.room_preset)
            .map(|_| ())
            .map_err(|error| JoinError::Malformed(format!("roomPreset of the token: {error}")))
    }
}

fn check_name(what: &str, name: &str, limit: usize) -> Result<(), JoinError> {
    if name.is_empty() {
        return Err(JoinError::Malformed(format!("{what} is empty")));
    }
    if name.len() > limit {
        return Err(JoinError::Malformed(format!(
            "{what} has {} bytes; at most {limit} are allowed",
            name.len()
        )));
    }
    Ok(())
}

/// What a token says of its room, should this join make it.
fn check_room_configuration(claims: &Claims) -> Result<(), JoinError> {
    let Some(json) = &claims.room_config else {
        return Ok(());
    };
    let configuration = proto::RoomConfiguration::deserialize(json)
        .map_err(|error| JoinError::Malformed(format!("roomConfig of the token: {error}")))?;
    agents::check(&configuration.agents)
        .map_err(|error| JoinError::Malformed(format!("roomConfig of the token: {error}")))
}

fn unwrap_join_request(text: &str) -> Result<proto::JoinRequest, JoinError> {
    let malformed = |why: &str| JoinError::Malformed(format!("join_request: {why}"));
    let bytes = BASE64URL
        .decode(text)
        .map_err(|_| malformed("not base64url"))?;
    let wrapped = proto::WrappedJoinRequest::decode(bytes.as_slice())
        .map_err(|_| malformed("not a livekit.WrappedJoinRequest"))?;
    let inner = match wrapped.compression() {
        proto::wrapped_join_request::Compression::None => wrapped.join_request,
        proto::wrapped_join_request::Compression::Gzip => {
            let mut inner = Vec::new();
            flate2::read::GzDecoder::new(wrapped.join_request.as_slice())
                .take(MAX_JOIN_REQUEST + 1)
                .read_to_end(&mut inner)
                .map_err(|_| malformed("not gzip"))?;
            inner
        }
    };
    if inner.len() as u64 > MAX_JOIN_REQUEST {
        return Err(malformed(&format!(
            "more than {MAX_JOIN_REQUEST} bytes after decompression"
        )));
    }
    if parts::of_protobuf(&inner).is_none() {
        return Err(malformed(&format!("more than {} parts", parts::MAX_PARTS)));
    }
    proto::JoinRequest::decode(inner.as_slice()).map_err(|_| malformed("not a livekit.JoinRequest"))
}

/// A request on a hop: its protobuf in base64, since JSON has no names for values of newer clients.
mod as_protobuf {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use livekit_protocol as proto;
    use prost::Message as _;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        request: &proto::JoinRequest,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(request.encode_to_vec()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<proto::JoinRequest, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        proto::JoinRequest::decode(bytes.as_slice()).map_err(D::Error::custom)
    }
}

/// The query of `/rtc` (protocol.md 1.3).
fn legacy_join_request<'a>(
    parameter: &impl Fn(&str) -> Option<&'a str>,
) -> Result<proto::JoinRequest, JoinError> {
    let text = |name: &str| parameter(name).unwrap_or_default().to_owned();
    let number = |name: &str| parameter(name).and_then(|value| value.parse::<i32>().ok());
    let flag = |name: &str| parameter(name).map(|value| matches!(value, "1" | "true"));
    let participant_attributes = match parameter("attributes").filter(|value| !value.is_empty()) {
        Some(encoded) => BASE64URL
            .decode(encoded)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or_else(|| {
                JoinError::Malformed(
                    "attributes: not base64url of a JSON object of texts".to_owned(),
                )
            })?,
        None => Default::default(),
    };
    Ok(proto::JoinRequest {
        client_info: Some(proto::ClientInfo {
            sdk: sdk(&text("sdk")) as i32,
            version: text("version"),
            protocol: number("protocol").unwrap_or_default(),
            os: text("os"),
            os_version: text("os_version"),
            device_model: text("device_model"),
            browser: text("browser"),
            browser_version: text("browser_version"),
            address: String::new(),
            network: text("network"),
            other_sdks: text("other_sdks"),
            client_protocol: number("client_protocol").unwrap_or_default(),
            capabilities: text("capabilities")
                .split(',')
                .filter_map(capability)
                .map(|capability| capability as i32)
                .collect(),
        }),
        connection_settings: Some(proto::ConnectionSettings {
            auto_subscribe: flag("auto_subscribe").unwrap_or(true),
            adaptive_stream: flag("adaptive_stream").unwrap_or(false),
            subscriber_allow_pause: flag("subscriber_allow_pause"),
            disable_ice_lite: flag("disable_ice_lite").unwrap_or(false),
            auto_subscribe_data_track: flag("auto_subscribe_data_track"),
        }),
        participant_attributes,
        reconnect: flag("reconnect").unwrap_or(false),
        reconnect_reason: number("reconnect_reason").unwrap_or_default(),
        participant_sid: text("sid"),
        ..Default::default()
    })
}

fn sdk(name: &str) -> proto::client_info::Sdk {
    let name = match name {
        // Names in URLs that differ from those of the protocol.
        "reactnative" => "REACT_NATIVE".to_owned(),
        "unityweb" => "UNITY_WEB".to_owned(),
        "cplusplus" => "CPP".to_owned(),
        other => other.to_ascii_uppercase(),
    };
    proto::client_info::Sdk::from_str_name(&name).unwrap_or(proto::client_info::Sdk::Unknown)
}

fn capability(name: &str) -> Option<proto::client_info::Capability> {
    let name = name.trim().to_ascii_uppercase();
    proto::client_info::Capability::from_str_name(&name)
        .or_else(|| proto::client_info::Capability::from_str_name(&format!("CAP_{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::VideoGrant;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::io::Write as _;

    fn keys() -> Keys {
        Keys::new([("devkey".to_owned(), "secret".to_owned())])
    }

    fn token(change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = Claims {
            iss: "devkey".to_owned(),
            sub: "ada".to_owned(),
            exp: 4_000_000_000,
            video: VideoGrant::join("lobby"),
            ..Claims::default()
        };
        change(&mut claims);
        keys().sign(&claims).unwrap()
    }

    fn read(
        version: SignalVersion,
        token: &str,
        query: &[(&str, &str)],
    ) -> Result<JoinContext, JoinError> {
        let query: Vec<(String, String)> = query
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        JoinContext::read(&keys(), version, Some(token), &query)
    }

    /// covers: grant.roomJoin, grant.room
    #[test]
    fn a_token_must_allow_joining_and_name_room_and_identity() {
        let v0 = SignalVersion::V0;
        assert_eq!(
            read(v0, &token(|claims| claims.video.room_join = false), &[]),
            Err(JoinError::NoJoinGrant)
        );
        let refused = |change: fn(&mut Claims)| {
            matches!(read(v0, &token(change), &[]), Err(JoinError::Malformed(_)))
        };
        assert!(refused(|claims| claims.sub.clear()));
        assert!(refused(|claims| claims.video.room.clear()));
        assert!(refused(
            |claims| claims.video.room = "r".repeat(MAX_ROOM_NAME + 1)
        ));
        assert!(refused(|claims| claims.sub = "i".repeat(MAX_IDENTITY + 1)));
        assert!(read(v0, &token(|_| ()), &[]).is_ok());
    }

    /// covers: grant.roomConfig, grant.roomPreset
    #[test]
    fn a_room_configuration_that_cannot_be_kept_is_refused() {
        let with = |json| token(move |claims| claims.room_config = Some(json));
        let v1 = SignalVersion::V1;
        let good =
            serde_json::json!({"emptyTimeout": 9, "agents": [{"agentName": "a"}], "later": 1});
        assert!(read(v1, &with(good), &[]).is_ok());
        let many = vec![serde_json::json!({"agent_name": "a"}); 33];
        for (refused, names) in [
            (
                with(serde_json::json!({"emptyTimeout": "soon"})),
                "roomConfig",
            ),
            (with(serde_json::json!({ "agents": many })), "32"),
        ] {
            let error = read(v1, &refused, &[]).unwrap_err();
            assert!(
                matches!(&error, JoinError::Malformed(why) if why.contains(names)),
                "{error}"
            );
        }
    }

    /// covers: grant.roomPreset
    #[test]
    fn a_preset_that_is_not_there_is_refused_but_not_to_who_comes_back() {
        let with_preset = token(|claims| claims.room_preset = "studoi".to_owned());
        let presets = serde_json::from_str(r#"{"studio": {}}"#).unwrap();
        let joins = read(SignalVersion::V0, &with_preset, &[]).unwrap();
        let error = joins.check_preset(&presets).unwrap_err();
        assert!(
            matches!(&error, JoinError::Malformed(why) if why.contains("did you mean \"studio\"")),
            "{error}"
        );
        let back = [("reconnect", "1"), ("sid", "PA_x")];
        let returns = read(SignalVersion::V0, &with_preset, &back).unwrap();
        assert_eq!(returns.check_preset(&presets), Ok(()));
        let plain = read(SignalVersion::V0, &token(|_| ()), &[]).unwrap();
        assert_eq!(plain.check_preset(&Presets::default()), Ok(()));
    }

    #[test]
    fn the_query_token_counts_only_without_a_header() {
        let query = [("access_token".to_owned(), token(|_| ()))];
        assert!(JoinContext::read(&keys(), SignalVersion::V0, None, &query).is_ok());
        assert!(JoinContext::read(&keys(), SignalVersion::V0, Some("bad"), &query).is_err());
        assert_eq!(
            JoinContext::read(&keys(), SignalVersion::V0, None, &[]),
            Err(JoinError::Token(TokenError::Missing))
        );
    }

    #[test]
    fn legacy_parameters_become_a_join_request() {
        let attributes = URL_SAFE_NO_PAD.encode(r#"{"role":"host"}"#);
        let context = read(
            SignalVersion::V0,
            &token(|_| ()),
            &[
                ("sdk", "reactnative"),
                ("protocol", "13"),
                ("auto_subscribe", "0"),
                ("reconnect", "1"),
                ("sid", "PA_x"),
                ("reconnect_reason", "2"),
                ("attributes", &attributes),
            ],
        )
        .unwrap();
        let request = context.request;
        let client = request.client_info.unwrap();
        assert_eq!(client.sdk(), proto::client_info::Sdk::ReactNative);
        assert_eq!(client.protocol, 13);
        assert!(!request.connection_settings.unwrap().auto_subscribe);
        assert!(request.reconnect);
        assert_eq!(
            request.reconnect_reason,
            proto::ReconnectReason::RrPublisherFailed as i32
        );
        assert_eq!(request.participant_sid, "PA_x");
        assert_eq!(request.participant_attributes["role"], "host");
    }

    fn wrap(compression: proto::wrapped_join_request::Compression, inner: Vec<u8>) -> String {
        URL_SAFE_NO_PAD.encode(
            proto::WrappedJoinRequest {
                compression: compression as i32,
                join_request: inner,
            }
            .encode_to_vec(),
        )
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_join_request_is_read_with_and_without_gzip() {
        use proto::wrapped_join_request::Compression;
        let inner = proto::JoinRequest {
            metadata: "hello".to_owned(),
            ..Default::default()
        }
        .encode_to_vec();
        for wrapped in [
            wrap(Compression::None, inner.clone()),
            wrap(Compression::Gzip, gzip(&inner)) + "=",
        ] {
            let context = read(
                SignalVersion::V1,
                &token(|_| ()),
                &[("join_request", wrapped.trim_end_matches('='))],
            )
            .unwrap();
            assert_eq!(context.request.metadata, "hello");
        }
    }

    #[test]
    fn bombs_and_nonsense_are_malformed() {
        use proto::wrapped_join_request::Compression;
        let bomb = wrap(Compression::Gzip, gzip(&vec![0; 3 * 1024 * 1024]));
        // Less than 1 MiB, and 150 MB once it is decoded.
        let swelling = proto::JoinRequest {
            add_track_requests: vec![Default::default(); 400_000],
            ..Default::default()
        };
        let swelling = wrap(Compression::Gzip, gzip(&swelling.encode_to_vec()));
        for wrapped in [bomb.as_str(), swelling.as_str(), "%%%", "AAAA"] {
            assert!(
                matches!(
                    read(
                        SignalVersion::V1,
                        &token(|_| ()),
                        &[("join_request", wrapped)]
                    ),
                    Err(JoinError::Malformed(_))
                ),
                "{wrapped:.20}"
            );
        }
    }

    #[test]
    fn a_context_survives_the_hop() {
        let mut context = read(SignalVersion::V0, &token(|_| ()), &[("sdk", "go")]).unwrap();
        // Of a newer client.
        if let Some(client) = &mut context.request.client_info {
            client.sdk = 4711;
            client.capabilities = vec![1, 99];
        }
        let carried = serde_json::to_string(&context).unwrap();
        assert_eq!(
            serde_json::from_str::<JoinContext>(&carried).unwrap(),
            context
        );
    }
}

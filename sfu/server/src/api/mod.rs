//! The server API: Twirp over HTTP, protobuf or JSON (protocol.md 11).
//!
//! A call is read ([`Call::read`]), checked against its token ([`Call::check`]) and carried out ([`Call::carry_out`]). Only
//! the last step needs the room, so a call whose room lives on another member can be carried there after the second.

mod answer;
mod bounds;
mod call;
mod dispatch;
mod error;
mod json;
mod method;

pub use answer::Answer;
pub use call::Call;
pub use error::{Code, TwirpError};
pub use method::Method;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Bytes, Data, Path},
};

use crate::{
    cluster::{Outcome, RawCall},
    http::{Service, bearer},
};

/// Longest body: metadata of 512 KB and a data message of 64 KB fit several times, in base64 too.
pub const MAX_BODY: usize = 2 * 1024 * 1024;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Encoding {
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json]
            .into_iter()
            .find(|encoding| media.eq_ignore_ascii_case(encoding.media_type()))
    }

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/protobuf",
            Self::Json => "application/json",
        }
    }
}

/// `POST /twirp/{service}/{method}`
pub async fn twirp(
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Result<Bytes, actix_web::Error>,
    service: Data<Service>,
) -> HttpResponse {
    let (name, method) = path.into_inner();
    let method = Method::find(&name, &method);
    let result = match body {
        Ok(body) => answer(&request, &name, method, &body, &service).await,
        Err(error) => Err(unread(&error)),
    };
    let label = method.map_or("unknown", Method::name);
    match result {
        Ok((encoding, bytes)) => {
            service.metrics.call_answered(label, "ok");
            HttpResponse::Ok()
                .insert_header((header::CONTENT_TYPE, encoding.media_type()))
                .body(bytes)
        }
        Err(error) => {
            service.metrics.call_answered(label, error.code.as_str());
            error.response()
        }
    }
}

/// `/twirp/...` that names no service and method, or is not posted.
pub async fn no_route(request: HttpRequest) -> HttpResponse {
    let message = format!(
        "no handler for {} {}: post to /twirp/<service>/<method>",
        request.method(),
        request.path()
    );
    TwirpError::new(Code::BadRoute, message).response()
}

/// A body that is too long, or broke off.
fn unread(error: &actix_web::Error) -> TwirpError {
    if error.as_response_error().status_code() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the body is larger than {MAX_BODY} bytes, which is the limit");
        return TwirpError::new(Code::ResourceExhausted, message);
    }
    TwirpError::new(Code::Malformed, format!("the body: {error}"))
}

async fn answer(
    request: &HttpRequest,
    name: &str,
    method: Option<Method>,
    body: &Bytes,
    service: &Service,
) -> Result<(Encoding, Vec<u8>), TwirpError> {
    let claims = bearer(request)
        .ok_or(crate::auth::TokenError::Missing)
        .and_then(|token| service.keys.verify(token))
        .map_err(|error| TwirpError::new(Code::Unauthenticated, error.to_string()))?;
    let method = method.ok_or_else(|| {
        TwirpError::new(
            Code::BadRoute,
            format!(
                "no handler for {name} and this method; see the list in the server's documentation"
            ),
        )
    })?;
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let encoding = Encoding::of(content_type).ok_or_else(|| {
        TwirpError::new(
            Code::BadRoute,
            format!("unexpected Content-Type {content_type:?}; send application/protobuf or application/json"),
        )
    })?;
    let call = Call::read(method, encoding, body)?;
    call.check(&claims)?;
    call.check_preset(&service.config.load().room.presets)?;
    let raw = RawCall {
        call,
        encoding,
        body: body.clone(),
        auto_create: service.config.load().room.auto_create,
    };
    Ok((
        encoding,
        match service.cluster.call(raw).await? {
            Outcome::Answer(answer) => answer.encode(encoding),
            Outcome::Encoded(bytes) => bytes.into(),
        },
    ))
}

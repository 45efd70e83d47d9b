//! `/rtc`, `/rtc/v1` and their `validate` paths.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{self, Data, Payload},
};

use tracing::Instrument as _;

use super::{Service, refusal};
use crate::signal::{JoinContext, JoinError, SignalVersion, socket};

/// What a path under `/rtc` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A WebSocket.
    Signal(SignalVersion),
    /// Whether a WebSocket with the same query would be accepted.
    Validate(SignalVersion),
}

impl Endpoint {
    /// Whatever stands before `/rtc` is the user's prefix.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        [
            ("/rtc", Self::Signal(SignalVersion::V0)),
            ("/rtc/v1", Self::Signal(SignalVersion::V1)),
            ("/rtc/validate", Self::Validate(SignalVersion::V0)),
            ("/rtc/v1/validate", Self::Validate(SignalVersion::V1)),
        ]
        .into_iter()
        .find(|(suffix, _)| path.ends_with(suffix))
        .map(|(_, endpoint)| endpoint)
    }
}

/// Answers a request to an endpoint.
pub(super) async fn handle(
    endpoint: Endpoint,
    request: HttpRequest,
    payload: Payload,
    service: Data<Service>,
) -> HttpResponse {
    if request.method() != Method::GET {
        return HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, "GET"))
            .finish();
    }
    match endpoint {
        Endpoint::Validate(version) => match context(version, &request, &service) {
            Ok((context, may_create)) => validate(context, may_create, &service).await,
            Err(error) => refusal::response(&error),
        },
        Endpoint::Signal(_) if !is_upgrade(&request) => HttpResponse::NotFound().finish(),
        Endpoint::Signal(version) => {
            let asked = service.clock.now();
            let response = match signal(version, &request, payload, service.clone()).await {
                Ok(response) => response,
                Err(error) => refusal::response(&error),
            };
            service.metrics.join_answered(response.status().as_u16());
            if response.status() == actix_web::http::StatusCode::SWITCHING_PROTOCOLS {
                let after = service.clock.now().saturating_since(asked);
                service.metrics.join_durations.answered(after);
            }
            response
        }
    }
}

fn is_upgrade(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Token and query, and whether the room may be made by this join.
fn context(
    version: SignalVersion,
    request: &HttpRequest,
    service: &Service,
) -> Result<(JoinContext, bool), JoinError> {
    let query: Vec<(String, String)> = web::Query::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|_| {
            JoinError::Malformed("the query is not a list of names and values".to_owned())
        })?;
    let context = JoinContext::read(&service.keys, version, bearer(request), &query)?;
    let settings = service.config.load();
    context.check_preset(&settings.room.presets)?;
    let may_create = settings.room.auto_create || context.claims.video.room_create;
    Ok((context, may_create))
}

/// The token of the `Authorization` header.
pub(crate) fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn validate(context: JoinContext, may_create: bool, service: &Service) -> HttpResponse {
    if !service.member.takes_clients() {
        return refusal::response(&not_serving());
    }
    if let Err(error) = service.cluster.validate(context, may_create).await {
        return refusal::response(&error);
    }
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("success")
}

fn not_serving() -> JoinError {
    JoinError::Unavailable("this member takes no clients now; try again".to_owned())
}

async fn signal(
    version: SignalVersion,
    request: &HttpRequest,
    payload: Payload,
    service: Data<Service>,
) -> Result<HttpResponse, JoinError> {
    let (context, may_create) = context(version, request, &service)?;
    if !service.member.takes_clients() {
        return Err(not_serving());
    }
    // Whoever follows a room or a participant in the log finds what its socket did.
    let span =
        tracing::info_span!("socket", room = %context.room, participant = %context.claims.sub);
    let limit = i64::from(service.config.load().limits.connections);
    if limit > 0 && service.metrics.connections() >= limit {
        return Err(JoinError::Unavailable(format!(
            "this member serves {limit} connections already, which is its limit (limits.connections)"
        )));
    }
    let resumes = context.request.reconnect;
    let connection = service.cluster.connect(context, may_create).await?;
    let (response, session, stream) = actix_ws::handle(request, payload)
        .map_err(|error| JoinError::Malformed(format!("not a WebSocket handshake: {error}")))?;
    // The socket stays on this HTTP worker; the room runs elsewhere.
    let served = async move {
        service.metrics.socket_opened();
        let end = socket::serve(session, stream, connection, service.clock, resumes).await;
        tracing::debug!(end = end.label(), "socket ended");
        service.metrics.socket_ended(end);
    };
    actix_web::rt::spawn(served.instrument(span));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_the_users_and_other_paths_are_not_signaling() {
        use Endpoint::{Signal, Validate};
        use SignalVersion::{V0, V1};
        for (path, expected) in [
            ("/rtc", Some(Signal(V0))),
            ("/rtc/", Some(Signal(V0))),
            ("/rtc/v1", Some(Signal(V1))),
            ("/media/a/rtc/v1", Some(Signal(V1))),
            ("/rtc/validate", Some(Validate(V0))),
            ("/x/rtc/v1/validate", Some(Validate(V1))),
            ("/rtc/v2", None),
            ("/xrtc", None),
            ("/", None),
        ] {
            assert_eq!(Endpoint::of(path), expected, "{path}");
        }
    }
}

//! Counts requests of the public port and how long their answers took.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode},
    middleware::Next,
    web::Data,
};

use super::{Service, rtc::Endpoint};
use crate::{agents::socket::is_agent_path, signal::SignalVersion};

/// Hands a request on and counts its answer. A WebSocket's answer is its handshake.
pub(super) async fn requests<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let service = request.app_data::<Data<Service>>().cloned();
    let pattern = request.match_pattern();
    let endpoint = Endpoint::of(request.path());
    let is_agent = is_agent_path(request.path());
    let method = method(request.method());
    let began = service.as_ref().map(|service| service.clock.now());
    let result = next.call(request).await;
    let status = result.as_ref().map_or_else(
        |error| error.as_response_error().status_code(),
        ServiceResponse::status,
    );
    if let (Some(service), Some(began)) = (service, began) {
        let took = service.clock.now().saturating_since(began);
        let route = match (pattern, endpoint) {
            (Some(pattern), _) => pattern,
            (None, Some(endpoint)) => route(endpoint).to_owned(),
            (None, None) if is_agent => "/agent".to_owned(),
            (None, None) => page(status).to_owned(),
        };
        service.metrics.http.answered(route, method, status, took);
    }
    result
}

/// The paths of signaling without the user's prefix.
const fn route(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Signal(SignalVersion::V0) => "/rtc",
        Endpoint::Signal(SignalVersion::V1) => "/rtc/v1",
        Endpoint::Validate(SignalVersion::V0) => "/rtc/validate",
        Endpoint::Validate(SignalVersion::V1) => "/rtc/v1/validate",
    }
}

/// What has no route is a file of the page, or nothing: one label each, since anyone can think of paths.
fn page(status: StatusCode) -> &'static str {
    if status == StatusCode::NOT_FOUND {
        "unknown"
    } else {
        "page"
    }
}

/// Methods that anything here answers; the rest share a label, since anyone can think of methods.
const fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

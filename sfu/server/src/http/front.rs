//! `/`: the meeting page for people, `OK` for programs.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{Data, Payload},
};
use rust_embed::Embed;

use crate::agents;

use super::{
    Service,
    rtc::{self, Endpoint},
};

/// The built meeting page; empty if it was not built before the server.
#[derive(Embed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Page;

/// What a person reads if the page was not built.
const NO_PAGE: &str = "<!doctype html><title>Plenum</title><p>Plenum is running. Its meeting page was not built into this \
binary: run <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, then build the server again (<code>make run</code> does \
both). LiveKit clients can connect as they are.";

/// Files whose names change with their contents may be kept for ever.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// `GET /`
pub(super) async fn root(request: HttpRequest, service: Data<Service>) -> HttpResponse {
    let person = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if !is_ready(&service) {
        return not_ready();
    }
    if person {
        return file("index.html").unwrap_or_else(|| {
            HttpResponse::Ok()
                .content_type("text/html; charset=utf-8")
                .body(NO_PAGE)
        });
    }
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("OK")
}

/// `GET /rooms`: the operator's page.
pub(super) async fn rooms() -> HttpResponse {
    file("rooms.html").unwrap_or_else(|| {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .body(NO_PAGE)
    })
}

/// `HEAD /`: clients ask it to learn whether they are online.
pub(super) async fn ready(service: Data<Service>) -> HttpResponse {
    if is_ready(&service) {
        HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .finish()
    } else {
        not_ready()
    }
}

/// Whether a balancer should send clients here.
pub(super) fn is_ready(service: &Service) -> bool {
    service.member.is_ready() && super::health::shards_run(service)
}

fn not_ready() -> HttpResponse {
    HttpResponse::NotAcceptable()
        .content_type("text/plain; charset=utf-8")
        .body("Not Ready")
}

/// Every path without a handler of its own: signaling (behind any prefix) and files of the page.
pub(super) async fn other(
    request: HttpRequest,
    payload: Payload,
    service: Data<Service>,
) -> HttpResponse {
    if let Some(endpoint) = Endpoint::of(request.path()) {
        return rtc::handle(endpoint, request, payload, service).await;
    }
    if agents::socket::is_agent_path(request.path()) {
        return agents::socket::handle(&request, payload, &service);
    }
    page(request).await
}

/// What a page loads. The pages themselves have routes, each on the port where it belongs.
pub(super) async fn page(request: HttpRequest) -> HttpResponse {
    let name = request.path().trim_start_matches('/');
    let readable = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_page = name.ends_with(".html");
    (readable && !is_page)
        .then(|| file(name))
        .flatten()
        .unwrap_or_else(|| HttpResponse::NotFound().finish())
}

fn file(name: &str) -> Option<HttpResponse> {
    let file = Page::get(name)?;
    let mut response = HttpResponse::Ok();
    response.content_type(content_type(name));
    if name.starts_with("assets/") {
        response.insert_header((header::CACHE_CONTROL, IMMUTABLE));
    } else {
        response.insert_header((header::CACHE_CONTROL, "no-cache"));
    }
    Some(response.body(file.data.into_owned()))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json" | "map" | "webmanifest") => "application/json",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

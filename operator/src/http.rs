//! The operator's own port: `/healthz`, `/readyz`, `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};

use crate::metrics::Metrics;
use crate::work::Pulse;

/// Content type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the health endpoints look at.
#[derive(Clone, Default)]
pub struct Health {
    /// All caches are filled.
    pub synced: Arc<AtomicBool>,
    /// The work loop turns.
    pub pulse: Pulse,
}

struct State {
    health: Health,
    metrics: Metrics,
}

/// Binds the port and makes the server.
///
/// # Errors
/// When the port can't be bound.
pub fn server(
    listen: SocketAddr,
    health: Health,
    metrics: Metrics,
) -> std::io::Result<(Server, SocketAddr)> {
    let state = web::Data::new(State { health, metrics });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics_text))
    })
    .workers(1)
    .disable_signals()
    .bind(listen)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok((server.run(), address))
}

async fn healthz(state: web::Data<State>) -> HttpResponse {
    if state.health.pulse.is_fresh() {
        HttpResponse::Ok().body("ok")
    } else {
        HttpResponse::ServiceUnavailable().body("the work loop does not turn")
    }
}

async fn readyz(state: web::Data<State>) -> HttpResponse {
    if state.health.synced.load(Ordering::Relaxed) {
        HttpResponse::Ok().body("ok")
    } else {
        HttpResponse::ServiceUnavailable()
            .body("the caches are not filled yet; are the CRDs installed, may the operator list?")
    }
}

async fn metrics_text(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(OPEN_METRICS)
        .body(state.metrics.text())
}

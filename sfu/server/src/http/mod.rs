//! The public port: pages, signaling, server API, liveness and readiness; and the admin port: all that only operators
//! should see. In dev mode there is no admin port, and the public one serves both.

pub mod admin;
mod cors;
mod debug;
mod dev;
mod front;
mod health;
mod measure;
mod refusal;
mod rtc;
pub mod tls;

pub(crate) use rtc::bearer;

use std::{io, net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer, dev::Server, middleware, web};
use plenum_engine::{Clock, Engine};

use crate::{
    api,
    auth::Keys,
    cluster::Cluster,
    config::Live,
    member::Member,
    metrics::{Exposition, Metrics},
};

/// What handlers use.
pub struct Service {
    /// The settings, as last loaded.
    pub config: Live,
    /// The certificate of the public port, if it speaks TLS.
    pub certificate: Option<Arc<tls::Certificate>>,
    /// API keys.
    pub keys: Keys,
    /// The clock.
    pub clock: Clock,
    /// This process.
    pub member: Arc<Member>,
    /// The media plane.
    pub engine: Arc<Engine>,
    /// Where joins and server API calls go.
    pub cluster: Arc<Cluster>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// `/metrics`.
    pub exposition: Exposition,
    /// The well-known key counts and anyone gets a token.
    pub dev: bool,
}

/// Longest request line: where the `http` crate stops, too. A join with an offer has 2 to 6 KB.
pub const MAX_URI: usize = 65_534;
/// Sockets that one HTTP worker serves. Idle ones cost little; the kernel's limit on files comes first.
const CONNECTIONS_PER_WORKER: usize = 25_000;
/// Seconds that open requests get when the server stops.
const SHUTDOWN_SECONDS: u64 = 2;

/// Serves on these listeners until stopped. Signals are handled elsewhere.
///
/// # Errors
/// A listener can't be used.
pub fn serve(
    service: Arc<Service>,
    listeners: Vec<TcpListener>,
    workers: usize,
) -> io::Result<Server> {
    let dev = service.dev;
    let tls = service
        .certificate
        .as_ref()
        .map(tls::Certificate::server_config)
        .transpose()
        .map_err(io::Error::other)?;
    let data = web::Data::from(service);
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(api::MAX_BODY))
            .wrap(middleware::from_fn(cors::allow_all))
            .wrap(middleware::NormalizePath::new(
                middleware::TrailingSlash::MergeOnly,
            ))
            .wrap(middleware::from_fn(measure::requests))
            .configure(|app| {
                if dev {
                    admin_routes(app);
                }
            })
            .configure(public_routes)
    })
    .workers(workers.max(1))
    .max_connections(CONNECTIONS_PER_WORKER)
    .tcp_nodelay(true)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals();
    for listener in listeners {
        server = match &tls {
            Some(tls) => server.listen_rustls_0_23(listener, tls.clone())?,
            None => server.listen(listener)?,
        };
    }
    Ok(server.run())
}

/// What clients and balancers ask.
fn public_routes(app: &mut web::ServiceConfig) {
    app.route("/", web::get().to(front::root))
        .route("/", web::head().to(front::ready))
        .route("/health/live", web::get().to(health::live))
        .route("/health/ready", web::get().to(health::ready))
        .route("/dev/token", web::get().to(dev::token))
        .route("/dev/mode", web::get().to(dev::mode))
        .route("/dev/operator", web::get().to(dev::operator))
        .route("/twirp/{service}/{method}", web::post().to(api::twirp))
        .route("/twirp/{rest:.*}", web::to(api::no_route))
        .default_service(web::to(front::other));
}

/// What operators ask: on the admin port, or on the public one in dev mode.
fn admin_routes(app: &mut web::ServiceConfig) {
    app.route("/health", web::get().to(health::all))
        .route("/health/info", web::get().to(health::info))
        .route("/metrics", web::get().to(health::metrics))
        .route("/rooms", web::get().to(front::rooms))
        .configure(debug::routes);
}

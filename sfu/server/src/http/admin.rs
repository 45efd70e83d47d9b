//! The admin port: metrics, full health and debug, for operators and Prometheus. It stays apart from the public port in
//! production, since what it says is nobody else's business; it has neither keys nor TLS, so it belongs on loopback or
//! inside a cluster's network.

use std::{io, net::TcpListener, sync::Arc};

use actix_web::{App, HttpServer, middleware, web};

use super::{Service, admin_routes, front, health};
use crate::port::Port;

/// People, a Prometheus and a dashboard.
const CONNECTIONS: usize = 256;
/// Nothing here takes longer.
const SHUTDOWN_SECONDS: u64 = 1;

/// Serves on this listener.
///
/// # Errors
/// The thread or the listener can't be used.
pub fn start(service: Arc<Service>, listener: TcpListener) -> io::Result<Port> {
    Port::start("admin", move || {
        let data = web::Data::from(service);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .wrap(middleware::NormalizePath::new(
                    middleware::TrailingSlash::MergeOnly,
                ))
                .configure(admin_routes)
                .route("/health/live", web::get().to(health::live))
                .route("/health/ready", web::get().to(health::ready))
                .default_service(web::to(front::page))
        })
        .workers(1)
        .max_connections(CONNECTIONS)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?;
        Ok(server.run())
    })
}

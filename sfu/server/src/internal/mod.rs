//! The internal port: what other members and the operator ask of this one. The contract is
//! [`plenum_cluster::member_api`]; beside it members use `PUT` and `POST /internal/v1/moves/{room}` among themselves.
//!
//! It runs on a thread of its own, so that pings are answered however busy rooms and clients keep the others. Everything
//! but pings and reports is done on the runtime of the rooms.

mod member;
mod rooms;
mod secret;
mod twirp;

use std::{io, net::TcpListener, sync::Arc};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::StatusCode,
    middleware,
    web::{self, Data, Payload},
};
use plenum_cluster::{directory::MAX_SNAPSHOT_BYTES, member_api::Refusal};

use crate::{agents, api, cluster::Cluster, hop, port::Port};

/// Largest body but one: a server API call.
const MAX_BODY: usize = api::MAX_BODY;
/// Largest body of a move: a room's snapshot as a text in JSON, where its quotation marks and backslashes take two bytes each.
const MAX_MOVE_BODY: usize = 2 * MAX_SNAPSHOT_BYTES + 1024;
/// Connections of members and operator, hops included.
const CONNECTIONS: usize = 25_000;
/// Hops are told of the end by their rooms; nothing else takes long.
const SHUTDOWN_SECONDS: u64 = 1;

/// Serves on this listener.
///
/// # Errors
/// The thread or the listener can't be used.
pub fn start(cluster: Arc<Cluster>, listener: TcpListener) -> io::Result<Port> {
    Port::start("internal", move || build(cluster, listener))
}

fn build(cluster: Arc<Cluster>, listener: TcpListener) -> io::Result<actix_web::dev::Server> {
    let data = Data::from(cluster);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .app_data(web::JsonConfig::default().limit(MAX_BODY))
            .wrap(middleware::from_fn(secret::required))
            .service(
                web::scope("/internal/v1")
                    .route("/ping", web::post().to(member::ping))
                    .route("/member", web::get().to(member::report))
                    .route("/desired-state", web::put().to(member::set_desired))
                    .route("/addresses", web::put().to(member::set_addresses))
                    .route("/rooms/{room}", web::get().to(rooms::report))
                    .route("/rooms/{room}", web::put().to(rooms::put))
                    .route("/rooms/{room}", web::delete().to(rooms::end))
                    .service(
                        web::resource("/moves/{room}")
                            .app_data(web::JsonConfig::default().limit(MAX_MOVE_BODY))
                            .route(web::put().to(rooms::prepare_move))
                            .route(web::post().to(rooms::finish_move)),
                    )
                    .route("/twirp/{service}/{method}", web::post().to(twirp::call))
                    .route("/hop", web::get().to(serve_hop))
                    .configure(agents::routes),
            )
    })
    .workers(1)
    .max_connections(CONNECTIONS)
    .tcp_nodelay(true)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

async fn serve_hop(cluster: Data<Cluster>, request: HttpRequest, payload: Payload) -> HttpResponse {
    hop::serve(cluster.into_inner(), &request, payload)
}

/// A request that is not carried out, for a person to read.
fn refuse(status: StatusCode, reason: &str, message: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status).json(Refusal {
        reason: reason.to_owned(),
        message: message.into(),
    })
}

//! The member itself: pings, its report, what is wanted of it.

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Json},
};
use plenum_cluster::member_api::{
    DesiredState, INTERNAL_PROTOCOL, MemberReport, MemberState, Ping, SetAddresses, SetDesiredState,
};

use super::refuse;
use crate::cluster::Cluster;

pub(super) async fn ping(cluster: Data<Cluster>, ping: Json<Ping>) -> HttpResponse {
    HttpResponse::Ok().json(cluster.membership.answer_ping(ping.into_inner()))
}

pub(super) async fn report(cluster: Data<Cluster>) -> HttpResponse {
    let me = cluster.membership.me();
    HttpResponse::Ok().json(MemberReport {
        node_id: me.node,
        incarnation: me.incarnation,
        protocol: INTERNAL_PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: cluster.member.state(),
        addresses: cluster.advertised(),
        load: cluster.load(),
        rooms: cluster.reports(),
    })
}

pub(super) async fn set_desired(
    cluster: Data<Cluster>,
    body: Json<SetDesiredState>,
) -> HttpResponse {
    if let Err(stale) = cluster.desired.check_term(body.term) {
        return refuse(StatusCode::CONFLICT, "StaleTerm", stale.to_string());
    }
    if cluster.member.state() == MemberState::Draining && body.state != DesiredState::Draining {
        return refuse(
            StatusCode::CONFLICT,
            "Draining",
            "this member is draining, which is final; start another one",
        );
    }
    tracing::info!(state = ?body.state, term = body.term, "the operator wants another state");
    cluster.set_desired(body.state);
    HttpResponse::NoContent().finish()
}

pub(super) async fn set_addresses(
    cluster: Data<Cluster>,
    body: Json<SetAddresses>,
) -> HttpResponse {
    let SetAddresses { addresses, term } = body.into_inner();
    if let Err(stale) = cluster.desired.check_term(term) {
        return refuse(StatusCode::CONFLICT, "StaleTerm", stale.to_string());
    }
    match cluster.set_addresses(addresses) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(why) => refuse(StatusCode::CONFLICT, "BadAddresses", why),
    }
}

//! Server API calls that another member has taken: their tokens were checked there.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Bytes, Data, Path},
};
use plenum_cluster::{
    RoomKey,
    membership::{IfAbsent, Located, PeerRooms},
};

use super::refuse;
use crate::{
    api::{Answer, Call, Code, Encoding, Method, TwirpError},
    cluster::{Cluster, INCARNATION_HEADER, MISDIRECTED},
    rooms::Held,
};

pub(super) async fn call(
    cluster: Data<Cluster>,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Bytes,
) -> HttpResponse {
    let me = cluster.membership.me();
    let meant = text(&request, INCARNATION_HEADER);
    if meant != me.incarnation.to_string() {
        return misdirected(&format!(
            "incarnation {meant:?} was meant, this is {}",
            me.incarnation
        ));
    }
    let encoding = Encoding::of(text(&request, header::CONTENT_TYPE.as_str()));
    let method = Method::find(&path.0, &path.1);
    let (Some(encoding), Some(method)) = (encoding, method) else {
        return TwirpError::new(Code::BadRoute, "no such method or encoding on this member")
            .response();
    };
    let call = match Call::read(method, encoding, &body) {
        Ok(call) => call,
        Err(error) => return error.response(),
    };
    let task = cluster.clone().into_inner();
    let done = cluster.on_rooms_runtime(async move {
        let Some(room) = call.room() else {
            return match &call {
                Call::ListRooms(request) => {
                    let rooms = task.list_here(request);
                    Some(Ok(Answer::Rooms(livekit_protocol::ListRoomsResponse {
                        rooms,
                    })))
                }
                _ => None,
            };
        };
        let key = RoomKey::new(room).ok()?;
        let peers: &dyn PeerRooms = task.peers.as_ref();
        let located = task
            .membership
            .locate_now(&key, IfAbsent::Report, peers)
            .await;
        match located {
            Ok(Located::Here { epoch, snapshot }) => {
                task.call_here(&key, Held { epoch, snapshot }, call).await
            }
            _ => None,
        }
    });
    match done.await.flatten() {
        Some(Ok(answer)) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, encoding.media_type()))
            .body(answer.encode(encoding)),
        Some(Err(error)) => error.response(),
        None => misdirected("this member is not the room's home"),
    }
}

fn text<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn misdirected(why: &str) -> HttpResponse {
    let status = StatusCode::from_u16(MISDIRECTED).unwrap_or(StatusCode::CONFLICT);
    refuse(status, "NotHome", why)
}

//! `/debug/rooms`: what there is to see of rooms whose home is here, for people who look for a fault.
//!
//! A token with `roomList` sees all rooms, one with `roomAdmin` the room that it names.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Data, Path, Query},
};
use plenum_room::{ApiErrorCode, ApiRequest, ApiResponse};
use plenum_types::RoomName;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Service, bearer};
use crate::{
    auth::{TokenError, VideoGrant},
    rooms::RoomSummary,
};

/// Rooms of one list: what a page can show, and a megabyte.
const MAX_LISTED: usize = 5_000;

/// The paths, for whichever port they belong to.
pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/debug/rooms", web::get().to(rooms))
        .route("/debug/rooms/{name:.+}", web::get().to(room));
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoomList {
    node: String,
    at_ms: i64,
    rooms: Vec<ListedRoom>,
    truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedRoom {
    name: String,
    sid: String,
    epoch: u64,
    created_at_ms: i64,
    participants: usize,
    publishers: usize,
    tracks: usize,
    subscriptions: usize,
}

impl From<RoomSummary> for ListedRoom {
    fn from(room: RoomSummary) -> Self {
        Self {
            name: room.info.name,
            sid: room.info.sid,
            epoch: room.epoch,
            created_at_ms: room.info.creation_time_ms,
            participants: room.stats.participants,
            publishers: room.stats.publishers,
            tracks: room.stats.tracks,
            subscriptions: room.stats.subscriptions,
        }
    }
}

/// What a token lets one see.
struct Sight(VideoGrant);

impl Sight {
    /// `Err`: why it lets one see nothing.
    fn of(request: &HttpRequest, service: &Service) -> Result<Self, (StatusCode, String)> {
        let grant = bearer(request)
            .ok_or(TokenError::Missing)
            .and_then(|token| service.keys.verify(token))
            .map_err(|error| (StatusCode::UNAUTHORIZED, error.to_string()))?
            .video;
        if grant.room_list || (grant.room_admin && !grant.room.is_empty()) {
            return Ok(Self(grant));
        }
        Err((
            StatusCode::FORBIDDEN,
            "the token grants neither roomList nor roomAdmin of a room: make one with `plenum-sfu token --list`"
                .to_owned(),
        ))
    }

    fn sees(&self, room: &str) -> bool {
        self.0.room_list || self.0.room == room
    }
}

fn refusal(status: StatusCode, message: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({"error": message}))
}

fn found(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}

/// `GET /debug/rooms`
async fn rooms(request: HttpRequest, service: Data<Service>) -> HttpResponse {
    let sight = match Sight::of(&request, &service) {
        Ok(sight) => sight,
        Err((status, why)) => return refusal(status, &why),
    };
    let mut rooms: Vec<_> = service
        .cluster
        .rooms
        .list()
        .into_iter()
        .filter(|room| sight.sees(&room.info.name))
        .map(ListedRoom::from)
        .collect();
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    let truncated = rooms.len() > MAX_LISTED;
    rooms.truncate(MAX_LISTED);
    found(&RoomList {
        node: service.member.holder().node.to_string(),
        at_ms: service.clock.wall().unix_millis(service.clock.now()),
        rooms,
        truncated,
    })
}

#[derive(Deserialize)]
struct Asked {
    /// Whose decisions are shown; without it, of as many as fit.
    participant: Option<String>,
}

/// `GET /debug/rooms/{name}?participant={identity}`
async fn room(
    request: HttpRequest,
    name: Path<String>,
    asked: Query<Asked>,
    service: Data<Service>,
) -> HttpResponse {
    let name = name.into_inner();
    match Sight::of(&request, &service) {
        Ok(sight) if sight.sees(&name) => {}
        Ok(_) => {
            return refusal(
                StatusCode::FORBIDDEN,
                "the token is for another room; roomList sees all of them",
            );
        }
        Err((status, why)) => return refusal(status, &why),
    }
    let look = ApiRequest::Inspect {
        decisions_of: asked.into_inner().participant.map(Into::into),
    };
    let rooms = service.cluster.rooms.clone();
    let answer = service
        .cluster
        .on_rooms_runtime(async move { rooms.call(&RoomName::from(name), look).await })
        .await;
    match answer {
        Some(Some(Ok(ApiResponse::View(view)))) => found(&view),
        Some(Some(Err(error))) => refusal(
            match error.code {
                ApiErrorCode::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
                ApiErrorCode::NotFound => StatusCode::NOT_FOUND,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            &error.message,
        ),
        Some(_) => refusal(
            StatusCode::NOT_FOUND,
            "no such room is served by this member; ask the one that is its home",
        ),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "this member is ending"),
    }
}

//! Tokens for everyone: in dev mode only, elsewhere these paths do not exist.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Query},
};
use serde::Deserialize;
use serde_json::json;

use super::Service;
use crate::auth::{Claims, VideoGrant};

/// A day: long enough for any meeting on a laptop.
const TTL: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
pub(super) struct TokenQuery {
    room: String,
    identity: String,
    #[serde(default)]
    name: String,
}

/// `GET /dev/token?room=R&identity=I&name=N`
pub(super) async fn token(
    request: HttpRequest,
    query: Query<TokenQuery>,
    service: Data<Service>,
) -> HttpResponse {
    let Some(key) = service.keys.first().filter(|_| service.dev) else {
        return HttpResponse::NotFound().finish();
    };
    let now = service.clock.wall().unix_nanos(service.clock.now()) / 1_000_000_000;
    let claims = Claims {
        iss: key,
        sub: query.identity.clone(),
        name: query.name.clone(),
        nbf: Some(now),
        exp: now + TTL.as_secs(),
        video: VideoGrant {
            can_update_own_metadata: Some(true),
            ..VideoGrant::join(&query.room)
        },
        ..Claims::default()
    };
    match service.keys.sign(&claims) {
        Ok(token) => {
            let connection = request.connection_info();
            let scheme = match connection.scheme() {
                "https" => "wss",
                _ => "ws",
            };
            let url = format!("{scheme}://{}", connection.host());
            HttpResponse::Ok().json(json!({"token": token, "url": url}))
        }
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// `GET /dev/operator`: a token for the page `/rooms`.
pub(super) async fn operator(service: Data<Service>) -> HttpResponse {
    let Some(key) = service.keys.first().filter(|_| service.dev) else {
        return HttpResponse::NotFound().finish();
    };
    let now = service.clock.wall().unix_nanos(service.clock.now()) / 1_000_000_000;
    let claims = Claims {
        iss: key,
        exp: now + TTL.as_secs(),
        video: VideoGrant {
            room_list: true,
            ..VideoGrant::default()
        },
        ..Claims::default()
    };
    match service.keys.sign(&claims) {
        Ok(token) => HttpResponse::Ok().json(json!({"token": token})),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// `GET /dev/mode`: the page asks whether it can get a token here.
pub(super) async fn mode(service: Data<Service>) -> HttpResponse {
    if service.dev {
        HttpResponse::Ok().json(json!({"dev": true}))
    } else {
        HttpResponse::NotFound().finish()
    }
}

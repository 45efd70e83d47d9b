//! Rooms whose home this member is, or shall be.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Json, Path},
};
use plenum_cluster::{
    DirectoryError, IdError, RoomKey,
    directory::{EndReason as ClaimEnd, SpecStored},
    member_api::{EndRoom, MemberState, PutRoom, RoomReport},
    membership::{CallError, Located},
};
use plenum_room::{ApiRequest, EndReason};
use plenum_types::RoomName;

use super::refuse;
use crate::{
    cluster::{Cluster, FinishMove, PrepareMove},
    rooms::{Held, OpenError},
};

/// The room in the path, which actix has unescaped.
fn key_in(path: &str) -> Result<RoomKey, IdError> {
    RoomKey::new(path)
}

fn bad_name(error: &IdError) -> HttpResponse {
    HttpResponse::BadRequest().body(error.to_string())
}

fn ending() -> HttpResponse {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        "Draining",
        "this member is ending",
    )
}

pub(super) async fn report(cluster: Data<Cluster>, path: Path<String>) -> HttpResponse {
    match cluster.report(&path) {
        Some(report) => HttpResponse::Ok().json(report),
        None => HttpResponse::NotFound().finish(),
    }
}

pub(super) async fn put(
    cluster: Data<Cluster>,
    path: Path<String>,
    body: Json<PutRoom>,
) -> HttpResponse {
    let key = match key_in(&path) {
        Ok(key) => key,
        Err(error) => return bad_name(&error),
    };
    if let Err(stale) = cluster.desired.check_term(body.term) {
        return refuse(StatusCode::CONFLICT, "StaleTerm", stale.to_string());
    }
    let task = cluster.clone().into_inner();
    let done = cluster
        .on_rooms_runtime(async move { put_room(&task, &key, body.into_inner()).await })
        .await;
    match done {
        Some(Ok(report)) => HttpResponse::Ok().json(report),
        Some(Err((status, reason, message))) => refuse(status, reason, message),
        None => ending(),
    }
}

type NotPut = (StatusCode, &'static str, String);

async fn put_room(
    cluster: &Arc<Cluster>,
    key: &RoomKey,
    put: PutRoom,
) -> Result<RoomReport, NotPut> {
    let name: RoomName = key.name().into();
    let here = cluster.membership.epoch(key);
    if cluster.member.state() == MemberState::Draining && here.is_none() {
        return Err((
            StatusCode::CONFLICT,
            "Draining",
            "this member is draining and takes no rooms".to_owned(),
        ));
    }
    let stored = cluster
        .membership
        .directory()
        .put_spec(key, &put.spec)
        .await
        .map_err(|error| directory_error(&error))?;
    if let SpecStored::NameTaken { by } = stored {
        return Err((
            StatusCode::CONFLICT,
            "NameTaken",
            format!("the name belongs to the Room with uid {by}; give this one another roomName"),
        ));
    }
    cluster.keep_spec(key, &put.spec);
    if put.spec.closed {
        cluster
            .rooms
            .end(&name, EndReason::Deleted, ClaimEnd::Closed)
            .await;
        return Err((
            StatusCode::CONFLICT,
            "Closed",
            "the Room is closed: it is not opened, and its call has ended".to_owned(),
        ));
    }
    let located = match here.filter(|epoch| *epoch > put.epoch_floor) {
        // A running room does not wait for the Directory.
        Some(epoch) => Located::Here {
            epoch,
            snapshot: None,
        },
        None => cluster
            .membership
            .claim_here(key, put.epoch_floor, None)
            .await
            .map_err(|error| call_error(&error))?,
    };
    let Located::Here { epoch, snapshot } = located else {
        return Err((
            StatusCode::CONFLICT,
            "NotHome",
            "another member is the room's home".to_owned(),
        ));
    };
    let settings = cluster.settings_from(&put.spec);
    let held = Held { epoch, snapshot };
    let room = cluster
        .rooms
        .create(&name, settings.clone(), held)
        .await
        .map_err(|error| open_error(&error))?;
    // What the spec says of a room that was open already, or that comes from a snapshot.
    match cluster
        .rooms
        .call(&name, ApiRequest::Configure(settings))
        .await
    {
        None => Err((
            StatusCode::SERVICE_UNAVAILABLE,
            "NotHome",
            "the room has just moved or ended; try again".to_owned(),
        )),
        Some(Err(error)) => Err((StatusCode::CONFLICT, "InvalidSpec", error.to_string())),
        Some(Ok(_)) => Ok(cluster
            .report(name.as_str())
            .unwrap_or_else(|| cluster.report_of(room))),
    }
}

fn directory_error(error: &DirectoryError) -> NotPut {
    let message = error.to_string();
    if error.is_transient() {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "DirectoryUnavailable",
            message,
        )
    } else {
        (StatusCode::CONFLICT, "InvalidSpec", message)
    }
}

fn call_error(error: &CallError) -> NotPut {
    let message = error.to_string();
    match error {
        CallError::HeldBy(_) | CallError::HomeSilent(_) | CallError::NotHome(_) => {
            (StatusCode::CONFLICT, "NotHome", message)
        }
        CallError::NoPlace(_) => (StatusCode::CONFLICT, "AtCapacity", message),
        CallError::NotServing(_) => (StatusCode::SERVICE_UNAVAILABLE, "NotServing", message),
        CallError::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "DirectoryUnavailable",
            message,
        ),
        CallError::Directory(error) => directory_error(error),
    }
}

fn open_error(error: &OpenError) -> NotPut {
    let message = error.to_string();
    match error {
        OpenError::TooManyRooms { .. } => (StatusCode::CONFLICT, "AtCapacity", message),
        OpenError::NotHeld => (StatusCode::CONFLICT, "NotHome", message),
        OpenError::Name(_) | OpenError::NoShard | OpenError::Ending => {
            (StatusCode::SERVICE_UNAVAILABLE, "NotServing", message)
        }
    }
}

pub(super) async fn end(cluster: Data<Cluster>, path: Path<String>, body: Bytes) -> HttpResponse {
    let key = match key_in(&path) {
        Ok(key) => key,
        Err(error) => return bad_name(&error),
    };
    // Read by hand: a DELETE with a body is unusual enough for its content type to get lost.
    let body: EndRoom = match serde_json::from_slice(&body) {
        Ok(body) => body,
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    if let Err(stale) = cluster.desired.check_term(body.term) {
        return refuse(StatusCode::CONFLICT, "StaleTerm", stale.to_string());
    }
    let task = cluster.clone().into_inner();
    let done = cluster.on_rooms_runtime(async move {
        task.remove_spec(&key).await;
        task.rooms
            .end(&key.name().into(), EndReason::Deleted, ClaimEnd::Closed)
            .await;
    });
    match done.await {
        Some(()) => HttpResponse::NoContent().finish(),
        None => ending(),
    }
}

pub(super) async fn prepare_move(
    cluster: Data<Cluster>,
    path: Path<String>,
    body: Json<PrepareMove>,
) -> HttpResponse {
    let key = match key_in(&path) {
        Ok(key) => key,
        Err(error) => return bad_name(&error),
    };
    match cluster.prepare_move(&key, body.into_inner().snapshot) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(refusal) => HttpResponse::Conflict().json(refusal),
    }
}

pub(super) async fn finish_move(
    cluster: Data<Cluster>,
    path: Path<String>,
    body: Json<FinishMove>,
) -> HttpResponse {
    let key = match key_in(&path) {
        Ok(key) => key,
        Err(error) => return bad_name(&error),
    };
    let task = cluster.clone().into_inner();
    let done = cluster.on_rooms_runtime(async move { task.finish_move(&key, body.epoch).await });
    match done.await {
        Some(Ok(())) => HttpResponse::NoContent().finish(),
        Some(Err(error)) => refuse(StatusCode::CONFLICT, "NotHome", error.to_string()),
        None => ending(),
    }
}

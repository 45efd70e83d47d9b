//! The home's end of a hop.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web::Payload};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use bytes::Bytes;
use plenum_cluster::{
    RoomKey,
    membership::{Located, PeerRooms},
};
use tokio::{sync::mpsc, time::timeout};

use super::{
    MAX_HOP_MESSAGE,
    wire::{CLOSE_CUT, Hello, Welcome, check_protocol},
};
use crate::{
    cluster::Cluster,
    rooms::Held,
    signal::{Connection, JoinError, Outgoing},
};

/// The edge says hello at once.
const HELLO: Duration = Duration::from_secs(2);
/// An edge that was not heard for this long is gone: ten of its pings. Its client resumes through another one, so nothing
/// is gained by haste.
const SILENCE: Duration = Duration::from_secs(5);
/// An edge that takes nothing for this long is gone.
const WRITE_STALL: Duration = Duration::from_secs(5);
/// Answers to pings that may wait.
const PONGS: usize = 16;

/// Answers `GET /internal/v1/hop`.
pub fn serve(cluster: Arc<Cluster>, request: &HttpRequest, payload: Payload) -> HttpResponse {
    let (response, session, stream) = match actix_ws::handle(request, payload) {
        Ok(parts) => parts,
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    let stream = stream
        .max_frame_size(MAX_HOP_MESSAGE)
        .aggregate_continuations()
        .max_continuation_size(MAX_HOP_MESSAGE);
    actix_web::rt::spawn(async move { welcome(cluster, session, stream).await });
    response
}

async fn welcome(cluster: Arc<Cluster>, mut session: Session, mut stream: AggregatedMessageStream) {
    let hello = loop {
        match timeout(HELLO, stream.recv()).await {
            Ok(Some(Ok(AggregatedMessage::Text(text)))) => break text,
            Ok(Some(Ok(AggregatedMessage::Ping(_) | AggregatedMessage::Pong(_)))) => {}
            _ => return,
        }
    };
    let (answer, connection) = match let_in(&cluster, &hello).await {
        Ok(connection) => (Welcome::LetIn, Some(connection)),
        Err(refusal) => (refusal, None),
    };
    let Ok(text) = serde_json::to_string(&answer) else {
        return;
    };
    if session.text(text).await.is_err() {
        return;
    }
    match connection {
        Some(connection) => {
            cluster.metrics.hops_served.inc();
            carry(session, stream, connection).await;
            cluster.metrics.hops_served.dec();
        }
        None => {
            let _ = session.close(None).await;
        }
    }
}

async fn let_in(cluster: &Arc<Cluster>, hello: &str) -> Result<Connection, Welcome> {
    let hello: Hello =
        serde_json::from_str(hello).map_err(|error| Welcome::Malformed(error.to_string()))?;
    check_protocol(hello.protocol).map_err(Welcome::Unavailable)?;
    let me = cluster.membership.me();
    if hello.to != me {
        return Err(Welcome::NotHome(format!(
            "{} (incarnation {}) was meant, this is {} (incarnation {})",
            hello.to.node, hello.to.incarnation, me.node, me.incarnation
        )));
    }
    let task = cluster.clone();
    cluster
        .on_rooms_runtime(async move { join(&task, hello).await })
        .await
        .unwrap_or_else(|| Err(Welcome::Unavailable("the home is ending".to_owned())))
}

async fn join(cluster: &Arc<Cluster>, hello: Hello) -> Result<Connection, Welcome> {
    let key = RoomKey::new(hello.context.room.as_str())
        .map_err(|error| Welcome::Malformed(error.to_string()))?;
    let peers: &dyn PeerRooms = cluster.peers.as_ref();
    let located = cluster
        .membership
        .locate_now(&key, plenum_cluster::membership::IfAbsent::Report, peers)
        .await
        .map_err(|error| Welcome::from(JoinError::from(error)))?;
    let held = match located {
        Located::Here { epoch, snapshot } => Held { epoch, snapshot },
        Located::There { holder, .. } => {
            return Err(Welcome::NotHome(format!("{} is its home", holder.node)));
        }
        Located::Nowhere => return Err(Welcome::NotHome("nobody is its home".to_owned())),
    };
    match cluster.connect_here(&hello.context, &key, held).await {
        Some(result) => result.map_err(Welcome::from),
        None => Err(Welcome::NotHome("the room has just moved".to_owned())),
    }
}

async fn carry(session: Session, mut stream: AggregatedMessageStream, connection: Connection) {
    let Connection {
        to_room,
        first,
        from_room,
    } = connection;
    let (pongs, pongs_read) = mpsc::channel(PONGS);
    let reading = async {
        loop {
            match timeout(SILENCE, stream.recv()).await {
                Ok(Some(Ok(AggregatedMessage::Binary(frame)))) => {
                    if to_room.send(&frame).await.is_err() {
                        // What the room still had to say is with the writer, which ends with it.
                        return std::future::pending::<()>().await;
                    }
                }
                Ok(Some(Ok(AggregatedMessage::Ping(data)))) => {
                    if pongs.send(data).await.is_err() {
                        return;
                    }
                }
                Ok(Some(Ok(AggregatedMessage::Pong(_) | AggregatedMessage::Text(_)))) => {}
                Ok(Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = write(session, first, from_room, pongs_read) => {}
    }
}

async fn write(
    mut session: Session,
    first: Bytes,
    mut from_room: crate::signal::OutboxReader,
    mut pongs: mpsc::Receiver<Bytes>,
) {
    let mut next = Some(Outgoing::Frame(first));
    loop {
        let outgoing = match next.take() {
            Some(outgoing) => outgoing,
            None => tokio::select! {
                outgoing = from_room.next() => outgoing,
                Some(data) = pongs.recv() => {
                    match timeout(WRITE_STALL, session.pong(&data)).await {
                        Ok(Ok(())) => continue,
                        _ => return,
                    }
                }
            },
        };
        let close = match outgoing {
            Outgoing::Frame(frame) => match timeout(WRITE_STALL, session.binary(frame)).await {
                Ok(Ok(())) => continue,
                _ => return,
            },
            Outgoing::Close(reason) => CloseReason {
                code: CloseCode::Normal,
                description: Some(reason.to_owned()),
            },
            Outgoing::Cut => CloseReason {
                code: CloseCode::Other(CLOSE_CUT),
                description: None,
            },
        };
        let _ = timeout(WRITE_STALL, session.close(Some(close))).await;
        return;
    }
}

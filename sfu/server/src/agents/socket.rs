//! A worker's WebSocket: `/agent`, behind any prefix.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web::Payload};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use livekit_protocol::{self as proto, worker_message};
use prost::Message as _;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

use super::{
    driver::{Agents, ToWorker},
    ids::WorkerId,
    pool::PoolInput,
};
use crate::{auth::Keys, http::bearer};

/// Largest message of a worker: an answer with metadata and attributes that fit a token, or some thousand job ids.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024;
/// A socket that has not said by then what it serves is closed (protocol.md 11).
const REGISTER: Duration = Duration::from_secs(10);
/// How often the socket is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// A worker that was not heard for this long is gone: three pings.
const SILENCE: Duration = Duration::from_secs(15);
/// A worker that takes nothing for this long is gone.
const WRITE_STALL: Duration = Duration::from_secs(10);
/// Pongs that may wait.
const PONGS: usize = 16;

/// Whatever stands before `/agent` is the user's prefix.
pub(crate) fn is_agent_path(path: &str) -> bool {
    path.trim_end_matches('/').ends_with("/agent")
}

/// Answers a request to `/agent`.
pub(crate) fn handle(
    request: &HttpRequest,
    payload: Payload,
    keys: &Keys,
    agents: &Arc<Agents>,
) -> HttpResponse {
    let query = request.uri().query().unwrap_or_default();
    let from_query = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("access_token="));
    let claims = match keys.verify(bearer(request).or(from_query).unwrap_or_default()) {
        Ok(claims) => claims,
        Err(error) => return HttpResponse::Unauthorized().body(error.to_string()),
    };
    if !claims.video.agent {
        return HttpResponse::Unauthorized()
            .body("the access token does not allow agents: it needs the grant `video.agent`");
    }
    let (response, session, stream) = match actix_ws::handle(request, payload) {
        Ok(parts) => parts,
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    let stream = stream
        .max_frame_size(MAX_MESSAGE)
        .aggregate_continuations()
        .max_continuation_size(MAX_MESSAGE);
    let agents = agents.clone();
    actix_web::rt::spawn(async move { serve(agents, claims.iss, session, stream).await });
    response
}

/// What a worker's frame says.
#[expect(
    clippy::large_enum_variant,
    reason = "few exist, and each for a moment"
)]
enum Heard {
    Message(worker_message::Message, bool),
    Ping(bytes::Bytes),
    /// A message of a newer worker, or a pong.
    Nothing,
    Malformed(&'static str),
    End,
}

async fn hear(stream: &mut AggregatedMessageStream) -> Heard {
    let (message, json) = match timeout(SILENCE, stream.recv()).await {
        Err(_)
        | Ok(None | Some(Ok(AggregatedMessage::Close(_)) | Err(actix_ws::ProtocolError::Io(_)))) => {
            return Heard::End;
        }
        Ok(Some(Err(_))) => return Heard::Malformed("messages may have 64 KiB"),
        Ok(Some(Ok(AggregatedMessage::Ping(data)))) => return Heard::Ping(data),
        Ok(Some(Ok(AggregatedMessage::Pong(_)))) => return Heard::Nothing,
        Ok(Some(Ok(AggregatedMessage::Binary(frame)))) => {
            (proto::WorkerMessage::decode(frame).ok(), false)
        }
        Ok(Some(Ok(AggregatedMessage::Text(text)))) => (serde_json::from_str(&text).ok(), true),
    };
    match message {
        Some(proto::WorkerMessage {
            message: Some(message),
        }) => Heard::Message(message, json),
        Some(_) => Heard::Nothing,
        None => Heard::Malformed("not a livekit.WorkerMessage"),
    }
}

async fn close(session: Session, reason: &'static str) {
    let reason = CloseReason {
        code: CloseCode::Policy,
        description: Some(reason.to_owned()),
    };
    let _ = timeout(WRITE_STALL, session.close(Some(reason))).await;
}

async fn serve(
    agents: Arc<Agents>,
    key: String,
    mut session: Session,
    mut stream: AggregatedMessageStream,
) {
    #[allow(clippy::disallowed_methods)] // tokio's timers count in its own clock
    let deadline = Instant::now() + REGISTER;
    let (request, json) = loop {
        match timeout_at(deadline, hear(&mut stream)).await {
            Ok(Heard::Message(worker_message::Message::Register(request), json)) => {
                break (request, json);
            }
            Ok(Heard::Message(..)) => return close(session, "a worker registers first").await,
            Ok(Heard::Ping(data)) => {
                if session.pong(&data).await.is_err() {
                    return;
                }
            }
            Ok(Heard::Nothing) => {}
            Ok(Heard::Malformed(why)) => return close(session, why).await,
            Ok(Heard::End) => return,
            Err(_) => return close(session, "no registration within 10 s").await,
        }
    };
    let (worker, from_server) = agents.worker_came(key, request);
    let (pongs, pongs_read) = mpsc::channel(PONGS);
    let ended = tokio::select! {
        ended = read(&agents, &worker, &mut stream, &pongs) => ended,
        () = write(session.clone(), json, from_server, pongs_read) => None,
    };
    agents.worker_gone(worker);
    if let Some(why) = ended {
        close(session, why).await;
    }
}

/// Why the socket is to be closed, if it is still open.
async fn read(
    agents: &Arc<Agents>,
    worker: &WorkerId,
    stream: &mut AggregatedMessageStream,
    pongs: &mpsc::Sender<bytes::Bytes>,
) -> Option<&'static str> {
    loop {
        match hear(stream).await {
            Heard::Message(message, _) => {
                let input = PoolInput::Message(worker.clone(), message);
                agents.act(|state, at| state.pool(at, input));
            }
            Heard::Ping(data) => {
                if pongs.send(data).await.is_err() {
                    return None;
                }
            }
            Heard::Nothing => {}
            Heard::Malformed(why) => return Some(why),
            Heard::End => return None,
        }
    }
}

async fn write(
    mut session: Session,
    json: bool,
    mut from_server: mpsc::Receiver<ToWorker>,
    mut pongs: mpsc::Receiver<bytes::Bytes>,
) {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let written = tokio::select! {
            message = from_server.recv() => match message {
                None => return,
                Some(ToWorker::Close(reason)) => return close(session, reason).await,
                Some(ToWorker::Message(message)) if json => {
                    let text = serde_json::to_string(&message).unwrap_or_default();
                    timeout(WRITE_STALL, session.text(text)).await
                }
                Some(ToWorker::Message(message)) => {
                    timeout(WRITE_STALL, session.binary(message.encode_to_vec())).await
                }
            },
            Some(data) = pongs.recv() => timeout(WRITE_STALL, session.pong(&data)).await,
            _ = pings.tick() => timeout(WRITE_STALL, session.ping(b"")).await,
        };
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_may_use_a_prefix() {
        assert!(is_agent_path("/agent") && is_agent_path("/media/agent/"));
        assert!(!is_agent_path("/agents") && !is_agent_path("/user-agent"));
    }
}

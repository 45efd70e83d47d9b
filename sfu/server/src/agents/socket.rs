//! A worker's WebSocket: `/agent`, behind any prefix.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web::Payload};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use livekit_protocol::{self as proto, server_message, worker_message};
use plenum_cluster::RoomKey;
use plenum_engine::Clock;
use prost::Message as _;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    driver::{Agents, ToWorker},
    ids::WorkerId,
    pace::Pace,
    pool::PoolInput,
};
use crate::{
    auth::Claims,
    http::{Service, bearer},
    signal::parts,
};

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
/// Answers to pings that may wait.
const ANSWERS: usize = 16;
/// See [`parts::MAX_PARTS`].
const TOO_MANY_PARTS: &str = "messages may have 20000 parts";

/// Whatever stands before `/agent` is the user's prefix.
pub(crate) fn is_agent_path(path: &str) -> bool {
    path.trim_end_matches('/').ends_with("/agent")
}

/// Answers a request to `/agent`.
pub(crate) fn handle(request: &HttpRequest, payload: Payload, service: &Service) -> HttpResponse {
    let query = request.uri().query().unwrap_or_default();
    let from_query = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("access_token="));
    let token = bearer(request).or(from_query).unwrap_or_default();
    let claims = match service.keys.verify(token) {
        Ok(claims) => claims,
        Err(error) => return HttpResponse::Unauthorized().body(error.to_string()),
    };
    if !claims.video.agent {
        return HttpResponse::Unauthorized()
            .body("the access token does not allow agents: it needs the grant `video.agent`");
    }
    if !service.member.takes_clients() {
        return HttpResponse::ServiceUnavailable()
            .body("this member takes no workers now; try again");
    }
    let limit = i64::from(service.config.load().limits.connections);
    if limit > 0 && service.metrics.connections() >= limit {
        return HttpResponse::ServiceUnavailable().body(format!(
            "this member serves {limit} connections already, which is its limit (limits.connections)"
        ));
    }
    let (response, session, stream) = match actix_ws::handle(request, payload) {
        Ok(parts) => parts,
        Err(error) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    let stream = stream
        .max_frame_size(MAX_MESSAGE)
        .aggregate_continuations()
        .max_continuation_size(MAX_MESSAGE);
    let agents = service.cluster.rooms.config().agents.clone();
    let metrics = service.metrics.clone();
    metrics.worker_opened();
    actix_web::rt::spawn(async move {
        let end = serve(agents, claims, session, stream).await;
        tracing::debug!(end = end.label(), "a worker's socket ended");
        metrics.worker_ended(end);
    });
    response
}

/// Why a worker's socket ended, for log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerEnd {
    /// The worker closed it, or the network did.
    Worker,
    /// It said nothing at first.
    Unregistered,
    /// Nothing was heard of it for too long.
    Silent,
    /// It read too slowly.
    Slow,
    /// It sent something that is too long or no message of the protocol.
    Malformed,
    /// It asked for what it may not have.
    Refused,
}

impl WorkerEnd {
    /// Label in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Unregistered => "unregistered",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
        }
    }
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
    End(WorkerEnd, &'static str),
}

/// What a worker gets at once.
enum Answer {
    Message(Box<proto::ServerMessage>),
    /// To a ping of the WebSocket protocol.
    Pong(bytes::Bytes),
}

/// Reads one worker.
struct Ear {
    stream: AggregatedMessageStream,
    pace: Pace,
    clock: Clock,
}

impl Ear {
    async fn hear(&mut self) -> Heard {
        let wait = self.pace.take(self.clock.now());
        if !wait.is_zero() {
            // What it sends meanwhile waits in its own network.
            sleep(wait).await;
        }
        let (message, json) = match timeout(SILENCE, self.stream.recv()).await {
            Err(_) => return Heard::End(WorkerEnd::Silent, "nothing was heard for 15 s"),
            Ok(
                None | Some(Ok(AggregatedMessage::Close(_)) | Err(actix_ws::ProtocolError::Io(_))),
            ) => return Heard::End(WorkerEnd::Worker, ""),
            Ok(Some(Err(_))) => {
                return Heard::End(WorkerEnd::Malformed, "messages may have 64 KiB");
            }
            Ok(Some(Ok(AggregatedMessage::Ping(data)))) => return Heard::Ping(data),
            Ok(Some(Ok(AggregatedMessage::Pong(_)))) => return Heard::Nothing,
            Ok(Some(Ok(AggregatedMessage::Binary(frame)))) => {
                if parts::of_protobuf(&frame).is_none() {
                    return Heard::End(WorkerEnd::Malformed, TOO_MANY_PARTS);
                }
                (proto::WorkerMessage::decode(frame).ok(), false)
            }
            Ok(Some(Ok(AggregatedMessage::Text(text)))) => {
                if parts::of_json(&text).is_none() {
                    return Heard::End(WorkerEnd::Malformed, TOO_MANY_PARTS);
                }
                (serde_json::from_str(&text).ok(), true)
            }
        };
        match message {
            Some(proto::WorkerMessage {
                message: Some(message),
            }) => Heard::Message(message, json),
            Some(_) => Heard::Nothing,
            None => Heard::End(WorkerEnd::Malformed, "not a livekit.WorkerMessage"),
        }
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
    claims: Claims,
    mut session: Session,
    stream: AggregatedMessageStream,
) -> WorkerEnd {
    let clock = agents.config.clock;
    let mut ear = Ear {
        stream,
        pace: Pace::new(clock.now()),
        clock,
    };
    let (request, json) = match timeout(REGISTER, registration(&mut ear, &mut session)).await {
        Ok(Ok(registration)) => registration,
        Ok(Err((end, reason))) => {
            close(session, reason).await;
            return end;
        }
        Err(_) => {
            close(session, "no registration within 10 s").await;
            return WorkerEnd::Unregistered;
        }
    };
    let (worker, from_server) = agents.worker_came(claims.iss, request);
    let (answers, answers_read) = mpsc::channel(ANSWERS);
    let room = claims.video.room;
    let (end, reason) = tokio::select! {
        ended = read(&agents, &worker, &room, &mut ear, &answers) => ended,
        end = write(session.clone(), json, from_server, answers_read) => (end, ""),
    };
    agents.worker_gone(worker);
    if end != WorkerEnd::Worker && !reason.is_empty() {
        close(session, reason).await;
    }
    end
}

/// What a socket says first, or why it is closed.
async fn registration(
    ear: &mut Ear,
    session: &mut Session,
) -> Result<(proto::RegisterWorkerRequest, bool), (WorkerEnd, &'static str)> {
    loop {
        match ear.hear().await {
            Heard::Message(worker_message::Message::Register(request), json) => {
                return Ok((request, json));
            }
            Heard::Message(worker_message::Message::Ping(ping), json) => {
                let pong = pong(ping, ear.clock);
                write_message(session, json, &pong)
                    .await
                    .map_err(|end| (end, ""))?;
            }
            Heard::Message(..) => return Err((WorkerEnd::Refused, "a worker registers first")),
            Heard::Ping(data) => {
                if session.pong(&data).await.is_err() {
                    return Err((WorkerEnd::Worker, ""));
                }
            }
            Heard::Nothing => {}
            Heard::End(end, why) => return Err((end, why)),
        }
    }
}

/// Why the socket is to be closed.
async fn read(
    agents: &Arc<Agents>,
    worker: &WorkerId,
    room: &str,
    ear: &mut Ear,
    answers: &mpsc::Sender<Answer>,
) -> (WorkerEnd, &'static str) {
    loop {
        let answer = match ear.hear().await {
            Heard::Message(worker_message::Message::Ping(ping), _) => {
                Answer::Message(Box::new(pong(ping, ear.clock)))
            }
            Heard::Message(worker_message::Message::SimulateJob(request), _)
                if !may_simulate(room, &request) =>
            {
                let refusal = "simulate_job names no room, or another one than the worker's token";
                return (WorkerEnd::Refused, refusal);
            }
            Heard::Message(message, _) => {
                let input = PoolInput::Message(worker.clone(), message);
                agents.act(|state, at| state.pool(at, input));
                continue;
            }
            Heard::Ping(data) => Answer::Pong(data),
            Heard::Nothing => continue,
            Heard::End(end, why) => return (end, why),
        };
        // Who pings faster than he reads waits.
        if answers.send(answer).await.is_err() {
            return (WorkerEnd::Worker, "");
        }
    }
}

fn pong(ping: proto::WorkerPing, clock: Clock) -> proto::ServerMessage {
    let pong = proto::WorkerPong {
        last_timestamp: ping.timestamp,
        timestamp: clock.wall().unix_millis(clock.now()),
    };
    proto::ServerMessage {
        message: Some(server_message::Message::Pong(pong)),
    }
}

/// A worker may ask for a job in any room, as with the reference, unless its token names one.
fn may_simulate(room: &str, request: &proto::SimulateJobRequest) -> bool {
    let asked = request.room.as_ref().map_or("", |room| room.name.as_str());
    RoomKey::new(asked).is_ok() && (room.is_empty() || room == asked)
}

async fn write(
    mut session: Session,
    json: bool,
    mut from_server: mpsc::Receiver<ToWorker>,
    mut answers: mpsc::Receiver<Answer>,
) -> WorkerEnd {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let written = tokio::select! {
            message = from_server.recv() => match message {
                // It left too much unread.
                None => return WorkerEnd::Slow,
                Some(ToWorker::Close(reason)) => {
                    close(session, reason).await;
                    return WorkerEnd::Refused;
                }
                Some(ToWorker::Message(message)) => {
                    write_message(&mut session, json, &message).await
                }
            },
            Some(answer) = answers.recv() => match answer {
                Answer::Message(message) => write_message(&mut session, json, &message).await,
                Answer::Pong(data) => written(session.pong(&data)).await,
            },
            _ = pings.tick() => written(session.ping(b"")).await,
        };
        if let Err(end) = written {
            return end;
        }
    }
}

async fn write_message(
    session: &mut Session,
    json: bool,
    message: &proto::ServerMessage,
) -> Result<(), WorkerEnd> {
    if !json {
        return written(session.binary(message.encode_to_vec())).await;
    }
    // What has no name in JSON is left out.
    match serde_json::to_string(message) {
        Ok(text) => written(session.text(text)).await,
        Err(_) => Ok(()),
    }
}

async fn written(
    sending: impl Future<Output = Result<(), actix_ws::Closed>>,
) -> Result<(), WorkerEnd> {
    match timeout(WRITE_STALL, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(WorkerEnd::Worker),
        Err(_) => Err(WorkerEnd::Slow),
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

    #[test]
    fn a_token_for_one_room_asks_for_jobs_in_no_other() {
        let asks = |name: &str| proto::SimulateJobRequest {
            room: Some(proto::Room {
                name: name.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(may_simulate("", &asks("lobby")) && may_simulate("lobby", &asks("lobby")));
        assert!(!may_simulate("hall", &asks("lobby")));
        assert!(!may_simulate("", &asks("")) && !may_simulate("", &asks(&"n".repeat(1_000))));
        assert!(!may_simulate("", &proto::SimulateJobRequest::default()));
    }
}

//! The member's end of a client's WebSocket: keep-alive, JSON, and frames between socket and [`Connection`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use bytes::Bytes;
use livekit_protocol as proto;
use plenum_engine::Clock;
use plenum_types::Timestamp;
use prost::Message as _;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Connection, FrameError, OutboxReader, Outgoing, parts};

/// Largest message of a client (protocol.md 1.1). An SDP of 100 sections has 400 KB.
pub const MAX_MESSAGE: usize = 2 * 1024 * 1024;
/// How often the socket is pinged, so that both ends notice a frozen one (claims.md).
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A client that answers no ping for this long is gone; its own limit is the same (protocol.md 1.6).
const SILENCE: Duration = Duration::from_secs(15);
/// A client that takes nothing for this long is cut; it resumes.
const WRITE_STALL: Duration = Duration::from_secs(10);
/// After a close frame the client may close the connection itself; data that is still on its way would turn our close
/// into a reset, which could overtake the Leave.
const LINGER: Duration = Duration::from_secs(2);
/// Keep-alive answers that may wait; a client that pings faster waits.
const ANSWERS: usize = 16;

/// First byte of an encoded `SignalRequest` that is a `ping` (field 14, varint).
const PING_TAG: &[u8] = &[0x70];
/// First bytes of an encoded `SignalRequest` that is a `ping_req` (field 16, length-delimited).
const PING_REQ_TAG: &[u8] = &[0x82, 0x01];
/// Longer than any ping: what begins like one and is longer goes the way of all messages.
const MAX_PING_BYTES: usize = 64;

/// Why a socket's service ended, for log and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketEnd {
    /// The client closed it, or the network did.
    Client,
    /// The room closed it.
    Room,
    /// The client read too slowly.
    Slow,
    /// Nothing was heard for too long.
    Silent,
    /// The client sent something that is too long or no message of the protocol.
    Malformed,
}

impl SocketEnd {
    /// Label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Room => "room",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::Malformed => "malformed",
        }
    }

    /// The client did something wrong, or could not follow.
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(self, Self::Slow | Self::Silent | Self::Malformed)
    }
}

/// Carries frames until one side ends the connection. `resumes` says that the client goes on with a session.
pub async fn serve(
    session: Session,
    stream: actix_ws::MessageStream,
    connection: Connection,
    clock: Clock,
    resumes: bool,
) -> SocketEnd {
    let mut stream = stream
        .max_frame_size(MAX_MESSAGE)
        .aggregate_continuations()
        .max_continuation_size(MAX_MESSAGE);
    let Connection {
        to_room,
        first,
        from_room,
    } = connection;
    let json = Arc::new(AtomicBool::new(false));
    let (answers, answers_read) = mpsc::channel(ANSWERS);
    let writer = Writer {
        session,
        json: json.clone(),
    };
    let end = tokio::select! {
        end = read(&mut stream, &to_room, &answers, &json, &clock, resumes) => end,
        end = writer.run(first, from_room, answers_read) => end,
    };
    drop(to_room);
    if end == SocketEnd::Room {
        let _ = timeout(LINGER, async {
            while let Some(Ok(_)) = stream.recv().await {}
        })
        .await;
    }
    end
}

/// Something for the writer that does not come from the room.
enum Answer {
    /// An encoded `livekit.SignalResponse`.
    Frame(Bytes),
    /// The answer to a ping of the WebSocket protocol.
    Pong(Bytes),
}

impl Answer {
    fn message(message: proto::signal_response::Message) -> Self {
        let response = proto::SignalResponse {
            message: Some(message),
        };
        Self::Frame(response.encode_to_vec().into())
    }
}

async fn read(
    stream: &mut AggregatedMessageStream,
    to_room: &super::FrameSink,
    answers: &mpsc::Sender<Answer>,
    json: &AtomicBool,
    clock: &Clock,
    resumes: bool,
) -> SocketEnd {
    // Clients that resume hold back what can wait until their media is back, their pings too, and yet give the socket up if no
    // pong comes: the Rust SDK waits for 3 s, which is all the patience that a pool asks for. So they get pongs unasked.
    let mut holds_pings = resumes;
    loop {
        let frame = match timeout(SILENCE, stream.recv()).await {
            Err(_) => return SocketEnd::Silent,
            Ok(
                None | Some(Ok(AggregatedMessage::Close(_)) | Err(actix_ws::ProtocolError::Io(_))),
            ) => return SocketEnd::Client,
            Ok(Some(Err(_))) => return SocketEnd::Malformed,
            Ok(Some(Ok(AggregatedMessage::Pong(_)))) => {
                let pong =
                    proto::signal_response::Message::Pong(clock.wall().unix_millis(clock.now()));
                if holds_pings && answers.send(Answer::message(pong)).await.is_err() {
                    return SocketEnd::Client;
                }
                continue;
            }
            Ok(Some(Ok(AggregatedMessage::Ping(data)))) => {
                if answers.send(Answer::Pong(data)).await.is_err() {
                    return SocketEnd::Client;
                }
                continue;
            }
            Ok(Some(Ok(AggregatedMessage::Binary(frame)))) => {
                json.store(false, Ordering::Relaxed);
                frame
            }
            Ok(Some(Ok(AggregatedMessage::Text(text)))) => {
                json.store(true, Ordering::Relaxed);
                if parts::of_json(&text).is_none() {
                    return SocketEnd::Malformed;
                }
                match serde_json::from_str::<proto::SignalRequest>(&text) {
                    Ok(request) => request.encode_to_vec().into(),
                    Err(_) => return SocketEnd::Malformed,
                }
            }
        };
        if let Some(answer) = keep_alive(&frame, clock, clock.now()) {
            holds_pings = false;
            if answers.send(Answer::message(answer)).await.is_err() {
                return SocketEnd::Client;
            }
            continue;
        }
        match to_room.send(&frame).await {
            Ok(()) => {}
            Err(FrameError::Malformed) => return SocketEnd::Malformed,
            // What the room still had to say is with the writer, which ends with it.
            Err(FrameError::RoomGone) => std::future::pending::<()>().await,
        }
    }
}

/// The answer to an application ping; `None` for all other messages.
fn keep_alive(
    frame: &[u8],
    clock: &Clock,
    now: Timestamp,
) -> Option<proto::signal_response::Message> {
    let is_ping = frame.starts_with(PING_TAG) || frame.starts_with(PING_REQ_TAG);
    if !is_ping || frame.len() > MAX_PING_BYTES {
        return None;
    }
    let now = clock.wall().unix_millis(now);
    match proto::SignalRequest::decode(frame).ok()?.message? {
        proto::signal_request::Message::Ping(_) => Some(proto::signal_response::Message::Pong(now)),
        proto::signal_request::Message::PingReq(ping) => {
            Some(proto::signal_response::Message::PongResp(proto::Pong {
                last_ping_timestamp: ping.timestamp,
                timestamp: now,
            }))
        }
        _ => None,
    }
}

struct Writer {
    session: Session,
    json: Arc<AtomicBool>,
}

impl Writer {
    async fn run(
        mut self,
        first: Bytes,
        mut from_room: OutboxReader,
        mut answers: mpsc::Receiver<Answer>,
    ) -> SocketEnd {
        if let Err(end) = self.frame(first).await {
            return end;
        }
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let written = tokio::select! {
                outgoing = from_room.next() => match outgoing {
                    Outgoing::Frame(frame) => self.frame(frame).await,
                    Outgoing::Cut => return SocketEnd::Slow,
                    Outgoing::Close(reason) => {
                        let reason = CloseReason {
                            code: CloseCode::Normal,
                            description: Some(reason.to_owned()),
                        };
                        let _ = timeout(WRITE_STALL, self.session.close(Some(reason))).await;
                        return SocketEnd::Room;
                    }
                },
                Some(answer) = answers.recv() => match answer {
                    Answer::Pong(data) => bounded(self.session.pong(&data)).await,
                    Answer::Frame(frame) => self.frame(frame).await,
                },
                _ = pings.tick() => bounded(self.session.ping(b"")).await,
            };
            if let Err(end) = written {
                return end;
            }
        }
    }

    async fn frame(&mut self, frame: Bytes) -> Result<(), SocketEnd> {
        if self.json.load(Ordering::Relaxed) {
            let Some(text) = json(&frame) else {
                return Ok(());
            };
            return bounded(self.session.text(text)).await;
        }
        bounded(self.session.binary(frame)).await
    }
}

/// `None` if the message has a value that JSON has no name for: a client can do without it, and not with an empty frame.
fn json(frame: &[u8]) -> Option<String> {
    let response = proto::SignalResponse::decode(frame)
        .inspect_err(|error| tracing::error!(%error, "the room sends no livekit.SignalResponse"))
        .ok()?;
    serde_json::to_string(&response)
        .inspect_err(|error| tracing::warn!(%error, "a message can't be written as JSON"))
        .ok()
}

async fn bounded(
    write: impl Future<Output = Result<(), actix_ws::Closed>>,
) -> Result<(), SocketEnd> {
    match timeout(WRITE_STALL, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(SocketEnd::Client),
        Err(_) => Err(SocketEnd::Slow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(message: proto::signal_request::Message) -> Vec<u8> {
        proto::SignalRequest {
            message: Some(message),
        }
        .encode_to_vec()
    }

    #[test]
    fn what_json_has_no_name_for_is_left_out_and_not_sent_empty() {
        let leave = |reason| {
            proto::SignalResponse {
                message: Some(proto::signal_response::Message::Leave(
                    proto::LeaveRequest {
                        reason,
                        ..Default::default()
                    },
                )),
            }
            .encode_to_vec()
        };
        assert!(json(&leave(1)).unwrap().contains("CLIENT_INITIATED"));
        assert_eq!(json(&leave(4711)), None);
    }

    /// covers: edge.both_pings
    #[test]
    fn both_kinds_of_ping_are_answered_and_nothing_else() {
        use proto::{signal_request::Message as Request, signal_response::Message as Response};
        let clock = Clock::start();
        let now = clock.now();
        let wall = clock.wall().unix_millis(now);
        let answer = |message| keep_alive(&encoded(message), &clock, now);
        assert_eq!(answer(Request::Ping(7)), Some(Response::Pong(wall)));
        assert_eq!(
            answer(Request::PingReq(proto::Ping {
                timestamp: 7,
                rtt: 1
            })),
            Some(Response::PongResp(proto::Pong {
                last_ping_timestamp: 7,
                timestamp: wall
            }))
        );
        assert_eq!(answer(Request::Leave(Default::default())), None);
        let mut disguised = encoded(Request::Ping(7));
        disguised.extend([0x62, 0x00].repeat(50));
        disguised.extend(encoded(Request::Ping(8)));
        assert_eq!(keep_alive(&disguised, &clock, now), None);
    }
}

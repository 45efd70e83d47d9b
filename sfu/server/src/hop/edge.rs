//! The edge's end of a hop.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, future::Either};
use livekit_protocol as proto;
use plenum_cluster::{
    RoomKey,
    clock::boottime,
    directory::Holder,
    member_api::INTERNAL_PROTOCOL,
    membership::{Fate, IfAbsent, PeerError},
};
use plenum_room::SignalMessage;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error as WsError, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    KEEP_ALIVE, MAX_HOP_MESSAGE, SUSPECT,
    hops::HopSlot,
    wire::{CLOSE_CUT, Hello, Welcome},
};
use crate::{
    auth::TokenError,
    cluster::{CONNECT_TIMEOUT, Cluster, HOLD, read_io_error},
    signal::{Connection, FrameSink, JoinContext, JoinError, Outbox, outbox},
};

/// The handshake with a home that accepts connections; it touches no room.
const HANDSHAKE: Duration = Duration::from_secs(1);
/// The home waits up to 4 s for its room's first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// Frames of the client that may wait for the hop; then its socket is not read.
const FRAMES: usize = 16;

/// Why there is no hop.
#[derive(Debug, thiserror::Error)]
pub enum HopError {
    /// The home does not let the client in.
    #[error(transparent)]
    Refused(JoinError),
    /// It is not the home, or not that life of it: locate the room again.
    #[error("{0}")]
    NotHome(String),
    /// It can't be reached.
    #[error(transparent)]
    Unreachable(#[from] PeerError),
}

type Socket = WebSocketStream<TcpStream>;

/// Carries a client to the home of its room; answers once the home's room has answered. Runs on the rooms' runtime.
///
/// # Errors
/// See [`HopError`].
pub async fn open(
    cluster: &Arc<Cluster>,
    home: &Holder,
    address: &str,
    context: &JoinContext,
) -> Result<Connection, HopError> {
    let mut socket = connect(cluster, address).await?;
    let hello = Hello {
        protocol: INTERNAL_PROTOCOL,
        to: home.clone(),
        from: cluster.membership.me(),
        context: context.clone(),
    };
    let hello = serde_json::to_string(&hello)
        .map_err(|error| HopError::Refused(JoinError::Malformed(error.to_string())))?;
    let (welcome, first) = timeout(FIRST_ANSWER, async {
        socket.send(Message::text(hello)).await?;
        let welcome = next_data(&mut socket).await?;
        let welcome: Welcome = serde_json::from_slice(&welcome)
            .map_err(|error| WsError::Io(io::Error::other(error)))?;
        let first = match welcome {
            Welcome::LetIn => next_data(&mut socket).await?,
            _ => Bytes::new(),
        };
        Ok::<_, WsError>((welcome, first))
    })
    .await
    .map_err(|_| PeerError::Timeout)?
    .map_err(|error| read_ws_error(&error))?;
    match welcome {
        Welcome::LetIn => {}
        Welcome::NotHome(why) => return Err(HopError::NotHome(why)),
        Welcome::NoRoom => return Err(HopError::Refused(JoinError::NoRoom)),
        Welcome::Malformed(why) => return Err(HopError::Refused(JoinError::Malformed(why))),
        Welcome::TokenRevoked => return Err(HopError::Refused(TokenError::Revoked.into())),
        Welcome::Unavailable(why) => return Err(HopError::Refused(JoinError::Unavailable(why))),
    }
    let (frames, from_client) = mpsc::channel(FRAMES);
    let (to_client, from_room) = outbox();
    let (slot, released) = cluster.hops.add();
    let hop = Hop {
        cluster: cluster.clone(),
        home: home.clone(),
        room: context.room.as_str().to_owned(),
        socket,
        from_client,
        to_client,
        released,
        _slot: slot,
    };
    tokio::spawn(hop.carry());
    Ok(Connection {
        to_room: FrameSink::to_hop(frames),
        first,
        from_room,
    })
}

async fn connect(cluster: &Cluster, address: &str) -> Result<Socket, PeerError> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| PeerError::Timeout)?
        .map_err(|error| read_io_error(&error))?;
    // Signal messages are small and few.
    let _ = stream.set_nodelay(true);
    let mut request = format!("ws://{address}/internal/v1/hop")
        .into_client_request()
        .map_err(|error| read_ws_error(&error))?;
    let secret = HeaderValue::from_str(&format!("Bearer {}", cluster.peers.secret()))
        .map_err(|error| PeerError::Other(error.to_string()))?;
    request.headers_mut().insert(header::AUTHORIZATION, secret);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_HOP_MESSAGE))
        .max_frame_size(Some(MAX_HOP_MESSAGE));
    let (socket, _) = timeout(
        HANDSHAKE,
        client_async_with_config(request, stream, Some(config)),
    )
    .await
    .map_err(|_| PeerError::Timeout)?
    .map_err(|error| read_ws_error(&error))?;
    Ok(socket)
}

/// The next text or binary message.
async fn next_data(socket: &mut Socket) -> Result<Bytes, WsError> {
    loop {
        match socket.next().await.ok_or(WsError::ConnectionClosed)?? {
            Message::Text(text) => return Ok(text.into()),
            Message::Binary(bytes) => return Ok(bytes),
            Message::Close(_) => return Err(WsError::ConnectionClosed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

fn read_ws_error(error: &WsError) -> PeerError {
    match error {
        WsError::Io(error) => read_io_error(error),
        WsError::ConnectionClosed | WsError::AlreadyClosed | WsError::Protocol(_) => {
            PeerError::Reset
        }
        other => PeerError::Other(other.to_string()),
    }
}

/// A running hop.
struct Hop {
    cluster: Arc<Cluster>,
    home: Holder,
    room: String,
    socket: Socket,
    from_client: mpsc::Receiver<Bytes>,
    to_client: Outbox,
    released: oneshot::Receiver<()>,
    _slot: HopSlot,
}

/// What ended a hop.
enum End {
    /// The client, or the room: everything is said.
    Done,
    /// Nobody said anything: the hop is lost.
    Lost(PeerError),
    /// It is silent, and that is what became of the home.
    Silent(Fate),
}

impl Hop {
    async fn carry(mut self) {
        let end = self.pump().await;
        let fate = match end {
            End::Done => return,
            End::Silent(fate) => fate,
            End::Lost(ref error) => {
                tracing::debug!(home = %self.home.node, %error, "a hop is lost");
                self.cluster.membership.fate(&self.home, HOLD).await
            }
        };
        self.cluster.hops.metrics.hop_lost(match fate {
            Fate::Dead => "dead",
            Fate::Alive => "alive",
            Fate::Silent => "silent",
        });
        if fate == Fate::Dead {
            self.send_to_new_home().await;
        }
        // Otherwise the socket is cut without a Leave: the client resumes, its media goes on.
    }

    /// Carries frames until something ends it.
    async fn pump(&mut self) -> End {
        let mut keep_alive = interval(KEEP_ALIVE);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = boottime();
        let membership = self.cluster.membership.clone();
        let home = self.home.clone();
        let mut fate = std::pin::pin!(Either::Left(std::future::pending::<Fate>()));
        let mut suspected = false;
        loop {
            let sent = tokio::select! {
                message = self.socket.next() => {
                    heard = boottime();
                    if suspected {
                        suspected = false;
                        fate.set(Either::Left(std::future::pending()));
                    }
                    match message {
                        Some(Ok(Message::Binary(frame))) => {
                            if !self.to_client.send(frame) {
                                return self.close().await;
                            }
                        }
                        Some(Ok(Message::Close(frame))) => return self.closed(frame.as_ref()),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return End::Lost(read_ws_error(&error)),
                        None => return End::Lost(PeerError::Reset),
                    }
                    continue;
                }
                frame = self.from_client.recv() => match frame {
                    Some(frame) => Message::Binary(frame),
                    None => return self.close().await,
                },
                _ = keep_alive.tick() => {
                    if !suspected && boottime().saturating_sub(heard) >= SUSPECT {
                        suspected = true;
                        let (membership, home) = (membership.clone(), home.clone());
                        fate.set(Either::Right(Box::pin(async move {
                            membership.fate(&home, HOLD).await
                        })));
                    }
                    Message::Ping(Bytes::new())
                }
                fate = &mut fate => return End::Silent(fate),
                _ = &mut self.released => return self.close().await,
            };
            match timeout(SUSPECT, self.socket.send(sent)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return End::Lost(read_ws_error(&error)),
                Err(_) => return End::Lost(PeerError::Timeout),
            }
        }
    }

    /// The client is gone, or has to go.
    async fn close(&mut self) -> End {
        let _ = timeout(HANDSHAKE, self.socket.close(None)).await;
        End::Done
    }

    /// The room has closed the connection.
    fn closed(&self, frame: Option<&CloseFrame>) -> End {
        match frame {
            Some(frame) if frame.code == CloseCode::Normal => {
                // Reasons are names of the protocol.
                let reason = proto::DisconnectReason::from_str_name(frame.reason.as_str())
                    .map_or("closed", |reason| reason.as_str_name());
                self.to_client.close(reason);
                End::Done
            }
            // Dropping the client's queue cuts it.
            Some(frame) if u16::from(frame.code) == CLOSE_CUT => End::Done,
            _ => End::Lost(PeerError::Reset),
        }
    }

    /// The home is dead: its rooms are being placed anew. The client joins again as soon as there is a home to join.
    async fn send_to_new_home(&self) {
        let Ok(room) = RoomKey::new(self.room.as_str()) else {
            return;
        };
        if let Err(error) = self.cluster.locate(&room, IfAbsent::Report, HOLD).await {
            tracing::debug!(room = self.room, %error, "a room's new home is not known yet");
        }
        let reason = proto::DisconnectReason::StateMismatch;
        let leave = SignalMessage::new(proto::signal_response::Message::Leave(
            proto::LeaveRequest {
                can_reconnect: true,
                reason: reason as i32,
                action: proto::leave_request::Action::Reconnect as i32,
                regions: None,
            },
        ));
        self.to_client.send(leave.binary());
        self.to_client.close(reason.as_str_name());
    }
}

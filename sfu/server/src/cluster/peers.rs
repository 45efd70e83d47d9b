//! Requests to the internal ports of other members: the process's one HTTP client.

use std::{error::Error as _, io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use plenum_cluster::{
    RoomKey,
    member_api::{Ping, Pong, RoomReport},
    membership::{PeerError, PeerRooms, Peers},
};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Serialize;

use crate::config::Secret;

/// Peers are in the same network: a connection takes a millisecond, and one that takes longer than this is as good as lost.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// Idle connections that are kept to each peer.
const IDLE_CONNECTIONS: usize = 8;

/// Speaks to other members with the cluster secret.
pub struct PeerClient {
    http: Client,
    secret: Secret,
}

/// What a peer answered, whatever its status.
#[derive(Debug, Clone)]
pub struct PeerReply {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

impl PeerClient {
    /// A client of its own for each runtime that it is used on.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn new(secret: Secret) -> reqwest::Result<Self> {
        let http = Client::builder()
            // The environment's proxy has no way to members.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { http, secret })
    }

    /// What members and operator show each other.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret.0
    }

    fn request(&self, method: Method, address: &str, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{address}/internal/v1/{path}"))
            .bearer_auth(&self.secret.0)
    }

    /// Sends JSON; answers with whatever came back.
    ///
    /// # Errors
    /// Nothing came back within `bound`.
    pub async fn send<B: Serialize + Sync>(
        &self,
        method: Method,
        address: &str,
        path: &str,
        body: &B,
        bound: Duration,
    ) -> Result<PeerReply, PeerError> {
        reply(
            self.request(method, address, path)
                .timeout(bound)
                .json(body),
        )
        .await
    }

    /// Sends a body as it is.
    ///
    /// # Errors
    /// Nothing came back within `bound`.
    pub async fn post_raw(
        &self,
        address: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        bound: Duration,
    ) -> Result<PeerReply, PeerError> {
        let mut request = self.request(Method::POST, address, path).timeout(bound);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        reply(request.body(body)).await
    }
}

async fn reply(request: RequestBuilder) -> Result<PeerReply, PeerError> {
    let response = request.send().await.map_err(|error| read_error(&error))?;
    Ok(PeerReply {
        status: response.status().as_u16(),
        body: response.bytes().await.map_err(|error| read_error(&error))?,
    })
}

#[async_trait]
impl Peers for PeerClient {
    async fn ping(&self, address: &str, ping: &Ping) -> Result<Pong, PeerError> {
        let response = self
            .request(Method::POST, address, "ping")
            .json(ping)
            .send()
            .await
            .map_err(|error| read_error(&error))?;
        match response.status() {
            StatusCode::OK => response.json().await.map_err(|error| read_error(&error)),
            StatusCode::UNAUTHORIZED => Err(PeerError::Other(
                "the cluster secret of the other member is another one".to_owned(),
            )),
            status => Err(PeerError::Other(format!(
                "it answered a ping with status {status}"
            ))),
        }
    }
}

#[async_trait]
impl PeerRooms for PeerClient {
    async fn holds(&self, address: &str, room: &RoomKey) -> Result<Option<RoomReport>, PeerError> {
        let response = self
            .request(Method::GET, address, &format!("rooms/{}", room.escaped()))
            .send()
            .await
            .map_err(|error| read_error(&error))?;
        match response.status() {
            StatusCode::OK => response
                .json()
                .await
                .map(Some)
                .map_err(|error| read_error(&error)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(PeerError::Other(format!(
                "it answered with status {status}"
            ))),
        }
    }
}

/// How a connection failed decides how fast a peer is judged.
pub(crate) fn read_io_error(error: &io::Error) -> PeerError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => PeerError::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => PeerError::Reset,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => PeerError::Unreachable,
        io::ErrorKind::TimedOut => PeerError::Timeout,
        _ => PeerError::Other(error.to_string()),
    }
}

fn read_error(error: &reqwest::Error) -> PeerError {
    if error.is_timeout() {
        return PeerError::Timeout;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return read_io_error(io);
        }
        source = cause.source();
    }
    if error.is_request() && !error.is_connect() {
        // The peer closed a connection that was being used.
        return PeerError::Reset;
    }
    PeerError::Other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plenum_cluster::{Incarnation, NodeId, member_api::MemberState};
    use std::net::TcpListener;

    fn ping() -> Ping {
        Ping {
            from: NodeId::new("a").unwrap(),
            incarnation: Incarnation::fresh(),
            state: MemberState::Serving,
            silent: Vec::new(),
            swept: Vec::new(),
        }
    }

    fn client() -> PeerClient {
        PeerClient::new(Secret("s".to_owned())).unwrap()
    }

    #[tokio::test]
    async fn a_port_without_a_listener_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert_eq!(
            client().ping(&address, &ping()).await,
            Err(PeerError::Refused)
        );
    }

    #[tokio::test]
    async fn a_peer_that_dies_while_it_is_asked_resets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepting = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut some = [0; 16];
            let _ = std::io::Read::read(&mut stream, &mut some);
        });
        assert_eq!(
            client().ping(&address, &ping()).await,
            Err(PeerError::Reset)
        );
        accepting.join().unwrap();
    }
}

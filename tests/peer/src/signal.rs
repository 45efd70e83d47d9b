//! The signal connection: protobuf in WebSocket frames.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol::{
    self as proto, signal_request::Message as Request, signal_response::Message as Response,
};
use prost::Message as _;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _},
};

/// Version of the protocol that a Peer speaks.
const PROTOCOL: i32 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Signal(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Signal {
    /// Joins for one peer connection, with all that is known from the start.
    pub(crate) async fn join_single(
        member: SocketAddr,
        token: &str,
        mut join: proto::JoinRequest,
    ) -> anyhow::Result<Self> {
        join.client_info = Some(proto::ClientInfo {
            sdk: proto::client_info::Sdk::Rust as i32,
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..proto::ClientInfo::default()
        });
        join.connection_settings = Some(proto::ConnectionSettings {
            auto_subscribe: true,
            ..proto::ConnectionSettings::default()
        });
        let wrapped = proto::WrappedJoinRequest {
            compression: proto::wrapped_join_request::Compression::None as i32,
            join_request: join.encode_to_vec(),
        };
        let join = URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec());
        Self::open(member, &format!("/rtc/v1?join_request={join}"), token).await
    }

    /// Joins for two peer connections.
    pub(crate) async fn join_dual(member: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let path = format!("/rtc?auto_subscribe=1&sdk=rust&protocol={PROTOCOL}");
        Self::open(member, &path, token).await
    }

    async fn open(member: SocketAddr, path: &str, token: &str) -> anyhow::Result<Self> {
        let mut request = format!("ws://{member}{path}").into_client_request()?;
        let bearer = format!("Bearer {token}").parse()?;
        request.headers_mut().insert("Authorization", bearer);
        let (socket, _) = connect_async_with_config(request, None, true)
            .await
            .context("the server does not take the signal connection")?;
        Ok(Self(socket))
    }

    pub(crate) async fn send(&mut self, message: Request) -> anyhow::Result<()> {
        let request = proto::SignalRequest {
            message: Some(message),
        };
        let frame = Message::Binary(request.encode_to_vec().into());
        Ok(self.0.send(frame).await?)
    }

    /// The next message; `None` when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<Response> {
        loop {
            match self.0.next().await?.ok()? {
                Message::Binary(bytes) => {
                    if let Some(message) = proto::SignalResponse::decode(bytes).ok()?.message {
                        return Some(message);
                    }
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

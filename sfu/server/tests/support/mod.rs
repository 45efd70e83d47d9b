//! The real binary on free ports, ended by its process id.
#![allow(dead_code)] // each test file uses another part
#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests fail the test, too

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use plenum_server::auth::{Claims, Keys, VideoGrant};
use prost::Message as _;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

pub(crate) const KEY: &str = "tests";
pub(crate) const SECRET: &str = "a secret of the tests of at least 32 bytes";
/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    /// What it says on standard error, if that is kept.
    log: Option<PathBuf>,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn has_header(&self, line: &str) -> bool {
        self.head
            .lines()
            .any(|found| found.eq_ignore_ascii_case(line))
    }
}

/// Ports of one server: the first for HTTP, the last but one for operators, the rest for media or for what else a test binds.
const PORTS_PER_SERVER: u16 = 24;

/// First of [`PORTS_PER_SERVER`] ports on which nothing is bound. They lie below the range that the kernel gives to clients
/// (a port of that range may be taken again before the server binds it, or connect to itself), and are handed out once.
pub(crate) fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test binaries that run side by side begin at different places.
    let start = u16::try_from(std::process::id() % 400).unwrap();
    loop {
        let block = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 400;
        let first = 10_000 + block * PORTS_PER_SERVER;
        let all_free = (first..first + PORTS_PER_SERVER).all(|port| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        if all_free {
            return first;
        }
    }
}

impl Server {
    /// With keys of its own, not in dev mode.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        Self::launch(&[], environment, true)
    }

    pub(crate) fn launch(arguments: &[&str], environment: &[(&str, &str)], ready: bool) -> Self {
        let server = Self::spawn(arguments, environment, None);
        let path = if ready {
            "/health/ready"
        } else {
            "/health/live"
        };
        wait_for("the server to answer", || {
            TcpStream::connect(server.address).is_ok() && server.get(path).status == 200
        });
        server
    }

    /// In production with the keys of a file, its log kept in another; ready as the admin port tells it.
    pub(crate) fn with_files(config: &Path, log: &Path, environment: &[(&str, &str)]) -> Self {
        let config = config.to_str().unwrap();
        let mut environment = environment.to_vec();
        environment.extend([("PLENUM_KEYS", ""), ("LOG_LEVEL", "")]);
        let server = Self::spawn(&["--config", config], &environment, Some(log));
        wait_for("the server to be ready", || {
            TcpStream::connect(server.admin).is_ok()
                && server.ask_admin("/health/ready").status == 200
        });
        server
    }

    fn spawn(arguments: &[&str], environment: &[(&str, &str)], log: Option<&Path>) -> Self {
        let port = free_ports();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let media = port + 1;
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, port + PORTS_PER_SERVER - 2));
        let child = Command::new(env!("CARGO_BIN_EXE_plenum-sfu"))
            .args(arguments)
            .env_clear()
            .env("PLENUM_PORT", address.port().to_string())
            .env("PLENUM_BIND", "127.0.0.1")
            .env("PLENUM_ADMIN_ADDRESS", admin.to_string())
            .env("RTC_MIN_PORT", media.to_string())
            .env("RTC_MAX_PORT", (media + 20).to_string())
            .env("PLENUM_SHARDS", "1")
            .env("PLENUM_KEYS", format!("{KEY}: {SECRET}"))
            .env("RTC_TCP_PORT", "0")
            .env("LOG_LEVEL", "warn")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log.map_or_else(Stdio::inherit, |log| File::create(log).unwrap().into()))
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            admin,
            log: log.map(Path::to_owned),
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.as_ref().unwrap()).unwrap()
    }

    /// The arguments that anyone on the machine can see.
    pub(crate) fn command_line(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/cmdline", self.child.id())).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    /// Asks the admin port.
    pub(crate) fn ask_admin(&self, path: &str) -> Answer {
        request_to(self.admin, "GET", path, &[], b"")
    }

    /// One request on a connection of its own; what comes before the close is the answer.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        request_to(self.address, method, path, headers, body)
    }

    /// A server API call in JSON.
    pub(crate) fn call(&self, method: &str, video: VideoGrant, body: &str) -> Answer {
        let token = token(|claims| claims.video = video);
        self.request(
            "POST",
            &format!("/twirp/livekit.RoomService/{method}"),
            &[
                &format!("Authorization: Bearer {token}"),
                "Content-Type: application/json",
            ],
            body.as_bytes(),
        )
    }

    /// Connects a client and gives its first message.
    pub(crate) async fn join(
        &self,
        path: &str,
        token: &str,
    ) -> (Client, proto::signal_response::Message) {
        let mut client = Client::connect(self.address, path, token).await;
        let first = client.next().await.expect("a first message");
        (client, first)
    }

    /// Ends it as Kubernetes does.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        wait_for("the process to end", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.and_then(|status| status.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own; what comes before the close is the answer.
pub(crate) fn request_to(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
        address,
        body.len()
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    // A server that refuses the head may close before all of it is written.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Answer {
        status: head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

#[allow(clippy::disallowed_methods)] // a test of a real process waits for it
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A token for `ada` to join `lobby`, changed.
pub(crate) fn token(change: impl FnOnce(&mut Claims)) -> String {
    let mut claims = Claims {
        iss: KEY.to_owned(),
        sub: "ada".to_owned(),
        exp: 4_000_000_000,
        video: VideoGrant::join("lobby"),
        ..Claims::default()
    };
    change(&mut claims);
    Keys::new([(KEY.to_owned(), SECRET.to_owned())])
        .sign(&claims)
        .unwrap()
}

pub(crate) fn token_of(identity: &str) -> String {
    token(|claims| claims.sub = identity.to_owned())
}

/// A WebSocket to the server.
pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str, token: &str) -> Self {
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("Authorization", format!("Bearer {token}").parse().unwrap());
        let config = WebSocketConfig::default()
            .max_frame_size(None)
            .max_message_size(None);
        let (socket, _) = connect_async_with_config(request, Some(config), true)
            .await
            .unwrap();
        Self(socket)
    }

    pub(crate) async fn send(&mut self, message: proto::signal_request::Message) {
        let request = proto::SignalRequest {
            message: Some(message),
        };
        self.raw(Message::Binary(request.encode_to_vec().into()))
            .await;
    }

    pub(crate) async fn raw(&mut self, message: Message) {
        // The server may have closed already; what it says then is what counts.
        let _ = self.0.send(message).await;
    }

    /// The next frame of any kind but ping and pong; `None` when the connection is over.
    pub(crate) async fn frame(&mut self) -> Option<Message> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.next())
                .await
                .expect("the server says nothing");
            match frame {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(frame)) => return Some(frame),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next message; `None` when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<proto::signal_response::Message> {
        loop {
            match self.frame().await? {
                Message::Binary(bytes) => {
                    let response = proto::SignalResponse::decode(bytes).unwrap();
                    if response.message.is_some() {
                        return response.message;
                    }
                }
                Message::Close(_) => return None,
                other => panic!("unexpected frame {other:?}"),
            }
        }
    }

    /// Skips messages until one is as wanted.
    pub(crate) async fn until<T>(
        &mut self,
        mut wanted: impl FnMut(proto::signal_response::Message) -> Option<T>,
    ) -> T {
        loop {
            let message = self.next().await.expect("the connection is over");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }

    /// Still served: a ping is answered.
    pub(crate) async fn is_served(&mut self) -> bool {
        use proto::{signal_request::Message as Request, signal_response::Message as Response};
        self.send(Request::PingReq(proto::Ping {
            timestamp: 7,
            rtt: 0,
        }))
        .await;
        self.until(|message| match message {
            Response::PongResp(pong) => Some(pong.last_ping_timestamp == 7),
            _ => None,
        })
        .await
    }
}

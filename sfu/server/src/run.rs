//! The whole process: starts the planes in order, and ends them in order.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use plenum_cluster::{Directory, NodeId, directory::MemoryDirectory, member_api::MemberState};
use plenum_engine::{Clock, Engine, EngineConfig, ServeUntil, default_shards};
use plenum_room::{EndReason, ServerIdentity};
use tokio::{
    runtime::{Builder, Runtime},
    time::{sleep, timeout},
};

use crate::{
    COMPATIBLE_VERSION,
    auth::Keys,
    config::{self, Config},
    http::{self, Service},
    member::Member,
    metrics::{Exposition, Metrics},
    rooms::{RoomDefaults, Rooms, RoomsConfig},
};

/// How long rooms get to say goodbye when the process ends.
const ROOMS_END: Duration = Duration::from_secs(10);
/// How often it is looked whether all rooms have ended.
const END_POLL: Duration = Duration::from_millis(20);
/// The last messages to clients get this long to leave the sockets.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Connections that may wait to be accepted.
const LISTEN_BACKLOG: i32 = 4096;

/// A process that serves.
pub struct Server {
    runtime: Runtime,
    service: Arc<Service>,
    listeners: Vec<TcpListener>,
    workers: usize,
    candidates: Vec<Vec<SocketAddr>>,
}

impl Server {
    /// Binds all ports and starts everything but the HTTP front.
    ///
    /// # Errors
    /// A setting is wrong, or a port is taken.
    pub fn start(config: Config, dev: bool) -> anyhow::Result<Self> {
        config.check()?;
        let clock = Clock::start();
        let listeners = listen(&config)?;
        let runtime = Builder::new_multi_thread()
            .thread_name("rooms")
            .enable_all()
            .build()
            .context("the runtime of the rooms can't be started")?;
        let node = match config.cluster.instance_id.as_str() {
            "" => format!("sfu-{:012x}", fastrand::u64(..) >> 16),
            id => id.to_owned(),
        };
        let member = Arc::new(Member::new(
            NodeId::new(node).context("cluster.instance_id (SERVER_INSTANCE_ID)")?,
        ));
        let ports = config.rtc.max_port - config.rtc.min_port + 1;
        let shards = match config.rtc.shards {
            0 => default_shards().min(ports),
            shards => shards,
        };
        let (engine, news) = Engine::start(
            &EngineConfig {
                shards,
                bind: config.bind.clone(),
                ports: config.rtc.min_port..=config.rtc.max_port,
                budgets: Default::default(),
                serve_until: ServeUntil::forever(),
            },
            clock,
        )?;
        let engine = Arc::new(engine);
        let candidates = config::advertised(
            &config.rtc.advertise,
            &config.bind,
            &engine.ports(),
            &config::interfaces(),
        );
        let keys = Keys::new(config.keys.0.clone());
        let metrics = Arc::new(Metrics::default());
        let directory: Arc<dyn Directory> = Arc::new(MemoryDirectory::new());
        let rooms = Rooms::start(
            RoomsConfig {
                runtime: runtime.handle().clone(),
                clock,
                engine: engine.clone(),
                directory,
                holder: member.holder().clone(),
                keys: keys.clone(),
                server: ServerIdentity {
                    node_id: member.holder().node.to_string(),
                    region: String::new(),
                    version: COMPATIBLE_VERSION.to_owned(),
                },
                defaults: RoomDefaults::from(&config.room),
                metrics: metrics.clone(),
            },
            candidates.clone(),
            news,
        );
        let exposition = Exposition::new(&metrics, rooms.clone(), engine.clone());
        if !config.rtc.wait_for_addresses {
            member.set_state(MemberState::Serving);
        }
        // Half of the cores, at least one: signaling needs little once clients are in.
        let workers =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Ok(Self {
            runtime,
            listeners,
            workers,
            candidates,
            service: Arc::new(Service {
                config: ArcSwap::from_pointee(config),
                keys,
                clock,
                member,
                engine,
                rooms,
                metrics,
                exposition,
                dev,
            }),
        })
    }

    /// For a person at a terminal: where it listens and how to join.
    #[must_use]
    pub fn banner(&self) -> String {
        let config = self.service.config.load();
        let port = self
            .listeners
            .first()
            .and_then(|listener| listener.local_addr().ok())
            .map_or(config.port, |address| address.port());
        let media: Vec<String> = self
            .candidates
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let mut text = format!(
            "plenum-sfu {}\n  page and API   http://localhost:{port}\n  clients        ws://localhost:{port}\n  media (UDP)    {}\n",
            env!("CARGO_PKG_VERSION"),
            media.join(", "),
        );
        if self.service.dev {
            let (key, secret) = config
                .keys
                .0
                .first_key_value()
                .map_or((config::DEV_KEY, config::DEV_SECRET), |(key, secret)| {
                    (key.as_str(), secret.as_str())
                });
            text.push_str(&format!(
                "  dev mode       API key `{key}`, secret `{secret}`: for tests only\n  to join        open http://localhost:{port}/?room=demo in two tabs,\n                 or use a LiveKit client with the token of\n                 plenum-sfu token --room demo --identity me\n"
            ));
        }
        text
    }

    /// Serves until told to end (SIGTERM or SIGINT): not ready at once, rooms get a reconnecting Leave, the process ends
    /// when it is empty.
    ///
    /// # Errors
    /// The HTTP front can't be served.
    pub fn serve(self) -> anyhow::Result<()> {
        let Self {
            runtime,
            service,
            listeners,
            workers,
            ..
        } = self;
        let rooms = service.rooms.clone();
        let member = service.member.clone();
        let handle = runtime.handle().clone();
        actix_web::rt::System::new().block_on(async move {
            let server = http::serve(service, listeners, workers)
                .context("the HTTP server can't be started")?;
            let front = server.handle();
            let ending = handle.spawn(async move {
                let signal = ended_by_signal().await;
                tracing::info!(signal, rooms = rooms.count(), "ending");
                member.set_state(MemberState::Draining);
                rooms.end_all(EndReason::Shutdown);
                let empty = timeout(ROOMS_END, async {
                    while rooms.count() > 0 {
                        sleep(END_POLL).await;
                    }
                })
                .await;
                if empty.is_err() {
                    tracing::warn!(rooms = rooms.count(), "rooms did not end in time");
                }
                sleep(LAST_WORDS).await;
                front.stop(true).await;
            });
            server.await.context("the HTTP server failed")?;
            ending.abort();
            anyhow::Ok(())
        })?;
        runtime.shutdown_timeout(LAST_WORDS);
        tracing::info!("ended");
        Ok(())
    }
}

async fn ended_by_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals can't be handled; end this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// One listener per address; a wildcard address whose family the machine lacks is left out.
fn listen(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    use socket2::{Domain, Protocol, Socket, Type};
    let mut listeners = Vec::new();
    for ip in &config.bind {
        let address = SocketAddr::new(*ip, config.port);
        let bound = (|| {
            let socket = Socket::new(
                Domain::for_address(address),
                Type::STREAM,
                Some(Protocol::TCP),
            )?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            socket.listen(LISTEN_BACKLOG)?;
            std::io::Result::Ok(TcpListener::from(socket))
        })();
        match bound {
            Ok(listener) => listeners.push(listener),
            Err(error) if ip.is_unspecified() && error.kind() != std::io::ErrorKind::AddrInUse => {
                tracing::debug!(%address, %error, "this address family is not served");
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("TCP port {address} can't be bound; set PLENUM_PORT or PLENUM_BIND")
                });
            }
        }
    }
    anyhow::ensure!(
        !listeners.is_empty(),
        "none of the addresses {:?} can be bound; set PLENUM_BIND",
        config.bind
    );
    Ok(listeners)
}

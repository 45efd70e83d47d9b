//! The whole process: starts the planes in order, and ends them in order.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use plenum_cluster::{
    Directory, Membership, NodeId, PoolKey, Timing,
    directory::{MemoryDirectory, RedisDirectory, RedisSettings},
    member_api::MemberState,
    membership::{Directories, Event, MembershipConfig},
};
use plenum_engine::{
    Clock, Driven, Engine, EngineConfig, ServeUntil, Shard, ShardConfig, default_shards,
};
use plenum_room::{KeepAlive, ServerIdentity};
use plenum_types::{Candidate, CandidateProtocol, Timestamp};
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    COMPATIBLE_VERSION,
    agents::{Agents, AgentsConfig},
    auth::Keys,
    cluster::{self, Cluster, ClusterParts, PeerClient},
    config::{self, Config, Snapshot},
    ending,
    http::{self, Service, tls},
    internal,
    member::Member,
    metrics::{Exposition, Metrics},
    port::Port,
    reload::{self, Source},
    rooms::{RoomDefaults, Rooms, RoomsConfig},
};

/// What the runtime of the rooms still does gets this long.
const LAST_TASKS: Duration = Duration::from_millis(300);
/// A standalone member registers with itself within a moment.
const STANDALONE_START: Duration = Duration::from_secs(2);
/// How often it is looked whether it has.
const START_POLL: Duration = Duration::from_millis(5);
/// Announced by members of a cluster, so that clients notice a frozen edge (claims.md).
const CLUSTER_KEEP_ALIVE: KeepAlive = KeepAlive {
    interval: Duration::from_secs(1),
    timeout: Duration::from_secs(3),
};
/// Connections that may wait to be accepted.
const LISTEN_BACKLOG: i32 = 4096;

/// A process that serves.
pub struct Server {
    runtime: Runtime,
    service: Arc<Service>,
    listeners: Vec<TcpListener>,
    internal: Option<Port>,
    admin: Option<Port>,
    workers: usize,
    candidates: Vec<Vec<Candidate>>,
}

impl Server {
    /// Binds all ports and starts everything but the HTTP front.
    ///
    /// # Errors
    /// A setting is wrong, or a port is taken.
    pub fn start(config: Config, dev: bool) -> anyhow::Result<Self> {
        Self::start_with(config, dev, Shard::new)
    }

    /// As [`start`](Self::start), with Shards of the caller's making (see [`Engine::start_with`]).
    ///
    /// # Errors
    /// A setting is wrong, or a port is taken.
    pub fn start_with<S: Driven>(
        config: Config,
        dev: bool,
        make_shard: impl Fn(ShardConfig, Timestamp) -> S + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let certificate = config
            .tls
            .is_on()
            .then(|| tls::read(&config.tls).map(tls::Certificate::new))
            .transpose()?;
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
        let node = NodeId::new(node).context("cluster.instance_id (SERVER_INSTANCE_ID)")?;
        let ports = config.rtc.max_port - config.rtc.min_port + 1;
        let shards = match config.rtc.shards {
            0 => default_shards().min(ports),
            shards => shards,
        };
        // Bound before anyone hears of this member: two refused connections tell others that a process is dead.
        let internal = listen_internal(&config.cluster)?;
        let admin = if dev {
            None
        } else {
            listen_admin(&config.admin)?
        };
        let (membership, events) = join_pool(&config, node, shards)?;
        let member = Arc::new(Member::new(membership.clone()));
        let (engine, news) = Engine::start_with(
            &EngineConfig {
                shards,
                bind: config.bind.clone(),
                ports: config.rtc.min_port..=config.rtc.max_port,
                tcp_port: config.rtc.tcp_port,
                budgets: Default::default(),
                serve_until: ServeUntil::shared(membership.serve_until()),
            },
            clock,
            make_shard,
        )?;
        let engine = Arc::new(engine);
        let candidates = config::candidates(
            config::advertised(
                &config.rtc.advertise,
                &config.bind,
                &engine.ports(),
                &config::interfaces(),
            ),
            config.rtc.tcp_port,
        );
        let keys = Keys::new(config.keys.pairs());
        let metrics = Arc::new(Metrics::default());
        let alone = config.cluster.redis_url.0.is_empty();
        let server = ServerIdentity {
            node_id: membership.me().node.to_string(),
            region: String::new(),
            version: COMPATIBLE_VERSION.to_owned(),
        };
        let agents = Agents::new(AgentsConfig {
            runtime: runtime.handle().clone(),
            clock,
            keys: keys.clone(),
            server: server.clone(),
            metrics: metrics.clone(),
        });
        metrics.config_version.set(1);
        let peers = Arc::new(
            PeerClient::new(config.cluster.secret.clone())
                .context("the client for other members can't be made")?,
        );
        let tcp_port = config.rtc.tcp_port;
        let waits_for_addresses = config.rtc.wait_for_addresses;
        let live = Snapshot::first(config);
        let rooms = Rooms::start(
            RoomsConfig {
                runtime: runtime.handle().clone(),
                clock,
                engine: engine.clone(),
                membership: membership.clone(),
                keep_alive: if alone {
                    KeepAlive::default()
                } else {
                    CLUSTER_KEEP_ALIVE
                },
                keys: keys.clone(),
                server,
                settings: live.clone(),
                tcp_port,
                metrics: metrics.clone(),
                agents: agents.clone(),
            },
            candidates.clone(),
            news,
        );
        let cluster = Cluster::new(ClusterParts {
            runtime: runtime.handle().clone(),
            membership,
            peers,
            rooms,
            member: member.clone(),
            metrics: metrics.clone(),
            alone,
        });
        agents.start(&cluster);
        let internal = internal
            .map(|listener| internal::start(cluster.clone(), listener))
            .transpose()
            .context("the internal port can't be served")?;
        runtime.spawn(cluster::follow(cluster.clone(), events));
        let exposition = Exposition::new(&metrics, cluster.clone(), engine.clone(), clock);
        if !waits_for_addresses {
            member.addresses_are_set();
            member.set_state(MemberState::Serving);
            if alone {
                runtime.block_on(registered(&member));
            }
        }
        // Half of the cores, at least one: signaling needs little once clients are in.
        let workers =
            std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let service = Arc::new(Service {
            config: live,
            certificate,
            keys,
            clock,
            member,
            engine,
            cluster,
            metrics,
            exposition,
            dev,
        });
        let admin = admin
            .map(|listener| http::admin::start(service.clone(), listener))
            .transpose()
            .context("the admin port can't be served")?;
        Ok(Self {
            runtime,
            service,
            listeners,
            internal,
            admin,
            workers,
            candidates,
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
        let s = if config.tls.is_on() { "s" } else { "" };
        let media: Vec<String> = self
            .candidates
            .iter()
            .flatten()
            .map(|candidate| match candidate.protocol {
                CandidateProtocol::Udp => candidate.address.to_string(),
                CandidateProtocol::Tcp => format!("{} (TCP)", candidate.address),
            })
            .collect();
        let mut text = format!(
            "plenum-sfu {}\n  page and API   http{s}://localhost:{port}\n  clients        ws{s}://localhost:{port}\n  media          {}\n",
            env!("CARGO_PKG_VERSION"),
            media.join(", "),
        );
        if self.service.dev {
            let (key, secret) = config
                .keys
                .pairs()
                .next()
                .unwrap_or_else(|| (config::DEV_KEY.to_owned(), config::DEV_SECRET.to_owned()));
            // A secret of the user's own is not for a terminal or its log.
            let secret = match secret.as_str() {
                config::DEV_SECRET => "secret `secret`: for tests only",
                _ => "with the secret that is configured",
            };
            text.push_str(&format!(
                "  dev mode       API key `{key}`, {secret}\n  to join        open http{s}://localhost:{port}/?room=demo in two tabs,\n                 or use a LiveKit client with the token of\n                 plenum-sfu token --room demo --identity me\n"
            ));
        }
        text
    }

    /// Serves until told to end, by a signal or by the operator; see [`ending`].
    ///
    /// # Errors
    /// The HTTP front can't be served.
    pub fn serve(self, source: Source) -> anyhow::Result<()> {
        let Self {
            runtime,
            service,
            listeners,
            internal,
            admin,
            workers,
            ..
        } = self;
        let cluster = service.cluster.clone();
        let deadline = Duration::from_secs(service.config.load().cluster.drain_seconds.into());
        let handle = runtime.handle().clone();
        runtime.spawn(reload::follow(source, service.clone()));
        actix_web::rt::System::new().block_on(async move {
            let server = http::serve(service, listeners, workers)
                .context("the HTTP server can't be started")?;
            let front = server.handle();
            let ending = handle.spawn(async move {
                ending::when_told(cluster, deadline).await;
                front.stop(true).await;
                for port in [internal, admin].into_iter().flatten() {
                    port.stop().await;
                }
            });
            server.await.context("the HTTP server failed")?;
            ending.abort();
            anyhow::Ok(())
        })?;
        runtime.shutdown_timeout(LAST_TASKS);
        tracing::info!("ended");
        Ok(())
    }
}

/// Starts this member's place in the pool: with Redis, or alone with a Directory in memory.
fn join_pool(
    config: &Config,
    node: NodeId,
    shards: u16,
) -> anyhow::Result<(Membership, mpsc::Receiver<Event>)> {
    let cluster = &config.cluster;
    let directories = if cluster.redis_url.0.is_empty() {
        Directories::same(Arc::new(MemoryDirectory::new()))
    } else {
        let pool = PoolKey::new(cluster.install.as_str(), cluster.pool.as_str())
            .context("cluster.install and cluster.pool (PLENUM_INSTALL, PLENUM_POOL)")?;
        let settings = RedisSettings::new(cluster.redis_url.0.as_str());
        let connect = || -> anyhow::Result<Arc<dyn Directory>> {
            let directory = RedisDirectory::new(&settings, pool.clone())
                .context("cluster.redis_url (REDIS_URL)")?;
            Ok(Arc::new(directory))
        };
        Directories {
            driver: connect()?,
            calls: connect()?,
        }
    };
    let pings =
        PeerClient::new(cluster.secret.clone()).context("the client for pings can't be made")?;
    let settings = MembershipConfig {
        node,
        internal_address: cluster.internal_endpoint(),
        seeds: cluster.peers.clone(),
        capacity: RoomDefaults::from(&config.room).capacity(),
        weight: u32::from(shards),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        timing: Timing::default(),
    };
    Ok(Membership::start(settings, directories, Arc::new(pings))?)
}

async fn registered(member: &Member) {
    let ready = timeout(STANDALONE_START, async {
        while !member.is_ready() {
            sleep(START_POLL).await;
        }
    });
    if ready.await.is_err() {
        tracing::warn!("this member is not ready yet");
    }
}

/// The listener of the internal port, if there is one.
fn listen_internal(cluster: &config::ClusterConfig) -> anyhow::Result<Option<TcpListener>> {
    if cluster.internal_address.is_empty() {
        return Ok(None);
    }
    listen_on(
        &cluster.internal_endpoint(),
        "cluster.internal_address",
        "PLENUM_INTERNAL_ADDRESS",
    )
    .map(Some)
}

/// The listener of the admin port, if there is one.
fn listen_admin(admin: &config::AdminConfig) -> anyhow::Result<Option<TcpListener>> {
    admin
        .endpoint()
        .map(|address| listen_on(&address, "admin.address", "PLENUM_ADMIN_ADDRESS"))
        .transpose()
}

fn listen_on(address: &str, setting: &str, variable: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!(
            "{setting} {address:?} ({variable}) can't be bound; it reads ip:port, for IPv6 [ip]:port, with an address of this \
             machine and a port that is free"
        )
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// One listener per address; a wildcard address whose family the machine lacks is left out.
fn listen(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for ip in &config.bind {
        let address = SocketAddr::new(*ip, config.port);
        match plenum_engine::listen(address, LISTEN_BACKLOG) {
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

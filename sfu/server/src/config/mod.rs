//! Configuration: one struct, filled from defaults, then the YAML file, then the environment.
//!
//! Each setting has exactly one name in the file and one in the environment (`x-variable`). Unknown names are refused
//! together with the nearest known one, since a setting that is silently ignored is worse than a start that fails. A field
//! marked `x-reloads` is taken over by a running process, one marked `x-secret` is never shown. Doc comments here are what
//! `plenum-sfu config reference` and docs/configuration.md say.

mod advertise;
mod live;
mod load;
mod media;
mod presets;
mod reference;
mod secrets;
mod settings;
mod yaml;

pub use advertise::{AdvertiseTarget, advertised, candidates, interfaces};
pub use live::{Change, Live, Snapshot};
pub use load::{ConfigError, Loaded, Place, Problem, load};
pub use media::MediaConfig;
pub use presets::{PresetAgent, Presets, RoomPreset};
pub use reference::reference;
pub use secrets::{Secret, Secrets};
pub use settings::{Kind, Section, Setting, sections, settings};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{http::tls, log};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Public TCP port: pages, signaling, server API.
    #[schemars(extend("x-variable" = "PLENUM_PORT"))]
    pub port: u16,
    /// Addresses that the public port and the media sockets are bound to.
    #[schemars(extend("x-variable" = "PLENUM_BIND"))]
    pub bind: Vec<IpAddr>,
    /// API keys and their secrets, `name: secret` each; a key may have several secrets, as in `name: [new, old]`, of which the
    /// first signs.
    #[schemars(with = "std::collections::BTreeMap<String, String>", extend("x-variable" = "PLENUM_KEYS", "x-reloads" = true, "x-secret" = true))]
    pub keys: Secrets,
    /// Filter of the log, as in `info,plenum_room=debug`.
    #[schemars(extend("x-variable" = "LOG_LEVEL", "x-reloads" = true))]
    pub log_level: String,
    /// Log lines as JSON objects instead of text.
    #[schemars(extend("x-variable" = "PLENUM_LOG_JSON"))]
    pub log_json: bool,
    /// TLS on the public port.
    pub tls: TlsConfig,
    /// The port for operators.
    pub admin: AdminConfig,
    /// The media sockets.
    pub rtc: RtcConfig,
    /// Codecs and their bitrates.
    pub media: MediaConfig,
    /// Defaults and limits of rooms.
    pub room: RoomConfig,
    /// Bounds on what clients may take of this member. Who is over one is told which: a join is answered with 503, a request to
    /// publish or subscribe with LIMIT_EXCEEDED. What is there already stays when a limit is lowered.
    pub limits: LimitsConfig,
    /// Several members as one service.
    pub cluster: ClusterConfig,
}

/// TLS on the public port, by files that are read again when they change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// File with the certificate and its chain (PEM). Without one the public port speaks plain HTTP.
    #[schemars(extend("x-variable" = "PLENUM_TLS_CERTIFICATE", "x-reloads" = true))]
    pub certificate: String,
    /// File with the private key of the certificate (PEM).
    #[schemars(extend("x-variable" = "PLENUM_TLS_KEY", "x-reloads" = true))]
    pub key: String,
}

/// The port for operators: metrics, full health, debug.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// `ip:port` of the admin port, which asks for neither keys nor TLS: keep it on loopback or in a private network.
    /// `none`: there is none. Dev mode has none either, since its public port serves everything.
    #[schemars(extend("x-variable" = "PLENUM_ADMIN_ADDRESS"))]
    pub address: String,
}

/// The media sockets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RtcConfig {
    /// First UDP port that a Shard may take.
    #[schemars(range(min = 1), extend("x-variable" = "RTC_MIN_PORT"))]
    pub min_port: u16,
    /// Last UDP port that a Shard may take.
    #[schemars(range(min = 1), extend("x-variable" = "RTC_MAX_PORT"))]
    pub max_port: u16,
    /// TCP port for clients that can't use UDP, shared by all Shards; 0 for none.
    #[schemars(extend("x-variable" = "RTC_TCP_PORT"))]
    pub tcp_port: u16,
    /// Number of Shards; 0 means usable cores less one, at least 1, at most the number of ports.
    #[schemars(extend("x-variable" = "PLENUM_SHARDS"))]
    pub shards: u16,
    /// Where clients reach the media sockets; empty means every address of this machine, loopback last.
    #[schemars(with = "Vec<String>", extend("x-variable" = "PLENUM_ADVERTISE"))]
    pub advertise: Vec<AdvertiseTarget>,
    /// Not ready until the operator has set the advertised addresses.
    #[schemars(extend("x-variable" = "PLENUM_WAIT_FOR_ADDRESSES"))]
    pub wait_for_addresses: bool,
}

/// Defaults and limits of rooms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoomConfig {
    /// A join makes its room if there is none.
    #[schemars(extend("x-variable" = "PLENUM_AUTO_CREATE", "x-reloads" = true))]
    pub auto_create: bool,
    /// Seconds a room waits for its first participant.
    #[schemars(extend("x-variable" = "PLENUM_EMPTY_TIMEOUT", "x-reloads" = true))]
    pub empty_timeout_seconds: u32,
    /// Seconds a room stays after its last participant left.
    #[schemars(extend("x-variable" = "PLENUM_DEPARTURE_TIMEOUT", "x-reloads" = true))]
    pub departure_timeout_seconds: u32,
    /// Participants in a room; 0 means no limit.
    #[schemars(extend("x-variable" = "PLENUM_MAX_PARTICIPANTS", "x-reloads" = true))]
    pub max_participants: u32,
    /// Rooms on this member; 0 means no limit.
    #[schemars(extend("x-variable" = "PLENUM_MAX_ROOMS", "x-reloads" = true))]
    pub max_rooms: u32,
    /// Participants may publish data tracks.
    #[schemars(extend("x-variable" = "PLENUM_ENABLE_DATA_TRACKS", "x-reloads" = true))]
    pub enable_data_tracks: bool,
    /// Named settings of rooms, for `room_preset` of CreateRoom and `roomPreset` of tokens, as in
    /// `studio: {max_participants: 20, agents: [{agent_name: notes}]}`. A preset may have empty_timeout_seconds,
    /// departure_timeout_seconds, max_participants, metadata, and agents with agent_name and metadata; what a request or a
    /// token's roomConfig says counts before it. JSON in the environment.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>", extend("x-variable" = "PLENUM_ROOM_PRESETS", "x-reloads" = true))]
    pub presets: Presets,
}

/// Bounds on what clients may take of this member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// WebSockets of clients and of agents' workers on this member, also those whose rooms live elsewhere; 0 means no limit. A
    /// participant has one, and a newer one replaces it.
    #[schemars(extend("x-variable" = "PLENUM_LIMIT_CONNECTIONS", "x-reloads" = true))]
    pub connections: u32,
    /// Participants in all rooms of this member; 0 means no limit. For those of one room there is room.max_participants.
    #[schemars(extend("x-variable" = "PLENUM_LIMIT_PARTICIPANTS", "x-reloads" = true))]
    pub participants: u32,
    /// Published tracks in all rooms of this member; 0 means no limit.
    #[schemars(extend("x-variable" = "PLENUM_LIMIT_TRACKS", "x-reloads" = true))]
    pub tracks: u32,
    /// Published tracks in one room; 0 means no limit.
    #[schemars(extend("x-variable" = "PLENUM_LIMIT_TRACKS_PER_ROOM", "x-reloads" = true))]
    pub tracks_per_room: u32,
    /// Published tracks of one participant.
    #[schemars(range(min = 1, max = 64), extend("x-variable" = "PLENUM_LIMIT_TRACKS_PER_PARTICIPANT", "x-reloads" = true))]
    pub tracks_per_participant: u32,
    /// Tracks forwarded to participants in all rooms of this member; 0 means no limit.
    #[schemars(extend("x-variable" = "PLENUM_LIMIT_SUBSCRIPTIONS", "x-reloads" = true))]
    pub subscriptions: u32,
    /// Tracks forwarded to participants in one room; 0 means no limit.
    #[schemars(extend("x-variable" = "PLENUM_LIMIT_SUBSCRIPTIONS_PER_ROOM", "x-reloads" = true))]
    pub subscriptions_per_room: u32,
    /// Tracks forwarded to one participant.
    #[schemars(range(min = 1, max = 1024), extend("x-variable" = "PLENUM_LIMIT_SUBSCRIPTIONS_PER_PARTICIPANT", "x-reloads" = true))]
    pub subscriptions_per_participant: u32,
}

/// Several members as one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Stable identity of this member; empty: a random one at each start.
    #[schemars(extend("x-variable" = "SERVER_INSTANCE_ID"))]
    pub instance_id: String,
    /// `redis://...`; empty: this member stands alone.
    #[schemars(with = "String", extend("x-variable" = "REDIS_URL", "x-secret" = true))]
    pub redis_url: Secret,
    /// `ip:port` for members and operator; bound there, and told to the others. Empty: none, standalone only.
    #[schemars(extend("x-variable" = "PLENUM_INTERNAL_ADDRESS"))]
    pub internal_address: String,
    /// What members and operator show each other.
    #[schemars(with = "String", extend("x-variable" = "PLENUM_CLUSTER_SECRET", "x-secret" = true))]
    pub secret: Secret,
    /// Name of the pool.
    #[schemars(extend("x-variable" = "PLENUM_POOL"))]
    pub pool: String,
    /// Name of the installation, so that several can share a Redis.
    #[schemars(extend("x-variable" = "PLENUM_INSTALL"))]
    pub install: String,
    /// `ip:port` of other members, asked when the Directory is away.
    #[schemars(extend("x-variable" = "PLENUM_PEERS"))]
    pub peers: Vec<String>,
    /// Seconds that a member that is told to end may take to move its rooms.
    #[schemars(extend("x-variable" = "PLENUM_DRAIN_SECONDS"))]
    pub drain_seconds: u32,
}

/// Public port of the reference server, which tools expect.
const DEFAULT_PORT: u16 = 7880;
/// The admin port by default: beside the public one, and reached from this machine only.
const DEFAULT_ADMIN: &str = "127.0.0.1:7870";
/// No admin port.
const NO_ADMIN: &str = "none";
/// Media over TCP by default, as in the reference.
const DEFAULT_TCP_PORT: u16 = 7881;
/// First UDP port by default: next to the public port and the reference's TCP port.
const DEFAULT_MIN_PORT: u16 = 7882;
/// Last UDP port by default: room for 100 Shards.
const DEFAULT_MAX_PORT: u16 = 7981;

impl Default for Config {
    fn default() -> Self {
        Self {
            port: DEFAULT_PORT,
            bind: vec![
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ],
            keys: Secrets::default(),
            log_level: "info".to_owned(),
            log_json: false,
            tls: TlsConfig::default(),
            admin: AdminConfig::default(),
            rtc: RtcConfig::default(),
            media: MediaConfig::default(),
            room: RoomConfig::default(),
            limits: LimitsConfig::default(),
            cluster: ClusterConfig::default(),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADMIN.to_owned(),
        }
    }
}

impl AdminConfig {
    /// Where to bind; `None` for no admin port.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        (!matches!(self.address.trim(), "" | NO_ADMIN)).then(|| with_brackets(&self.address))
    }
}

impl Default for RtcConfig {
    fn default() -> Self {
        Self {
            min_port: DEFAULT_MIN_PORT,
            max_port: DEFAULT_MAX_PORT,
            tcp_port: DEFAULT_TCP_PORT,
            shards: 0,
            advertise: Vec::new(),
            wait_for_addresses: false,
        }
    }
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            auto_create: true,
            // Both as in the reference server.
            empty_timeout_seconds: 300,
            departure_timeout_seconds: 20,
            max_participants: 0,
            max_rooms: 0,
            enable_data_tracks: true,
            presets: Presets::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 0,
            participants: 0,
            tracks: 0,
            // Each of 1,000 participants with camera and microphone; a room's tracks share one Shard.
            tracks_per_room: 2_000,
            // A person has camera, microphone and a screen with sound; bots that inject films have a dozen.
            tracks_per_participant: 50,
            subscriptions: 0,
            subscriptions_per_room: 0,
            // What a Shard's Transport takes: a page of 500 participants with audio and video.
            subscriptions_per_participant: 1024,
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            instance_id: String::new(),
            redis_url: Secret::default(),
            internal_address: String::new(),
            secret: Secret::default(),
            pool: "default".to_owned(),
            install: "plenum".to_owned(),
            peers: Vec::new(),
            // Kubernetes kills after 30 s by default; the operator gives more.
            drain_seconds: 30,
        }
    }
}

impl ClusterConfig {
    /// The internal address as others use it: an IPv6 address with a port gets its brackets if it came without, as it does
    /// from a pod's IP and `:port`.
    #[must_use]
    pub fn internal_endpoint(&self) -> String {
        with_brackets(&self.internal_address)
    }
}

fn with_brackets(address: &str) -> String {
    let text = address.trim();
    match text.rsplit_once(':') {
        Some((ip, port)) if ip.parse::<Ipv6Addr>().is_ok() => format!("[{ip}]:{port}"),
        _ => text.to_owned(),
    }
}

/// Key of dev mode, known to everyone.
pub const DEV_KEY: &str = "devkey";
/// Secret of [`DEV_KEY`].
pub const DEV_SECRET: &str = "secret";

/// Names at least this similar (Jaro-Winkler, 0 to 1) may be meant.
const NEAR_ENOUGH: f64 = 0.6;
/// Shortest secret in production: 256 bits in the hexadecimal digits of `openssl rand -hex 16`, and what HS256 asks for.
const MIN_SECRET_BYTES: usize = 32;
/// What makes a secret that is long enough.
const MAKE_SECRET: &str = "`openssl rand -hex 32` makes one";

impl TlsConfig {
    /// Whether the public port speaks TLS.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !self.certificate.is_empty()
    }
}

impl Config {
    /// Settings of dev mode on top of these: the well-known key, if none is set.
    #[must_use]
    pub fn with_dev_keys(mut self) -> Self {
        if self.keys.is_empty() {
            self.keys.insert(DEV_KEY, DEV_SECRET);
        }
        self
    }

    /// What can't work together, and what production forbids: settings with what is wrong, the limit and the mend. No
    /// text holds a secret.
    fn contradictions(&self, dev: bool) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut wrong = |setting: &str, message: String| found.push((setting.to_owned(), message));
        if self.keys.is_empty() {
            wrong(
                "keys",
                format!(
                    "none set; write `keys: {{name: secret}}` in the file or set PLENUM_KEYS=\"name: secret\", with a secret of at \
                     least {MIN_SECRET_BYTES} bytes ({MAKE_SECRET}), or start with --dev to try the server"
                ),
            );
        }
        if !dev {
            for (key, secret) in self.keys.pairs() {
                if key == DEV_KEY {
                    wrong(
                        &format!("keys.{key}"),
                        "everyone knows this key; production needs another name and secret"
                            .to_owned(),
                    );
                }
                if secret.len() < MIN_SECRET_BYTES {
                    wrong(
                        &format!("keys.{key}"),
                        format!(
                            "the secret has {} bytes; at least {MIN_SECRET_BYTES} are needed: {MAKE_SECRET}",
                            secret.len()
                        ),
                    );
                }
            }
            let secret = self.cluster.secret.0.len();
            if secret > 0 && secret < MIN_SECRET_BYTES {
                wrong(
                    "cluster.secret",
                    format!(
                        "has {secret} bytes; at least {MIN_SECRET_BYTES} are needed: {MAKE_SECRET}"
                    ),
                );
            }
        }
        if let Err(error) = log::filter(&self.log_level) {
            wrong(
                "log_level",
                format!("{error}; write for example `info` or `info,plenum_room=debug`"),
            );
        }
        if self.bind.is_empty() {
            wrong(
                "bind",
                "at least one address is needed, for example 0.0.0.0".to_owned(),
            );
        }
        if self.rtc.max_port < self.rtc.min_port {
            wrong(
                "rtc.max_port",
                format!(
                    "{} is below rtc.min_port, {}; write the last port of the range",
                    self.rtc.max_port, self.rtc.min_port
                ),
            );
        } else {
            let ports = u32::from(self.rtc.max_port - self.rtc.min_port) + 1;
            if u32::from(self.rtc.shards) > ports {
                wrong(
                    "rtc.shards",
                    format!(
                        "{}: each Shard needs a UDP port of its own, and {} to {} (rtc.min_port, rtc.max_port) are only {ports}",
                        self.rtc.shards, self.rtc.min_port, self.rtc.max_port
                    ),
                );
            }
        }
        if self.rtc.tcp_port != 0 && self.rtc.tcp_port == self.port {
            wrong(
                "rtc.tcp_port",
                format!(
                    "{}: the same as `port`; write another one, or 0 for UDP only",
                    self.rtc.tcp_port
                ),
            );
        }
        self.cluster.contradictions(&mut wrong);
        self.tls.contradictions(&mut wrong);
        self.media.contradictions(&mut wrong);
        self.room.presets.contradictions(&mut wrong);
        found
    }
}

impl ClusterConfig {
    fn contradictions(&self, wrong: &mut impl FnMut(&str, String)) {
        let alone = self.redis_url.0.is_empty();
        if !alone && self.internal_address.is_empty() {
            wrong(
                "cluster.internal_address",
                "needed with a Redis, so that members can reach each other; set `ip:port` here or in PLENUM_INTERNAL_ADDRESS"
                    .to_owned(),
            );
        }
        if self.secret.0.is_empty() && !(alone && self.internal_address.is_empty()) {
            wrong(
                "cluster.secret",
                "needed with a Redis or cluster.internal_address, since it guards the internal port; set it here or in \
                 PLENUM_CLUSTER_SECRET, the same on all members"
                    .to_owned(),
            );
        }
    }
}

impl TlsConfig {
    fn contradictions(&self, wrong: &mut impl FnMut(&str, String)) {
        match (self.certificate.is_empty(), self.key.is_empty()) {
            (true, true) => {}
            (true, false) => wrong(
                "tls.certificate",
                "needed with tls.key; write the path of the certificate's file".to_owned(),
            ),
            (false, true) => wrong(
                "tls.key",
                "needed with tls.certificate; write the path of the private key's file".to_owned(),
            ),
            (false, false) => {
                if let Err(error) = tls::read(self) {
                    wrong(error.setting(), error.to_string());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_ipv6_address_gets_its_brackets() {
        for (text, expected) in [
            ("10.0.0.7:7882", "10.0.0.7:7882"),
            ("fd00::7:7882", "[fd00::7]:7882"),
            ("[fd00::7]:7882", "[fd00::7]:7882"),
            ("sfu-0:7882", "sfu-0:7882"),
        ] {
            let config = ClusterConfig {
                internal_address: text.to_owned(),
                ..ClusterConfig::default()
            };
            assert_eq!(config.internal_endpoint(), expected);
        }
    }
}

//! Configuration: one struct, filled from defaults, then the YAML file, then the environment, then the command line.
//!
//! Each setting has exactly one name in the file and at most one in the environment. Unknown names are refused together
//! with the nearest known one, since a setting that is silently ignored is worse than a start that fails.

mod advertise;
mod load;
mod media;

pub use advertise::{AdvertiseTarget, advertised, candidates, interfaces};
pub use load::{ConfigError, ENVIRONMENT, load};
pub use media::MediaConfig;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Public TCP port: pages, signaling, server API.
    pub port: u16,
    /// Addresses that the public port and the media sockets are bound to.
    pub bind: Vec<IpAddr>,
    /// API keys and their secrets.
    pub keys: Secrets,
    /// Filter of the log, as in `info,plenum_room=debug`.
    pub log_level: String,
    /// Log lines as JSON objects instead of text.
    pub log_json: bool,
    /// The port for operators.
    pub admin: AdminConfig,
    /// The media sockets.
    pub rtc: RtcConfig,
    /// Codecs and their bitrates.
    pub media: MediaConfig,
    /// Defaults and limits of rooms.
    pub room: RoomConfig,
    /// Several members as one service.
    pub cluster: ClusterConfig,
}

/// API keys with their secrets; `Debug` shows the keys only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(pub BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// A secret text; `Debug` says only whether there is one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "unset" } else { "set" })
    }
}

/// The port for operators: metrics, full health, debug.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// `ip:port` of the admin port, which asks for neither keys nor TLS: keep it on loopback or in a private network.
    /// `none`: there is none. Dev mode has none either, since its public port serves everything.
    pub address: String,
}

/// The media sockets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RtcConfig {
    /// First UDP port that a Shard may take.
    pub min_port: u16,
    /// Last UDP port that a Shard may take.
    pub max_port: u16,
    /// TCP port for clients that can't use UDP, shared by all Shards; 0 for none.
    pub tcp_port: u16,
    /// Number of Shards; 0 means usable cores less one, at least 1, at most the number of ports.
    pub shards: u16,
    /// Where clients reach the media sockets; empty means every address of this machine, loopback last.
    pub advertise: Vec<AdvertiseTarget>,
    /// Not ready until the operator has set the advertised addresses.
    pub wait_for_addresses: bool,
}

/// Defaults and limits of rooms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoomConfig {
    /// A join makes its room if there is none.
    pub auto_create: bool,
    /// Seconds a room waits for its first participant.
    pub empty_timeout_seconds: u32,
    /// Seconds a room stays after its last participant left.
    pub departure_timeout_seconds: u32,
    /// Participants in a room; 0 means no limit.
    pub max_participants: u32,
    /// Rooms on this member; 0 means no limit.
    pub max_rooms: u32,
    /// Participants may publish data tracks.
    pub enable_data_tracks: bool,
}

/// Several members as one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Stable identity of this member; empty: a random one at each start.
    pub instance_id: String,
    /// `redis://...`; empty: this member stands alone.
    pub redis_url: Secret,
    /// `ip:port` for members and operator; bound there, and told to the others. Empty: none, standalone only.
    pub internal_address: String,
    /// What members and operator show each other.
    pub secret: Secret,
    /// Name of the pool.
    pub pool: String,
    /// Name of the installation, so that several can share a Redis.
    pub install: String,
    /// `ip:port` of other members, asked when the Directory is away.
    pub peers: Vec<String>,
    /// Seconds that a member that is told to end may take to move its rooms.
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
            admin: AdminConfig::default(),
            rtc: RtcConfig::default(),
            media: MediaConfig::default(),
            room: RoomConfig::default(),
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

impl Config {
    /// Settings of dev mode on top of these: the well-known key, if none is set.
    #[must_use]
    pub fn with_dev_keys(mut self) -> Self {
        if self.keys.0.is_empty() {
            self.keys
                .0
                .insert(DEV_KEY.to_owned(), DEV_SECRET.to_owned());
        }
        self
    }

    /// Refuses combinations that can't work.
    ///
    /// # Errors
    /// Names the setting, the limit and the mend.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |message: String| Err(ConfigError::Invalid(message));
        if self.keys.0.is_empty() {
            return wrong(
                "keys: none set. Set `keys: {name: secret}` in the file or PLENUM_KEYS=\"name: secret\", or start with --dev"
                    .to_owned(),
            );
        }
        if self.bind.is_empty() {
            return wrong("bind: at least one address is needed, for example 0.0.0.0".to_owned());
        }
        if self.rtc.min_port == 0 || self.rtc.max_port < self.rtc.min_port {
            return wrong(format!(
                "rtc.min_port {} and rtc.max_port {}: the first must be at least 1 and not above the second",
                self.rtc.min_port, self.rtc.max_port
            ));
        }
        if self.rtc.tcp_port != 0 && self.rtc.tcp_port == self.port {
            return wrong(format!(
                "rtc.tcp_port {}: the same as `port`; set another one, or 0 for UDP only",
                self.rtc.tcp_port
            ));
        }
        let ports = self.rtc.max_port - self.rtc.min_port + 1;
        if self.rtc.shards > ports {
            return wrong(format!(
                "rtc.shards {}: each Shard needs a UDP port of its own, and {} to {} are only {ports}",
                self.rtc.shards, self.rtc.min_port, self.rtc.max_port
            ));
        }
        self.media.check()?;
        if !self.cluster.internal_address.is_empty() && self.cluster.secret.0.is_empty() {
            return wrong(
                "cluster.secret: needed with cluster.internal_address, it guards the internal port; set it or PLENUM_CLUSTER_SECRET"
                    .to_owned(),
            );
        }
        if !self.cluster.redis_url.0.is_empty() {
            if self.cluster.internal_address.is_empty() {
                return wrong(
                    "cluster.internal_address: needed with a Redis, so that members can reach each other; set `ip:port` or PLENUM_INTERNAL_ADDRESS"
                        .to_owned(),
                );
            }
            if self.cluster.secret.0.is_empty() {
                return wrong(
                    "cluster.secret: needed with a Redis, it guards the internal port; set it or PLENUM_CLUSTER_SECRET"
                        .to_owned(),
                );
            }
        }
        Ok(())
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

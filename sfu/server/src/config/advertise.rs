//! Where clients reach the media sockets. These addresses are apart from the bound sockets: a pod knows its own at best.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use plenum_types::Candidate;
use serde::{Deserialize, Serialize};

/// An address for all Shards, or one with the port of the first Shard (the next Shard has the next port).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AdvertiseTarget {
    /// The ports are those that are bound.
    Ip(IpAddr),
    /// Ports count from this one, by Shard.
    Socket(SocketAddr),
}

impl FromStr for AdvertiseTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        text.parse()
            .map(Self::Ip)
            .or_else(|_| text.parse().map(Self::Socket))
            .map_err(|_| {
                format!(
                    "`{text}` is neither an IP address nor `ip:port` (IPv6 with port: `[ip]:port`)"
                )
            })
    }
}

impl TryFrom<String> for AdvertiseTarget {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AdvertiseTarget> for String {
    fn from(target: AdvertiseTarget) -> Self {
        match target {
            AdvertiseTarget::Ip(ip) => ip.to_string(),
            AdvertiseTarget::Socket(address) => address.to_string(),
        }
    }
}

/// The advertised addresses of each Shard, in the order of `bound` (one local port per Shard).
///
/// Without targets these are all addresses of this machine that `bind` covers, loopback last: a browser on the same machine
/// finds the others first, but a machine without a network still has a call.
#[must_use]
pub fn advertised(
    targets: &[AdvertiseTarget],
    bind: &[IpAddr],
    bound: &[u16],
    interfaces: &[IpAddr],
) -> Vec<Vec<SocketAddr>> {
    let targets: Vec<AdvertiseTarget> = if targets.is_empty() {
        let covered = |ip: &IpAddr| {
            bind.iter().any(|bound| {
                bound == ip || (bound.is_unspecified() && bound.is_ipv4() == ip.is_ipv4())
            })
        };
        let (loopback, mut others): (Vec<IpAddr>, Vec<IpAddr>) = interfaces
            .iter()
            .copied()
            .filter(|ip| covered(ip) && is_reachable(ip))
            .partition(IpAddr::is_loopback);
        others.extend(loopback.into_iter().filter(IpAddr::is_ipv4).take(1));
        others.into_iter().map(AdvertiseTarget::Ip).collect()
    } else {
        targets.to_vec()
    };
    bound
        .iter()
        .zip(0u16..)
        .map(|(port, shard)| {
            targets
                .iter()
                .map(|target| match *target {
                    AdvertiseTarget::Ip(ip) => SocketAddr::new(ip, *port),
                    AdvertiseTarget::Socket(first) => {
                        SocketAddr::new(first.ip(), first.port().saturating_add(shard))
                    }
                })
                .collect()
        })
        .collect()
}

/// These addresses as candidates of each Shard, UDP first. The TCP port is the same for all Shards and on all addresses.
#[must_use]
pub fn candidates(udp: Vec<Vec<SocketAddr>>, tcp_port: u16) -> Vec<Vec<Candidate>> {
    let of_shard = |addresses: Vec<SocketAddr>| {
        let mut hosts = Vec::new();
        for host in addresses.iter().map(SocketAddr::ip) {
            if tcp_port != 0 && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let tcp = hosts
            .into_iter()
            .map(|host| Candidate::tcp(SocketAddr::new(host, tcp_port)));
        addresses
            .into_iter()
            .map(Candidate::udp)
            .chain(tcp)
            .collect()
    };
    udp.into_iter().map(of_shard).collect()
}

/// Link-local IPv6 addresses need a scope that a candidate can't carry.
fn is_reachable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// All addresses of this machine.
#[must_use]
pub fn interfaces() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.iter().map(if_addrs::Interface::ip).collect(),
        Err(error) => {
            tracing::warn!(%error, "the addresses of this machine can't be read, only loopback is advertised");
            vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn without_targets_loopback_comes_last_and_link_local_never() {
        let machine = ["127.0.0.1", "::1", "fe80::1", "10.0.0.7", "192.168.1.4"].map(ip);
        let found = advertised(&[], &[ip("0.0.0.0"), ip("::")], &[7882, 7883], &machine);
        let texts: Vec<String> = found[1].iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["10.0.0.7:7883", "192.168.1.4:7883", "127.0.0.1:7883"]
        );
    }

    #[test]
    fn a_bound_address_is_all_that_is_advertised() {
        let machine = ["127.0.0.1", "10.0.0.7"].map(ip);
        let found = advertised(&[], &[ip("127.0.0.1")], &[7882], &machine);
        assert_eq!(found, [["127.0.0.1:7882".parse().unwrap()]]);
    }

    #[test]
    fn a_target_with_port_counts_by_shard() {
        let targets = ["203.0.113.5:30000", "2001:db8::1"].map(|text| text.parse().unwrap());
        let found = advertised(&targets, &[ip("0.0.0.0")], &[7882, 7883], &[]);
        assert_eq!(found[1][0].to_string(), "203.0.113.5:30001");
        assert_eq!(found[1][1].to_string(), "[2001:db8::1]:7883");
    }

    #[test]
    fn tcp_comes_after_udp_once_for_each_address() {
        let udp = ["10.0.0.7:7882", "10.0.0.7:30000", "[::1]:7882"].map(|a| a.parse().unwrap());
        let found = &candidates(vec![udp.to_vec()], 7881)[0];
        let mut expected: Vec<_> = udp.into_iter().map(Candidate::udp).collect();
        expected
            .extend(["10.0.0.7:7881", "[::1]:7881"].map(|a| Candidate::tcp(a.parse().unwrap())));
        assert_eq!(*found, expected);
        assert_eq!(candidates(vec![udp.to_vec()], 0)[0].len(), 3);
    }

    #[test]
    fn nonsense_names_what_is_expected() {
        let error = "example.com".parse::<AdvertiseTarget>().unwrap_err();
        assert!(error.contains("ip:port"), "{error}");
    }
}

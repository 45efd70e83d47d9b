//! A server process, ended with the test.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

const KEY: &str = "tests";
const SECRET: &str = "a secret for tests, longer than 32 bytes";
/// Longest wait for a start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Ports of one server: HTTP, media over TCP, and one a Shard.
const PORTS: u16 = 8;
/// After this all tokens have run out: 2096.
const FAR_FUTURE: u64 = 4_000_000_000;

/// A server of this machine.
#[derive(Debug)]
pub struct Member {
    /// Where signaling is.
    pub address: SocketAddr,
    child: Child,
}

impl Member {
    /// Starts the binary that `PLENUM_SFU` names, on one address.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(host: IpAddr) -> anyhow::Result<Self> {
        let binary = std::env::var_os("PLENUM_SFU")
            .context("PLENUM_SFU names no binary: build plenum-sfu, then set it to the path")?;
        let port = free_ports(host)?;
        let text = |port: u16| port.to_string();
        let child = Command::new(binary)
            .env("PLENUM_PORT", text(port))
            .env("PLENUM_BIND", host.to_string())
            .env("PLENUM_ADVERTISE", host.to_string())
            .env("RTC_TCP_PORT", text(port + 1))
            .env("RTC_MIN_PORT", text(port + 2))
            .env("RTC_MAX_PORT", text(port + PORTS - 1))
            .env("PLENUM_SHARDS", "1")
            .env("PLENUM_KEYS", format!("{KEY}: {SECRET}"))
            .env("LOG_LEVEL", "warn")
            .arg("--dev")
            .stdout(Stdio::null())
            .spawn()?;
        let member = Self {
            address: SocketAddr::new(host, port),
            child,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(member.address).is_err() {
            ensure!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(member)
    }

    /// A token to join.
    #[must_use]
    pub fn token(&self, room: &str, identity: &str) -> String {
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({
            "iss": KEY,
            "sub": identity,
            "exp": FAR_FUTURE,
            "video": {"roomJoin": true, "room": room},
        });
        let signed = format!(
            "{}.{}",
            encode(json!({"alg": "HS256", "typ": "JWT"})),
            encode(claims)
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// First of [`PORTS`] ports in a row on which nothing is bound, below those that the kernel gives to clients.
fn free_ports(host: IpAddr) -> anyhow::Result<u16> {
    for _ in 0..100 {
        let first = fastrand::u16(11_000..19_000);
        let free = (first..first + PORTS).all(|port| {
            TcpListener::bind((host, port)).is_ok() && UdpSocket::bind((host, port)).is_ok()
        });
        if free {
            return Ok(first);
        }
    }
    anyhow::bail!("no {PORTS} free ports in a row on {host}")
}

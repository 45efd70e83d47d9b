//! The connection: ICE, DTLS and SRTP as they should be, and a way to seal anything.

use std::{
    collections::HashMap,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use plenum_transport::{
    Certificate, ConnectivityCheck, DatagramKind, EpochInstant, MAX_SRTCP_OVERHEAD,
    MAX_SRTP_OVERHEAD, MAX_TRANSMIT, Transport, TransportConfig, TransportEvent, classify,
};
use plenum_types::{
    DtlsRole, Fingerprint, IceCredentials, Path, RemoteParams, SctpParams, ShardId, Timestamp,
};

/// Between two checks.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Longest packet that is made here.
const MAX_PACKET: usize = 1_400;
/// Packets between two looks at the socket while an attack goes on.
const LOOK_EVERY: u64 = 32;

/// See the module.
pub(crate) struct Insider {
    epoch: Instant,
    transport: Transport,
    socket: UdpSocket,
    local: IceCredentials,
    fingerprint: Fingerprint,
    server: Option<(SocketAddr, IceCredentials)>,
    next_check: Timestamp,
    /// Next extended sequence number of each SSRC.
    next: HashMap<u32, u64>,
    began: Timestamp,
    sent: u64,
}

impl Insider {
    #[allow(clippy::disallowed_methods)] // the one clock of this program
    pub(crate) fn new() -> anyhow::Result<Self> {
        let epoch = Instant::now();
        let certificate = Arc::new(Certificate::generate()?);
        let local = IceCredentials::for_shard(ShardId(0), || fastrand::u64(..));
        Ok(Self {
            epoch,
            fingerprint: certificate.fingerprint(),
            transport: Transport::new(TransportConfig {
                local: local.clone(),
                certificate,
                epoch: EpochInstant::new(epoch),
            }),
            socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            local,
            server: None,
            next_check: Timestamp::ZERO,
            next: HashMap::new(),
            began: Timestamp::ZERO,
            sent: 0,
        })
    }

    /// Fingerprint, ufrag and password, as a description says them.
    pub(crate) fn introduction(&self) -> String {
        let bytes: Vec<String> = self
            .fingerprint
            .0
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        format!(
            "{} {} {}",
            bytes.join(":"),
            self.local.ufrag,
            self.local.pwd
        )
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.epoch.elapsed()
    }

    /// Begins as client of the server that `words` describe: address, ufrag, password, fingerprint.
    pub(crate) fn connect(&mut self, words: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let [address, ufrag, pwd, fingerprint] = words[..] else {
            bail!("connect reads: address, ufrag, password, fingerprint");
        };
        let bytes = fingerprint
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16))
            .collect::<Result<Vec<_>, _>>()?;
        let address: SocketAddr = address.parse()?;
        let ice = IceCredentials {
            ufrag: ufrag.to_owned(),
            pwd: pwd.to_owned(),
        };
        self.socket.connect(address)?;
        self.server = Some((address, ice.clone()));
        let remote = RemoteParams {
            ice,
            fingerprint: Fingerprint(
                bytes
                    .try_into()
                    .ok()
                    .context("a fingerprint has 32 bytes")?,
            ),
            dtls_role: DtlsRole::Active,
            sctp: Some(SctpParams {
                remote_port: 5000,
                max_message_size: 262_144,
                open_channels: false,
            }),
        };
        let now = self.now();
        self.transport.connect(&remote, now);
        Ok(())
    }

    /// Works until keys are there.
    pub(crate) fn until_connected(&mut self, within: Duration) -> anyhow::Result<()> {
        let end = self.now() + within;
        while !self.transport.is_connected() {
            ensure!(self.now() < end, "no connection within {within:?}");
            self.serve(Duration::from_millis(5))?;
        }
        Ok(())
    }

    /// An attack begins.
    pub(crate) fn begin(&mut self) {
        self.began = self.now();
        self.sent = 0;
    }

    /// Packets of this attack.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the attack may go on, which waits until it may send one more at this rate.
    pub(crate) fn may_go_on(&mut self, length: Duration, a_second: u64) -> anyhow::Result<bool> {
        loop {
            let elapsed = self.now() - self.began;
            if elapsed >= length {
                return Ok(false);
            }
            let due = u128::from(self.sent) * 1_000_000 / u128::from(a_second);
            if due <= elapsed.as_micros() {
                return Ok(true);
            }
            self.serve(Duration::from_millis(1))?;
        }
    }

    /// Seals a packet of which `header_len` bytes are header, numbers it after the one before of its SSRC, and sends it.
    pub(crate) fn rtp(&mut self, packet: &[u8], header_len: usize) -> anyhow::Result<Vec<u8>> {
        self.rtp_after(1, packet, header_len)
    }

    /// As [`rtp`](Self::rtp), with a number that is `step` after the one before.
    pub(crate) fn rtp_after(
        &mut self,
        step: u64,
        packet: &[u8],
        header_len: usize,
    ) -> anyhow::Result<Vec<u8>> {
        let ssrc = packet
            .get(8..12)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_be_bytes)
            .context("an RTP packet has an SSRC")?;
        let next = self.next.entry(ssrc).or_insert(1);
        *next += step;
        let number = *next;
        let mut buffer = packet.to_vec();
        buffer
            .get_mut(2..4)
            .context("an RTP packet has a number")?
            .copy_from_slice(&(number as u16).to_be_bytes());
        buffer.resize(packet.len() + MAX_SRTP_OVERHEAD, 0);
        let sealer = self.transport.sealer().context("there are no keys")?;
        let len = sealer.seal_rtp(number, header_len, &mut buffer, packet.len())?;
        buffer.truncate(len);
        self.raw(&buffer)?;
        Ok(buffer)
    }

    /// Seals a compound packet and sends it.
    pub(crate) fn rtcp(&mut self, packet: &[u8]) -> anyhow::Result<()> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + MAX_SRTCP_OVERHEAD, 0);
        let sealer = self.transport.sealer().context("there are no keys")?;
        let len = sealer.seal_rtcp(&mut buffer, packet.len())?;
        buffer.truncate(len);
        self.raw(&buffer)
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        // A full socket is a packet lost.
        let _ = self.socket.send(bytes);
        self.sent += 1;
        if self.sent.is_multiple_of(LOOK_EVERY) {
            self.serve(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Checks, handshake and timers, and what has come; waits for more of it.
    pub(crate) fn serve(&mut self, wait: Duration) -> anyhow::Result<()> {
        let Some((address, server)) = self.server.clone() else {
            bail!("there is no server yet");
        };
        let now = self.now();
        let path = Path::Udp {
            local: self.socket.local_addr()?,
            remote: address,
        };
        if self.next_check <= now {
            self.next_check = now + CHECK_EVERY;
            self.socket.send(&check(&server)).ok();
            // Ours waits for checks, too, and nobody sends them to a client of a lite agent.
            self.transport.handle_stun(path, &check(&self.local), now);
        }
        if self.transport.next_timeout().is_some_and(|at| at <= now) {
            self.transport.handle_timeout(now);
        }
        self.transmit();
        // Zero would mean for ever.
        self.socket.set_nonblocking(wait.is_zero())?;
        if !wait.is_zero() {
            self.socket.set_read_timeout(Some(wait))?;
        }
        let mut buffer = [0; MAX_PACKET + 200];
        let read = loop {
            match self.socket.recv(&mut buffer) {
                Ok(len) => {
                    let datagram = buffer.get(..len).unwrap_or_default();
                    if classify(datagram) == DatagramKind::Dtls {
                        let now = self.now();
                        self.transport.handle_dtls(path, datagram, now);
                        break Ok(());
                    }
                    // Media is not looked at; more may have come.
                    if !wait.is_zero() {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        match read {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) =>
            {
                return Err(error.into());
            }
            _ => {}
        }
        while let Some(event) = self.transport.poll_event() {
            if let TransportEvent::Failed(why) = event {
                bail!("the connection failed: {why:?}");
            }
        }
        self.transmit();
        Ok(())
    }

    fn transmit(&mut self) {
        let mut buffer = [0; MAX_TRANSMIT];
        while let Some((_, len)) = self.transport.poll_transmit(&mut buffer) {
            let datagram = buffer.get(..len).unwrap_or_default();
            // Answers to our own checks are for nobody.
            if classify(datagram) != DatagramKind::Stun {
                let _ = self.socket.send(datagram);
            }
        }
    }
}

fn check(of: &IceCredentials) -> Vec<u8> {
    ConnectivityCheck {
        transaction: std::array::from_fn(|_| fastrand::u8(..)),
        receiver_ufrag: &of.ufrag,
        sender_ufrag: "insider",
        receiver_pwd: &of.pwd,
        use_candidate: true,
    }
    .to_datagram()
}

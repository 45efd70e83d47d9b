//! Two Transports joined by a link that loses, repeats and delays datagrams from a seed.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use plenum_transport::{
    Certificate, ConnectivityCheck, DatagramKind, EpochInstant, MAX_TRANSMIT, Transport,
    TransportConfig, TransportEvent, classify,
};
use plenum_types::{
    DtlsRole, Fingerprint, IceCredentials, Path, RemoteParams, SctpParams, ShardId, Timestamp,
};

pub(crate) const SCTP: SctpParams = SctpParams {
    remote_port: 5000,
    max_message_size: 262_144,
    open_channels: false,
};

/// Any instant will do as the start of the clock.
#[allow(
    clippy::disallowed_methods,
    reason = "the base of a clock that only the test advances"
)]
pub(crate) static EPOCH: LazyLock<EpochInstant> =
    LazyLock::new(|| EpochInstant::new(Instant::now()));
pub(crate) static CERTIFICATES: LazyLock<[Arc<Certificate>; 2]> =
    LazyLock::new(|| [(); 2].map(|()| Arc::new(Certificate::generate().unwrap())));

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn path(remote: &str) -> Path {
    Path::Udp {
        local: address("192.0.2.1:7882"),
        remote: address(remote),
    }
}

pub(crate) fn credentials(seed: u64) -> IceCredentials {
    let mut random = fastrand::Rng::with_seed(seed);
    IceCredentials::for_shard(ShardId(0), || random.u64(..))
}

pub(crate) fn check(local: &IceCredentials, number: u64, use_candidate: bool) -> Vec<u8> {
    let mut transaction = [0; 12];
    transaction[..8].copy_from_slice(&number.to_be_bytes());
    ConnectivityCheck {
        transaction,
        receiver_ufrag: &local.ufrag,
        sender_ufrag: "client",
        receiver_pwd: &local.pwd,
        use_candidate,
    }
    .to_datagram()
}

pub(crate) fn transport(local: &IceCredentials, certificate: usize) -> Transport {
    Transport::new(TransportConfig {
        local: local.clone(),
        certificate: CERTIFICATES[certificate].clone(),
        epoch: *EPOCH,
    })
}

pub(crate) fn remote(
    dtls_role: DtlsRole,
    fingerprint: Fingerprint,
    sctp: Option<SctpParams>,
) -> RemoteParams {
    RemoteParams {
        ice: credentials(99),
        fingerprint,
        dtls_role,
        sctp,
    }
}

pub(crate) fn drain(transport: &mut Transport) -> Vec<Vec<u8>> {
    let mut buffer = [0; MAX_TRANSMIT];
    std::iter::from_fn(|| {
        transport
            .poll_transmit(&mut buffer)
            .map(|(_, len)| buffer[..len].to_vec())
    })
    .collect()
}

pub(crate) fn events(transport: &mut Transport) -> Vec<TransportEvent> {
    std::iter::from_fn(|| transport.poll_event()).collect()
}

/// What a link does to datagrams, in percent.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) loss: u32,
    pub(crate) repeat: u32,
    pub(crate) jitter: Duration,
}

impl Link {
    pub(crate) const CLEAN: Self = Self {
        loss: 0,
        repeat: 0,
        jitter: Duration::ZERO,
    };
    pub(crate) const BAD: Self = Self {
        loss: 20,
        repeat: 5,
        jitter: Duration::from_millis(30),
    };
}

pub(crate) struct Pair {
    pub(crate) now: Timestamp,
    /// Passive and active side.
    pub(crate) sides: [Transport; 2],
    pub(crate) events: [Vec<TransportEvent>; 2],
    pub(crate) largest: usize,
    locals: [IceCredentials; 2],
    paths: [Path; 2],
    link: Link,
    random: fastrand::Rng,
    in_flight: VecDeque<(Timestamp, usize, Vec<u8>)>,
    checks: u64,
    next_check: Timestamp,
}

impl Pair {
    /// `open` says for each side whether it opens the protocol's channels.
    pub(crate) fn new(link: Link, seed: u64, open: [bool; 2]) -> Self {
        let locals = [credentials(1), credentials(2)];
        let mut sides = [0, 1].map(|side| transport(&locals[side], side));
        let now = Timestamp::from_millis(1000);
        for (side, role) in [DtlsRole::Passive, DtlsRole::Active]
            .into_iter()
            .enumerate()
        {
            let sctp = SctpParams {
                open_channels: open[side],
                ..SCTP
            };
            let fingerprint = CERTIFICATES[1 - side].fingerprint();
            sides[side].connect(&remote(role, fingerprint, Some(sctp)), now);
        }
        Self {
            now,
            sides,
            events: [Vec::new(), Vec::new()],
            largest: 0,
            locals,
            paths: [path("198.51.100.1:1000"), path("198.51.100.2:2000")],
            link,
            random: fastrand::Rng::with_seed(seed),
            in_flight: VecDeque::new(),
            checks: 0,
            next_check: now,
        }
    }

    pub(crate) fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    fn collect(&mut self) {
        for side in 0..2 {
            for datagram in drain(&mut self.sides[side]) {
                self.largest = self.largest.max(datagram.len());
                let copies = 1 + u32::from(self.random.u32(..100) < self.link.repeat);
                for _ in 0..copies {
                    if self.random.u32(..100) >= self.link.loss {
                        let jitter = self.random.u64(..=self.link.jitter.as_nanos() as u64);
                        let at =
                            self.now + Duration::from_millis(10) + Duration::from_nanos(jitter);
                        self.in_flight.push_back((at, 1 - side, datagram.clone()));
                    }
                }
            }
            self.events[side].extend(events(&mut self.sides[side]));
        }
    }

    /// Lets a millisecond pass.
    pub(crate) fn step(&mut self) {
        self.now += Duration::from_millis(1);
        if self.next_check <= self.now {
            self.next_check = self.now + Duration::from_secs(2);
            for side in 0..2 {
                self.checks += 1;
                let datagram = check(&self.locals[side], self.checks, true);
                self.sides[side].handle_stun(self.paths[side], &datagram, self.now);
            }
        }
        self.collect();
        for _ in 0..self.in_flight.len() {
            let Some((at, side, datagram)) = self.in_flight.pop_front() else {
                break;
            };
            if at > self.now {
                self.in_flight.push_back((at, side, datagram));
            } else if classify(&datagram) == DatagramKind::Dtls {
                self.sides[side].handle_dtls(self.paths[side], &datagram, self.now);
                self.collect();
            }
        }
        for side in &mut self.sides {
            let mut rounds = 0;
            while side.next_timeout().is_some_and(|at| at <= self.now) {
                side.handle_timeout(self.now);
                rounds += 1;
                assert!(rounds < 3, "a timeout that is done must not be due again");
            }
        }
        self.collect();
    }

    /// Lets time pass until `done`; false if it takes more than `within`.
    pub(crate) fn run_until(&mut self, within: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + within;
        while !done(self) {
            if self.now >= end {
                return false;
            }
            self.step();
        }
        true
    }

    pub(crate) fn path(&self, side: usize) -> Path {
        self.paths[side]
    }

    pub(crate) fn connected(&self) -> bool {
        self.sides.iter().all(Transport::is_connected)
    }

    pub(crate) fn has(&self, side: usize, event: &TransportEvent) -> bool {
        self.events[side].contains(event)
    }
}

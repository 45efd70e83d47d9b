//! One association with a client.

use bytes::Bytes;
use plenum_types::{
    DataChannel, DtlsRole, DtlsVersion, FailureCause, IceCredentials, Path, RemoteParams,
    SrtpProfile, Timestamp,
};
use std::{collections::VecDeque, sync::Arc};

use crate::{
    Certificate, EpochInstant, KeyError, MasterKey, OpenError, OpenedRtp, SrtpReceiver, SrtpSender,
    certificate::HANDSHAKE_TIMEOUT,
    dtls::{DtlsOutput, DtlsSession},
    ice::{IceLite, Liveness},
    sctp::Sctp,
    silence::{Due, Silence},
};

/// Longest datagram of [`Transport::poll_transmit`], bytes: what IPv6 always carries (1280), less its and UDP's headers.
pub const MAX_TRANSMIT: usize = 1232;
/// Datagrams that wait to be polled. A full SCTP window is 40; more means that nobody polls, and SCTP and DTLS repeat what
/// is lost.
const MAX_QUEUED: usize = 256;

/// What a new Transport needs.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Our ICE credentials.
    pub local: IceCredentials,
    /// Our certificate; its fingerprint is in our descriptions.
    pub certificate: Arc<Certificate>,
    /// The process's clock base.
    pub epoch: EpochInstant,
}

/// What became of a STUN datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StunOutcome {
    /// Not a request of this Transport's client, or no request at all. Nothing is answered.
    Ignored,
    /// A wrong password or a request that can't be granted; an error response is queued.
    Refused,
    /// A valid check on a known path.
    Valid,
    /// A valid check on a new path: from now on, datagrams from it belong to this Transport (also said by
    /// [`TransportEvent::PathAdded`]).
    NewPath,
}

/// News of a Transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// ICE has a path and DTLS is done. Also said when a silent path works again after `Disconnected`.
    Connected {
        /// Negotiated protection of media.
        srtp: SrtpProfile,
        /// Negotiated handshake.
        dtls: DtlsVersion,
    },
    /// No valid check for some seconds.
    Disconnected,
    /// Over. Nothing follows but datagrams that say goodbye.
    Failed(FailureCause),
    /// Datagrams from this path belong to this Transport from now on.
    PathAdded(Path),
    /// Datagrams from this path no longer do.
    PathRemoved(Path),
    /// Media goes to this path from now on.
    PathChanged(Path),
    /// STUN with this ufrag of ours is no longer answered (after an ICE restart).
    UfragRetired(String),
    /// The channel is open in both directions.
    ChannelOpen(DataChannel),
    /// A message from the client.
    Data {
        /// On which channel.
        channel: DataChannel,
        /// The whole message.
        payload: Vec<u8>,
    },
    /// The client does not take its reliable messages: they exceed the bound in bytes or age. The participant must
    /// reconnect; said once.
    DataOverflow,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DataError {
    /// No data channels, or not open yet.
    #[error("the data channel is not open")]
    NotOpen,
    /// Longer than the client takes.
    #[error("the message has {len} bytes, the client takes {limit}")]
    TooLong {
        /// Bytes of the message.
        len: usize,
        /// The client's limit.
        limit: usize,
    },
    /// The bound of reliable messages is reached.
    #[error("too many reliable messages wait for this client")]
    Overflow,
}

/// How far the association has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Connected { srtp: SrtpProfile },
    Closed,
}

/// A datagram to be sent.
struct Outgoing {
    /// Answers go where the request came from; everything else where media goes at the time.
    to: Option<Path>,
    bytes: Vec<u8>,
}

/// Keys of media.
struct MediaKeys {
    sender: SrtpSender,
    receiver: SrtpReceiver,
}

impl MediaKeys {
    fn new(local: &MasterKey, remote: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self {
            sender: SrtpSender::new(local)?,
            receiver: SrtpReceiver::new(remote)?,
        })
    }
}

/// One ICE, DTLS, SRTP and SCTP association with a client.
pub struct Transport {
    epoch: EpochInstant,
    certificate: Arc<Certificate>,
    ice: IceLite,
    remote: Option<RemoteParams>,
    dtls: Option<Box<DtlsSession>>,
    /// By when the handshake must be done; counts from the first validated path.
    handshake_deadline: Option<Timestamp>,
    media: Option<Box<MediaKeys>>,
    sctp: Option<Box<Sctp>>,
    phase: Phase,
    /// `Disconnected` was the last word.
    silent: bool,
    /// Of what the client seals.
    silence: Silence,
    outgoing: VecDeque<Outgoing>,
    events: VecDeque<TransportEvent>,
}

impl Transport {
    /// A Transport that answers STUN for its local credentials and waits for [`connect`](Self::connect).
    #[must_use]
    pub fn new(config: TransportConfig) -> Self {
        Self {
            epoch: config.epoch,
            certificate: config.certificate,
            ice: IceLite::new(config.local),
            remote: None,
            dtls: None,
            handshake_deadline: None,
            media: None,
            sctp: None,
            phase: Phase::Opening,
            silent: false,
            silence: Silence::default(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The other side's parameters are known: DTLS starts once a path is validated. A second call is ignored.
    pub fn connect(&mut self, remote: &RemoteParams, now: Timestamp) {
        if self.remote.is_none() && self.phase == Phase::Opening {
            self.remote = Some(remote.clone());
            self.ice.expect_checks(now);
            self.begin_handshake(now);
        }
    }

    /// Media keys from elsewhere than a handshake, for simulations that start from given keys: the Transport is connected
    /// at once and never speaks DTLS. `local` seals, `remote` opens.
    ///
    /// # Errors
    /// If the crypto library refuses a key.
    pub fn connect_with_keys(
        &mut self,
        local: &MasterKey,
        remote: &MasterKey,
        now: Timestamp,
    ) -> Result<(), KeyError> {
        let keys = MediaKeys::new(local, remote)?;
        self.ice.expect_checks(now);
        self.become_connected(keys);
        Ok(())
    }

    /// New ICE credentials of ours (RFC 8445 section 9). Old and new are valid until a check with the new ones nominates a
    /// path; then [`TransportEvent::UfragRetired`] says so. The client's new credentials are not needed: a lite agent sends
    /// no checks.
    pub fn restart_ice(&mut self, local: IceCredentials, now: Timestamp) {
        self.ice.restart(local, now, &mut self.events);
    }

    /// A STUN datagram with one of our ufrags, or from one of our paths.
    pub fn handle_stun(&mut self, path: Path, datagram: &[u8], now: Timestamp) -> StunOutcome {
        if self.phase == Phase::Closed {
            return StunOutcome::Ignored;
        }
        let (outcome, answer) = self.ice.handle(path, datagram, now, &mut self.events);
        if let Some(bytes) = answer {
            self.queue(Some(path), bytes);
        }
        if matches!(outcome, StunOutcome::Valid | StunOutcome::NewPath) {
            if std::mem::take(&mut self.silent) {
                self.announce_connected();
            }
            self.begin_handshake(now);
        }
        outcome
    }

    /// A DTLS datagram. From a path that is not validated it is dropped: the client repeats it.
    pub fn handle_dtls(&mut self, path: Path, datagram: &[u8], now: Timestamp) {
        if !self.ice.is_validated(path) {
            return;
        }
        let mut outputs = VecDeque::new();
        if let Some(session) = self.session(now) {
            session.handle_packet(datagram, now, &mut outputs);
        }
        self.process(outputs, now);
    }

    /// A path has ended, as a TCP connection does. What waits goes to the next best path; without one the client has its
    /// time to come back.
    pub fn lose_path(&mut self, path: Path) {
        self.ice.lose_path(path, &mut self.events);
    }

    /// Opens an SRTP packet in place. After an error the datagram's content is not to be used.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtp(&mut self, path: Path, datagram: &mut [u8]) -> Result<OpenedRtp, OpenError> {
        let opened = self.receiver(path)?.open_rtp(datagram)?;
        self.silence.hear();
        Ok(opened)
    }

    /// Opens an SRTCP packet in place and returns its plain length. After an error the datagram's content is not to be
    /// used.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtcp(&mut self, path: Path, datagram: &mut [u8]) -> Result<usize, OpenError> {
        let len = self.receiver(path)?.open_rtcp(datagram)?;
        self.silence.hear();
        Ok(len)
    }

    /// Seals media once connected.
    pub fn sealer(&mut self) -> Option<&mut SrtpSender> {
        self.media.as_mut().map(|media| &mut media.sender)
    }

    /// Where media goes: the last nominated path, before that the newest validated one. `None` while there is none.
    #[must_use]
    pub const fn send_path(&self) -> Option<Path> {
        self.ice.selected()
    }

    /// A valid check came from this path at `since` or later, and the Transport has not ended: the path is in use.
    #[must_use]
    pub fn uses_path(&self, path: Path, since: Timestamp) -> bool {
        self.phase != Phase::Closed && self.ice.was_checked(path, since)
    }

    /// ICE has a path and DTLS is done. Stays true while the client is silent.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. })
    }

    /// Failed or closed: nothing more will happen.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Lossy messages to the client that were dropped for lack of room, since the start.
    #[must_use]
    pub fn lossy_dropped(&self) -> u64 {
        self.sctp.as_ref().map_or(0, |sctp| sctp.dropped())
    }

    /// Bytes of messages that wait for the client on a channel, besides what SCTP has taken.
    #[must_use]
    pub fn data_waiting(&self, channel: DataChannel) -> usize {
        self.sctp.as_ref().map_or(0, |sctp| sctp.waiting(channel))
    }

    /// Queues a message. A full lossy channel drops its oldest message instead of failing, and counts it.
    ///
    /// # Errors
    /// See [`DataError`].
    pub fn send_data(
        &mut self,
        channel: DataChannel,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<(), DataError> {
        let mut packets = Vec::new();
        let sctp = self.sctp.as_mut().ok_or(DataError::NotOpen)?;
        let result = sctp.send(channel, payload, now, &mut packets, &mut self.events);
        self.send_packets(&packets, now);
        result
    }

    /// Ends the association: close_notify is queued for [`poll_transmit`](Self::poll_transmit); no event follows.
    pub fn close(&mut self) {
        if let Some(mut session) = self.dtls.take() {
            let mut outputs = VecDeque::new();
            session.close(&mut outputs);
            for output in outputs {
                if let DtlsOutput::Packet(bytes) = output {
                    self.queue(None, bytes);
                }
            }
        }
        self.end();
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next. Changes with every call that takes a time.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        if self.phase == Phase::Closed {
            return None;
        }
        [
            self.ice.next_timeout(),
            self.handshake_deadline,
            self.dtls
                .as_ref()
                .and_then(|session| session.next_timeout()),
            self.sctp.as_ref().and_then(|sctp| sctp.next_timeout()),
            self.sctp
                .as_ref()
                .and_then(|sctp| sctp.heartbeat())
                .map(|_| self.silence.next_timeout()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.phase == Phase::Closed {
            return;
        }
        let liveness = self.ice.handle_timeout(now, &mut self.events);
        match liveness {
            Liveness::Dead => return self.fail(FailureCause::IceTimeout),
            Liveness::Silent if self.is_connected() && !self.silent => {
                self.silent = true;
                self.events.push_back(TransportEvent::Disconnected);
            }
            Liveness::Silent | Liveness::Live => {}
        }
        if self
            .handshake_deadline
            .is_some_and(|deadline| deadline <= now)
        {
            return self.fail(FailureCause::Dtls);
        }
        if let Some(session) = &mut self.dtls
            && session.next_timeout().is_some_and(|at| at <= now)
        {
            let mut outputs = VecDeque::new();
            session.handle_timeout(now, &mut outputs);
            self.process(outputs, now);
        }
        if let Some(sctp) = &mut self.sctp
            && sctp.next_timeout().is_some_and(|at| at <= now)
        {
            let mut packets = Vec::new();
            sctp.handle_timeout(now, &mut packets, &mut self.events);
            self.send_packets(&packets, now);
        }
        self.mind_silence(now, liveness == Liveness::Live);
    }

    /// Writes the next datagram (STUN answer, DTLS, SCTP) to `buffer`, which has at least [`MAX_TRANSMIT`] bytes; says
    /// where it goes and its length.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<(Path, usize)> {
        while let Some(Outgoing { to, bytes }) = self.outgoing.pop_front() {
            // Without a path, or longer than any datagram of ours: both can only be dropped.
            let Some(path) = to.or(self.ice.selected()) else {
                continue;
            };
            if let Some(room) = buffer.get_mut(..bytes.len()) {
                room.copy_from_slice(&bytes);
                return Some((path, bytes.len()));
            }
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    fn queue(&mut self, to: Option<Path>, bytes: Vec<u8>) {
        if self.outgoing.len() < MAX_QUEUED {
            self.outgoing.push_back(Outgoing { to, bytes });
        }
    }

    /// Asks a client of whom at most checks arrive, and gives up one of whom only checks do.
    fn mind_silence(&mut self, now: Timestamp, checked: bool) {
        let Some(sctp) = &self.sctp else {
            return;
        };
        let Some(heartbeat) = sctp.heartbeat() else {
            return;
        };
        match self
            .silence
            .handle_timeout(now, checked, sctp.answers_heartbeats())
        {
            Due::Nothing => {}
            Due::Ask => self.send_packets(&[heartbeat.packet()], now),
            Due::GiveUp => self.fail(FailureCause::MediaTimeout),
        }
    }

    /// Once the client's description and a path are known: sets the deadline; an active side sends its ClientHello.
    fn begin_handshake(&mut self, now: Timestamp) {
        let Some(remote) = &self.remote else {
            return;
        };
        if self.handshake_deadline.is_some()
            || self.ice.selected().is_none()
            || self.phase != Phase::Opening
        {
            return;
        }
        self.handshake_deadline = Some(now + HANDSHAKE_TIMEOUT);
        if remote.dtls_role == DtlsRole::Active
            && let Some(session) = self.session(now)
        {
            let mut outputs = VecDeque::new();
            session.handle_timeout(now, &mut outputs);
            self.process(outputs, now);
        }
    }

    /// The session, made when it is first needed.
    fn session(&mut self, now: Timestamp) -> Option<&mut DtlsSession> {
        if self.dtls.is_none() && self.phase == Phase::Opening {
            let remote = self.remote.as_ref()?;
            self.dtls = Some(Box::new(DtlsSession::new(
                self.certificate.clone(),
                self.epoch,
                remote.dtls_role,
                remote.fingerprint,
                now,
            )));
        }
        self.dtls.as_deref_mut()
    }

    fn receiver(&mut self, path: Path) -> Result<&mut SrtpReceiver, OpenError> {
        if !self.ice.is_validated(path) {
            return Err(OpenError::UnknownPath);
        }
        self.media
            .as_mut()
            .map(|media| &mut media.receiver)
            .ok_or(OpenError::NotConnected)
    }

    fn process(&mut self, mut outputs: VecDeque<DtlsOutput>, now: Timestamp) {
        while let Some(output) = outputs.pop_front() {
            match output {
                DtlsOutput::Packet(bytes) => self.queue(None, bytes),
                DtlsOutput::Connected { local, remote } => match MediaKeys::new(&local, &remote) {
                    Ok(keys) => {
                        self.become_connected(keys);
                        self.open_sctp(now);
                    }
                    Err(_) => return self.fail(FailureCause::Dtls),
                },
                DtlsOutput::Data(packet) => {
                    self.silence.hear();
                    if let Some(sctp) = &mut self.sctp {
                        let mut packets = Vec::new();
                        sctp.handle_packet(packet, now, &mut packets, &mut self.events);
                        self.encrypt(&packets, &mut outputs);
                    }
                }
                DtlsOutput::Closed => return self.fail(FailureCause::Closed),
                DtlsOutput::Failed(cause) => return self.fail(cause),
            }
        }
    }

    fn send_packets(&mut self, packets: &[Bytes], now: Timestamp) {
        if !packets.is_empty() {
            let mut outputs = VecDeque::new();
            self.encrypt(packets, &mut outputs);
            self.process(outputs, now);
        }
    }

    fn encrypt(&mut self, packets: &[Bytes], outputs: &mut VecDeque<DtlsOutput>) {
        if let Some(session) = &mut self.dtls {
            for packet in packets {
                session.send(packet, outputs);
            }
        }
    }

    fn become_connected(&mut self, keys: MediaKeys) {
        self.phase = Phase::Connected {
            srtp: keys.sender.profile(),
        };
        self.media = Some(Box::new(keys));
        self.handshake_deadline = None;
        self.announce_connected();
    }

    fn announce_connected(&mut self) {
        if let Phase::Connected { srtp } = self.phase {
            self.events.push_back(TransportEvent::Connected {
                srtp,
                dtls: DtlsVersion::V1_2,
            });
        }
    }

    fn open_sctp(&mut self, now: Timestamp) {
        if let Some(remote) = &self.remote
            && let Some(params) = remote.sctp
        {
            let sctp = Sctp::new(self.epoch, params, remote.dtls_role, now);
            self.sctp = Some(Box::new(sctp));
        }
    }

    fn fail(&mut self, cause: FailureCause) {
        self.events.push_back(TransportEvent::Failed(cause));
        self.end();
    }

    fn end(&mut self) {
        self.phase = Phase::Closed;
        self.handshake_deadline = None;
        self.dtls = None;
        self.sctp = None;
        self.media = None;
    }
}

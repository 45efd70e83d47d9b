//! One association with a client.

use std::sync::Arc;

use plenum_types::{
    DataChannel, DtlsVersion, FailureCause, IceCredentials, Path, RemoteParams, SrtpProfile, Timestamp,
};

use crate::{Certificate, EpochInstant, OpenError, OpenedRtp, SrtpSender};

/// Longest datagram of [`Transport::poll_transmit`], bytes: below what IPv6 always carries, less headers.
pub const MAX_TRANSMIT: usize = 1232;

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
    /// A wrong password or a malformed request; an error response may be queued.
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

/// One ICE, DTLS, SRTP and SCTP association with a client.
pub struct Transport {
    local: IceCredentials,
}

impl Transport {
    /// A Transport that answers STUN for its local credentials and waits for [`connect`](Self::connect).
    #[must_use]
    pub fn new(config: TransportConfig, now: Timestamp) -> Self {
        let _ = now;
        Self { local: config.local }
    }

    /// The other side's parameters are known: DTLS starts once a path is validated. A second call is ignored.
    pub fn connect(&mut self, remote: &RemoteParams, now: Timestamp) {
        let _ = (remote, now);
    }

    /// New ICE credentials (RFC 8445 section 9). Old and new are valid until a check with the new ones nominates a path;
    /// then [`TransportEvent::UfragRetired`] says so.
    pub fn restart_ice(&mut self, local: IceCredentials, remote: IceCredentials, now: Timestamp) {
        let _ = (remote, now);
        self.local = local;
    }

    /// A STUN datagram with one of our ufrags, or from one of our paths.
    pub fn handle_stun(&mut self, path: Path, datagram: &[u8], now: Timestamp) -> StunOutcome {
        let _ = (path, datagram, now);
        StunOutcome::Ignored
    }

    /// A DTLS datagram. From a path that is not validated it is dropped.
    pub fn handle_dtls(&mut self, path: Path, datagram: &[u8], now: Timestamp) {
        let _ = (path, datagram, now);
    }

    /// Opens an SRTP packet in place.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtp(&mut self, path: Path, datagram: &mut [u8]) -> Result<OpenedRtp, OpenError> {
        let _ = (path, datagram);
        Err(OpenError::NotConnected)
    }

    /// Opens an SRTCP packet in place and returns its plain length.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_rtcp(&mut self, path: Path, datagram: &mut [u8]) -> Result<usize, OpenError> {
        let _ = (path, datagram);
        Err(OpenError::NotConnected)
    }

    /// Seals media once connected.
    pub fn sealer(&mut self) -> Option<&mut SrtpSender> {
        None
    }

    /// Where media goes: the last nominated path, before that the newest validated one. `None` while there is none.
    #[must_use]
    pub fn send_path(&self) -> Option<Path> {
        None
    }

    /// Queues a message.
    ///
    /// # Errors
    /// See [`DataError`]. A full lossy channel drops its oldest message instead and counts it.
    pub fn send_data(
        &mut self,
        channel: DataChannel,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<(), DataError> {
        let _ = (channel, payload, now);
        Err(DataError::NotOpen)
    }

    /// Ends the association: close_notify is queued for [`poll_transmit`](Self::poll_transmit); no event follows.
    pub fn close(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next. Changes with every call that takes a time.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// Writes the next datagram (STUN answer, DTLS, SCTP) to `buffer`, which has at least [`MAX_TRANSMIT`] bytes; says
    /// where it goes and its length.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<(Path, usize)> {
        let _ = buffer;
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        None
    }
}

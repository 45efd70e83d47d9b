//! The DTLS 1.2 handshake and record layer, by `dimpl`.

use dimpl::{Dtls, Output};
use plenum_types::{DtlsRole, FailureCause, Fingerprint, SrtpProfile, Timestamp};
use std::{collections::VecDeque, sync::Arc};

use crate::{
    Certificate, EpochInstant,
    certificate::fingerprint_of,
    srtp::{KeyError, MasterKey},
};

/// Sessions that are begun before one connects. Until then an error may come from a datagram that anyone could have
/// forged, so it costs a restart rather than the call.
const MAX_ATTEMPTS: u8 = 5;
/// Records in plaintext that are still looked at after the handshake: a client whose last flight was answered in vain
/// repeats it. Fewer than the 30 that `dimpl` queues, so that forged ones can't fill its queue, which would be fatal.
const MAX_LATE_PLAINTEXT: u8 = 16;
/// Bytes for one output without touching the heap: a datagram of handshake or SCTP.
const POLL_BUFFER: usize = 2048;
/// Bytes that may be asked for beyond that: one record and its overhead.
const MAX_POLL_BUFFER: usize = 20_000;
/// Offset of the epoch in a record (RFC 6347 section 4.1).
const EPOCH_AT: usize = 3;

/// What the session wants done.
pub(crate) enum DtlsOutput {
    /// To be sent.
    Packet(Vec<u8>),
    /// The handshake is done and the certificate is the signaled one.
    Connected {
        /// Ours.
        local: MasterKey,
        /// The client's.
        remote: MasterKey,
    },
    /// Decrypted application data.
    Data(Vec<u8>),
    /// The client said goodbye.
    Closed,
    /// Over.
    Failed(FailureCause),
}

/// One handshake and what follows.
pub(crate) struct DtlsSession {
    certificate: Arc<Certificate>,
    epoch: EpochInstant,
    role: DtlsRole,
    expected: Fingerprint,
    dtls: Dtls,
    next_timeout: Option<Timestamp>,
    attempts: u8,
    late_plaintext: u8,
    /// The certificate has the signaled fingerprint.
    verified: bool,
    finished: bool,
    /// Ours and the client's.
    keys: Option<(MasterKey, MasterKey)>,
    connected: bool,
}

impl DtlsSession {
    /// A session that waits (passive) or begins with its first [`handle_timeout`](Self::handle_timeout) (active).
    pub(crate) fn new(
        certificate: Arc<Certificate>,
        epoch: EpochInstant,
        role: DtlsRole,
        expected: Fingerprint,
        now: Timestamp,
    ) -> Self {
        Self {
            dtls: begin(&certificate, epoch, role, now),
            certificate,
            epoch,
            role,
            expected,
            next_timeout: None,
            attempts: 1,
            late_plaintext: 0,
            verified: false,
            finished: false,
            keys: None,
            connected: false,
        }
    }

    pub(crate) fn handle_packet(
        &mut self,
        datagram: &[u8],
        now: Timestamp,
        out: &mut VecDeque<DtlsOutput>,
    ) {
        if self.connected && datagram.get(EPOCH_AT..EPOCH_AT + 2) == Some(&[0, 0]) {
            if self.late_plaintext >= MAX_LATE_PLAINTEXT {
                return;
            }
            self.late_plaintext += 1;
        }
        self.handle_timeout(now, out);
        let result = self.dtls.handle_packet(datagram);
        self.drain(out);
        if result.is_err() {
            if self.connected || self.attempts >= MAX_ATTEMPTS {
                out.push_back(DtlsOutput::Failed(FailureCause::Dtls));
                return;
            }
            self.attempts += 1;
            self.verified = false;
            self.finished = false;
            self.keys = None;
            self.dtls = begin(&self.certificate, self.epoch, self.role, now);
            self.handle_timeout(now, out);
        }
    }

    /// Retransmits what is due; an active session begins.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp, out: &mut VecDeque<DtlsOutput>) {
        let result = self.dtls.handle_timeout(self.epoch.instant(now));
        self.drain(out);
        if result.is_err() {
            out.push_back(DtlsOutput::Failed(FailureCause::Dtls));
        }
    }

    /// Encrypts application data.
    pub(crate) fn send(&mut self, data: &[u8], out: &mut VecDeque<DtlsOutput>) {
        let result = self.dtls.send_application_data(data);
        self.drain(out);
        if result.is_err() {
            out.push_back(DtlsOutput::Failed(FailureCause::Dtls));
        }
    }

    /// Says goodbye if the handshake got that far.
    pub(crate) fn close(&mut self, out: &mut VecDeque<DtlsOutput>) {
        // An error means that there is nobody to say goodbye to.
        if self.dtls.close().is_ok() {
            self.drain(out);
        }
    }

    pub(crate) const fn next_timeout(&self) -> Option<Timestamp> {
        self.next_timeout
    }

    /// Polls until the library waits, as it demands after each call.
    fn drain(&mut self, out: &mut VecDeque<DtlsOutput>) {
        let mut stack = [0; POLL_BUFFER];
        let mut heap = Vec::new();
        loop {
            let buffer = if heap.is_empty() {
                &mut stack[..]
            } else {
                &mut heap[..]
            };
            match self.dtls.poll_output(buffer) {
                Output::Packet(packet) => out.push_back(DtlsOutput::Packet(packet.to_vec())),
                Output::BufferTooSmall { needed } if needed <= MAX_POLL_BUFFER => {
                    heap.resize(needed, 0);
                }
                Output::BufferTooSmall { .. } => {
                    out.push_back(DtlsOutput::Failed(FailureCause::Dtls));
                    return;
                }
                Output::Timeout(at) => {
                    self.next_timeout = Some(self.epoch.timestamp(at));
                    return;
                }
                Output::PeerCert(certificate) => {
                    if fingerprint_of(certificate) == self.expected {
                        self.verified = true;
                    } else {
                        out.push_back(DtlsOutput::Failed(FailureCause::Fingerprint));
                        return;
                    }
                }
                Output::KeyingMaterial(material, profile) => match self.split(&material, profile) {
                    Ok(keys) => self.keys = Some(keys),
                    Err(_) => out.push_back(DtlsOutput::Failed(FailureCause::Dtls)),
                },
                Output::Connected => self.finished = true,
                Output::ApplicationData(data) if self.verified => {
                    out.push_back(DtlsOutput::Data(data.to_vec()));
                }
                Output::CloseNotify => out.push_back(DtlsOutput::Closed),
                _ => {}
            }
            // Certificate, keys and the end of the handshake come in no promised order.
            if self.verified
                && self.finished
                && let Some((local, remote)) = self.keys.take()
            {
                self.connected = true;
                out.push_back(DtlsOutput::Connected { local, remote });
            }
        }
    }

    fn split(
        &self,
        material: &[u8],
        profile: dimpl::SrtpProfile,
    ) -> Result<(MasterKey, MasterKey), KeyError> {
        let profile = match profile {
            dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
            dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
            dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmHmacSha1_80,
            _ => return Err(KeyError::Length),
        };
        let (client, server) = MasterKey::from_exporter(profile, material)?;
        Ok(match self.role {
            DtlsRole::Active => (client, server),
            DtlsRole::Passive => (server, client),
        })
    }
}

fn begin(certificate: &Certificate, epoch: EpochInstant, role: DtlsRole, now: Timestamp) -> Dtls {
    let mut dtls = Dtls::new_12(
        certificate.dtls_config(),
        certificate.dtls_certificate(),
        epoch.instant(now),
    );
    if role == DtlsRole::Active {
        dtls.set_active(true);
    }
    dtls
}

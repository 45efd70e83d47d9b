//! The DTLS identity of the process: certificate, key and handshake settings.

use aws_lc_rs::{digest, rand};
use plenum_types::Fingerprint;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use std::{sync::Arc, time::Duration};

/// Bytes of the serial number. Firefox refuses two certificates of one issuer with the same serial, so it must be unique
/// among all processes that ever ran: 16 random bytes.
const SERIAL_LENGTH: usize = 16;

/// First retransmission of a flight. Round trips of WebRTC calls are well below; the RFC's second would cost a lossy
/// join a second.
const FLIGHT_START_RTO: Duration = Duration::from_millis(150);
/// Retransmissions of a flight, the interval doubling: half a minute in all.
const FLIGHT_RETRIES: usize = 8;
/// A handshake that takes longer has no user left.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a handshake datagram: passes tunnels and IPv6.
const MTU: usize = 1150;

/// A self-signed ECDSA P-256 certificate with its key. One per process start, shared by all Transports.
pub struct Certificate {
    dtls: dimpl::DtlsCertificate,
    config: Arc<dimpl::Config>,
    fingerprint: Fingerprint,
}

/// The certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The system gave no randomness.
    #[error("the system's random generator failed, so no DTLS certificate could be made")]
    Randomness,
    /// Key or certificate generation failed.
    #[error("making the DTLS certificate failed: {0}")]
    Generation(#[from] rcgen::Error),
    /// The DTLS library refused its settings.
    #[error("the DTLS library refused its settings: {0}")]
    Settings(dimpl::Error),
}

impl Certificate {
    /// A new key and certificate.
    ///
    /// # Errors
    /// When the system's random generator or the crypto library fails.
    pub fn generate() -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::new())?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "plenum");
        params.distinguished_name = name;
        let mut serial = [0; SERIAL_LENGTH];
        rand::fill(&mut serial).map_err(|_| CertificateError::Randomness)?;
        params.serial_number = Some(serial.to_vec().into());
        let certificate = params.self_signed(&key)?.der().to_vec();
        // No cookie: DTLS is fed only from addresses that a connectivity check has validated.
        let config = dimpl::Config::builder()
            .mtu(MTU)
            .flight_start_rto(FLIGHT_START_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .use_server_cookie(false)
            .build()
            .map_err(CertificateError::Settings)?;
        Ok(Self {
            config: Arc::new(config),
            fingerprint: fingerprint_of(&certificate),
            dtls: dimpl::DtlsCertificate {
                certificate,
                private_key: key.serialize_der(),
            },
        })
    }

    /// SHA-256 over the certificate, for `a=fingerprint`.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn dtls_certificate(&self) -> dimpl::DtlsCertificate {
        self.dtls.clone()
    }

    pub(crate) fn dtls_config(&self) -> Arc<dimpl::Config> {
        self.config.clone()
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// SHA-256 over a certificate in DER.
pub(crate) fn fingerprint_of(certificate: &[u8]) -> Fingerprint {
    let mut bytes = [0; 32];
    let digest = digest::digest(&digest::SHA256, certificate);
    bytes.copy_from_slice(digest.as_ref());
    Fingerprint(bytes)
}

//! TLS of the public port: a certificate by files, which can be read again without touching open connections.

use std::{fs, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::TlsConfig;

/// Why the files can't be used. The texts name the files and say nothing of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file can't be read.
    #[error("{path}: {source}")]
    ReadCertificate {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It holds no certificate.
    #[error("{path}: no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate {
        /// Which file.
        path: String,
    },
    /// The key's file can't be read.
    #[error("{path}: {source}")]
    ReadKey {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It holds no key.
    #[error("{path}: no private key in PEM form (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey {
        /// Which file.
        path: String,
    },
    /// They can't be used together.
    #[error(
        "{key} is not the private key of {certificate}, or of a kind that is not supported: {source}"
    )]
    Mismatch {
        /// File of the certificate.
        certificate: String,
        /// File of the key.
        key: String,
        /// What the TLS library says.
        source: rustls::Error,
    },
}

impl TlsError {
    /// The setting to look at.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::ReadCertificate { .. } | Self::NoCertificate { .. } => "tls.certificate",
            Self::ReadKey { .. } | Self::NoKey { .. } | Self::Mismatch { .. } => "tls.key",
        }
    }
}

/// Reads both files.
///
/// # Errors
/// Names the file.
pub fn read(files: &TlsConfig) -> Result<CertifiedKey, TlsError> {
    let path = files.certificate.clone();
    let certificate = fs::read(&path).map_err(|source| TlsError::ReadCertificate {
        path: path.clone(),
        source,
    })?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path });
    }
    let path = files.key.clone();
    let key = fs::read(&path).map_err(|source| TlsError::ReadKey {
        path: path.clone(),
        source,
    })?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey { path })?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| {
        TlsError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        }
    })
}

/// The certificate that new connections get.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    /// Shows this one.
    #[must_use]
    pub fn new(key: CertifiedKey) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(key)))
    }

    /// From now on new connections get this one; open ones stay as they are.
    pub fn replace(&self, key: CertifiedKey) {
        self.0.store(Arc::new(key));
    }

    /// What a listener needs.
    ///
    /// # Errors
    /// Never in practice: the versions are those of the library.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        Ok(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

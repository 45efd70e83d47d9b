//! TLS, and certificates that are exchanged.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use crate::configured::{Configured, Folder, OLD};
use crate::support::{PATIENCE, wait_for};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};

/// A certificate for 127.0.0.1 as PEM files, and itself.
fn certificate(folder: &Folder) -> (String, String, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let pem = |label: &str, bytes: &[u8]| {
        let text = STANDARD.encode(bytes);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    };
    let crt = folder.write("tls.crt", &pem("CERTIFICATE", certificate.der()));
    let key = folder.write("tls.key", &pem("PRIVATE KEY", &key.serialize_der()));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    (text(&crt), text(&key), certificate.der().to_vec())
}

/// A connection of TLS that trusts one certificate.
struct Secure(StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    fn connect(address: SocketAddr, trusted: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.to_vec().into()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut secure = Self(StreamOwned::new(connection, stream));
        secure.get("/health/ready").map(|_| secure)
    }

    /// A request on this connection, which stays open.
    fn get(&mut self, path: &str) -> Result<String, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        self.0
            .write_all(request.as_bytes())
            .map_err(|error| error.to_string())?;
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\nready") {
            let mut bytes = [0; 4096];
            match self.0.read(&mut bytes) {
                Ok(read) if read > 0 => answer.push_str(&String::from_utf8_lossy(&bytes[..read])),
                Ok(_) => return Err(format!("closed after {answer:?}")),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(answer)
    }
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_open_ones_stay() {
    let folder = Folder::new("tls");
    let (crt, key, first) = certificate(&folder);
    let text = format!("keys: {{a: {OLD}}}\ntls:\n  certificate: {crt}\n  key: {key}\n");
    let file = folder.write("plenum.yaml", &text);
    let configured = Configured::by(folder, file);
    let server = &configured.server;
    let mut open = Secure::connect(server.address, &first).unwrap();
    assert_ne!(
        server.get("/health/ready").status,
        200,
        "plain HTTP is not served"
    );
    // A key that does not fit changes nothing.
    let right = fs::read(&key).unwrap();
    fs::write(&key, "no key").unwrap();
    configured.wait_for_refusal();
    assert!(Secure::connect(server.address, &first).is_ok());
    fs::write(&key, right).unwrap();

    let (_, _, second) = certificate(&configured.folder);
    wait_for("the new certificate to be shown", || {
        Secure::connect(server.address, &second).is_ok()
    });
    assert!(Secure::connect(server.address, &first).is_err());
    assert!(open.get("/health/ready").unwrap().contains("200 OK"));
}

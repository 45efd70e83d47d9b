//! A server with a configuration that the test writes.

use std::{fs, path::PathBuf};

use crate::support::{Server, wait_for};
use plenum_server::auth::{Claims, Keys, VideoGrant};

pub(crate) const OLD: &str = "old-secret-of-32-bytes-and-more-0";
pub(crate) const NEW: &str = "new-secret-of-32-bytes-and-more-0";

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plenum-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server in production, and the file that it is configured by.
pub(crate) struct Configured {
    pub(crate) server: Server,
    pub(crate) file: PathBuf,
    // Goes after the server, which writes its log there.
    pub(crate) folder: Folder,
}

impl Configured {
    /// With the key `a` and more.
    pub(crate) fn start(name: &str, more: &str) -> Self {
        let folder = Folder::new(name);
        let file = folder.write("plenum.yaml", &with_key(more));
        Self::by(folder, file)
    }

    /// By a file that is there.
    pub(crate) fn by(folder: Folder, file: PathBuf) -> Self {
        let server = Server::with_files(&file, &folder.log(), &[]);
        Self {
            server,
            file,
            folder,
        }
    }

    /// Its file says something else from now on.
    pub(crate) fn write(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
    }

    /// The key `a` and more from now on, as it finds by itself.
    pub(crate) fn change(&self, more: &str) {
        self.write(&with_key(more));
    }

    /// The key `a` and more from now on, as a signal tells it.
    pub(crate) fn reload(&self, more: &str) {
        self.change(more);
        self.server.signal("-HUP");
    }

    /// Waits until it has refused what its files say.
    pub(crate) fn wait_for_refusal(&self) {
        wait_for("the bad file to be refused", || {
            self.has_metric("plenum_config_reloads_total{result=\"refused\"} 1")
        });
    }

    /// Waits until so many configurations have counted.
    pub(crate) fn wait_for_version(&self, version: u32) {
        wait_for("the new configuration to count", || {
            self.has_version(version)
        });
    }

    pub(crate) fn has_version(&self, version: u32) -> bool {
        self.has_metric(&format!("plenum_config_version {version}"))
    }

    pub(crate) fn has_metric(&self, line: &str) -> bool {
        self.server
            .ask_admin("/metrics")
            .body
            .lines()
            .any(|found| found == line)
    }

    /// A token for `ada` to join `lobby` by this key is good.
    pub(crate) fn accepts(&self, key: &str, secret: &str) -> bool {
        let token = token(key, secret);
        self.server
            .get(&format!("/rtc/validate?access_token={token}"))
            .status
            == 200
    }
}

fn with_key(more: &str) -> String {
    format!("keys: {{a: {OLD}}}\n{more}")
}

/// A token for `ada` to join `lobby`.
pub(crate) fn token(key: &str, secret: &str) -> String {
    let claims = Claims {
        sub: "ada".to_owned(),
        video: VideoGrant::join("lobby"),
        ..Claims::default()
    };
    sign(key, secret, claims)
}

/// A token by the key `a`.
pub(crate) fn token_of(identity: &str, video: VideoGrant) -> String {
    let claims = Claims {
        sub: identity.to_owned(),
        video,
        ..Claims::default()
    };
    sign("a", OLD, claims)
}

/// A token that says these claims.
pub(crate) fn sign(key: &str, secret: &str, claims: Claims) -> String {
    let claims = Claims {
        iss: key.to_owned(),
        exp: 4_000_000_000,
        ..claims
    };
    Keys::new([(key.to_owned(), secret.to_owned())])
        .sign(&claims)
        .unwrap()
}

//! Production, its configuration and TLS, against the real process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // helpers of tests fail the test, too

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use livekit_protocol::signal_response::Message as Response;
use plenum_server::auth::{Claims, Keys, VideoGrant};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use support::{PATIENCE, Server, wait_for};

const OLD: &str = "old-secret-of-32-bytes-and-more-0";
const NEW: &str = "new-secret-of-32-bytes-and-more-0";

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plenum-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plenum-sfu"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn token(key: &str, secret: &str) -> String {
    let claims = Claims {
        iss: key.to_owned(),
        sub: "ada".to_owned(),
        exp: 4_000_000_000,
        video: VideoGrant::join("lobby"),
        ..Claims::default()
    };
    Keys::new([(key.to_owned(), secret.to_owned())])
        .sign(&claims)
        .unwrap()
}

fn accepts(server: &Server, key: &str, secret: &str) -> bool {
    let token = token(key, secret);
    server
        .get(&format!("/rtc/validate?access_token={token}"))
        .status
        == 200
}

fn metric(server: &Server, line: &str) -> bool {
    server
        .ask_admin("/metrics")
        .body
        .lines()
        .any(|found| found == line)
}

#[test]
fn production_does_not_start_with_keys_that_others_could_guess() {
    let folder = Folder::new("production");
    for (text, expected) in [
        ("port: 1\n", "keys: none set"),
        (
            &*format!("keys:\n  devkey: {OLD}\n"),
            "plenum.yaml:2: keys.devkey: everyone knows this key",
        ),
        (
            "keys:\n  team-a: hushhush\n",
            "plenum.yaml:2: keys.team-a: the secret has 8 bytes; at least 32 are needed: `openssl rand -hex 32`",
        ),
    ] {
        let file = folder.write("plenum.yaml", text);
        let output = run(&["--config", file.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(1));
        let errors = errors(&output);
        assert!(errors.contains(expected), "{expected}\n{errors}");
        assert!(!errors.contains("hushhush"), "{errors}");
    }
    let output = run(&[], &[("PLENUM_KEYS", "team-a: hushhush")]);
    assert_eq!(output.status.code(), Some(1));
    let errors = errors(&output);
    assert!(
        errors.contains("environment variable PLENUM_KEYS: keys.team-a: the secret has 8 bytes"),
        "{errors}"
    );
    assert!(!errors.contains("hushhush"), "{errors}");
}

#[test]
fn a_check_tells_everything_that_is_wrong_by_line_and_its_exit_status() {
    let folder = Folder::new("check");
    let file = folder.write(
        "plenum.yaml",
        &format!(
            "prot: 7880\nrtc:\n  min_port: zero\n  shards: 3\nkeys: {{a: hushhush}}\ntls:\n  certificate: {0}/none.crt\n  key: {0}/none.key\n",
            folder.0.display()
        ),
    );
    let file = file.to_str().unwrap();
    let output = run(&["config", "check", file], &[("PLENUM_BIND", "nowhere")]);
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    for expected in [
        ":1: unknown setting `prot`, did you mean `port`?",
        ":3: rtc.min_port: expected a whole number from 1 to 65535",
        ":5: keys.a: the secret has 8 bytes",
        ":7: tls.certificate: ",
        "none.crt: No such file",
        "environment variable PLENUM_BIND: bind: ",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(!text.contains("hushhush"), "{text}");
    let good = folder.write("good.yaml", &format!("keys: {{a: {OLD}}}\n"));
    let output = run(&["config", "check", good.to_str().unwrap()], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("good.yaml: ok"));
}

#[test]
fn the_reference_is_printed() {
    let output = run(&["config", "reference"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("| `rtc.min_port` | `RTC_MIN_PORT` | `7882` |"),
        "{text}"
    );
}

#[tokio::test]
async fn keys_are_exchanged_while_clients_stay() {
    let folder = Folder::new("keys");
    let file = folder.write("plenum.yaml", &format!("keys: {{a: {OLD}}}\n"));
    let server = Server::with_files(&file, &folder.log(), &[]);
    assert!(accepts(&server, "a", OLD) && !accepts(&server, "b", NEW));
    let (mut client, first) = server.join("/rtc?protocol=16", &token("a", OLD)).await;
    assert!(matches!(first, Response::Join(_)), "{first:?}");

    // Both count, by signal.
    fs::write(
        &file,
        format!("keys: {{a: {OLD}, b: {NEW}}}\nlog_json: true\n"),
    )
    .unwrap();
    server.signal("-HUP");
    wait_for("the new key to count", || accepts(&server, "b", NEW));
    assert!(accepts(&server, "a", OLD));
    assert!(metric(&server, "plenum_config_version 2"));
    assert!(metric(
        &server,
        "plenum_config_reloads_total{result=\"applied\"} 1"
    ));
    wait_for("the log to name what waits", || {
        let log = server.log();
        log.contains("wait for the next start") && log.contains("log_json")
    });

    // A bad file changes nothing.
    fs::write(&file, format!("keys: {{b: {}}}\n", &NEW[..20])).unwrap();
    wait_for("the bad file to be refused", || {
        metric(&server, "plenum_config_reloads_total{result=\"refused\"} 1")
    });
    assert!(accepts(&server, "a", OLD) && accepts(&server, "b", NEW));
    assert!(metric(&server, "plenum_config_version 2"));
    assert!(
        server.log().contains("keys.b: the secret has 20 bytes"),
        "{}",
        server.log()
    );

    // The old one goes, by another file under the same name.
    let next = folder.write("next.yaml", &format!("keys: {{b: {NEW}}}\n"));
    fs::rename(next, &file).unwrap();
    wait_for("the old key to be gone", || !accepts(&server, "a", OLD));
    assert!(accepts(&server, "b", NEW));
    let ours = Keys::new([("b".to_owned(), NEW.to_owned())]);
    let claims = client
        .until(|message| match message {
            Response::RefreshToken(token) => ours.verify(&token).ok(),
            _ => None,
        })
        .await;
    assert_eq!((claims.iss.as_str(), claims.sub.as_str()), ("b", "ada"));
    assert!(client.is_served().await);

    for secret in [OLD, NEW, &NEW[..20]] {
        assert!(!server.log().contains(secret), "{}", server.log());
        assert!(!server.command_line().contains(secret));
    }
}

#[test]
fn a_config_map_that_swaps_its_links_is_followed() {
    let folder = Folder::new("links");
    for (name, key) in [("one", "a"), ("two", "b")] {
        fs::create_dir_all(folder.0.join(name)).unwrap();
        folder.write(
            &format!("{name}/plenum.yaml"),
            &format!("keys: {{{key}: {OLD}}}\nlog_level: info\nroom: {{auto_create: true}}\n"),
        );
    }
    let link = |target: &str| {
        let fresh = folder.0.join("fresh");
        std::os::unix::fs::symlink(target, &fresh).unwrap();
        fs::rename(fresh, folder.0.join("..data")).unwrap();
    };
    link("one");
    let file = folder.0.join("plenum.yaml");
    std::os::unix::fs::symlink("..data/plenum.yaml", &file).unwrap();
    let server = Server::with_files(&file, &folder.log(), &[]);
    assert!(accepts(&server, "a", OLD));
    link("two");
    wait_for("the other file to count", || accepts(&server, "b", OLD));
    assert!(!accepts(&server, "a", OLD));
}

#[test]
fn the_log_filter_and_settings_of_rooms_change_while_it_runs() {
    let folder = Folder::new("log");
    let text = |more: &str| format!("keys: {{a: {OLD}}}\n{more}");
    let file = folder.write("plenum.yaml", &text("log_level: error\n"));
    let server = Server::with_files(&file, &folder.log(), &[]);
    assert!(accepts(&server, "a", OLD));
    fs::write(&file, text("log_level: info\nroom: {auto_create: false}\n")).unwrap();
    server.signal("-HUP");
    // Now no join makes a room.
    wait_for("the setting to count", || !accepts(&server, "a", OLD));
    assert!(
        server.log().contains("configuration read"),
        "{}",
        server.log()
    );
    assert!(server.log().contains("log_level"), "{}", server.log());
}

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
    let server = Server::with_files(&file, &folder.log(), &[]);
    let mut open = Secure::connect(server.address, &first).unwrap();
    assert_ne!(
        server.get("/health/ready").status,
        200,
        "plain HTTP is not served"
    );
    // A key that does not fit changes nothing.
    let right = fs::read(&key).unwrap();
    fs::write(&key, "no key").unwrap();
    wait_for("the bad file to be refused", || {
        metric(&server, "plenum_config_reloads_total{result=\"refused\"} 1")
    });
    assert!(Secure::connect(server.address, &first).is_ok());
    fs::write(&key, right).unwrap();

    let (_, _, second) = certificate(&folder);
    wait_for("the new certificate to be shown", || {
        Secure::connect(server.address, &second).is_ok()
    });
    assert!(Secure::connect(server.address, &first).is_err());
    assert!(open.get("/health/ready").unwrap().contains("200 OK"));
}

#[tokio::test]
async fn requests_and_sockets_are_counted_by_route_and_reason() {
    let folder = Folder::new("metrics");
    let file = folder.write("plenum.yaml", &format!("keys: {{a: {OLD}}}\n"));
    let server = Server::with_files(&file, &folder.log(), &[]);
    assert!(accepts(&server, "a", OLD));
    assert_eq!(server.get("/prefix/rtc/validate").status, 401);
    for n in 0..20 {
        assert_eq!(server.get(&format!("/made-up/{n}")).status, 404);
        assert_eq!(
            server.request(&format!("METHOD{n}"), "/x", &[], b"").status,
            404
        );
    }
    let (mut client, _) = server.join("/rtc?protocol=16", &token("a", OLD)).await;
    assert!(client.is_served().await);
    for line in [
        "plenum_http_requests_total{route=\"/rtc/validate\",method=\"GET\",status=\"2xx\"} 1",
        "plenum_http_errors_total{route=\"/rtc/validate\",method=\"GET\",status=\"4xx\"} 1",
        "plenum_http_request_duration_seconds_count{route=\"/rtc/validate\",method=\"GET\"} 2",
        "plenum_http_requests_total{route=\"unknown\",method=\"GET\",status=\"4xx\"} 20",
        "plenum_http_requests_total{route=\"unknown\",method=\"other\",status=\"4xx\"} 20",
        "plenum_http_requests_total{route=\"/rtc\",method=\"GET\",status=\"1xx\"} 1",
        "plenum_websocket_connections 1",
        "plenum_websocket_connections_opened_total 1",
    ] {
        assert!(
            metric(&server, line),
            "{line}\n{}",
            server.ask_admin("/metrics").body
        );
    }
    client
        .raw(tokio_tungstenite::tungstenite::Message::Binary(
            vec![0xff; 4].into(),
        ))
        .await;
    assert!(client.next().await.is_none_or(|_| true));
    for line in [
        "plenum_websocket_disconnections_total{reason=\"malformed\"} 1",
        "plenum_websocket_errors_total{reason=\"malformed\"} 1",
        "plenum_websocket_connections 0",
    ] {
        wait_for(line, || metric(&server, line));
    }
}

#[tokio::test]
async fn a_member_that_is_full_says_which_limit_it_has_reached_until_that_changes() {
    let folder = Folder::new("limits");
    let text = |limits: &str| format!("keys: {{a: {OLD}}}\nlimits: {{{limits}}}\n");
    let file = folder.write("plenum.yaml", &text("participants: 1"));
    let server = Server::with_files(&file, &folder.log(), &[]);
    let of = |identity: &str, room: &str| {
        let claims = Claims {
            iss: "a".to_owned(),
            sub: identity.to_owned(),
            exp: 4_000_000_000,
            video: VideoGrant::join(room),
            ..Claims::default()
        };
        Keys::new([("a".to_owned(), OLD.to_owned())])
            .sign(&claims)
            .unwrap()
    };
    let refused = |token: &str| {
        let upgrade = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            &format!("Authorization: Bearer {token}"),
        ];
        server.request("GET", "/rtc?protocol=16", &upgrade, b"")
    };
    let (mut ada, _) = server.join("/rtc?protocol=16", &of("ada", "one")).await;
    let answer = refused(&of("bob", "two"));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.body.contains("limits.participants"), "{answer:?}");
    assert!(answer.body.contains("1 participants"), "{answer:?}");

    fs::write(&file, text("connections: 1")).unwrap();
    wait_for("the other limit to count", || {
        refused(&of("bob", "two"))
            .body
            .contains("limits.connections")
    });
    assert_eq!(refused(&of("bob", "two")).status, 503);
    fs::write(&file, text("")).unwrap();
    wait_for("no limit to count", || {
        metric(&server, "plenum_config_version 3")
    });
    let (_bob, first) = server.join("/rtc?protocol=16", &of("bob", "two")).await;
    assert!(matches!(first, Response::Join(_)), "{first:?}");
    assert!(ada.is_served().await);
}

/// A token of a back end that may create rooms, as a header.
fn back_end() -> String {
    let claims = Claims {
        iss: "a".to_owned(),
        sub: "back end".to_owned(),
        exp: 4_000_000_000,
        video: VideoGrant {
            room_create: true,
            ..VideoGrant::default()
        },
        ..Claims::default()
    };
    let token = Keys::new([("a".to_owned(), OLD.to_owned())])
        .sign(&claims)
        .unwrap();
    format!("Authorization: Bearer {token}")
}

fn create(server: &Server, body: &str) -> support::Answer {
    server.request(
        "POST",
        "/twirp/livekit.RoomService/CreateRoom",
        &[&back_end(), "Content-Type: application/json"],
        body.as_bytes(),
    )
}

#[test]
fn another_limit_of_rooms_counts_for_placement_too() {
    let folder = Folder::new("rooms");
    let text = |rooms: u32| format!("keys: {{a: {OLD}}}\nroom: {{max_rooms: {rooms}}}\n");
    let file = folder.write("plenum.yaml", &text(1));
    let server = Server::with_files(&file, &folder.log(), &[]);
    let fits = |name: &str| create(&server, &format!("{{\"name\":\"{name}\"}}")).status == 200;
    assert!(fits("one") && !fits("two"));
    fs::write(&file, text(2)).unwrap();
    server.signal("-HUP");
    wait_for("a second room to fit", || fits("two"));
    assert!(!fits("three"));
    fs::write(&file, text(1)).unwrap();
    server.signal("-HUP");
    wait_for("the old limit to count", || {
        metric(&server, "plenum_config_version 3")
    });
    // What is there stays, and is found.
    assert!(fits("one") && fits("two") && !fits("three"));
}

/// covers: room.room_preset, grant.roomPreset, RoomService.CreateRoom
#[test]
fn presets_of_rooms_follow_their_file() {
    let folder = Folder::new("presets");
    let text = |presets: &str| format!("keys: {{a: {OLD}}}\nroom: {{presets: {{{presets}}}}}\n");
    let file = folder.write("plenum.yaml", &text("hall: {max_participants: 7}"));
    let server = Server::with_files(&file, &folder.log(), &[]);
    let preset = |name: &str, preset: &str| {
        create(
            &server,
            &format!("{{\"name\":\"{name}\",\"room_preset\":\"{preset}\"}}"),
        )
    };
    let hall = preset("one", "hall");
    assert_eq!(hall.status, 200, "{hall:?}");
    let seats = |answer: &support::Answer| {
        let json = answer.json();
        let seats = json.get("max_participants");
        seats
            .or_else(|| json.get("maxParticipants"))
            .and_then(serde_json::Value::as_u64)
    };
    assert_eq!(seats(&hall), Some(7), "{hall:?}");
    let unknown = preset("two", "studio");
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert!(unknown.body.contains("studio"), "{unknown:?}");
    let joins = |preset: &str| {
        let claims = Claims {
            iss: "a".to_owned(),
            sub: "ada".to_owned(),
            exp: 4_000_000_000,
            room_preset: preset.to_owned(),
            video: VideoGrant::join("three"),
            ..Claims::default()
        };
        let keys = Keys::new([("a".to_owned(), OLD.to_owned())]);
        let token = keys.sign(&claims).unwrap();
        server.get(&format!("/rtc/validate?access_token={token}"))
    };
    assert_eq!(joins("hall").status, 200);
    let near = joins("hal");
    assert_eq!(near.status, 400, "{near:?}");
    assert!(near.body.contains("did you mean \"hall\""), "{near:?}");

    fs::write(
        &file,
        text("hall: {max_participants: 8}, studio: {max_participants: 9}"),
    )
    .unwrap();
    server.signal("-HUP");
    wait_for("the new preset to be there", || {
        preset("two", "studio").status == 200
    });
    assert_eq!(seats(&preset("two", "studio")), Some(9));
    // A room that is there keeps what it was made with.
    assert_eq!(seats(&preset("one", "hall")), Some(7));
    assert_eq!(joins("studio").status, 200);
}

/// Media types that a first message names for publishing.
fn codecs(first: Response) -> Vec<String> {
    let Response::Join(join) = first else {
        panic!("{first:?}");
    };
    join.enabled_publish_codecs
        .into_iter()
        .map(|codec| codec.mime)
        .collect()
}

#[tokio::test]
async fn codecs_follow_their_file_for_rooms_that_open_from_then_on() {
    let folder = Folder::new("codecs");
    let text = |codecs: &str| format!("keys: {{a: {OLD}}}\nmedia: {{codecs: [{codecs}]}}\n");
    let file = folder.write("plenum.yaml", &text("vp9, vp8, opus"));
    let server = Server::with_files(&file, &folder.log(), &[]);
    let of = |identity: &str, room: &str| {
        let claims = Claims {
            iss: "a".to_owned(),
            sub: identity.to_owned(),
            exp: 4_000_000_000,
            video: VideoGrant::join(room),
            ..Claims::default()
        };
        Keys::new([("a".to_owned(), OLD.to_owned())])
            .sign(&claims)
            .unwrap()
    };
    let path = "/rtc?protocol=16";
    let (mut ada, first) = server.join(path, &of("ada", "one")).await;
    let before = ["video/VP9", "video/VP8", "audio/opus"];
    assert_eq!(codecs(first), before);

    // Without Opus nobody could speak: nothing changes.
    fs::write(&file, text("h264")).unwrap();
    wait_for("the bad list to be refused", || {
        metric(&server, "plenum_config_reloads_total{result=\"refused\"} 1")
    });
    fs::write(&file, text("h264, opus, red")).unwrap();
    server.signal("-HUP");
    wait_for("the new list to count", || {
        metric(&server, "plenum_config_version 2")
    });
    let (_bob, first) = server.join(path, &of("bob", "two")).await;
    assert_eq!(codecs(first), ["video/H264", "audio/opus", "audio/red"]);
    // A room that was open goes on with what its tracks are in.
    let (_carol, first) = server.join(path, &of("carol", "one")).await;
    assert_eq!(codecs(first), before);
    assert!(ada.is_served().await);
}

//! The public port without signaling: statuses, pages, health, limits.

mod support;

use plenum_server::auth::{Claims, Keys};
use support::{KEY, Server, token};

fn validate(server: &Server, token: &str) -> (u16, String) {
    let answer = server.get(&format!("/rtc/validate?access_token={token}"));
    (answer.status, answer.body)
}

/// covers: grant.roomJoin, sdk.connection_errors
#[test]
fn tokens_get_their_documented_status() {
    let server = Server::start(&[]);
    let stranger = Keys::new([(KEY.to_owned(), "another secret".to_owned())]);
    let forged = stranger
        .sign(&Claims {
            iss: KEY.to_owned(),
            exp: 4_000_000_000,
            ..Claims::default()
        })
        .unwrap();
    for (what, token, status) in [
        ("good", token(|_| ()), 200),
        ("none", String::new(), 401),
        ("nonsense", "nonsense".to_owned(), 401),
        ("forged", forged, 401),
        ("expired", token(|claims| claims.exp = 1_000_000), 401),
        (
            "early",
            token(|claims| claims.nbf = Some(3_999_999_999)),
            401,
        ),
        (
            "no grant",
            token(|claims| claims.video.room_join = false),
            401,
        ),
        ("no identity", token(|claims| claims.sub.clear()), 400),
        ("no room", token(|claims| claims.video.room.clear()), 400),
        (
            "long room",
            token(|claims| claims.video.room = "r".repeat(300)),
            400,
        ),
    ] {
        let (found, body) = validate(&server, &token);
        assert_eq!(found, status, "{what}: {body}");
        assert!(token.is_empty() || !body.contains(&token), "{what}: {body}");
    }
    let bad = server.get(&format!(
        "/rtc/v1/validate?join_request=AAAA&access_token={}",
        token(|_| ())
    ));
    assert_eq!(bad.status, 400, "{bad:?}");
    assert_eq!(validate(&server, &token(|_| ())).1, "success");
}

/// covers: sdk.connection_errors
#[test]
fn names_have_at_most_256_bytes() {
    let server = Server::start(&[]);
    // Two bytes each.
    let fits = "é".repeat(128);
    let long = format!("{fits}x");
    for (what, token) in [
        ("room", token(|claims| claims.video.room = fits.clone())),
        ("identity", token(|claims| claims.sub = fits.clone())),
    ] {
        assert_eq!(validate(&server, &token).0, 200, "{what}");
    }
    for (what, token) in [
        ("room", token(|claims| claims.video.room = long.clone())),
        ("identity", token(|claims| claims.sub = long.clone())),
    ] {
        let (status, body) = validate(&server, &token);
        assert_eq!(status, 400, "{what}: {body}");
        assert!(body.contains("257 bytes; at most 256"), "{what}: {body}");
        assert!(body.contains(what), "{what}: {body}");
    }
}

#[test]
fn a_token_has_a_longest_length() {
    let server = Server::start(&[]);
    let token = token(|claims| claims.name = "n".repeat(64 * 1024));
    let bearer = format!("Authorization: Bearer {token}");
    let answer = server.request("GET", "/rtc/validate", &[&bearer], b"");
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(
        answer.body.contains("at most 65536 are allowed"),
        "{answer:?}"
    );
    assert!(!answer.body.contains(&token[..40]));
}

#[test]
fn a_room_that_may_not_be_made_is_said_to_be_missing() {
    let server = Server::start(&[("PLENUM_AUTO_CREATE", "false")]);
    let (status, body) = validate(&server, &token(|_| ()));
    assert_eq!(status, 404);
    assert!(body.contains("requested room does not exist"), "{body}");
}

#[test]
fn signaling_paths_want_a_websocket_and_bear_prefixes_and_slashes() {
    let server = Server::start(&[]);
    let query = format!("access_token={}", token(|_| ()));
    for path in [
        "/rtc",
        "/rtc/v1",
        "/nowhere",
        "/dev/mode",
        "/dev/token?room=a&identity=b",
    ] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for path in [
        "//rtc//v1/validate",
        "/any/prefix/rtc/validate",
        "/rtc/validate/",
    ] {
        let answer = server.get(&format!("{path}?{query}"));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

/// covers: edge.root_is_cheap
#[test]
fn the_root_is_ok_for_programs_and_a_page_for_people() {
    let server = Server::start(&[]);
    let program = server.get("/");
    assert_eq!((program.status, program.body.as_str()), (200, "OK"));
    let head = server.request("HEAD", "/", &[], b"");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let person = server.request("GET", "/", &["Accept: text/html,*/*"], b"");
    assert_eq!(person.status, 200);
    assert!(person.body.contains("Plenum"), "{person:?}");
}

#[test]
fn a_member_without_addresses_is_alive_but_not_ready() {
    let server = Server::launch(&[], &[("PLENUM_WAIT_FOR_ADDRESSES", "true")], false);
    for (path, status) in [("/", 406), ("/health/ready", 503), ("/health/live", 200)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    assert_eq!(server.ask_admin("/health").status, 503);
    assert_eq!(server.ask_admin("/health/info").status, 200);
    assert_eq!(server.request("HEAD", "/", &[], b"").status, 406);
    let page = server.request("GET", "/", &["Accept: text/html"], b"");
    assert_eq!(page.status, 406);
    let join = server.get(&format!("/rtc/validate?access_token={}", token(|_| ())));
    assert_eq!(join.status, 503);
    assert!(join.has_header("retry-after: 1"), "{join:?}");
}

#[test]
fn health_names_dependencies_and_shards() {
    let server = Server::start(&[("PLENUM_SHARDS", "2"), ("SERVER_INSTANCE_ID", "member-7")]);
    let health = server.ask_admin("/health").json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["shards"].as_array().unwrap().len(), 2);
    assert!(health["shards"][1]["latencyMs"].is_number());
    assert_eq!(health["dependencies"][0]["name"], "directory");
    assert_eq!(
        server.ask_admin("/health/info").json()["nodeId"],
        "member-7"
    );
    let metrics = server.ask_admin("/metrics");
    assert!(
        metrics
            .has_header("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    for line in ["plenum_rooms 0", "plenum_shard_up{shard=\"1\"} 1", "# EOF"] {
        assert!(metrics.body.contains(line), "{line}\n{}", metrics.body);
    }
}

#[test]
fn the_public_port_shows_metrics_and_health_in_dev_mode_only() {
    let paths = ["/metrics", "/health", "/health/info"];
    let production = Server::start(&[]);
    let dev = Server::launch(&["--dev"], &[], true);
    for path in paths {
        assert_eq!(production.get(path).status, 404, "{path}");
        assert_eq!(production.ask_admin(path).status, 200, "{path}");
        assert_eq!(dev.get(path).status, 200, "{path}");
    }
    // The admin port has no door for clients.
    for path in ["/rtc/validate", "/dev/mode"] {
        assert_eq!(production.ask_admin(path).status, 404, "{path}");
    }
}

#[test]
fn request_lines_are_long_but_not_endless() {
    let server = Server::start(&[]);
    let base = format!("/rtc/validate?access_token={}&padding=", token(|_| ()));
    let fits = format!("{base}{}", "x".repeat(65_534 - base.len()));
    assert_eq!(server.get(&fits).status, 200);
    for length in [65_535, 300_000] {
        let status = server
            .get(&format!("{base}{}", "x".repeat(length - base.len())))
            .status;
        assert!((400..500).contains(&status), "{length}: {status}");
    }
    assert_eq!(server.get("/health/live").status, 200);
}

#[test]
fn every_origin_is_welcome() {
    let server = Server::start(&[]);
    assert!(
        server
            .get("/rtc/validate")
            .has_header("access-control-allow-origin: *")
    );
    let preflight = server.request(
        "OPTIONS",
        "/twirp/livekit.RoomService/ListRooms",
        &[
            "Origin: https://app.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,x-custom",
        ],
        b"",
    );
    assert_eq!(preflight.status, 204, "{preflight:?}");
    assert!(preflight.has_header("access-control-allow-headers: authorization,x-custom"));
}

#[test]
fn dev_mode_gives_tokens_to_everyone() {
    let server = Server::launch(&["--dev"], &[], true);
    assert_eq!(server.get("/dev/mode").json()["dev"], true);
    let given = server
        .get("/dev/token?room=demo&identity=ada&name=Ada")
        .json();
    let (status, body) = validate(&server, given["token"].as_str().unwrap());
    assert_eq!((status, body.as_str()), (200, "success"));
}

#[test]
fn a_wrong_setting_ends_the_start_with_its_name() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_plenum-sfu"))
        .env_clear()
        .env("PLENUM_PORT", "seven")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("PLENUM_PORT"), "{text}");
}

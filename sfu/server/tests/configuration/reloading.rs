//! A file that changes while the server runs.

use std::fs;

use crate::configured::{Configured, Folder, NEW, OLD, token};
use crate::support::wait_for;
use livekit_protocol::signal_response::Message as Response;
use plenum_server::auth::Keys;

#[tokio::test]
async fn keys_are_exchanged_while_clients_stay() {
    let configured = Configured::start("keys", "");
    let server = &configured.server;
    assert!(configured.accepts("a", OLD) && !configured.accepts("b", NEW));
    let (mut client, first) = server.join("/rtc?protocol=16", &token("a", OLD)).await;
    assert!(matches!(first, Response::Join(_)), "{first:?}");

    // Both count, by signal.
    configured.write(&format!("keys: {{a: {OLD}, b: {NEW}}}\nlog_json: true\n"));
    server.signal("-HUP");
    wait_for("the new key to count", || configured.accepts("b", NEW));
    assert!(configured.accepts("a", OLD));
    assert!(configured.has_version(2));
    assert!(configured.has_metric("plenum_config_reloads_total{result=\"applied\"} 1"));
    wait_for("the log to name what waits", || {
        let log = server.log();
        log.contains("wait for the next start") && log.contains("log_json")
    });

    // A bad file changes nothing.
    configured.write(&format!("keys: {{b: {}}}\n", &NEW[..20]));
    configured.wait_for_refusal();
    assert!(configured.accepts("a", OLD) && configured.accepts("b", NEW));
    assert!(configured.has_version(2));
    assert!(
        server.log().contains("keys.b: the secret has 20 bytes"),
        "{}",
        server.log()
    );

    // The old one goes, by another file under the same name.
    let next = configured
        .folder
        .write("next.yaml", &format!("keys: {{b: {NEW}}}\n"));
    fs::rename(next, &configured.file).unwrap();
    wait_for("the old key to be gone", || !configured.accepts("a", OLD));
    assert!(configured.accepts("b", NEW));
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
    let path = folder.0.clone();
    let link = |target: &str| {
        let fresh = path.join("fresh");
        std::os::unix::fs::symlink(target, &fresh).unwrap();
        fs::rename(fresh, path.join("..data")).unwrap();
    };
    link("one");
    let file = path.join("plenum.yaml");
    std::os::unix::fs::symlink("..data/plenum.yaml", &file).unwrap();
    let configured = Configured::by(folder, file);
    assert!(configured.accepts("a", OLD));
    link("two");
    wait_for("the other file to count", || configured.accepts("b", OLD));
    assert!(!configured.accepts("a", OLD));
}

#[test]
fn the_log_filter_and_settings_of_rooms_change_while_it_runs() {
    let configured = Configured::start("log", "log_level: error\n");
    assert!(configured.accepts("a", OLD));
    configured.reload("log_level: info\nroom: {auto_create: false}\n");
    // Now no join makes a room.
    wait_for("the setting to count", || !configured.accepts("a", OLD));
    let log = configured.server.log();
    assert!(log.contains("configuration read"), "{log}");
    assert!(log.contains("log_level"), "{log}");
}

//! What is wrong is told before anything starts.

use std::process::{Command, Output};

use crate::configured::{Folder, OLD};

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

//! A client whose keys are good and whose packets are not.
//!
//! A test signs in and negotiates; this program is the connection that comes of it. It says its fingerprint and
//! credentials, reads those of the server, connects, and then attacks as each line of its input says:
//!
//! ```text
//! > ready FINGERPRINT UFRAG PWD
//! < connect ADDRESS UFRAG PWD FINGERPRINT
//! > connected
//! < nack_storm ssrcs=1234,5678
//! > done 4000
//! ```
//!
//! An attack ends by itself, after [`LENGTH`] at most. The connection stays until the input ends. It is built on the server's
//! own transport: other stacks keep their keys, and refuse to write what is sent here.
#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    reason = "a panic ends the attack, and with it the test"
)]

mod feedback;
mod insider;
mod media;

use std::{
    collections::HashMap,
    io::{BufRead as _, Write as _},
    sync::mpsc::{Receiver, TryRecvError, channel},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::insider::Insider;

/// How long an attack takes that has no number of packets of its own.
const LENGTH: Duration = Duration::from_secs(2);
/// Between two looks at the socket while nothing else is to be done.
const IDLE: Duration = Duration::from_millis(20);
/// The server answers within this.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// What an attack is told: `name=value` words of its line.
struct Facts(HashMap<String, String>);

impl Facts {
    fn read<'a>(words: impl Iterator<Item = &'a str>) -> anyhow::Result<Self> {
        words
            .map(|word| {
                let (name, value) = word.split_once('=').context("facts read name=value")?;
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    fn text(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.with_context(|| format!("this attack needs {name}="))
    }

    /// A list of numbers, at least one.
    fn numbers(&self, name: &str) -> anyhow::Result<Vec<u32>> {
        let numbers = self.text(name)?.split(',').map(str::parse::<u32>);
        Ok(numbers.collect::<Result<Vec<_>, _>>()?)
    }

    fn number(&self, name: &str) -> anyhow::Result<u32> {
        Ok(self.text(name)?.parse()?)
    }
}

/// Does what a line says; how many packets that were.
fn attack(insider: &mut Insider, line: &str) -> anyhow::Result<u64> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let facts = Facts::read(words)?;
    insider.begin();
    match name {
        "long_padding" => media::long_padding(insider, &facts),
        "long_extensions" => media::long_extensions(insider, &facts),
        "replay" => media::replay(insider, &facts),
        "foreign_sources" => media::foreign_sources(insider, &facts),
        "strange_layers" => media::strange_layers(insider, &facts),
        "descriptors" => media::descriptors(insider, &facts),
        "jumps" => media::jumps(insider, &facts),
        "flood" => media::flood(insider, &facts),
        "lying_counts" => feedback::lying_counts(insider),
        "nack_storm" => feedback::nack_storm(insider, &facts),
        "key_frame_storm" => feedback::key_frame_storm(insider, &facts),
        "arrival_nonsense" => feedback::arrival_nonsense(insider, &facts),
        "report_nonsense" => feedback::report_nonsense(insider, &facts),
        _ => bail!("there is no attack {name:?}"),
    }?;
    Ok(insider.sent())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Lines of the input, read by a thread, so that the connection goes on meanwhile.
fn lines() -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn main() -> anyhow::Result<()> {
    let lines = lines();
    let mut insider = Insider::new()?;
    say(&format!("ready {}", insider.introduction()))?;
    let line = lines.recv().context("nobody says where the server is")?;
    insider.connect(
        line.strip_prefix("connect ")
            .context("connect comes first")?,
    )?;
    insider.until_connected(CONNECT_WITHIN)?;
    say("connected")?;
    loop {
        match lines.try_recv() {
            Ok(line) => {
                let sent = attack(&mut insider, &line)?;
                say(&format!("done {sent}"))?;
            }
            Err(TryRecvError::Empty) => insider.serve(IDLE)?,
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

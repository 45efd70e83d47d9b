//! The `plenum-sfu` program.
#![forbid(unsafe_code)]

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use plenum_server::{
    cli::{Cli, Command},
    log,
    reload::Source,
    run::Server,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line for each problem of a configuration.
            for line in format!("{error:#}").lines() {
                eprintln!("plenum-sfu: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    if let Some(Command::Config(command)) = &cli.command {
        print!("{}", command.print(cli)?);
        return Ok(());
    }
    let (config, dev) = cli.settings()?;
    if let Some(Command::Token(args)) = &cli.command {
        let clock = plenum_engine::Clock::start();
        let now = clock.wall().unix_nanos(clock.now()) / 1_000_000_000;
        println!("{}", args.print(&config.with_dev_keys(), now)?);
        return Ok(());
    }
    let log = log::start(&config.log_level, config.log_json)
        .map_err(|error| anyhow::anyhow!("log_level (LOG_LEVEL) {error}"))?;
    let server = Server::start(config, dev)?;
    let mut out = std::io::stdout();
    // A closed standard output is no reason to end.
    let _ = out.write_all(server.banner().as_bytes());
    let _ = out.flush();
    server.serve(Source {
        file: cli.config.clone(),
        dev,
        log,
    })
}

//! The `plenum-sfu` program.
#![forbid(unsafe_code)]

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use plenum_server::{
    cli::{Cli, Command},
    config::Config,
    run::Server,
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plenum-sfu: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let (config, dev) = cli.settings()?;
    if let Some(Command::Token(args)) = &cli.command {
        let clock = plenum_engine::Clock::start();
        let now = clock.wall().unix_nanos(clock.now()) / 1_000_000_000;
        println!("{}", args.print(&config.with_dev_keys(), now)?);
        return Ok(());
    }
    start_log(&config)?;
    let server = Server::start(config, dev)?;
    let mut out = std::io::stdout();
    // A closed standard output is no reason to end.
    let _ = out.write_all(server.banner().as_bytes());
    let _ = out.flush();
    server.serve()
}

/// Libraries whose details never reach the log: strangers could fill it with bad requests, and requests carry tokens.
const QUIET: &str = "actix_http=off,actix_web=warn,actix_server=warn,hyper=warn,h2=warn,reqwest=warn,tungstenite=warn";

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{},{QUIET}", config.log_level)).map_err(|error| {
        anyhow::anyhow!("log_level (LOG_LEVEL) `{}`: {error}", config.log_level)
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if config.log_json {
        log.json().init();
    } else {
        log.init();
    }
    Ok(())
}

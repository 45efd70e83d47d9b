//! `plenum-operator` looks after pools and rooms; `plenum-operator teardown` removes them before an uninstall.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use kube::Config;
use plenum_operator::settings::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(
    name = "plenum-operator",
    version,
    about = "Kubernetes operator of Plenum: looks after MediaPools and Rooms"
)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Filter of the log, as in `info,plenum_operator=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true)]
    log_level: String,
    /// Log lines as text instead of JSON.
    #[arg(long, env = "PLENUM_LOG_TEXT", global = true)]
    log_text: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Delete the rooms and pools of a namespace, wait until members have ended, and remove what still holds them.
    Teardown {
        /// Namespace; the default is the operator's own.
        #[arg(long, env = "PLENUM_NAMESPACE")]
        namespace: Option<String>,
        /// Seconds until finalizers are removed though members still run.
        #[arg(long, default_value_t = 40)]
        deadline_seconds: u64,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    log(&arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime")?;
    let result = runtime.block_on(async {
        let config = Config::infer()
            .await
            .context("no Kubernetes configuration: neither in-cluster nor KUBECONFIG")?;
        match arguments.command {
            None => plenum_operator::run(config, arguments.settings, stop_on_signals()?).await,
            Some(Command::Teardown {
                namespace,
                deadline_seconds,
            }) => {
                plenum_operator::teardown(config, namespace, Duration::from_secs(deadline_seconds))
                    .await
            }
        }
    });
    // A write in flight must not hold the process when the Lease is lost.
    runtime.shutdown_background();
    result
}

fn log(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log_level)
        .with_context(|| format!("LOG_LEVEL {:?} is no filter, try info", arguments.log_level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    if arguments.log_text {
        builder.init();
    } else {
        builder.json().init();
    }
    Ok(())
}

fn stop_on_signals() -> anyhow::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.send_replace(true);
    });
    Ok(stopped)
}

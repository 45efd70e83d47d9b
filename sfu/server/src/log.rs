//! The log: its form, and its filter, which can change while the process runs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Libraries whose details never reach the log: strangers could fill it with bad requests, and requests carry tokens.
const QUIET: &str = "actix_http=off,actix_web=warn,actix_server=warn,hyper=warn,h2=warn,reqwest=warn,tungstenite=warn,rustls=off";

/// The filter of the running log.
pub struct LogFilter(Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl std::fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogFilter")
    }
}

impl LogFilter {
    /// For programs that keep a log of their own, which does not follow the settings.
    #[must_use]
    pub fn fixed() -> Self {
        Self(Box::new(|_| Ok(())))
    }

    /// From now on this is logged.
    ///
    /// # Errors
    /// The filter can't be read.
    pub fn set(&self, level: &str) -> Result<(), String> {
        (self.0)(filter(level)?)
    }
}

/// A filter as in `info,plenum_room=debug`.
///
/// # Errors
/// It can't be read.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(format!("{level},{QUIET}"))
        .map_err(|error| format!("`{level}`: {error}"))
}

/// Starts the log, to standard error; in colours only where somebody looks on.
///
/// # Errors
/// The filter can't be read.
pub fn start(level: &str, json: bool) -> Result<LogFilter, String> {
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter(level)?);
    if json {
        let log = log.json().with_filter_reloading();
        let handle = log.reload_handle();
        log.init();
        Ok(LogFilter(Box::new(move |filter| {
            handle.reload(filter).map_err(|error| error.to_string())
        })))
    } else {
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        log.init();
        Ok(LogFilter(Box::new(move |filter| {
            handle.reload(filter).map_err(|error| error.to_string())
        })))
    }
}

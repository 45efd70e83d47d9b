//! The configuration is read again at SIGHUP and when a file has changed. What is good becomes the next snapshot, what is
//! not changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use crate::{
    config::{self, Config},
    http::{Service, tls},
    log::LogFilter,
};

/// How often files are looked at. Kubernetes takes up to a minute to bring a changed ConfigMap to a pod.
const POLL: Duration = Duration::from_secs(1);
/// Settings that can't change while the process runs if it was started without TLS, or would turn it off.
const TLS_SETTINGS: &[&str] = &["tls.certificate", "tls.key"];

/// Where the configuration of this process comes from.
#[derive(Debug)]
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// Whether this is dev mode; a reload does not change that.
    pub dev: bool,
    /// The filter of the log.
    pub log: LogFilter,
}

/// Follows signals and files for as long as the process runs.
pub async fn follow(source: Source, service: Arc<Service>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        tracing::error!("SIGHUP can't be handled; the configuration is never read again");
        return;
    };
    let mut polls = interval(POLL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = marks(&source, &service);
    // A file that is being written is left alone until it is the same at two looks.
    let mut settling = None;
    loop {
        tokio::select! {
            _ = hangups.recv() => {
                settling = None;
                reload(&source, &service, "SIGHUP");
                known = marks(&source, &service);
            }
            _ = polls.tick() => {
                let seen = marks(&source, &service);
                if seen == known {
                    settling = None;
                } else if settling.as_ref() == Some(&seen) {
                    settling = None;
                    reload(&source, &service, "a file has changed");
                    known = marks(&source, &service);
                } else {
                    settling = Some(seen);
                }
            }
        }
    }
}

/// What changes when a file does, also when a link to it is set to another one, as ConfigMaps do.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    /// Device, inode, change time in seconds and nanoseconds, size; `None` if it is not there.
    stat: Option<(u64, u64, i64, i64, u64)>,
}

fn marks(source: &Source, service: &Service) -> Vec<Mark> {
    let config = service.config.load();
    source
        .file
        .iter()
        .map(PathBuf::as_path)
        .chain([&config.tls.certificate, &config.tls.key].map(Path::new))
        .filter(|path| !path.as_os_str().is_empty())
        .map(mark)
        .collect()
}

fn mark(path: &Path) -> Mark {
    use std::os::unix::fs::MetadataExt as _;
    Mark {
        path: path.to_owned(),
        stat: fs::metadata(path).ok().map(|meta| {
            (
                meta.dev(),
                meta.ino(),
                meta.ctime(),
                meta.ctime_nsec(),
                meta.size(),
            )
        }),
    }
}

fn reload(source: &Source, service: &Service, why: &str) {
    let loaded = config::load(source.file.as_deref(), |name| std::env::var(name).ok());
    let result = match loaded.finish(source.dev) {
        Ok(config) => apply(source, service, &config, why),
        Err(error) => Err(error.0.iter().map(ToString::to_string).collect()),
    };
    let result = match result {
        Ok(result) => result,
        Err(problems) => {
            for problem in problems {
                tracing::error!(
                    why,
                    problem,
                    "the configuration is not reloaded, the old one stays"
                );
            }
            "refused"
        }
    };
    service.metrics.reloaded(result);
}

/// Takes a good configuration over.
fn apply(
    source: &Source,
    service: &Service,
    config: &Config,
    why: &str,
) -> Result<&'static str, Vec<String>> {
    let one = |problem: String| vec![problem];
    let old = service.config.load();
    let fixed: &[&str] = match &service.certificate {
        Some(_) if config.tls.is_on() => &[],
        _ => TLS_SETTINGS,
    };
    let change = old
        .change_to(config, fixed)
        .map_err(|error| one(error.to_string()))?;
    // All that can fail comes first.
    let certificate = match &service.certificate {
        Some(certificate) => {
            let read = tls::read(&change.config.tls)
                .map_err(|error| one(format!("{}: {error}", error.setting())))?;
            Some((certificate, read))
        }
        None => None,
    };
    if old.log_level != change.config.log_level {
        source.log.set(&change.config.log_level).map_err(one)?;
    }
    if let Some((certificate, read)) = certificate {
        certificate.replace(read);
    }
    let keys_changed = old.keys != change.config.keys;
    service.keys.replace(change.config.keys.pairs());
    let next = if change.now.is_empty() {
        None
    } else {
        Some(old.next(change.config))
    };
    let version = next.as_ref().map_or(old.version, |next| next.version);
    if let Some(next) = next {
        service.config.store(Arc::new(next));
    }
    service
        .metrics
        .config_version
        .set(i64::try_from(version).unwrap_or(i64::MAX));
    if keys_changed {
        // Nobody shall come back with a token of a key that is gone.
        service.cluster.rooms.refresh_tokens();
    }

    service.cluster.rooms.limits_changed();
    if !change.at_next_start.is_empty() {
        tracing::warn!(
            settings = change.at_next_start.join(", "),
            "these settings have changed in the configuration and wait for the next start"
        );
    }
    tracing::info!(
        why,
        version,
        changed = change.now.join(", "),
        "configuration read"
    );
    Ok(if change.now.is_empty() {
        "unchanged"
    } else {
        "applied"
    })
}

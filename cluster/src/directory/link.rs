//! The connection to Redis: connects by itself, never waits longer than its bounds, and asks the breaker first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind};
use tracing::{info, warn};

use super::DirectoryError;
use super::scripts::{CLAIMS, MEMBERS};
use crate::breaker::{Breaker, BreakerSettings, BreakerState};
use crate::clock::boottime;

/// Where Redis is and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port[/database]`
    pub url: String,
    /// Bound on connecting, name lookup included.
    pub connect_timeout: Duration,
    /// Bound on an answer. Shorter than the fence's 2.5 s, so that a hung Redis is noticed before it.
    pub response_timeout: Duration,
    /// When to leave it alone.
    pub breaker: BreakerSettings,
}

impl RedisSettings {
    /// The given URL with bounds of 1 s.
    pub fn new(url: impl Into<String>) -> Self {
        let second = Duration::from_secs(1);
        Self {
            url: url.into(),
            connect_timeout: second,
            response_timeout: second,
            breaker: BreakerSettings::default(),
        }
    }
}

/// One connection, made at the first call, on the runtime of that call.
#[derive(Debug)]
pub(super) struct Link {
    client: Client,
    place: String,
    config: AsyncConnectionConfig,
    connect_timeout: Duration,
    response_timeout: Duration,
    breaker: Mutex<Breaker>,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, DirectoryError> {
        let unreadable = |why: RedisError| DirectoryError::Unreadable {
            place: "REDIS_URL".to_owned(),
            why: format!("{why}; it reads redis://user:password@host:port/database"),
        };
        let client = Client::open(settings.url.as_str()).map_err(unreadable)?;
        let place = client.get_connection_info().addr().to_string();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.response_timeout));
        Ok(Self {
            client,
            place,
            config,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            breaker: Mutex::new(Breaker::new(settings.breaker)),
            connection: tokio::sync::Mutex::new(None),
        })
    }

    pub(super) fn breaker_state(&self) -> BreakerState {
        self.breaker().state()
    }

    /// Runs one command or pipeline. `work` gets the connection and must be harmless to repeat only if the caller repeats it.
    pub(super) async fn run<T, F>(
        &self,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, DirectoryError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        if let Err(open) = self.breaker().admit(boottime()) {
            return Err(self.unavailable(&open));
        }
        let bound = self.connect_timeout + self.response_timeout;
        let outcome =
            tokio::time::timeout(bound, async { work(self.connection().await?).await }).await;
        match outcome {
            Ok(Ok(value)) => {
                if self.breaker().succeeded() {
                    info!(redis = self.place, "redis answers again, circuit closed");
                }
                Ok(value)
            }
            Ok(Err(error)) if is_transient(&error) => Err(self.failed(&error)),
            Ok(Err(error)) => {
                // It answered: the circuit has nothing to hold against it.
                self.breaker().succeeded();
                Err(self.unreadable(error))
            }
            Err(_) => Err(self.failed(&format!("no answer within {} ms", bound.as_millis()))),
        }
    }

    pub(super) fn unreadable(&self, why: impl std::fmt::Display) -> DirectoryError {
        DirectoryError::Unreadable {
            place: self.place.clone(),
            why: why.to_string(),
        }
    }

    fn unavailable(&self, why: &impl std::fmt::Display) -> DirectoryError {
        DirectoryError::Unavailable {
            place: self.place.clone(),
            why: why.to_string(),
        }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.as_ref() {
            return Ok(connection.clone());
        }
        let connect = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config);
        let mut connection = tokio::time::timeout(self.connect_timeout, connect)
            .await
            .map_err(|_| RedisError::from((ErrorKind::Io, "no connection in time")))??;
        // Scripts are called by hash alone, in pipelines too: they have to be there first.
        CLAIMS.load_async(&mut connection).await?;
        MEMBERS.load_async(&mut connection).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    fn failed(&self, why: &impl std::fmt::Display) -> DirectoryError {
        if self.breaker().failed(boottime()) {
            warn!(redis = self.place, %why, "redis is left alone for a moment, circuit open");
        }
        // A connection that was slow once may deliver old answers late: begin with a new one. If another call holds the
        // lock it is making that new one.
        if let Ok(mut slot) = self.connection.try_lock() {
            *slot = None;
        }
        self.unavailable(why)
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the store, rather than the question, is at fault. A missing script belongs here: it means that Redis was
/// emptied of scripts, and a new connection loads them.
fn is_transient(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::NoScript
                    | ServerErrorKind::BusyLoading
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::ReadOnly
            )
        )
}

//! Health checks: whether the process lives (`/health/live`) and whether it can do its work (`/health/ready`).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{extract::State, http::StatusCode};
use futures_util::future::BoxFuture;
use tokio::{sync::Mutex, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The time that the database has to answer a check. Health probes wait only a few seconds.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long the result of a check is reused, so that frequent probes do not query the database each time.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// The reason why a process can't do its work.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The process was told to stop.
    #[error("stopping")]
    Stopping,
    /// The database did not answer in time.
    #[error("the database does not answer")]
    Silent,
    /// The database refuses the connection or the check.
    #[error("the database can't be used")]
    Unusable,
    /// A node of the database's Citus cluster can't be reached.
    #[error("a node of the database's cluster can't be reached")]
    NodeLost,
    /// The database lacks migrations that the program needs.
    #[error("the database lacks migrations")]
    NotMigrated,
    /// A newer program has migrated the database, and this one can't work with the result.
    #[error("a newer program has migrated the database, and allows none as old as this one")]
    TooOld,
    /// Nothing can be written: the database's disk is full.
    #[error("the database's disk is full: nothing can be written")]
    DiskFull,
    /// Nothing can be written: the database is read-only.
    #[error("the database is read-only: nothing can be written")]
    ReadOnly,
    /// Nothing can be written: the database is a standby.
    #[error("the database is a standby: nothing can be written before it is promoted")]
    Standby,
    /// The SQLite file was removed or replaced while it was in use.
    #[error("the database file was removed or replaced while it was in use")]
    FileChanged,
}

/// Checks whether the process can do its work. A cheap handle: clone it.
#[derive(Clone)]
pub struct Readiness {
    /// The body of the response while the process is ready.
    answer: Arc<str>,
    check: Arc<Check>,
    last: Arc<Mutex<Option<Found>>>,
    stopping: CancellationToken,
}

/// The time of the last check, and its result.
type Found = (Instant, Result<(), NotReady>);

type Check = dyn Fn() -> BoxFuture<'static, Result<(), NotReady>> + Send + Sync;

impl Readiness {
    /// Returns the readiness of a process; `check` queries its database. The response names the `services` of the
    /// process, so that a proxy notices when the address now leads to another process.
    #[must_use]
    pub fn new(
        services: &[&str],
        check: impl Fn() -> BoxFuture<'static, Result<(), NotReady>> + Send + Sync + 'static,
    ) -> Self {
        let answer = format!("ready: {}\n", services.join(", ")).into();
        Self { answer, check: Arc::new(check), last: Arc::default(), stopping: CancellationToken::new() }
    }

    /// Reports the process as stopping from now on. It still serves the requests of clients and proxies that have not
    /// yet noticed.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    async fn check(&self) -> Result<(), NotReady> {
        if self.stopping.is_cancelled() {
            return Err(NotReady::Stopping);
        }
        // One check at a time: concurrent probes wait on the lock and reuse its result.
        let mut last = self.last.lock().await;
        if let Some((at, found)) = *last
            && at.elapsed() < CACHE_TTL
        {
            return found;
        }
        let found = timeout(ANSWER_MAX, (self.check)()).await.unwrap_or(Err(NotReady::Silent));
        if let Err(why) = found {
            warn!(why = %why, "not ready");
        }
        *last = Some((Instant::now(), found));
        found
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Readiness").finish_non_exhaustive()
    }
}

/// Serves `/health/live`: always 200.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// Serves `/health/ready`: 200 while the process is not stopping and its database answers, is migrated, and can be
/// written to if the process has to write; 503 with the reason otherwise.
pub(super) async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.check().await {
        Ok(()) => (StatusCode::OK, readiness.answer.to_string()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

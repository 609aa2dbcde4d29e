//! Whether the process lives, and whether it can do its work.

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

/// Who asks waits a few seconds only.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// An answer holds so long: however often it is asked, the database is not.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// Why a process can't do its work.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It is told to stop.
    #[error("stopping")]
    Stopping,
    /// The database is silent.
    #[error("the database does not answer")]
    Silent,
    /// The database refuses.
    #[error("the database can't be used")]
    Unusable,
    /// The database is older than the program.
    #[error("the database lacks migrations")]
    NotMigrated,
    /// A newer program has migrated the database such that this one can't work with it.
    #[error("a newer program has migrated the database, and allows none as old as this one")]
    TooOld,
    /// Nothing can be written: there is no room.
    #[error("the database's disk is full: nothing can be written")]
    DiskFull,
    /// Nothing can be written: it is read-only.
    #[error("the database is read-only: nothing can be written")]
    ReadOnly,
    /// Nothing can be written: it follows another server.
    #[error("the database is a standby: nothing can be written before it is promoted")]
    Standby,
    /// An SQLite file was removed or replaced.
    #[error("the database file was removed or replaced while it was in use")]
    FileChanged,
}

/// Finds out whether a process can do its work. A cheap handle: clone it.
#[derive(Clone)]
pub struct Readiness {
    /// What is answered while the process is ready.
    answer: Arc<str>,
    check: Arc<Check>,
    last: Arc<Mutex<Option<Found>>>,
    stopping: CancellationToken,
}

/// When what was found out.
type Found = (Instant, Result<(), NotReady>);

type Check = dyn Fn() -> BoxFuture<'static, Result<(), NotReady>> + Send + Sync;

impl Readiness {
    /// `check` asks the database. The answer names the `services` of the process, so that a proxy whose address leads to
    /// another process by now can tell.
    #[must_use]
    pub fn new(
        services: &[&str],
        check: impl Fn() -> BoxFuture<'static, Result<(), NotReady>> + Send + Sync + 'static,
    ) -> Self {
        let answer = format!("ready: {}\n", services.join(", ")).into();
        Self { answer, check: Arc::new(check), last: Arc::default(), stopping: CancellationToken::new() }
    }

    /// From now on the process is not ready, while it still answers whoever has not heard of it.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    async fn check(&self) -> Result<(), NotReady> {
        if self.stopping.is_cancelled() {
            return Err(NotReady::Stopping);
        }
        // One at a time: the others wait for its answer and then have it.
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

/// The process answers.
pub(super) async fn live() -> &'static str {
    "live\n"
}

/// The process is not about to stop, and the database answers, has all tables, and can be written to if the process has
/// to write.
pub(super) async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.check().await {
        Ok(()) => (StatusCode::OK, readiness.answer.to_string()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

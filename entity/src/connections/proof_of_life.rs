//! Whether a backend of PostgreSQL still works on a statement that has had no answer for some time.
//!
//! A link that is dead without a word (a host that lost its power, a NAT that forgot the connection) can't be told from
//! a statement that takes long by the connection itself, so another connection looks at `pg_stat_activity`. Each look
//! opens one of its own: that alone proves that the database can be reached now.

use std::{fmt, time::Duration};

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::database::HURRIED_MAX;

/// How long a look may take, the opening of its connection included.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// How long a statement is waited for while no look succeeds.
const UNPROVEN_MAX: Duration = Duration::from_secs(60);
/// Between two looks of a process that stops, and before a look that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// A session of the database, as `pg_stat_activity` shows it to sessions of the same role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// One that works on a transaction. The begin of the transaction, in microseconds of the Unix epoch, tells it from
    /// all others that the process of this number will ever serve, behind a pooler too.
    Transaction { pid: i32, begun_micros: i64 },
    /// The only one whose `application_name` begins so.
    Application(String),
}

/// Why a statement and its connection were given up.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GivenUp {
    /// The time for it is over.
    #[error("PostgreSQL did not answer a statement within {0:?}")]
    Late(Duration),
    /// A second connection found nobody at work on it.
    #[error("PostgreSQL does not work on the statement any more and its answer did not come: the connection is dead")]
    Dead,
    /// No second connection could be had.
    #[error("PostgreSQL did not answer a statement, and a second connection could not find out why within {0:?}")]
    Unproven(Duration),
    /// The process stops, and has no more time for it.
    #[error("PostgreSQL did not answer before the process had to stop")]
    Stopping,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// The backend is at work.
    AtWork,
    /// It waits for its client, or is not there. The time of its last change of state tells whether anything has happened
    /// since another look.
    NotAtWork(Option<i64>),
}

/// Looks after statements. A cheap handle: clone it.
#[derive(Clone)]
pub(crate) struct ProofOfLife {
    options: PgConnectOptions,
    /// How long a statement may be without an answer before the first look, and between two looks.
    every: Duration,
    /// The process stops: what is not proven to live is given up at once.
    hurry: CancellationToken,
}

impl fmt::Debug for ProofOfLife {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProofOfLife").field("every", &self.every).finish_non_exhaustive()
    }
}

impl ProofOfLife {
    pub(crate) fn new(options: PgConnectOptions, every: Duration, hurry: CancellationToken) -> Self {
        Self { options, every, hurry }
    }

    /// How long a statement may be without an answer before anybody doubts.
    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// Ends a little after the process began to stop and has no more time to wait for what may be dead.
    pub(super) async fn hurried(&self) {
        self.hurry.cancelled().await;
        sleep(HURRIED_MAX).await;
    }

    /// Waits until it is certain that `backend` does not work any more on the statement that was just sent to it, and that
    /// its answer does not come; or until that could not be found out for too long. What is left of a transaction on the
    /// server is ended then, with its locks.
    ///
    /// Two looks in a row have to find the same: an answer may be on its way, and between two statements a backend
    /// waits for its client.
    pub(super) async fn until_given_up(&self, backend: &Backend) -> GivenUp {
        let mut doubts = None;
        let mut unproven_since = None;
        let mut pause = self.every;
        loop {
            if self.hurry.is_cancelled() {
                sleep(pause.min(PAUSE)).await;
            } else {
                tokio::select! { () = sleep(pause) => {} () = self.hurry.cancelled() => {} }
            }
            let hurried = self.hurry.is_cancelled();
            let begun = Instant::now();
            match self.look(backend).await {
                Ok(Found::AtWork) => {
                    (doubts, unproven_since) = (None, None);
                    pause = self.every;
                }
                Ok(found) if hurried || doubts.as_ref() == Some(&found) => {
                    self.end(backend).await;
                    return GivenUp::Dead;
                }
                Ok(found) => {
                    (doubts, unproven_since) = (Some(found), None);
                    pause = PAUSE.min(self.every);
                }
                Err(error) => {
                    debug!(%error, "can't look whether a statement is being worked on");
                    let since = *unproven_since.get_or_insert(begun);
                    if hurried || since.elapsed() >= UNPROVEN_MAX {
                        return GivenUp::Unproven(UNPROVEN_MAX);
                    }
                    pause = PAUSE.min(self.every);
                }
            }
        }
    }

    async fn look(&self, backend: &Backend) -> Result<Found, sqlx::Error> {
        // A backend whose client does not take its answer, or has sent half of a statement, counts as active too.
        let sql = format!(
            "SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client' AS at_work,
                    (extract(epoch FROM state_change) * 1000000)::bigint AS changed_at
             FROM pg_stat_activity WHERE {}",
            backend.condition()
        );
        let row = self.ask(&sql).await?;
        let Some(row) = row else { return Ok(Found::NotAtWork(None)) };
        let at_work: Option<bool> = row.try_get("at_work")?;
        if at_work == Some(true) { Ok(Found::AtWork) } else { Ok(Found::NotAtWork(row.try_get("changed_at")?)) }
    }

    /// Ends the session on the server: it may not know yet that its client is gone, and hold the locks of its transaction.
    async fn end(&self, backend: &Backend) {
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}", backend.condition());
        match self.ask(&sql).await {
            Ok(ended) => warn!(?backend, ended = ended.is_some(), "a connection to PostgreSQL was dead"),
            Err(error) => warn!(?backend, %error, "a connection to PostgreSQL was dead, its session may live on"),
        }
    }

    /// The row that a statement answers, on a connection of its own.
    async fn ask(&self, sql: &str) -> Result<Option<sqlx::postgres::PgRow>, sqlx::Error> {
        let asked = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            // Not prepared: a pooler may mix up the statements of two connections.
            let row = connection.fetch_optional(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
            connection.close().await?;
            Ok(row)
        };
        timeout(LOOK_MAX, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

impl Backend {
    /// Which row of `pg_stat_activity` it is.
    fn condition(&self) -> String {
        match self {
            Self::Transaction { pid, begun_micros } => {
                format!("pid = {pid} AND (extract(epoch FROM xact_start) * 1000000)::bigint = {begun_micros}")
            }
            Self::Application(name) => format!("application_name LIKE '{name}%'"),
        }
    }
}

impl From<GivenUp> for sqlx::Error {
    fn from(why: GivenUp) -> Self {
        Self::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
    }
}

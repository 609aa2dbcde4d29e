//! Checks whether a PostgreSQL backend still works on a statement that has had no answer for some time.
//!
//! On the connection itself, a silently dead link (a host without power, a NAT that dropped the connection) can't be
//! told from a slow statement. So a second connection queries `pg_stat_activity`. Each check opens a new connection,
//! which proves that the database can be reached now.

use std::{fmt, time::Duration};

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::HURRIED_MAX;

/// The time limit of a check, including the opening of its connection.
const LOOK_MAX: Duration = Duration::from_secs(3);
/// How long a statement is waited for while all checks fail.
const UNPROVEN_MAX: Duration = Duration::from_secs(60);
/// The longest pause between two checks of a stopping process, and before a check is repeated because it failed or
/// found the backend not at work.
const PAUSE: Duration = Duration::from_secs(1);

/// A session of the database, as it is identified in `pg_stat_activity`, which shows it to sessions of the same role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// A session with an open transaction. The begin of the transaction, in microseconds since the Unix epoch, tells it
    /// from all other transactions of the same backend process, also behind a pooler.
    Transaction { pid: i32, begun_micros: i64 },
    /// The session whose `application_name` begins with this text. The text is unique.
    Application(String),
}

/// The reason why a statement and its connection were given up.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GivenUp {
    /// The statement's time limit is over.
    #[error("PostgreSQL did not answer a statement within {0:?}")]
    Late(Duration),
    /// A second connection found that no backend works on the statement.
    #[error("PostgreSQL does not work on the statement any more and its answer did not come: the connection is dead")]
    Dead,
    /// The checks by a second connection failed.
    #[error("PostgreSQL did not answer a statement, and a second connection could not find out why within {0:?}")]
    Unproven(Duration),
    /// The process has to stop.
    #[error("PostgreSQL did not answer before the process had to stop")]
    Stopping,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// The backend is working.
    AtWork,
    /// The backend waits for its client, or does not exist. The time of the last change of its state, in microseconds
    /// since the Unix epoch, tells whether anything happened between two checks.
    NotAtWork(Option<i64>),
}

/// A handle that checks whether backends work on statements. Clones are cheap.
#[derive(Clone)]
pub(crate) struct ProofOfLife {
    options: PgConnectOptions,
    /// The time without an answer before the first check, and between two checks.
    every: Duration,
    /// Cancelled when the process has to stop soon: statements that are not proven to be worked on are given up at
    /// once.
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

    /// Returns the time without an answer after which a statement is checked.
    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// Waits until a second after the process had to stop soon. From then on connections that may be dead are not
    /// waited for.
    pub(super) async fn hurried(&self) {
        self.hurry.cancelled().await;
        sleep(HURRIED_MAX).await;
    }

    /// Waits until it is certain that `backend` does not work any more on the statement that was just sent to it, or
    /// until the checks have failed for a minute. A backend that does not work any more is terminated, so that its
    /// transaction ends and its locks are released.
    ///
    /// Two checks in a row have to find the same state: the answer may be on its way, and between two statements a
    /// backend waits for its client. A stopping process needs one check only.
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
        let sql = include_str!("proof_of_life/at_work.sql").replace("{backend}", &backend.condition());
        let row = self.ask(&sql).await?;
        let Some(row) = row else { return Ok(Found::NotAtWork(None)) };
        let at_work: Option<bool> = row.try_get("at_work")?;
        if at_work == Some(true) { Ok(Found::AtWork) } else { Ok(Found::NotAtWork(row.try_get("changed_at")?)) }
    }

    /// Terminates the session on the server, which may not know yet that its client is gone, and may still hold locks.
    async fn end(&self, backend: &Backend) {
        let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {}", backend.condition());
        match self.ask(&sql).await {
            Ok(ended) => warn!(?backend, ended = ended.is_some(), "a connection to PostgreSQL was dead"),
            Err(error) => warn!(?backend, %error, "a connection to PostgreSQL was dead, its session may live on"),
        }
    }

    /// Runs a query on a new connection and returns its first row.
    async fn ask(&self, sql: &str) -> Result<Option<sqlx::postgres::PgRow>, sqlx::Error> {
        let asked = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            // The statement is not prepared, since a pooler may mix up the prepared statements of two connections.
            let row = connection.fetch_optional(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
            connection.close().await?;
            Ok(row)
        };
        timeout(LOOK_MAX, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

impl Backend {
    /// Returns the condition on `pg_stat_activity` that selects this session's row.
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

//! PostgreSQL's connections. Each transaction has its own, which returns to the pool without an open transaction or is
//! closed.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use sea_orm::{
    ConnAcquireErr, DatabaseConnection, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, sea_query::Values,
};
use sea_query_sqlx::SqlxValues;
use sqlx::{
    Connection, Executor, PgConnection, PgPool, Postgres, Row,
    pool::{PoolConnection, PoolOptions},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    Purpose,
    proof_of_life::{Backend, GivenUp, ProofOfLife},
};
use crate::{clock, error_kind::DbErrorKind};

/// How long a connection may be idle before it is tested when it is acquired. A NAT may have dropped it without notice.
const TEST_WHEN_IDLE_FOR: Duration = Duration::from_secs(1);
/// The memory of each sort and hash table of a query; PostgreSQL lets a hash table have twice as much. Summing the views
/// of 100,000 pages takes about 20 MiB.
const WORK_BYTES: u32 = 32 * 1024 * 1024;
/// How much longer than the server's `statement_timeout` the client waits for a statement.
const CLIENT_MARGIN: Duration = Duration::from_secs(5);
/// How long a transaction may be idle before the server ends it and releases its locks: its client is gone.
const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(10);
/// The time limit for closing all connections. The remaining ones end with the process.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// The most tries to begin a transaction. A retry is safe, since nothing was done on the lost connection.
const BEGIN_TRIES: u32 = 2;

/// The work that the connections of a pool are for.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Work {
    /// Queries, with the time limit of each statement on the server.
    Queries(Duration),
    /// Changes to the report, without a time limit.
    Changes,
}

/// A pool of connections.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<PoolInner>);

struct PoolInner {
    connections: PgPool,
    options: PgConnectOptions,
    work: Work,
    proof_of_life: ProofOfLife,
    lost: Lost,
    /// The tasks that return connections to the pool.
    returning: TaskTracker,
}

/// When a connection of the pool was last given up. Connections that were opened before may be dead too.
type Lost = Arc<Mutex<Option<Instant>>>;

impl fmt::Debug for PoolInner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// A transaction on a connection of its own.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The connection; `None` while a statement runs, and after such a statement was dropped.
    lease: AsyncMutex<Option<Lease>>,
}

/// A connection in use. When it is dropped, the connection finishes its current statement, ends its transaction and
/// returns to the pool.
#[derive(Debug)]
struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    pool: Pool,
    backend: Option<Backend>,
    /// The statement that ends the transaction, if one may be open.
    ends_by: Option<&'static str>,
}

impl Pool {
    /// Returns a pool of at most `size` connections. `acquire_max` limits the wait for one.
    pub(crate) fn new(
        options: PgConnectOptions,
        size: u32,
        acquire_max: Duration,
        work: Work,
        proof_of_life: ProofOfLife,
    ) -> Self {
        let lost = Lost::default();
        let connections = pool_options(acquire_max, proof_of_life.every(), Arc::clone(&lost)).max_connections(size);
        let connections = connections.connect_lazy_with(options.clone());
        let returning = TaskTracker::new();
        Self(Arc::new(PoolInner { connections, options, work, proof_of_life, lost, returning }))
    }

    pub(super) fn connections(&self) -> &PgPool {
        &self.0.connections
    }

    /// Begins a transaction for a single statement.
    pub(super) async fn begin_alone(&self) -> Result<Transaction, DbErr> {
        match self.0.work {
            Work::Queries(_) => self.begin("ISOLATION LEVEL READ COMMITTED, READ ONLY").await,
            Work::Changes => self.begin(Purpose::Change.characteristics()).await,
        }
    }

    pub(super) async fn begin(&self, characteristics: &str) -> Result<Transaction, DbErr> {
        let mut tries = 1;
        loop {
            let mut lease = self.acquire().await?;
            match lease.begin(characteristics).await {
                Ok(()) => return Ok(Transaction { lease: AsyncMutex::new(Some(lease)) }),
                Err(error) if tries < BEGIN_TRIES && DbErrorKind::loses_connection(&error) => tries += 1,
                Err(error) => return Err(query_error(error)),
            }
        }
    }

    async fn acquire(&self) -> Result<Lease, DbErr> {
        let acquired = tokio::select! {
            acquired = self.0.connections.acquire() => acquired,
            () = self.0.proof_of_life.hurried() => Err(sqlx::Error::PoolTimedOut),
        };
        let connection = acquired.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
            sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
            error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
        })?;
        Ok(Lease { connection: Some(connection), pool: self.clone(), backend: None, ends_by: None })
    }

    /// Returns the statements that begin a transaction and set its limits, in one round trip. The settings end with the
    /// transaction.
    fn begin_sql(&self, characteristics: &str) -> String {
        let idle_max = IDLE_IN_TRANSACTION_MAX.as_millis();
        let limit = match self.0.work {
            // Compiling a query (`jit`) takes longer than it saves.
            Work::Queries(max) => format!(
                "SET LOCAL statement_timeout = {}; SET LOCAL jit = off; SET LOCAL work_mem = '{WORK_BYTES}B'",
                max.as_millis()
            ),
            Work::Changes => include_str!("postgres/notice_dead_clients.sql").to_owned(),
        };
        format!(
            "BEGIN {characteristics}; SET LOCAL idle_in_transaction_session_timeout = {idle_max}; {limit};
             SELECT pg_backend_pid() AS pid, (extract(epoch FROM now()) * 1000000)::bigint AS begun_micros"
        )
    }

    /// Returns how long the client waits for a statement at most.
    fn answer_max(&self) -> Option<Duration> {
        match self.0.work {
            Work::Queries(max) => Some(max + CLIENT_MARGIN),
            Work::Changes => None,
        }
    }

    /// Waits for `answer` until it is there, `max` is over, or `backend` turns out to be dead.
    async fn wait<T>(
        &self,
        backend: Option<&Backend>,
        max: Option<Duration>,
        answer: impl Future<Output = T>,
    ) -> Result<T, GivenUp> {
        let late = async {
            match max {
                Some(max) => {
                    sleep(max).await;
                    GivenUp::Late(max)
                }
                None => std::future::pending().await,
            }
        };
        let dead = async {
            match backend {
                Some(backend) => self.0.proof_of_life.until_given_up(backend).await,
                None => {
                    self.0.proof_of_life.hurried().await;
                    GivenUp::Stopping
                }
            }
        };
        tokio::select! { biased; answer = answer => Ok(answer), why = late => Err(why), why = Box::pin(dead) => Err(why) }
    }

    /// See [`super::Connections::migrate`].
    pub(super) async fn migrate<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        // The process id and the time make the name unique among the sessions that migrate.
        let name = format!("analytics migrating {}.{}", std::process::id(), clock::process_now().timestamp_micros());
        let acquire_max = self.0.connections.options().get_acquire_timeout();
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(acquire_max);
        let pool = DatabaseConnection::from(pool.connect_lazy_with(self.0.options.clone().application_name(&name)));
        let backend = Backend::Application(name);
        let done = self.wait(Some(&backend), None, work(&pool)).await;
        if done.is_ok() {
            drop(timeout(CLOSE_MAX, pool.close()).await);
        }
        done.unwrap_or_else(|why| Err(query_error(why.into())))
    }

    pub(super) async fn close(self) {
        let closed = async {
            self.0.returning.close();
            self.0.returning.wait().await;
            self.0.connections.close().await;
        };
        drop(timeout(CLOSE_MAX, closed).await);
    }

    /// Closes the connection's socket at once.
    fn lose(&self, connection: PoolConnection<Postgres>) {
        drop(connection.detach());
        *self.0.lost.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
    }

    async fn give_back(
        self,
        mut connection: PoolConnection<Postgres>,
        backend: Option<Backend>,
        ends_by: Option<&'static str>,
    ) {
        if let Some(sql) = ends_by {
            // A statement that still runs ends before `sql` is executed.
            let ended = self.wait(backend.as_ref(), self.answer_max(), connection.execute(sql)).await;
            if !matches!(ended, Ok(Ok(_))) {
                return self.lose(connection);
            }
        }
        // `return_to_pool` tests the connection. If the time is over, the connection is closed.
        let returned = timeout(self.0.proof_of_life.every(), connection.return_to_pool());
        drop(returned.await);
    }
}

impl Lease {
    /// Runs `statement` for at most `max`. If it has to be given up, or the connection is lost, closes the connection.
    async fn run<T>(
        &mut self,
        max: Option<Duration>,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let Some(connection) = &mut self.connection else { return Err(sqlx::Error::PoolClosed) };
        let answer = self.pool.wait(self.backend.as_ref(), max, statement(connection)).await;
        let answer = answer.unwrap_or_else(|why| Err(why.into()));
        if answer.as_ref().is_err_and(DbErrorKind::loses_connection)
            && let Some(connection) = self.connection.take()
        {
            self.pool.lose(connection);
        }
        answer
    }

    async fn begin(&mut self, characteristics: &str) -> Result<(), sqlx::Error> {
        let sql = self.pool.begin_sql(characteristics);
        let max = self.pool.0.proof_of_life.every();
        self.ends_by = Some("ROLLBACK");
        let rows = self
            .run(Some(max), async |connection| connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await)
            .await?;
        let row = rows.last().ok_or(sqlx::Error::RowNotFound)?;
        self.backend =
            Some(Backend::Transaction { pid: row.try_get("pid")?, begun_micros: row.try_get("begun_micros")? });
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let given_back = self.pool.clone().give_back(connection, self.backend.take(), self.ends_by);
            self.pool.0.returning.spawn(given_back);
        }
    }
}

impl Transaction {
    async fn run<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut slot = self.lease.lock().await;
        // If this future is dropped, the lease is dropped too and returns its connection to the pool.
        let mut lease = slot.take().ok_or(sqlx::Error::PoolClosed)?;
        let answer = lease.run(lease.pool.answer_max(), statement).await;
        *slot = Some(lease);
        answer
    }

    /// Ends the transaction by `sql`.
    async fn end(self, sql: &'static str) -> Result<(), DbErr> {
        let mut lease = self.lease.into_inner().ok_or_else(|| exec_error(sqlx::Error::PoolClosed))?;
        let max = lease.pool.answer_max();
        lease.run(max, async |connection| connection.execute(sql).await).await.map_err(exec_error)?;
        lease.ends_by = None;
        Ok(())
    }

    /// Commits the transaction of a single statement. For queries the commit runs in the background, so that the result
    /// does not wait for it.
    pub(super) async fn end_alone(mut self) -> Result<(), DbErr> {
        match self.lease.get_mut() {
            Some(lease) if matches!(lease.pool.0.work, Work::Queries(_)) => {
                lease.ends_by = Some("COMMIT");
                Ok(())
            }
            _ => self.commit().await,
        }
    }

    pub(super) async fn commit(self) -> Result<(), DbErr> {
        self.end("COMMIT").await
    }

    pub(super) async fn rollback(self) -> Result<(), DbErr> {
        self.end("ROLLBACK").await
    }

    pub(super) async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let done = self.run(async |connection| bound(&statement).execute(connection).await).await;
        done.map(Into::into).map_err(exec_error)
    }

    pub(super) async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        let done = self.run(async |connection| connection.execute(sql).await).await;
        done.map(Into::into).map_err(exec_error)
    }

    pub(super) async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let row = self.run(async |connection| bound(&statement).fetch_optional(connection).await).await;
        row.map(|row| row.map(Into::into)).map_err(query_error)
    }

    pub(super) async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let rows = self.run(async |connection| bound(&statement).fetch_all(connection).await).await;
        rows.map(|rows| rows.into_iter().map(Into::into).collect()).map_err(query_error)
    }
}

/// Returns the options of a pool that tests a connection before use if it was idle for more than a second, or if
/// another connection was given up since it was opened.
fn pool_options(acquire_max: Duration, every: Duration, lost: Lost) -> PoolOptions<Postgres> {
    // Half of `every`, so that there is time left to open another connection.
    let ping_max = every / 2;
    PgPoolOptions::new().acquire_timeout(acquire_max).test_before_acquire(false).before_acquire(
        move |connection: &mut PgConnection, meta| {
            let lost = *lost.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let doubtful = meta.idle_for > TEST_WHEN_IDLE_FOR || lost.is_some_and(|lost| lost.elapsed() < meta.age);
            Box::pin(async move {
                if !doubtful {
                    return Ok(true);
                }
                timeout(ping_max, connection.ping())
                    .await
                    .unwrap_or_else(|_elapsed| Err(GivenUp::Late(ping_max).into()))?;
                Ok(true)
            })
        },
    )
}

/// Returns the statement as a query of sqlx, with its values bound.
fn bound(statement: &Statement) -> sqlx::query::Query<'_, Postgres, SqlxValues> {
    let values = statement.values.clone().unwrap_or_else(|| Values(Vec::new()));
    sqlx::query_with(sqlx::AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

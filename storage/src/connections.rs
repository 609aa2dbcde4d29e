//! Connections on which every statement ends in bounded time, even if the link to the database is silently dead.
//!
//! On PostgreSQL every statement runs in a transaction that begins in one round trip. A statement and its connection
//! are given up when the time limit is over, or when a second connection finds that no backend works on the statement
//! (`connections/proof_of_life.rs`). This holds for begin, commit and rollback too, and for a connection that returns
//! to the pool. An SQLite file has no link that can die, so there SeaORM's own pool is used.

mod postgres;
mod proof_of_life;

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, prelude::async_trait::async_trait,
};

pub(crate) use self::{
    postgres::{Pool, Work},
    proof_of_life::ProofOfLife,
};

/// How long a process that [has to stop soon](crate::Database::hurry) waits for the database.
pub(crate) const HURRIED_MAX: Duration = Duration::from_secs(1);

/// The purpose of a transaction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The transaction reads, and all its statements see the same snapshot.
    Snapshot,
    /// The transaction reads tables that are distributed over several nodes, which have no common snapshot. Its statements
    /// each see the present rows.
    DistributedSnapshot,
    /// The transaction writes, and each of its statements sees all earlier commits. On SQLite it takes the write lock
    /// at once.
    Change,
}

impl Purpose {
    /// Returns the text that follows `BEGIN` on PostgreSQL. It does not depend on the role's default isolation level:
    /// the guarantee of `asOf` needs refreshes whose statements each see all earlier commits.
    fn characteristics(self) -> &'static str {
        match self {
            Self::Snapshot => "ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Self::DistributedSnapshot => "ISOLATION LEVEL READ COMMITTED, READ ONLY",
            Self::Change => "ISOLATION LEVEL READ COMMITTED",
        }
    }
}

/// A handle to a pool of connections. Clones are cheap and share the pool.
#[derive(Clone, Debug)]
pub struct Connections(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Postgres(Pool),
    Sqlite(DatabaseConnection),
}

/// A transaction. It is rolled back if it is dropped before it is committed.
#[derive(Debug)]
pub struct Transaction {
    inner: Inner,
    /// What was published when it began, if it is a snapshot of distributed tables.
    pub(crate) publication: Option<i64>,
}

#[derive(Debug)]
enum Inner {
    Postgres(postgres::Transaction),
    Sqlite(DatabaseTransaction),
}

impl Connections {
    pub(crate) fn postgres(pool: Pool) -> Self {
        Self(Kind::Postgres(pool))
    }

    pub(crate) fn sqlite(pool: DatabaseConnection) -> Self {
        Self(Kind::Sqlite(pool))
    }

    /// Begins a transaction. Dropping the future at any time leaves no open transaction behind.
    ///
    /// # Errors
    /// When no connection can be acquired, or the database refuses or does not answer.
    pub async fn begin(&self, purpose: Purpose) -> Result<Transaction, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => Ok(Inner::Postgres(pool.begin(purpose.characteristics()).await?).into()),
            Kind::Sqlite(pool) => begin_sqlite(pool, purpose).await.map(|begun| Inner::Sqlite(begun).into()),
        }
    }

    /// Runs `work` on a connection of the type that the migration library needs. On PostgreSQL it is a separate
    /// connection, and `work` is given up when that connection is dead.
    ///
    /// # Errors
    /// Those of `work`; when no connection can be acquired, or it is given up.
    pub async fn migrate<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => pool.migrate(work).await,
            Kind::Sqlite(pool) => work(pool).await,
        }
    }

    /// Returns the numbers of open and idle connections, for a pool called `name`.
    #[must_use]
    pub fn pool_use(&self, name: &'static str) -> PoolUse {
        match &self.0 {
            Kind::Postgres(pool) => PoolUse::of(name, pool.connections()),
            Kind::Sqlite(pool) => PoolUse::of(name, pool.get_sqlite_connection_pool()),
        }
    }

    /// Closes all connections. On SQLite the last process to do so checkpoints the write-ahead log and removes it.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn close(self) -> Result<(), DbErr> {
        match self.0 {
            Kind::Postgres(pool) => {
                pool.close().await;
                Ok(())
            }
            Kind::Sqlite(pool) => pool.close().await,
        }
    }
}

/// Begins a transaction on SQLite.
///
/// If SeaORM's future for a begin is dropped, the connection stays in a transaction that the pool does not know of. So
/// the begin runs in a task to its end, and the transaction is rolled back if the caller has gone.
async fn begin_sqlite(pool: &DatabaseConnection, purpose: Purpose) -> Result<DatabaseTransaction, DbErr> {
    let pool = pool.clone();
    let options = TransactionOptions {
        sqlite_transaction_mode: (purpose == Purpose::Change).then_some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    #[expect(clippy::disallowed_methods, reason = "it ends by itself, and must not end before")]
    let begins = tokio::spawn(async move { pool.begin_with_options(options).await });
    begins.await.map_err(|ended| DbErr::Custom(ended.to_string()))?
}

impl From<Inner> for Transaction {
    fn from(inner: Inner) -> Self {
        Self { inner, publication: None }
    }
}

impl Transaction {
    /// Returns whether the transaction is a [snapshot](crate::snapshot) of tables that are distributed over the nodes of a Citus
    /// cluster. Some joins are not possible there.
    #[must_use]
    pub fn is_distributed(&self) -> bool {
        self.publication.is_some()
    }

    /// Commits the transaction. If the connection is lost meanwhile, it is unknown whether the commit succeeded.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn commit(self) -> Result<(), DbErr> {
        match self.inner {
            Inner::Postgres(transaction) => transaction.commit().await,
            Inner::Sqlite(transaction) => transaction.commit().await,
        }
    }

    /// Rolls the transaction back, and waits until that is done.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rollback(self) -> Result<(), DbErr> {
        match self.inner {
            Inner::Postgres(transaction) => transaction.rollback().await,
            Inner::Sqlite(transaction) => transaction.rollback().await,
        }
    }
}

/// Runs each statement in a transaction of its own.
#[async_trait]
impl ConnectionTrait for Connections {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Kind::Postgres(_) => DbBackend::Postgres,
            Kind::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => {
                let transaction = pool.begin_alone().await?;
                let done = transaction.execute_raw(statement).await?;
                transaction.end_alone().await.map(|()| done)
            }
            Kind::Sqlite(pool) => pool.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => {
                let transaction = pool.begin_alone().await?;
                let done = transaction.execute_unprepared(sql).await?;
                transaction.end_alone().await.map(|()| done)
            }
            Kind::Sqlite(pool) => pool.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => {
                let transaction = pool.begin_alone().await?;
                let row = transaction.query_one_raw(statement).await?;
                transaction.end_alone().await.map(|()| row)
            }
            Kind::Sqlite(pool) => pool.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => {
                let transaction = pool.begin_alone().await?;
                let rows = transaction.query_all_raw(statement).await?;
                transaction.end_alone().await.map(|()| rows)
            }
            Kind::Sqlite(pool) => pool.query_all_raw(statement).await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match &self.inner {
            Inner::Postgres(_) => DbBackend::Postgres,
            Inner::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.inner {
            Inner::Postgres(transaction) => transaction.execute_raw(statement).await,
            Inner::Sqlite(transaction) => transaction.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.inner {
            Inner::Postgres(transaction) => transaction.execute_unprepared(sql).await,
            Inner::Sqlite(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.inner {
            Inner::Postgres(transaction) => transaction.query_one_raw(statement).await,
            Inner::Sqlite(transaction) => transaction.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.inner {
            Inner::Postgres(transaction) => transaction.query_all_raw(statement).await,
            Inner::Sqlite(transaction) => transaction.query_all_raw(statement).await,
        }
    }
}

/// The use of a pool.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// The pool's name: the work that its connections are for.
    pub name: &'static str,
    /// The number of open connections.
    pub open: u32,
    /// The number of open connections that are not in use.
    pub idle: u32,
    /// The most connections that may be open.
    pub max: u32,
}

impl PoolUse {
    fn of<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Self { name, open: pool.size(), idle, max: pool.options().get_max_connections() }
    }
}

//! Connections whose every statement comes to an end, even where the link to the database is dead and says nothing.
//!
//! On PostgreSQL every statement runs in a transaction that begins in one round trip, and is given up, with its
//! connection, when its time is over or when a second connection finds that no backend works on it
//! (`connections/proof_of_life.rs`). That holds for begin, commit and rollback too, and for a connection on its way back to the
//! pool. An SQLite file does not fall silent: there the library's own pool is used.

mod postgres;
mod proof_of_life;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, prelude::async_trait::async_trait,
};

pub(crate) use self::{
    postgres::{Pool, Work},
    proof_of_life::ProofOfLife,
};
use crate::database::PoolUse;

/// What a transaction does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It reads, and everything is as it was at its begin.
    Snapshot,
    /// Each of its statements sees what was committed before it. On SQLite it takes the write lock at once.
    Change,
}

impl Purpose {
    /// What follows `BEGIN` on PostgreSQL. It holds whatever the role's default is: what a refresh proves rests on statements
    /// that see what was committed before each of them.
    fn characteristics(self) -> &'static str {
        match self {
            Self::Snapshot => "ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Self::Change => "ISOLATION LEVEL READ COMMITTED",
        }
    }
}

/// A pool of connections. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct Connections(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Postgres(Pool),
    Sqlite(DatabaseConnection),
}

/// A transaction; rolled back when it is dropped before it is committed.
#[derive(Debug)]
pub struct Transaction(Inner);

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

    /// Begins a transaction. It may be given up at any time: it leaves nothing behind then.
    ///
    /// # Errors
    /// When there is no connection, or the database refuses or does not answer.
    pub async fn begin(&self, purpose: Purpose) -> Result<Transaction, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => Ok(Transaction(Inner::Postgres(pool.begin(purpose.characteristics()).await?))),
            Kind::Sqlite(pool) => begin_sqlite(pool, purpose).await.map(|begun| Transaction(Inner::Sqlite(begun))),
        }
    }

    /// Runs `work` on a connection in the form that the library for migrations asks for. On PostgreSQL it is one of
    /// their own, and all of `work` is given up when that connection is dead.
    ///
    /// # Errors
    /// Those of `work`; when there is no connection, or it is given up.
    pub async fn migrate<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, DbErr>,
    ) -> Result<T, DbErr> {
        match &self.0 {
            Kind::Postgres(pool) => pool.migrate(work).await,
            Kind::Sqlite(pool) => work(pool).await,
        }
    }

    /// How many connections there are and how many of them are idle.
    #[must_use]
    pub fn pool_use(&self, name: &'static str) -> PoolUse {
        match &self.0 {
            Kind::Postgres(pool) => PoolUse::of(name, pool.connections()),
            Kind::Sqlite(pool) => PoolUse::of(name, pool.get_sqlite_connection_pool()),
        }
    }

    /// Closes all connections; on SQLite the last process to do so folds the write-ahead log into the file.
    ///
    /// # Errors
    /// What the driver says.
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
/// A begin of the library that is dropped halfway leaves its connection in a transaction that the pool knows nothing of.
/// So it always comes to its end here, and is rolled back if it is not wanted then.
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

impl Transaction {
    /// Commits. When that fails because the connection is lost, whether it was committed is unknown.
    ///
    /// # Errors
    /// When the database refuses or does not answer.
    pub async fn commit(self) -> Result<(), DbErr> {
        match self.0 {
            Inner::Postgres(transaction) => transaction.commit().await,
            Inner::Sqlite(transaction) => transaction.commit().await,
        }
    }

    /// Rolls back, and waits until that is done.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rollback(self) -> Result<(), DbErr> {
        match self.0 {
            Inner::Postgres(transaction) => transaction.rollback().await,
            Inner::Sqlite(transaction) => transaction.rollback().await,
        }
    }
}

/// Each statement is a transaction of its own.
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
        match &self.0 {
            Inner::Postgres(_) => DbBackend::Postgres,
            Inner::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Postgres(transaction) => transaction.execute_raw(statement).await,
            Inner::Sqlite(transaction) => transaction.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Postgres(transaction) => transaction.execute_unprepared(sql).await,
            Inner::Sqlite(transaction) => transaction.execute_unprepared(sql).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Inner::Postgres(transaction) => transaction.query_one_raw(statement).await,
            Inner::Sqlite(transaction) => transaction.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Inner::Postgres(transaction) => transaction.query_all_raw(statement).await,
            Inner::Sqlite(transaction) => transaction.query_all_raw(statement).await,
        }
    }
}

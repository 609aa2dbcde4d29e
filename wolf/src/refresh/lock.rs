//! The refresh lock: one transaction at a time, across all processes, may change the report.
//!
//! The lock is held by a transaction and released at its end, so also when its process dies. It is an advisory lock on
//! PostgreSQL, and the database's own write lock on SQLite.

use sea_orm::{ConnectionTrait, DbErr, Statement};
use storage::{
    Connections, Database, DatabaseKind, Purpose, Transaction, clock::Clock, nodes::NodeConnections,
    snapshot::REFRESH_LOCK,
};

use crate::{
    citus,
    error::{Context, WolfError},
};

/// What a refresh does while another process holds the refresh lock.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Gives up at once: the other process does the work.
    Try,
    /// Waits for the lock. SQLite has no other mode.
    Wait,
}

/// Begins the transactions that change the report.
#[derive(Clone, Debug)]
pub(crate) struct RefreshLock {
    pub(crate) db: Connections,
    pub(crate) kind: DatabaseKind,
    pub(crate) clock: Clock,
    /// The nodes of a Citus cluster.
    pub(crate) nodes: NodeConnections,
}

impl RefreshLock {
    pub(crate) fn new(database: &Database) -> Self {
        Self {
            db: database.background.clone(),
            kind: database.kind,
            clock: database.clock.clone(),
            nodes: NodeConnections::new(database),
        }
    }

    /// Begins a transaction and waits until it holds the lock.
    pub(crate) async fn begin(&self) -> Result<Transaction, DbErr> {
        let transaction = self.db.begin(Purpose::Change).await?;
        if self.kind == DatabaseKind::Postgres {
            transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({REFRESH_LOCK})")).await?;
        }
        Ok(transaction)
    }

    /// Commits a transaction, as a change of the report on a Citus cluster if `on_cluster`: so that no reader takes a part of it
    /// for the whole.
    pub(crate) async fn publish(&self, transaction: Transaction, on_cluster: bool) -> Result<(), WolfError> {
        if on_cluster {
            return citus::publish(&self.db, &self.nodes, transaction).await;
        }
        transaction.commit().await.context("commit the change of the report")
    }

    /// Begins a transaction that holds the lock. Returns `None` if another one holds it and `mode` is [`LockMode::Try`].
    pub(crate) async fn begin_in(&self, mode: LockMode) -> Result<Option<Transaction>, DbErr> {
        if mode == LockMode::Wait || self.kind == DatabaseKind::Sqlite {
            return self.begin().await.map(Some);
        }
        let transaction = self.db.begin(Purpose::Change).await?;
        let sql = format!("SELECT pg_try_advisory_xact_lock({REFRESH_LOCK})");
        let row = transaction.query_one_raw(Statement::from_string(self.kind.backend(), sql)).await?;
        let locked: bool = row.map_or(Ok(false), |row| row.try_get_by_index(0))?;
        Ok(locked.then_some(transaction))
    }
}

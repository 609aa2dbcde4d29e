//! Whose turn it is to change the report: one transaction's at a time, across all processes.
//!
//! The lock dies with the transaction and so with the process. On SQLite it is the database's own write lock.

use entity::{Connections, Database, DatabaseKind, Purpose, Transaction, clock::Clock};
use sea_orm::{ConnectionTrait, DbErr, Statement};

/// "wolf" in ASCII.
const POSTGRES_LOCK: i64 = 0x776f_6c66;

/// What to do while another process refreshes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Leave it to that process.
    Try,
    /// Wait until it is done. (On SQLite everybody waits: that is how its lock works.)
    Wait,
}

/// Begins the transactions that may change the report.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    pub(crate) db: Connections,
    pub(crate) kind: DatabaseKind,
    pub(crate) clock: Clock,
}

impl Turns {
    pub(crate) fn new(database: &Database) -> Self {
        Self { db: database.wolf.clone(), kind: database.kind, clock: database.clock.clone() }
    }

    /// A transaction, as soon as it is its turn.
    pub(crate) async fn wait(&self) -> Result<Transaction, DbErr> {
        let transaction = self.db.begin(Purpose::Change).await?;
        if self.kind == DatabaseKind::Postgres {
            transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({POSTGRES_LOCK})")).await?;
        }
        Ok(transaction)
    }

    /// A transaction, if it is its turn now or `turn` says to wait.
    pub(crate) async fn take(&self, turn: Turn) -> Result<Option<Transaction>, DbErr> {
        if turn == Turn::Wait || self.kind == DatabaseKind::Sqlite {
            return self.wait().await.map(Some);
        }
        let transaction = self.db.begin(Purpose::Change).await?;
        let sql = format!("SELECT pg_try_advisory_xact_lock({POSTGRES_LOCK})");
        let row = transaction.query_one_raw(Statement::from_string(self.kind.backend(), sql)).await?;
        let locked: bool = row.map_or(Ok(false), |row| row.try_get_by_index(0))?;
        Ok(locked.then_some(transaction))
    }
}

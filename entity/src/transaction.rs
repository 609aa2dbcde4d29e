//! Transactions that leave nothing behind when nobody waits for their begin any more.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

/// How long a transaction may stand still (PostgreSQL): then its client is gone, and its locks go too.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a transaction does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It reads, and everything is as it was at its begin. PostgreSQL ends a statement that takes longer than this.
    Snapshot(Option<Duration>),
    /// It writes. On SQLite it takes the write lock at once.
    Change,
}

impl Purpose {
    /// What follows `BEGIN` on PostgreSQL, in one round trip. Nothing of it outlives the transaction, so the connection may
    /// be a pooler's, which lends it to somebody else for the next one.
    fn postgres(self) -> String {
        let (characteristics, statement_max) = match self {
            Self::Snapshot(statement_max) => ("ISOLATION LEVEL REPEATABLE READ, READ ONLY", statement_max),
            // Whatever the role's default is: what a refresh proves rests on statements that see what was committed
            // before each of them.
            Self::Change => ("ISOLATION LEVEL READ COMMITTED", None),
        };
        let mut sql = format!(
            "SET TRANSACTION {characteristics}; SET LOCAL idle_in_transaction_session_timeout = {}",
            IDLE_MAX.as_millis()
        );
        if let Some(statement_max) = statement_max {
            sql.push_str(&format!("; SET LOCAL statement_timeout = {}", statement_max.as_millis()));
        }
        sql
    }
}

/// Begins a transaction.
///
/// It may be given up at any time. A begin of the library that is dropped halfway leaves its connection in a transaction
/// that the pool knows nothing of (sqlx 0.9.0, `PgTransactionManager::begin`: it rolls back only what it has counted).
/// So it always comes to its end here, and is rolled back if it is not wanted then.
///
/// # Errors
/// When the database can't be asked.
pub async fn begin(db: &DatabaseConnection, purpose: Purpose) -> Result<DatabaseTransaction, DbErr> {
    let db = db.clone();
    let begins = async move {
        if db.get_database_backend() == DbBackend::Postgres {
            let transaction = db.begin().await?;
            transaction.execute_unprepared(&purpose.postgres()).await?;
            return Ok(transaction);
        }
        let mode = (purpose == Purpose::Change).then_some(SqliteTransactionMode::Immediate);
        db.begin_with_options(TransactionOptions { sqlite_transaction_mode: mode, ..TransactionOptions::default() })
            .await
    };
    #[expect(clippy::disallowed_methods, reason = "it ends by itself, and must not end before")]
    let begins = tokio::spawn(begins);
    begins.await.map_err(|ended| DbErr::Custom(ended.to_string()))?
}

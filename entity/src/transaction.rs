//! Transactions that leave nothing behind when nobody waits for their begin any more.

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, TransactionOptions, TransactionTrait};

/// Begins a transaction.
///
/// It may be given up at any time. A begin of the library that is dropped halfway leaves its connection in a transaction
/// that the pool knows nothing of (sqlx 0.9.0, `PgTransactionManager::begin`: it rolls back only what it has counted).
/// So it always comes to its end here, and is rolled back if it is not wanted then.
///
/// # Errors
/// When the database can't be asked.
pub async fn begin(db: &DatabaseConnection, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
    let db = db.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends by itself, and must not end before")]
    let begins = tokio::spawn(async move { db.begin_with_options(options).await });
    begins.await.map_err(|ended| DbErr::Custom(ended.to_string()))?
}

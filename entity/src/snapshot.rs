//! A transaction that sees the report and what belongs to it at one moment.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::connections::{Connections, Purpose, Transaction};

/// The report is swapped seldom: it does not happen several times in a row.
const TRIES_MAX: u32 = 10;

/// Takes the lock that keeps `page_views_report` from being swapped, and tells whether the relation of that name is
/// one that the snapshot sees.
///
/// The name stands for the newest relation, whose rows an older snapshot does not see: it would find it empty.
const LOCK_AND_LOOK: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('page_views_report')),
                                    EXISTS (SELECT FROM page_views_report)";

/// A read-only transaction in which everything is as it was at its begin, even if the report is swapped meanwhile.
///
/// # Errors
/// When the database can't be asked.
pub async fn begin(db: &Connections) -> Result<Transaction, DbErr> {
    if db.get_database_backend() == DbBackend::Sqlite {
        // Every transaction is a snapshot from its first read on, the schema included.
        return db.begin(Purpose::Snapshot).await;
    }
    let mut tries = 1;
    loop {
        let transaction = db.begin(Purpose::Snapshot).await?;
        let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, LOCK_AND_LOOK)).await?;
        if row.map_or(Ok(false), |row| row.try_get_by_index(0))? {
            return Ok(transaction);
        }
        if tries == TRIES_MAX {
            return Err(DbErr::RecordNotFound("page_views_report".to_owned()));
        }
        tries += 1;
    }
}

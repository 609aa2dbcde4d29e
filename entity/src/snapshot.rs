//! A transaction that sees the report and what belongs to it at one moment.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::{
    Database,
    clock::Clock,
    connections::{Connections, Purpose, Transaction},
};

/// The report is swapped seldom: it does not happen several times in a row.
const TRIES_MAX: u32 = 10;

/// Takes the lock that keeps `page_views_report` from being swapped, and tells whether the relation of that name is
/// one that the snapshot sees.
///
/// The name stands for the newest relation, whose rows an older snapshot does not see: it would find it empty.
const LOCK_AND_LOOK: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('page_views_report')),
                                    EXISTS (SELECT FROM page_views_report)";

/// Takes snapshots. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct Snapshots {
    db: Connections,
    /// The clocks of the process that reads.
    pub clock: Clock,
}

impl Snapshots {
    /// For queries, whose statements have a time limit.
    #[must_use]
    pub fn for_queries(database: &Database) -> Self {
        Self { db: database.readers.clone(), clock: database.clock.clone() }
    }

    /// For the Wolf, whose statements may take as long as the report is large.
    #[must_use]
    pub fn for_wolf(database: &Database) -> Self {
        Self { db: database.wolf.clone(), clock: database.clock.clone() }
    }

    /// Begins a read-only transaction in which everything is as it was at its begin, even if the report is swapped
    /// meanwhile.
    ///
    /// # Errors
    /// When the database can't be asked.
    pub async fn begin(&self) -> Result<Transaction, DbErr> {
        if self.db.get_database_backend() == DbBackend::Sqlite {
            // Every transaction is a snapshot from its first read on, the schema included.
            return self.db.begin(Purpose::Snapshot).await;
        }
        let mut tries = 1;
        loop {
            let transaction = self.db.begin(Purpose::Snapshot).await?;
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
}

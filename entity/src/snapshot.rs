//! Read-only transactions that see a consistent snapshot, even if the report's relation is swapped meanwhile.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::{
    Database,
    clock::Clock,
    connections::{Connections, Purpose, Transaction},
};

/// The most tries. Each fails only if the report is swapped at that moment, which is rare.
const TRIES_MAX: u32 = 10;

/// The query that locks `page_views_report` against a swap, and returns whether the snapshot sees the relation that has
/// this name.
///
/// The name belongs to the newest relation. A snapshot from before the swap would not see that relation's rows, and
/// find it empty.
const LOCK_AND_LOOK: &str = "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('page_views_report')),
                                    EXISTS (SELECT FROM page_views_report)";

/// A handle that begins snapshots. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Snapshots {
    db: Connections,
    /// The clocks of the process that reads.
    pub clock: Clock,
}

impl Snapshots {
    /// Returns a handle for queries, whose statements have a time limit.
    #[must_use]
    pub fn for_queries(database: &Database) -> Self {
        Self { db: database.readers.clone(), clock: database.clock.clone() }
    }

    /// Returns a handle for the Wolf, whose statements have no time limit.
    #[must_use]
    pub fn for_wolf(database: &Database) -> Self {
        Self { db: database.wolf.clone(), clock: database.clock.clone() }
    }

    /// Begins a read-only transaction whose statements all see the same snapshot, even if the report is swapped
    /// meanwhile.
    ///
    /// # Errors
    /// When the database can't be queried.
    pub async fn begin(&self) -> Result<Transaction, DbErr> {
        if self.db.get_database_backend() == DbBackend::Sqlite {
            // In SQLite every transaction sees one snapshot from its first read on, including the schema.
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

//! Read-only transactions that see a consistent snapshot, even if the relation that they read is swapped meanwhile.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::{
    clock::Clock,
    connections::{Connections, Purpose, Transaction},
};

/// The most tries. Each fails only if the relation is swapped at that moment, which is rare.
const TRIES_MAX: u32 = 10;

/// A handle that begins snapshots. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Snapshots {
    db: Connections,
    relation: &'static str,
    /// The clocks of the process that reads.
    pub clock: Clock,
}

impl Snapshots {
    /// Returns a handle for snapshots of `relation`, begun on `db`.
    #[must_use]
    pub fn new(db: &Connections, clock: &Clock, relation: &'static str) -> Self {
        Self { db: db.clone(), relation, clock: clock.clone() }
    }

    /// Returns the query that locks the relation against a swap, and returns whether the snapshot sees the relation that
    /// has this name.
    ///
    /// The name belongs to the newest relation. A snapshot from before the swap would not see that relation's rows, and
    /// find it empty.
    fn lock_and_look(&self) -> String {
        let relation = self.relation;
        format!(
            "SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('{relation}')),
                    EXISTS (SELECT FROM {relation})"
        )
    }

    /// Begins a read-only transaction whose statements all see the same snapshot, even if the relation is
    /// swapped meanwhile.
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
            let row =
                transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, self.lock_and_look())).await?;
            if row.map_or(Ok(false), |row| row.try_get_by_index(0))? {
                return Ok(transaction);
            }
            if tries == TRIES_MAX {
                return Err(DbErr::RecordNotFound(self.relation.to_owned()));
            }
            tries += 1;
        }
    }
}

//! Read-only transactions that see a consistent snapshot, even if the relation that they read is swapped meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, RuntimeErr, Statement};
use tokio::time::sleep;

use crate::{
    clock::Clock,
    connections::{Connections, Purpose, Transaction},
};

/// The most tries. Each fails only if the relation is swapped at that moment, which is rare.
const TRIES_MAX: u32 = 10;
/// How long a snapshot of distributed tables waits while a change is being published. Usually that takes some milliseconds.
const PUBLICATION_WAIT_MAX: Duration = Duration::from_secs(5);
/// The time between two looks at it.
const PUBLICATION_POLL: Duration = Duration::from_millis(20);

/// A handle that begins snapshots. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Snapshots {
    db: Connections,
    relation: &'static str,
    /// Whether the database has been found to be a Citus cluster.
    is_distributed: Arc<AtomicBool>,
    /// The clocks of the process that reads.
    pub clock: Clock,
}

impl Snapshots {
    /// Returns a handle for snapshots of `relation`, begun on `db`.
    #[must_use]
    pub fn new(db: &Connections, clock: &Clock, relation: &'static str) -> Self {
        Self { db: db.clone(), relation, is_distributed: Arc::default(), clock: clock.clone() }
    }

    /// Returns the most snapshots that there can be at the same time: each holds a connection.
    #[must_use]
    pub fn connections_max(&self) -> u32 {
        self.db.pool_use("snapshots").max
    }

    /// Returns the query that locks the relation against a swap, and returns whether the snapshot sees the relation that
    /// has this name; and last whether the database has Citus.
    ///
    /// The name belongs to the newest relation. A snapshot from before the swap would not see that relation's rows, and
    /// find it empty. (Citus takes no subquery without columns, and would collect all rows of one without a limit.)
    fn lock_and_look(&self) -> String {
        include_str!("snapshot/look.sql").replace("{relation}", self.relation)
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
        let (mut tries, begun) = (1, Instant::now());
        loop {
            let is_distributed = self.is_distributed.load(Ordering::Relaxed);
            let purpose = if is_distributed { Purpose::DistributedSnapshot } else { Purpose::Snapshot };
            let mut transaction = self.db.begin(purpose).await?;
            let look = Statement::from_string(DbBackend::Postgres, self.lock_and_look());
            let row = transaction.query_one_raw(look).await?;
            let row = row.ok_or_else(|| DbErr::RecordNotFound(self.relation.to_owned()))?;
            if row.try_get_by_index::<bool>(2)? != is_distributed {
                self.is_distributed.store(!is_distributed, Ordering::Relaxed);
                continue;
            }
            if !row.try_get_by_index::<bool>(0)? {
                if tries == TRIES_MAX {
                    return Err(DbErr::RecordNotFound(self.relation.to_owned()));
                }
                tries += 1;
                continue;
            }
            if !is_distributed {
                return Ok(transaction);
            }
            if let Some(number) = published(&transaction).await? {
                transaction.publication = Some(number);
                return Ok(transaction);
            }
            drop(transaction);
            if begun.elapsed() > PUBLICATION_WAIT_MAX {
                let message = "a change of the report is not on all nodes yet".to_owned();
                return Err(DbErr::Conn(RuntimeErr::Internal(message)));
            }
            sleep(PUBLICATION_POLL).await;
        }
    }
}

/// Returns the number of the last change of the report that was published, or `None` while one is being published.
async fn published(transaction: &Transaction) -> Result<Option<i64>, DbErr> {
    const SQL: &str = "SELECT number FROM report_publication WHERE NOT is_under_way";
    let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}

impl Transaction {
    /// Returns whether all that was read in this snapshot so far is of one version. Only in a snapshot of distributed tables it
    /// may not be: a change may have been published meanwhile.
    ///
    /// # Errors
    /// When the database can't be queried.
    pub async fn is_consistent(&self) -> Result<bool, DbErr> {
        match self.publication {
            None => Ok(true),
            Some(number) => Ok(published(self).await? == Some(number)),
        }
    }
}

//! Read-only transactions that see a consistent snapshot, even if the relation that they read is swapped meanwhile.

mod abandoned;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, RuntimeErr, Statement};
use tokio::time::{sleep, timeout};

use self::abandoned::Abandoned;
pub use self::abandoned::REFRESH_LOCK;
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
/// For how long it is waited before it is looked whether the Wolf that publishes it is lost.
const ABANDONED_AFTER: Duration = Duration::from_secs(1);

/// A handle that begins snapshots. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Snapshots {
    db: Connections,
    relation: &'static str,
    /// Whether the database has been found to be a Citus cluster.
    is_distributed: Arc<AtomicBool>,
    abandoned: Arc<Abandoned>,
    /// The clocks of the process that reads.
    pub clock: Clock,
}

impl Snapshots {
    /// Returns a handle for snapshots of `relation`, begun on `db`.
    #[must_use]
    pub fn new(db: &Connections, clock: &Clock, relation: &'static str) -> Self {
        Self {
            db: db.clone(),
            relation,
            is_distributed: Arc::default(),
            abandoned: Arc::default(),
            clock: clock.clone(),
        }
    }

    /// Returns the most snapshots that there can be at the same time: each holds a connection.
    #[must_use]
    pub fn connections_max(&self) -> u32 {
        self.db.pool_use("snapshots").max
    }

    /// Returns the query that locks the relation against a swap, and returns whether the snapshot sees the relation that
    /// has this name; and last whether the database has Citus, and whether it is a standby.
    ///
    /// The name belongs to the newest relation. A snapshot from before the swap would not see that relation's rows, and
    /// find it empty.
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
            let row = query_one(&transaction, &self.lock_and_look()).await?;
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
            if row.try_get_by_index(3)? {
                // Its copy of the numbers is older than what the nodes have.
                let message = "a standby of a Citus coordinator can't tell which version of the report the nodes have";
                return Err(DbErr::Conn(RuntimeErr::Internal(message.to_owned())));
            }
            let (number, is_under_way) = publication(&transaction).await?;
            if !is_under_way || self.abandoned.is_settled(number) {
                transaction.publication = Some(number);
                return Ok(transaction);
            }
            drop(transaction);
            let left = PUBLICATION_WAIT_MAX.saturating_sub(begun.elapsed());
            if begun.elapsed() > ABANDONED_AFTER
                && let Ok(looked) = timeout(left, self.abandoned.look(&self.db)).await
            {
                looked?;
            }
            if begun.elapsed() > PUBLICATION_WAIT_MAX {
                let message = "a change of the report is not on all nodes yet".to_owned();
                return Err(DbErr::Conn(RuntimeErr::Internal(message)));
            }
            sleep(PUBLICATION_POLL).await;
        }
    }
}

/// Returns the number of the last change of the report, and whether it is still being published.
async fn publication(transaction: &Transaction) -> Result<(i64, bool), DbErr> {
    let row = query_one(transaction, "SELECT number, is_under_way FROM report_publication").await?;
    Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))
}

async fn query_one(transaction: &Transaction, sql: &str) -> Result<QueryResult, DbErr> {
    let row = transaction.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(sql.to_owned()))
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
            // It counts from the beginning of a publication on.
            Some(number) => Ok(publication(self).await?.0 == number),
        }
    }
}

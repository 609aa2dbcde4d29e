//! On a Citus cluster: publications that were begun by a Wolf which was lost, so that they are not ended.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use sea_orm::DbErr;
use tokio::sync::Mutex;

use super::{publication, query_one};
use crate::{
    connections::{Connections, Purpose},
    nodes::prepared_by_coordinator,
};

/// The key of PostgreSQL's advisory lock that a process holds while it changes the report: "wolf" in ASCII.
pub const REFRESH_LOCK: i64 = 0x776f_6c66;
/// The time between two looks: each connects to all nodes.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// No publication has this number.
const NONE: i64 = -1;

/// What this process has found out about publications that are under way for long.
#[derive(Debug)]
pub(super) struct Abandoned {
    /// The number of the last abandoned one of which every node was found to have the whole change, or nothing of it.
    settled: AtomicI64,
    looked: Mutex<Option<Looked>>,
}

/// The last look.
#[derive(Debug)]
struct Looked {
    at: Instant,
    /// The number of an abandoned publication, and the transactions that were prepared when that was found out and still are: some
    /// may be parts of its change.
    left: Option<(i64, BTreeSet<String>)>,
}

impl Default for Abandoned {
    fn default() -> Self {
        Self { settled: AtomicI64::new(NONE), looked: Mutex::default() }
    }
}

impl Abandoned {
    /// Returns whether the publication with this number is abandoned and its change will not become more visible than it is. The
    /// next change gets another number before it becomes visible anywhere.
    pub(super) fn is_settled(&self, number: i64) -> bool {
        self.settled.load(Ordering::Relaxed) == number
    }

    /// Looks whether the publication under way is abandoned, and whether each node has committed what it had prepared then. Does
    /// nothing while another task looks, or has looked a moment ago.
    pub(super) async fn look(&self, db: &Connections) -> Result<(), DbErr> {
        let Ok(mut looked) = self.looked.try_lock() else { return Ok(()) };
        let known = match looked.take() {
            Some(last) if last.at.elapsed() < LOOK_PAUSE => {
                *looked = Some(last);
                return Ok(());
            }
            last => last.and_then(|last| last.left),
        };
        let left = left(db, known).await;
        if let Ok(Some((number, transactions))) = &left
            && transactions.is_empty()
        {
            self.settled.store(*number, Ordering::Relaxed);
        }
        *looked = Some(Looked { at: Instant::now(), left: left.as_ref().ok().cloned().flatten() });
        left.map(drop)
    }
}

/// Returns the number of the publication if nobody goes on with it, and what is prepared of what was prepared when that was found
/// out. `known` is what was returned before.
async fn left(
    db: &Connections,
    known: Option<(i64, BTreeSet<String>)>,
) -> Result<Option<(i64, BTreeSet<String>)>, DbErr> {
    let transaction = db.begin(Purpose::DistributedSnapshot).await?;
    let lock = format!("SELECT pg_try_advisory_xact_lock_shared({REFRESH_LOCK})");
    // While who publishes holds the lock, the change may become visible at any moment.
    if !query_one(&transaction, &lock).await?.try_get_by_index::<bool>(0)? {
        return Ok(None);
    }
    let (number, _) = publication(&transaction).await?;
    // For no longer than that, so that a Wolf that starts gets the lock.
    transaction.rollback().await?;
    // A node that does not tell may have anything.
    let Ok(mut transactions) = prepared_by_coordinator(db).await? else { return Ok(None) };
    if let Some((_, known)) = known.filter(|(of, _)| *of == number) {
        transactions.retain(|transaction| known.contains(transaction));
    }
    Ok(Some((number, transactions)))
}

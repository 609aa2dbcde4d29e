//! How a change of the report is published on a Citus cluster.
//!
//! A transaction that has changed rows of several nodes is prepared on each, committed on the coordinator, and then committed on
//! each node: at different moments, and on a node that is lost meanwhile only once it is back. So readers are told before and after
//! (`storage::snapshot`), and nothing is announced as being in the report while a recording is still prepared somewhere.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};
use storage::{Connections, Transaction};
use tokio::time::{Instant, sleep};

use super::is_distributed;
use crate::error::{Context, WolfError};

/// How long it is waited for that every node commits what was prepared before. Usually that takes some milliseconds; after a
/// node was lost the coordinator commits it within `citus.recover_2pc_interval`, a minute by default.
const SETTLE_MAX: Duration = Duration::from_secs(5);
const SETTLE_POLL: Duration = Duration::from_millis(20);

/// Waits until every transaction that is prepared now on some node is committed there, and ends a publication that was cut off.
/// Does nothing on a database that is not distributed.
///
/// After an announcement of `asOf` this proves that all increments acknowledged before it are visible: they were prepared on
/// every node before.
pub(crate) async fn settle(db: &Connections) -> Result<(), WolfError> {
    if !is_distributed(db).await.context("look for the extension Citus")? {
        return Ok(());
    }
    wait_for_nodes(db).await?;
    let is_cut_off = "UPDATE report_publication SET number = number + 1, is_under_way = false WHERE is_under_way";
    db.execute_unprepared(is_cut_off).await.context("end a publication that was cut off").map(drop)
}

/// Commits a change of the report, so that no reader takes a part of it for the whole.
pub(crate) async fn commit(db: &Connections, transaction: Transaction) -> Result<(), WolfError> {
    if !is_distributed(db).await.context("look for the extension Citus")? {
        return transaction.commit().await.context("commit the change of the report");
    }
    let begin = "UPDATE report_publication SET is_under_way = true";
    db.execute_unprepared(begin).await.context("begin to publish the change of the report")?;
    transaction.commit().await.context("commit the change of the report")?;
    wait_for_nodes(db).await?;
    let end = "UPDATE report_publication SET number = number + 1, is_under_way = false";
    db.execute_unprepared(end).await.context("publish the change of the report").map(drop)
}

async fn wait_for_nodes(db: &Connections) -> Result<(), WolfError> {
    let begun = Instant::now();
    let mut left = prepared(db).await?;
    while !left.is_empty() {
        if begun.elapsed() > SETTLE_MAX {
            return Err(WolfError::Unsettled { transactions: left.len() });
        }
        sleep(SETTLE_POLL).await;
        let now = prepared(db).await?;
        left.retain(|transaction| now.contains(transaction));
    }
    Ok(())
}

/// Returns the transactions that are prepared on some node. Fails if a node can't be asked.
async fn prepared(db: &Connections) -> Result<BTreeSet<String>, WolfError> {
    let sql = include_str!("prepared.sql");
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let node = |row: &QueryResult| Ok::<_, DbErr>((row.try_get_by_index(0)?, row.try_get_by_index::<String>(1)?));
    let mut transactions = BTreeSet::new();
    for row in rows.context("ask the nodes of the cluster")? {
        match node(&row).context("ask the nodes of the cluster")? {
            (true, gids) => transactions.extend(gids.split_whitespace().map(str::to_owned)),
            (false, reason) => return Err(WolfError::NodeLost { reason }),
        }
    }
    Ok(transactions)
}

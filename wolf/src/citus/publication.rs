//! How a change of the report is published on a Citus cluster.
//!
//! A transaction that has changed rows of several nodes is prepared on each, committed on the coordinator, and then committed on
//! each node: at different moments, and on a node that is lost meanwhile only once it is back. So readers are told before and after
//! (`storage::snapshot`), and nothing is announced as being in the report while a recording is still prepared somewhere.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, RuntimeErr, Statement};
use storage::{
    Connections, Transaction,
    nodes::{Node, NodeConnections, PREPARED_HERE, prepared_by_coordinator},
};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::error::{Context, WolfError};

/// How long it is waited for that every node commits what was prepared before. Usually that takes some milliseconds; after a
/// node was lost the coordinator commits it within `citus.recover_2pc_interval`, a minute by default.
const SETTLE_MAX: Duration = Duration::from_secs(5);
const SETTLE_POLL: Duration = Duration::from_millis(20);

/// Waits until every transaction that is prepared now on some node is committed there, and ends a publication that was cut off.
/// The caller holds the refresh lock, so that no other process is about to publish.
///
/// After an announcement of `asOf` this proves that all increments acknowledged before it are visible: they were committed by
/// their nodes before, or prepared on each.
pub(crate) async fn settle(db: &Connections, nodes: &NodeConnections) -> Result<(), WolfError> {
    let cut_off = number(db, "SELECT number FROM report_publication WHERE is_under_way").await?;
    wait_for_nodes(db, nodes).await?;
    if let Some(number) = cut_off { end(db, number).await } else { Ok(()) }
}

/// Commits a change of the report, so that no reader takes a part of it for the whole.
pub(crate) async fn publish(
    db: &Connections,
    nodes: &NodeConnections,
    transaction: Transaction,
) -> Result<(), WolfError> {
    const BEGIN: &str = "UPDATE report_publication SET number = number + 1, is_under_way = true RETURNING number";
    let begun = number(db, BEGIN).await?;
    transaction.commit().await.context("commit the change of the report")?;
    wait_for_nodes(db, nodes).await?;
    if let Some(number) = begun { end(db, number).await } else { Ok(()) }
}

async fn number(db: &Connections, sql: &str) -> Result<Option<i64>, WolfError> {
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let number = row.and_then(|row| row.map(|row| row.try_get_by_index(0)).transpose());
    number.context("publish the change of the report")
}

/// Ends the publication of this number. Another Wolf may have begun the next one, which includes it.
async fn end(db: &Connections, number: i64) -> Result<(), WolfError> {
    const END: &str = "UPDATE report_publication SET is_under_way = false WHERE number = $1";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, END, [number.into()]);
    db.execute_raw(statement).await.context("publish the change of the report").map(drop)
}

async fn wait_for_nodes(db: &Connections, nodes: &NodeConnections) -> Result<(), WolfError> {
    let mut left = prepared(db, nodes).await?;
    let begun = Instant::now();
    while !left.is_empty() {
        if begun.elapsed() > SETTLE_MAX {
            return Err(WolfError::Unsettled { transactions: Vec::from_iter(left).join(", ") });
        }
        sleep(SETTLE_POLL).await;
        let now = prepared(db, nodes).await?;
        left.retain(|transaction| now.contains(transaction));
    }
    Ok(())
}

/// Returns the transactions that are prepared on some node. Fails if a node can't be asked.
async fn prepared(db: &Connections, nodes: &NodeConnections) -> Result<BTreeSet<String>, WolfError> {
    match prepared_by_node(db, nodes).await {
        Ok(transactions) => Ok(transactions),
        Err(error) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "can't ask the nodes of the cluster, the coordinator does"
            );
            let asked = prepared_by_coordinator(db).await.context("ask the nodes of the cluster")?;
            asked.map_err(|reason| WolfError::NodeLost { reason })
        }
    }
}

/// Asks each node by a connection that is kept: Citus opens new ones, which takes 26 ms.
async fn prepared_by_node(db: &Connections, nodes: &NodeConnections) -> Result<BTreeSet<String>, DbErr> {
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Postgres, include_str!("nodes.sql"))).await?;
    let node = |row: &QueryResult| {
        let port = row.try_get_by_index::<i32>(2)?;
        let port = u16::try_from(port).map_err(|error| DbErr::Type(error.to_string()))?;
        Ok::<_, DbErr>(Node { group: row.try_get_by_index(0)?, host: row.try_get_by_index(1)?, port })
    };
    let found = nodes.ask(rows.iter().map(node).collect::<Result<_, _>>()?, PREPARED_HERE).await;
    let mut gids = found.map_err(|error| DbErr::Query(RuntimeErr::SqlxError(error.into())))?;
    let here = db.query_one_raw(Statement::from_string(DbBackend::Postgres, PREPARED_HERE)).await?;
    gids.extend(here.map(|row| row.try_get_by_index(0)).transpose()?);
    Ok(gids.iter().flat_map(|gids| gids.split_whitespace()).map(str::to_owned).collect())
}

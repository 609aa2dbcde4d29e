//! The differences of a PostgreSQL with the extension Citus: tables are distributed by the page's name, so that all rows
//! of a page are on one node. Other tables stay on the coordinator.
//!
//! All other statements keep to what Citus allows: only columns, `excluded` and immutable functions in `DO UPDATE`,
//! `name` in every conflict target, times as bound values, one statement a text.

mod differences;
mod fill;
mod groups;
mod marks;
mod merge;
mod publication;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};
use storage::{Connections, Transaction};

pub(crate) use self::{
    differences::differences,
    fill::{fill_days, fill_sums},
    marks::has_stale_titles,
    merge::merge,
    publication::{publish, settle},
};

/// The distributed tables besides the report. All tables are placed as the first one is.
const COUNTS: [&str; 7] =
    ["pages", "page_views", "kept_days", "stale_pages", "merge_deltas", "page_memberships", "counted_parts"];
/// What a program has to know that works with a cluster: an older one would take a key of which some parts were counted for counted.
const OLDEST_ALLOWED: &str = "m20261128_000015_counted_parts";

/// Returns whether the database has the extension.
pub(crate) async fn is_installed<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}

/// Distributes all tables but the report, and the function that holds their shards, and shuts out older programs. Does nothing
/// without the extension.
pub(crate) async fn distribute_counts<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    for table in COUNTS {
        distribute(db, table).await?;
    }
    if is_installed(db).await? {
        db.execute_unprepared(include_str!("citus/distribute_function.sql")).await?;
        let allow = "UPDATE program_versions SET oldest_allowed = $1 WHERE oldest_allowed < $1";
        let values = [OLDEST_ALLOWED.into()];
        db.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, allow, values)).await?;
    }
    Ok(())
}

/// Distributes a table if it is not distributed yet. Does nothing without the extension.
pub(crate) async fn distribute<C: ConnectionTrait>(db: &C, table: &str) -> Result<(), DbErr> {
    if is_installed(db).await? {
        db.execute_unprepared(&statement(table)).await?;
    }
    Ok(())
}

/// Returns the newest claim of a key whose parts are counted by nodes, of those that were claimed before `elapsed_ms`. There is none
/// without the extension.
pub(crate) async fn newest_claim_before(db: &Connections, elapsed_ms: i64) -> Result<Option<i64>, DbErr> {
    const NEWEST: &str = "SELECT max(claim) FROM idempotency_keys WHERE NOT kept AND claimed_ms < $1";
    if !is_installed(db).await? {
        return Ok(None);
    }
    let row =
        db.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, NEWEST, [elapsed_ms.into()])).await?;
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// Deletes the counted parts of claims up to `newest`, whose keys are deleted, but for those of keys that are still there.
pub(crate) async fn prune_parts(db: &Connections, newest: i64) -> Result<(), DbErr> {
    const FIRST_KEPT: &str = "SELECT least($1 + 1, (SELECT min(claim) FROM idempotency_keys))";
    const DELETE: &str = "DELETE FROM counted_parts WHERE claim < $1";
    let statement = |sql, claim: i64| Statement::from_sql_and_values(DbBackend::Postgres, sql, [claim.into()]);
    let Some(row) = db.query_one_raw(statement(FIRST_KEPT, newest)).await? else { return Ok(()) };
    db.execute_raw(statement(DELETE, row.try_get_by_index(0)?)).await.map(drop)
}

/// The statement that distributes `table` and moves its rows to their nodes.
fn statement(table: &str) -> String {
    let is_distributed =
        |table: &str| format!("EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = '{table}'::regclass)");
    let (placement, condition) = match COUNTS[0] {
        first if first == table => (String::new(), String::new()),
        // Before `migrate` has distributed the first one nothing can be beside it.
        first => (format!(", colocate_with => '{first}'"), format!(" AND {}", is_distributed(first))),
    };
    format!(
        "SELECT create_distributed_table('{table}', 'name'{placement})
         WHERE NOT {}{condition}",
        is_distributed(table)
    )
}

/// Has statements of the transaction that take less than 100 ms keep to one connection to each node. By default Citus opens more
/// after 10 ms, for one transaction only, and each has to read again what the first one knows of all shards.
pub(crate) async fn use_few_connections(transaction: &Transaction) -> Result<(), DbErr> {
    transaction.execute_unprepared("SET LOCAL citus.executor_slow_start_interval = '100ms'").await.map(drop)
}

/// Returns a list of what `item` makes of each hour of the day.
fn of_each_hour(item: impl Fn(i16) -> String) -> String {
    (0..24).map(item).collect::<Vec<_>>().join(", ")
}

async fn query(
    transaction: &Transaction,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    transaction.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await
}

async fn execute(transaction: &Transaction, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64, DbErr> {
    let done = transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_distributed_by_name_beside_the_pages() {
        assert!(statement("pages").starts_with("SELECT create_distributed_table('pages', 'name')\n"));
        for table in COUNTS[1..].iter().chain(&["page_views_report"]) {
            let expected = format!("SELECT create_distributed_table('{table}', 'name', colocate_with => 'pages')\n");
            assert!(statement(table).starts_with(&expected));
        }
    }

    #[test]
    fn table_is_distributed_once() {
        assert!(statement("page_views").contains("WHERE NOT EXISTS (SELECT FROM pg_dist_partition"));
    }
}

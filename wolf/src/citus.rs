//! The differences of a PostgreSQL with the extension Citus: tables are distributed by the page's name, so that all rows
//! of a page are on one node. Other tables stay on the coordinator.
//!
//! All other statements keep to what Citus allows: only columns, `excluded` and immutable functions in `DO UPDATE`,
//! `name` in every conflict target, times as bound values. A materialized view can't be distributed, so the report is a
//! table, and one statement, which each node executes on its rows, merges into it.

use chrono::NaiveDate;
use entity::Hour;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use storage::Transaction;

/// The distributed tables. The others are placed as the first one is.
const DISTRIBUTED: [&str; 4] = ["pages", "page_views", "kept_days", "page_views_report"];

/// The merge on Citus keeps no flags and no numbers of pages, so those of before are not true any more.
const FORGET_SUMMARIES: &str = "UPDATE page_views_report SET pages = NULL, last_pages = NULL, top_views = NULL
    WHERE name = '' AND coalesce(pages, last_pages, top_views) IS NOT NULL";

/// Returns whether the database has the extension.
pub(crate) async fn is_installed<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";
    if db.get_database_backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?;
    row.map_or(Ok(false), |row| row.try_get_by_index(0))
}

/// Distributes all tables that are not distributed yet. Fails without the extension.
pub(crate) async fn distribute<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
    for table in DISTRIBUTED {
        db.execute_unprepared(&statement(table)).await?;
    }
    Ok(())
}

/// Distributes one table if it is not distributed yet. Does nothing without the extension.
pub(crate) async fn distribute_table<C: ConnectionTrait>(db: &C, table: &str) -> Result<(), DbErr> {
    if is_installed(db).await? {
        db.execute_unprepared(&statement(table)).await?;
    }
    Ok(())
}

/// Adds the changes of the counts of `hours` to the report. Returns the number of changed rows.
pub(crate) async fn merge(transaction: &Transaction, hours: &[Hour]) -> Result<u64, DbErr> {
    // A generic plan does not know the number of hours, and may scan where it should look up.
    transaction.execute_unprepared("SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan").await?;
    transaction.execute_unprepared(FORGET_SUMMARIES).await?;
    let dates: Vec<NaiveDate> = hours.iter().map(|hour| hour.date()).collect();
    let of_day: Vec<i16> = hours.iter().map(|hour| hour.of_day()).collect();
    let values: [Value; 2] = [dates.into(), of_day.into()];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, include_str!("citus/merge.sql"), values);
    Ok(transaction.execute_raw(statement).await?.rows_affected())
}

/// The statement that distributes `table` and moves its rows to their nodes.
fn statement(table: &str) -> String {
    let placement = match DISTRIBUTED[0] {
        first if first == table => String::new(),
        first => format!(", colocate_with => '{first}'"),
    };
    format!(
        "SELECT create_distributed_table('{table}', 'name'{placement})
         WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = '{table}'::regclass)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_distributed_by_name_beside_the_pages() {
        assert!(statement("pages").starts_with("SELECT create_distributed_table('pages', 'name')\n"));
        for table in &DISTRIBUTED[1..] {
            let expected = format!("SELECT create_distributed_table('{table}', 'name', colocate_with => 'pages')\n");
            assert!(statement(table).starts_with(&expected));
        }
    }

    #[test]
    fn table_is_distributed_once() {
        assert!(statement("page_views").contains("WHERE NOT EXISTS (SELECT FROM pg_dist_partition"));
    }
}

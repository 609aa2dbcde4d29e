//! The marks of stale pages, each beside the count or title that it marks.
//!
//! A commit that changes rows of several nodes becomes visible on each at another moment. The mark is on the node of what it
//! marks, and both were written through the same connection, so they become visible together.

use chrono::NaiveDate;
use entity::Hour;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use storage::Transaction;

/// Returns the hours that have marks, newest first, at most `limit` of them.
pub(crate) async fn stale_hours<C: ConnectionTrait>(db: &C, limit: Option<u64>) -> Result<Vec<Hour>, DbErr> {
    const SQL: &str =
        "SELECT DISTINCT date, hour FROM stale_pages WHERE date IS NOT NULL ORDER BY date DESC, hour DESC";
    let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Postgres, format!("{SQL}{limit}"))).await?;
    let hour = |row: &sea_orm::QueryResult| Ok(Hour::new(row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    rows.iter().map(hour).collect()
}

/// Returns whether a title has a mark.
pub(crate) async fn has_stale_titles<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    const SQL: &str = "SELECT name FROM stale_pages WHERE date IS NULL LIMIT 1";
    Ok(db.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?.is_some())
}

/// Marks the counts of `hours` one by one, as they are marked since the tables are distributed.
pub(super) async fn mark_old_hours(transaction: &Transaction, hours: &[Hour]) -> Result<(), DbErr> {
    transaction.execute_raw(of_hours(include_str!("mark_old_hours.sql"), hours)).await.map(drop)
}

/// Takes the marks of `hours` and of titles that are there now.
pub(super) async fn take(transaction: &Transaction, hours: &[Hour]) -> Result<(), DbErr> {
    if !hours.is_empty() {
        transaction.execute_raw(of_hours(include_str!("take_marks.sql"), hours)).await?;
    }
    transaction.execute_unprepared("UPDATE stale_pages SET taken = true WHERE date IS NULL").await.map(drop)
}

/// Deletes the marks that are taken.
pub(super) async fn delete_taken(transaction: &Transaction) -> Result<(), DbErr> {
    transaction.execute_unprepared("DELETE FROM stale_pages WHERE taken").await.map(drop)
}

/// Deletes every mark that this transaction sees.
pub(crate) async fn delete_all(transaction: &Transaction) -> Result<(), DbErr> {
    transaction.execute_unprepared("DELETE FROM stale_pages").await.map(drop)
}

/// A statement with `{hours}` for the rows of `hours`.
fn of_hours(sql: &str, hours: &[Hour]) -> Statement {
    let row = |index: usize| format!("(${}::date, ${}::smallint)", 2 * index + 1, 2 * index + 2);
    let rows: Vec<_> = (0..hours.len()).map(row).collect();
    let values = hours.iter().flat_map(|hour| {
        let date: NaiveDate = hour.date();
        [Value::from(date), hour.of_day().into()]
    });
    Statement::from_sql_and_values(DbBackend::Postgres, sql.replace("{hours}", &rows.join(", ")), values)
}

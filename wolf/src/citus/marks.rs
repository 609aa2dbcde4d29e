//! The marks of stale pages, each beside the count or title that it marks.
//!
//! A commit that changes rows of several nodes becomes visible on each at another moment. The mark is on the node of what it
//! marks, and both were written through the same connection, so they become visible together.

use chrono::NaiveDate;
use entity::Hour;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};
use storage::Transaction;

use crate::merge::StaleHour;

/// Returns whether a title has a mark.
pub(crate) async fn has_stale_titles<C: ConnectionTrait>(db: &C) -> Result<bool, DbErr> {
    const SQL: &str = "SELECT name FROM stale_pages WHERE date IS NULL LIMIT 1";
    Ok(db.query_one_raw(Statement::from_string(DbBackend::Postgres, SQL)).await?.is_some())
}

/// Marks the counts of `hours` one by one, as they are marked since the tables are distributed.
pub(super) async fn mark_old_hours(transaction: &Transaction, hours: &[StaleHour]) -> Result<(), DbErr> {
    let hours: Vec<_> = hours.iter().map(|stale| stale.hour).collect();
    transaction.execute_raw(of_hours(include_str!("mark_old_hours.sql"), &hours)).await.map(drop)
}

/// Takes the marks of `hours` that are there now.
pub(super) async fn take(transaction: &Transaction, hours: &[Hour]) -> Result<(), DbErr> {
    transaction.execute_raw(of_hours(include_str!("take_marks.sql"), hours)).await.map(drop)
}

/// Takes the marks of titles that are there now.
pub(super) async fn take_titles(transaction: &Transaction) -> Result<(), DbErr> {
    transaction.execute_unprepared("UPDATE stale_pages SET taken = true WHERE date IS NULL").await.map(drop)
}

/// Deletes the marks that are taken.
pub(super) async fn delete_taken(transaction: &Transaction) -> Result<(), DbErr> {
    transaction.execute_unprepared("DELETE FROM stale_pages WHERE taken").await.map(drop)
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

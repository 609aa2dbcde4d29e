//! Deletes old hourly rows from the counts and from the report. The sums of their days and months stay.

use chrono::NaiveDate;
use entity::{Hour, Transaction, page_view};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    Statement, Value,
};
use serde_json::json;

use crate::{
    refresh::{RefreshLock, record_content_change, refresh_view},
    report_kind::ReportKind,
};

/// The most hours that one call deletes.
const HOURS_MAX: u64 = 500;

/// Deletes hourly rows of the days before `first_kept`, oldest first and at most [`HOURS_MAX`] hours. Returns how many
/// hours it looked at.
///
/// Each hour of a table is deleted in a transaction of its own. A materialized view is refreshed in the transaction that
/// deletes the counts, so that it never shows hours without counts.
pub(super) async fn drop_before(lock: &RefreshLock, first_kept: NaiveDate) -> Result<u64, DbErr> {
    let hours: Vec<(NaiveDate, i16)> = page_view::Entity::find()
        .select_only()
        .columns([page_view::Column::Date, page_view::Column::Hour])
        .filter(page_view::Column::Date.lt(first_kept))
        .distinct()
        .order_by_asc(page_view::Column::Date)
        .order_by_asc(page_view::Column::Hour)
        .limit(HOURS_MAX)
        .into_tuple()
        .all(&lock.db)
        .await?;
    let hours: Vec<Hour> = hours.into_iter().map(|(date, hour)| Hour::new(date, hour)).collect();
    let mut left = hours.as_slice();
    let mut recorded = None;
    while !left.is_empty() {
        let transaction = lock.begin().await?;
        // In the same transaction: readers have to learn of it before the first row is gone.
        recorded = Some(record_content_change(&transaction, &lock.clock, Some(first_kept), recorded).await?);
        match ReportKind::read(&transaction).await? {
            ReportKind::Table => {
                drop_from_report(&transaction, left[0], &drop_from_counts(&transaction, left[0]).await?).await?;
                left = &left[1..];
            }
            ReportKind::MaterializedView => {
                for hour in left {
                    drop_from_counts(&transaction, *hour).await?;
                }
                refresh_view(&transaction).await?;
                left = &[];
            }
        }
        transaction.commit().await?;
    }
    Ok(u64::try_from(hours.len()).unwrap_or(u64::MAX))
}

/// A deleted row of one page.
#[derive(Debug, FromQueryResult)]
struct Dropped {
    name: String,
    views: i64,
}

/// Moves one hour's counts into the sums of its day. Returns the deleted rows.
///
/// Only rows whose count is in the report are deleted: a count that grew since stays until a refresh has merged it. An
/// increment recorded meanwhile inserts a new row, which is merged like any other.
async fn drop_from_counts(transaction: &Transaction, hour: Hour) -> Result<Vec<Dropped>, DbErr> {
    const DROP: &str = "
        DELETE FROM page_views WHERE date = $1 AND hour = $2 AND EXISTS (
            SELECT 1 FROM page_views_report AS reported
            WHERE reported.grain = 'hour' AND reported.name = page_views.name
                AND reported.date = page_views.date AND reported.hour = page_views.hour
                AND reported.views = page_views.views)
        RETURNING name, views";
    let statement = statement(transaction, DROP, hour, None);
    let dropped = Dropped::find_by_statement(statement).all(transaction).await?;
    const KEEP: &str = "
        INSERT INTO kept_days (name, date, views) SELECT name, $1, views FROM {dropped}
        WHERE $2 = $2 -- for SQLite, whose parser needs a condition before ON
        ON CONFLICT (name, date) DO UPDATE SET views = kept_days.views + excluded.views";
    run(transaction, KEEP, hour, Some(&dropped)).await?;
    Ok(dropped)
}

/// Deletes the same rows from a report that is a table.
async fn drop_from_report(transaction: &Transaction, hour: Hour, dropped: &[Dropped]) -> Result<(), DbErr> {
    const OF_PAGES: &str = "
        DELETE FROM page_views_report WHERE grain = 'hour' AND date = $1 AND hour = $2
            AND name IN (SELECT name FROM {dropped})";
    const OF_SITE: &str = "
        UPDATE page_views_report SET views = views - (SELECT coalesce(sum(dropped.views), 0) FROM {dropped})
        WHERE grain = 'hour' AND date = $1 AND hour = $2 AND name = ''";
    const EMPTY: &str = "
        DELETE FROM page_views_report WHERE grain = 'hour' AND date = $1 AND hour = $2 AND name = '' AND views = 0";
    run(transaction, OF_PAGES, hour, Some(dropped)).await?;
    run(transaction, OF_SITE, hour, Some(dropped)).await?;
    run(transaction, EMPTY, hour, None).await
}

async fn run(transaction: &Transaction, sql: &str, hour: Hour, dropped: Option<&[Dropped]>) -> Result<(), DbErr> {
    transaction.execute_raw(statement(transaction, sql, hour, dropped)).await.map(drop)
}

/// Builds a statement in which `$1` is the hour's date, `$2` the hour of the day, and `{dropped}` a table of the deleted
/// rows (name, views), bound as one JSON text.
fn statement(transaction: &Transaction, sql: &str, hour: Hour, dropped: Option<&[Dropped]>) -> Statement {
    let backend = transaction.get_database_backend();
    let rows = match backend {
        DbBackend::Postgres => "json_to_recordset($3::json) AS dropped (name text, views bigint)",
        _ => "(SELECT value->>'name' AS name, value->>'views' AS views FROM json_each($3)) AS dropped",
    };
    let mut values: Vec<Value> = vec![hour.date().into(), hour.of_day().into()];
    if let Some(dropped) = dropped {
        let rows: Vec<_> = dropped.iter().map(|row| json!({ "name": row.name, "views": row.views })).collect();
        values.push(json!(rows).to_string().into());
    }
    Statement::from_sql_and_values(backend, sql.replace("{dropped}", rows), values)
}

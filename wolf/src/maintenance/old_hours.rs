//! Deletes old hourly rows from the counts, and their hours from the report. The sums of their days and months stay.

use chrono::NaiveDate;
use entity::{
    Grain, Hour, page_view,
    page_views_report::{self, Column as Report, SITE, hour_column},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Statement, Value,
    sea_query::{Alias, Expr, ExprTrait, Func, Query},
};
use serde_json::json;
use storage::Transaction;

use crate::{
    bound_list, citus,
    error::{Context, WolfError},
    groups::sums,
    refresh::{RefreshLock, record_content_change, refresh_view},
    report_kind::ReportKind,
};

/// The most hours that one call deletes.
const HOURS_MAX: u64 = 500;
/// What fails when a statement does.
const DROP: &str = "drop old hours";

/// Deletes hourly rows of the days before `first_kept`, oldest first and at most [`HOURS_MAX`] hours. Returns how many
/// hours it looked at.
///
/// Each hour of a table is deleted in a transaction of its own. A materialized view is refreshed in the transaction that
/// deletes the counts, so that it never shows hours without counts.
pub(super) async fn drop_before(lock: &RefreshLock, first_kept: NaiveDate) -> Result<u64, WolfError> {
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
        .await
        .context(DROP)?;
    let hours: Vec<Hour> = hours.into_iter().map(|(date, hour)| Hour::new(date, hour)).collect();
    let is_cluster = citus::is_installed(&lock.db).await.context(DROP)?;
    let mut left = hours.as_slice();
    let mut recorded = None;
    while !left.is_empty() {
        let transaction = lock.begin().await.context(DROP)?;
        // In the same transaction: readers have to learn of it before the first row is gone.
        recorded =
            Some(record_content_change(&transaction, &lock.clock, Some(first_kept), recorded).await.context(DROP)?);
        match ReportKind::read(&transaction).await.context(DROP)? {
            ReportKind::Table => {
                let dropped = drop_from_counts(&transaction, left[0]).await.context(DROP)?;
                drop_from_report(&transaction, left[0], dropped).await.context(DROP)?;
                left = &left[1..];
            }
            ReportKind::MaterializedView => {
                for hour in left {
                    drop_from_counts(&transaction, *hour).await.context(DROP)?;
                }
                refresh_view(&transaction, &lock.clock).await.context(DROP)?;
                left = &[];
            }
        }
        lock.publish(transaction, is_cluster).await?;
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
    let backend = transaction.get_database_backend();
    let reported = page_views_report::Entity::find()
        .select_only()
        .column(Report::Name)
        .filter(Report::Grain.eq(Grain::Day))
        .filter(Report::Name.into_expr().equals((page_view::Entity, page_view::Column::Name)))
        .filter(Report::Date.into_expr().equals((page_view::Entity, page_view::Column::Date)))
        .filter(views_of(hour).equals((page_view::Entity, page_view::Column::Views)));
    let mut counts = page_view::Entity::delete_many()
        .filter(page_view::Column::Date.eq(hour.date()))
        .filter(page_view::Column::Hour.eq(hour.of_day()))
        .filter(Expr::exists(reported.into_query()));
    let columns = [page_view::Column::Name, page_view::Column::Views];
    let counts = QueryTrait::query(&mut counts).returning(Query::returning().columns(columns));
    let dropped = Dropped::find_by_statement(backend.build(counts)).all(transaction).await?;
    keep_in_day(transaction, hour.date(), &dropped).await?;
    Ok(dropped)
}

/// Adds dropped counts to the sums of their day.
async fn keep_in_day(transaction: &Transaction, date: NaiveDate, dropped: &[Dropped]) -> Result<(), DbErr> {
    let rows = dropped.iter().map(|row| (row.name.as_str(), row.views));
    let backend = transaction.get_database_backend();
    let statement = match backend {
        DbBackend::Postgres => {
            let (names, views): (Vec<String>, Vec<i64>) = rows.map(|(name, views)| (name.to_owned(), views)).unzip();
            let values: [Value; 3] = [date.into(), names.into(), views.into()];
            Statement::from_sql_and_values(backend, include_str!("old_hours/postgres_keep.sql"), values)
        }
        _ => {
            let values = [date.into(), json!(rows.collect::<Vec<_>>()).to_string().into()];
            Statement::from_sql_and_values(backend, include_str!("old_hours/sqlite_keep.sql"), values)
        }
    };
    transaction.execute_raw(statement).await.map(drop)
}

/// Deletes the views of the same hour from the rows of their day in a report that is a table, and subtracts them from those
/// of the site and of groups. An hour without views is null.
async fn drop_from_report(transaction: &Transaction, hour: Hour, dropped: Vec<Dropped>) -> Result<(), DbErr> {
    let views: i64 = dropped.iter().map(|row| row.views).sum();
    sums::drop_hour(transaction, hour, dropped.iter().map(|row| (row.name.as_str(), row.views))).await?;
    let names = dropped.into_iter().map(|row| row.name).collect();
    let names = bound_list::names(transaction.get_database_backend(), names);
    let of_day = || {
        page_views_report::Entity::update_many()
            .filter(Report::Grain.eq(Grain::Day))
            .filter(Report::Date.eq(hour.date()))
    };
    let column = Alias::new(hour_column(hour.of_day()));
    let null = Expr::value(Value::BigInt(None));
    of_day().col_expr(column.clone(), null).filter(Report::Name.in_subquery(names)).exec(transaction).await?;
    let rest = Func::cust("nullif").args([Expr::col(column.clone()).sub(views), Expr::val(0)]);
    of_day().col_expr(column, rest.into()).filter(Report::Name.eq(SITE)).exec(transaction).await?;
    Ok(())
}

/// The column with the report's views of `hour`.
fn views_of(hour: Hour) -> Expr {
    Expr::col((page_views_report::Entity, Alias::new(hour_column(hour.of_day()))))
}

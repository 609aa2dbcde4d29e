//! The report built anew beside the old one. [`crate::swap`] swaps it in, in the transaction that built it.
//!
//! Until then readers go on with the old one. SQLite, where readers have their own snapshot anyway, empties and fills
//! the one table; while it does, its only writer's place is taken.

use chrono::NaiveDate;
use entity::{Hour, Transaction, kept_day, page_view};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, QuerySelect, Statement,
    sea_query::{Expr, ExprTrait},
};

use crate::{citus, report_kind::ReportKind};

/// Where a new table's rows come from.
pub(crate) enum Source<'a> {
    /// The report as it is: for a conversion.
    Report,
    /// The counts; told how many months of how many are done.
    Counts(&'a (dyn Fn(u64, u64) + Sync)),
}

/// Builds the report as a relation of the kind `to`: as `page_views_report_next` on PostgreSQL. Returns how many rows it
/// has got.
///
/// A table's months are each read by one statement. What is recorded between two of them leaves its marks, and the
/// next refresh takes the difference to what was read.
pub(crate) async fn build(transaction: &Transaction, to: ReportKind, source: Source<'_>) -> Result<u64, DbErr> {
    match (transaction.get_database_backend(), source) {
        (DbBackend::Sqlite, Source::Report) => Ok(0),
        (DbBackend::Sqlite, Source::Counts(progress)) => {
            transaction.execute_unprepared("DELETE FROM page_views_report").await?;
            fill(transaction, "page_views_report", progress).await
        }
        (_, source) => build_next(transaction, to, source).await,
    }
}

async fn build_next(transaction: &Transaction, to: ReportKind, source: Source<'_>) -> Result<u64, DbErr> {
    const COLUMNS: &str = "grain, name, date, hour, title, views";
    let run = async |sql: &str| transaction.execute_unprepared(sql).await.map(|done| done.rows_affected());
    let rows = match (to, source) {
        (ReportKind::MaterializedView, _) => {
            run(&format!("CREATE MATERIALIZED VIEW page_views_report_next AS SELECT {COLUMNS} FROM page_views_live"))
                .await?
        }
        (ReportKind::Table, source) => {
            run(include_str!("rebuild/table.sql")).await?;
            citus::distribute_table(transaction, "page_views_report_next").await?;
            match source {
                Source::Report => {
                    let rows = format!("SELECT {COLUMNS} FROM page_views_report ORDER BY grain, date, hour, name");
                    run(&format!("INSERT INTO page_views_report_next ({COLUMNS}) {rows}")).await?
                }
                Source::Counts(progress) => fill(transaction, "page_views_report_next", progress).await?,
            }
        }
    };
    run(include_str!("rebuild/indexes.sql")).await?;
    Ok(rows)
}

async fn fill(transaction: &Transaction, target: &str, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let (start, end) = if backend == DbBackend::Postgres { ("$1::date", "$2::date") } else { ("?1", "?2") };
    let sql =
        include_str!("rebuild/fill.sql").replace("{target}", target).replace("{start}", start).replace("{end}", end);
    let months = months(transaction).await?;
    let total = u64::try_from(months.len()).unwrap_or(u64::MAX);
    let mut rows = 0;
    for (done, month) in (0..).zip(&months) {
        progress(done, total);
        let bounds = [month.date().into(), month.next_month_start().date().into()];
        rows += transaction.execute_raw(Statement::from_sql_and_values(backend, &sql, bounds)).await?.rows_affected();
    }
    progress(total, total);
    Ok(rows)
}

/// The first hours of all months from the first to the last one that has counts.
async fn months<C: ConnectionTrait>(db: &C) -> Result<Vec<Hour>, DbErr> {
    type Bounds = Option<(Option<NaiveDate>, Option<NaiveDate>)>;
    let bounds = |date: Expr| (date.clone().min(), date.max());
    let (first, last) = bounds(Expr::col(page_view::Column::Date));
    let counts = page_view::Entity::find().select_only().expr(first).expr(last);
    let counts: Bounds = counts.into_tuple().one(db).await?;
    let (first, last) = bounds(Expr::col(kept_day::Column::Date));
    let kept = kept_day::Entity::find().select_only().expr(first).expr(last);
    let kept: Bounds = kept.into_tuple().one(db).await?;
    let days: Vec<_> = [counts, kept].into_iter().flatten().flat_map(|(first, last)| [first, last]).flatten().collect();
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { return Ok(Vec::new()) };
    let first = Hour::new(*first, 0).month_start();
    Ok(std::iter::successors(Some(first), |month| Some(month.next_month_start()))
        .take_while(|month| month.date() <= *last)
        .collect())
}

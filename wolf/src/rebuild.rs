//! Rebuilds and conversions: a new report is built beside the old one and swapped in by [`swap`], in one transaction.
//!
//! Readers go on with the old report until the swap. On SQLite, where readers have snapshots of their own, the one table
//! is emptied and filled; its only writer waits meanwhile.

mod swap;

use chrono::NaiveDate;
use entity::{
    Hour, kept_day, page_view,
    page_views_report::{self, RELATION},
};
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, EntityTrait, QuerySelect, Statement,
    sea_query::{Expr, ExprTrait},
};
use storage::{DatabaseKind, Transaction};

use self::swap::Swap;
pub(crate) use self::swap::{TRIES_MAX as SWAP_TRIES_MAX, blocking_transactions};
use crate::{
    citus,
    error::{Context, WolfError},
    groups::{Groups, build as groups},
    jobs,
    refresh::{
        Announcer, ContentChange, RefreshLock, RefreshRecord, Refreshed, StaleWork, finish, record_content_change,
        record_success, renew_view, take_all_marks,
    },
    report_kind::ReportKind,
    top_pages::TopPages,
};

/// The name of a new report until it is swapped in (PostgreSQL).
const NEXT: &str = "page_views_report_next";

/// How a new report is built and swapped in.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Builder {
    /// How often the swap is tried.
    pub(crate) swap_tries_max: u32,
    /// How many rows are flagged.
    pub(crate) top_pages: TopPages,
}

/// Where the rows of a new table come from.
enum Source<'a> {
    /// The present report, for a conversion.
    Report,
    /// The counts. The function is called with the number of months done and the number of all.
    Counts(&'a (dyn Fn(u64, u64) + Sync)),
}

/// Builds the report anew from all counts, of the kind `wanted` or of its present kind, and swaps it in.
pub(crate) async fn rebuild(
    lock: &RefreshLock,
    announcer: &Announcer,
    wanted: Option<ReportKind>,
    builder: Builder,
    progress: &(dyn Fn(u64, u64) + Sync),
    record: &mut RefreshRecord<'_>,
) -> Result<Refreshed, WolfError> {
    let transaction = lock.begin().await.context("begin the rebuild")?;
    record.announced = Some(announcer.announce(transaction).await.context("announce the rebuild")?);
    let transaction = lock.begin().await.context("begin the rebuild")?;
    record.record_progress(&transaction, ContentChange::Unchanged).await.context("record the rebuild's start")?;
    transaction.commit().await.context("record the rebuild's start")?;
    let transaction = lock.begin().await.context("begin the rebuild")?;
    let work = StaleWork::find(lock, &transaction).await?;
    if work.has_jobs() {
        // A rebuild does no jobs, so it promises nothing new: `asOf` stays what it is.
        record.announced = None;
    }
    take_all_marks(&transaction, &lock.clock).await.context("take the stale marks")?;
    let before = ReportKind::read(&transaction).await.context("read the report's kind")?;
    let wanted = wanted.unwrap_or(before);
    if lock.kind == DatabaseKind::Sqlite {
        let rows = builder.build(&transaction, wanted, Source::Counts(progress)).await.context("rebuild the report")?;
        return finish(lock, transaction, record, &work, ContentChange::Changed, rows).await;
    }
    swap::hold_off_vacuums(&transaction).await?;
    let rows = builder.build(&transaction, wanted, Source::Counts(progress)).await.context("rebuild the report")?;
    let mut swap = Swap::new(&transaction, before, builder.swap_tries_max);
    let done = loop {
        swap.begin_try().await?;
        let done = record_success(&transaction, record, &work, ContentChange::Changed, rows).await?;
        if swap.succeeds().await? {
            break done;
        }
    };
    lock.publish(transaction, work.is_cluster).await?;
    Ok(done)
}

/// Converts the report to the kind `wanted`, with its present content. Returns the kind that it had, or `None` if it was
/// of this kind already.
pub(crate) async fn convert(
    lock: &RefreshLock,
    wanted: ReportKind,
    builder: Builder,
) -> Result<Option<ReportKind>, WolfError> {
    let transaction = lock.begin().await.context("begin the report's conversion")?;
    let before = ReportKind::read(&transaction).await.context("read the report's kind")?;
    if before == wanted {
        return Ok(None);
    }
    let is_cluster = citus::is_installed(&transaction).await.context("look for the extension Citus")?;
    if is_cluster {
        citus::settle(&lock.db, &lock.nodes).await?;
    }
    if before == ReportKind::MaterializedView
        && jobs::newest_waiting(&transaction).await.context("look for jobs")?.is_some()
    {
        // A job may have changed counts that the view does not show yet, and no mark tells which.
        renew_view(&transaction).await.context("refresh the materialized view")?;
    }
    swap::hold_off_vacuums(&transaction).await?;
    builder.build(&transaction, wanted, Source::Report).await.context("convert the report")?;
    let has_groups = !Groups::read(&transaction).await.context("convert the report")?.is_empty();
    let mut swap = Swap::new(&transaction, before, builder.swap_tries_max);
    loop {
        swap.begin_try().await?;
        if wanted == ReportKind::MaterializedView || has_groups {
            // A view is computed from the counts, which may be newer than the report was; so may be what is declared.
            let changed = record_content_change(&transaction, &lock.clock, None, None).await;
            changed.context("record the report's conversion")?;
        }
        if swap.succeeds().await? {
            break;
        }
    }
    lock.publish(transaction, is_cluster).await?;
    Ok(Some(before))
}

impl Builder {
    /// Builds the report as a relation of the kind `to`, named `page_views_report_next` on PostgreSQL. Returns its number of
    /// rows.
    ///
    /// The counts of each month are read by one statement. Increments recorded between two of these leave their marks, and
    /// the next refresh merges them.
    async fn build(self, transaction: &Transaction, to: ReportKind, source: Source<'_>) -> Result<u64, DbErr> {
        match (transaction.get_database_backend(), source) {
            (DbBackend::Sqlite, Source::Report) => Ok(0),
            (DbBackend::Sqlite, Source::Counts(progress)) => {
                page_views_report::Entity::delete_many().exec(transaction).await?;
                let rows = fill(transaction, RELATION, progress).await?;
                Ok(rows + self.summarize(transaction, RELATION).await?)
            }
            (_, source) => self.build_next(transaction, to, source).await,
        }
    }

    async fn build_next(self, transaction: &Transaction, to: ReportKind, source: Source<'_>) -> Result<u64, DbErr> {
        let run = async |sql: &str| execute_each(transaction, sql).await;
        let is_counted = matches!(source, Source::Counts(_));
        let mut rows = match (to, source) {
            (ReportKind::MaterializedView, _) => {
                groups::prepare_view(transaction, true).await?;
                run(include_str!("rebuild/view.sql")).await?
            }
            (ReportKind::Table, source) => {
                run(include_str!("rebuild/table.sql")).await?;
                citus::distribute(transaction, NEXT).await?;
                match source {
                    Source::Report => run(include_str!("rebuild/copy.sql")).await?,
                    Source::Counts(progress) => fill(transaction, NEXT, progress).await?,
                }
            }
        };
        run(include_str!("rebuild/indexes.sql")).await?;
        if to == ReportKind::Table {
            // Without it Citus can't move a part of the table to another node while rows change.
            run("ALTER TABLE page_views_report_next REPLICA IDENTITY USING INDEX page_views_report_next_key").await?;
            if !is_counted {
                run(&include_str!("rebuild/count_pages.sql").replace("{target}", NEXT)).await?;
            }
            rows += self.summarize(transaction, NEXT).await?;
        }
        Ok(rows)
    }

    /// Counts the pages of `target` by their last days, flags the most viewed ones of each bucket, and builds the rows of groups.
    /// Returns how many these are.
    async fn summarize(self, transaction: &Transaction, target: &'static str) -> Result<u64, DbErr> {
        let last_pages = include_str!("rebuild/count_last_pages.sql").replace("{target}", target);
        transaction.execute_unprepared(&last_pages).await?;
        self.top_pages.flag_all(transaction, target).await?;
        groups::fill(transaction, target).await
    }
}

/// Executes the statements of `sql` one by one, each of which ends with a semicolon at the end of a line. Citus takes no others
/// in the text of one that it sends to its workers. Returns how many rows they have changed.
pub(crate) async fn execute_each<C: ConnectionTrait>(db: &C, sql: &str) -> Result<u64, DbErr> {
    let mut rows = 0;
    for statement in sql.split_inclusive(";\n").filter(|statement| !statement.trim().is_empty()) {
        rows += db.execute_unprepared(statement).await?.rows_affected();
    }
    Ok(rows)
}

async fn fill(transaction: &Transaction, target: &str, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<u64, DbErr> {
    let backend = transaction.get_database_backend();
    let is_cluster = citus::is_installed(transaction).await?;
    let sql = if is_cluster {
        citus::fill_days(target)
    } else {
        let (start, end) = if backend == DbBackend::Postgres { ("$1::date", "$2::date") } else { ("?1", "?2") };
        let sql = include_str!("rebuild/fill.sql").replace("{target}", target);
        sql.replace("{start}", start).replace("{end}", end)
    };
    let months = months(transaction).await?;
    let total = u64::try_from(months.len()).unwrap_or(u64::MAX);
    let mut rows = 0;
    for (done, month) in (0..).zip(&months) {
        progress(done, total);
        let bounds = [month.date().into(), month.next_month_start().date().into()];
        rows += transaction.execute_raw(Statement::from_sql_and_values(backend, &sql, bounds)).await?.rows_affected();
    }
    if is_cluster {
        rows += execute_each(transaction, &citus::fill_sums(target)).await?;
    }
    let epoch = if backend == DbBackend::Postgres { "'1970-01-01'::date" } else { "'1970-01-01'" };
    let pages = include_str!("rebuild/fill_pages.sql").replace("{target}", target).replace("{epoch}", epoch);
    rows += transaction.execute_unprepared(&pages).await?.rows_affected();
    progress(total, total);
    Ok(rows)
}

/// Returns the first hours of all months from the first to the last one that has counts.
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

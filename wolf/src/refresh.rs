//! One refresh: announced, then all stale hours and titles brought up to date, then its end recorded.

mod announcement;
mod backlog;
mod lock;
mod log;
mod stale_marks;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Hour, report_refresh};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use storage::{Transaction, clock::Clock};
use tokio::time::sleep;

use self::backlog::Backlog;
pub use self::lock::LockMode;
pub(crate) use self::{
    announcement::{Announcer, is_trusted},
    lock::RefreshLock,
    log::{ContentChange, RefreshEnd, RefreshRecord, record_content_change},
    stale_marks::marked_hours,
};
use crate::{
    aliases,
    changed_pages::ChangedPages,
    citus,
    error::{Context, WolfError},
    groups::build::{VIEW_TRIES_MAX, prepare_view, view_lacks_pages},
    jobs::{self, JobRunner, Pace},
    merge::{self, Merged},
    pages,
    progress::Progress,
    report_kind::ReportKind,
    top_pages::TopPages,
};

/// The most changed counts that one transaction merges, by default.
pub(crate) const COUNTS_MAX: usize = 50_000;
/// The most titles that one transaction changes.
const TITLES_PER_TRANSACTION: usize = 1_000;
/// The most hours that became stale during a refresh and go before its backlog, in one transaction.
const FRESH_HOURS_MAX: u64 = 16;

/// What a refresh did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The id of its row in `report_refreshes`.
    pub id: i64,
    /// Every increment with `recordedAt` at or before this is in the report.
    pub as_of: Option<DateTime<Utc>>,
    /// The number of stale hours that it found.
    pub hours: i32,
    /// The number of report rows that it changed.
    pub rows_changed: i64,
    /// How long it took, by a monotonic clock.
    pub duration: TimeDelta,
}

/// The hours and titles that were stale when a refresh began.
pub(crate) struct StaleWork {
    hours: Vec<Hour>,
    newest_title: Option<i64>,
    /// Whether the database is a Citus cluster, and whether titles have marks of the kind that is beside them there.
    pub(crate) is_cluster: bool,
    has_cluster_titles: bool,
    /// The newest job that waits.
    newest_job: Option<i64>,
    /// Whether pages may be missing that recorders still know.
    has_removed_lately: bool,
}

/// Brings the report up to date. Returns `None` if another process holds the lock and `mode` is [`LockMode::Try`].
pub(crate) async fn refresh(
    lock: &RefreshLock,
    announcer: &Announcer,
    mode: LockMode,
    counts_max: usize,
    top_pages: TopPages,
    progress: Progress<'_>,
    record: &mut RefreshRecord<'_>,
) -> Result<Option<(ReportKind, Refreshed)>, WolfError> {
    let transaction = lock.begin_in(mode).await.context("begin the refresh")?;
    let Some(transaction) = transaction else { return Ok(None) };
    record.announced = Some(announcer.announce(transaction).await.context("announce the refresh")?);
    let transaction = lock.begin().await.context("begin the refresh")?;
    let kind = ReportKind::read(&transaction).await.context("read the report's kind")?;
    let work = StaleWork::find(lock, &transaction).await?;
    if work.is_empty() {
        let done = finish(lock, transaction, record, &work, ContentChange::Unchanged, 0).await?;
        return Ok(Some((kind, done)));
    }
    record.note_progress((0, u64::try_from(work.hours.len()).unwrap_or(u64::MAX)), 0);
    record.record_progress(&transaction, ContentChange::Unchanged).await.context("record the refresh's start")?;
    transaction.commit().await.context("record the refresh's start")?;

    let transaction = lock.begin().await.context("begin the refresh")?;
    // Read again: another process may have converted the report in between.
    let kind = ReportKind::read(&transaction).await.context("read the report's kind")?;
    let done = match kind {
        ReportKind::MaterializedView => {
            let transaction = change_counts(lock, transaction, top_pages, &work).await?;
            let changed = refresh_view(&transaction, &lock.clock).await.context("refresh the materialized view")?;
            work.publish_jobs(lock, &transaction).await?;
            // The number of written rows is not certain, so the content counts as changed.
            finish(lock, transaction, record, &work, ContentChange::Changed, changed).await?
        }
        ReportKind::Table => {
            let merging = merge_in_portions(lock, transaction, counts_max, top_pages, progress, record, &work);
            // A large future.
            Box::pin(merging).await?
        }
    };
    Ok(Some((kind, done)))
}

/// Merges the stale hours portion by portion, each in a transaction of its own. The last transaction also records the
/// refresh's end.
async fn merge_in_portions(
    lock: &RefreshLock,
    mut transaction: Transaction,
    counts_max: usize,
    top_pages: TopPages,
    progress: Progress<'_>,
    record: &mut RefreshRecord<'_>,
    work: &StaleWork,
) -> Result<Refreshed, WolfError> {
    let mut backlog = Backlog::new(work.hours.iter().copied(), counts_max);
    let mut jobs = work.newest_job.map(|newest| JobRunner::new(&lock.clock, top_pages, newest));
    let mut pace = Pace::new(lock.kind);
    let (mut total, mut has_more) = (0, true);
    // The backlog has just been read: hours that became stale since are looked for from the second portion on.
    let mut is_backlog_new = !backlog.is_empty();
    loop {
        let begun = Instant::now();
        let (done, all) = backlog.progress();
        progress(done, all);
        let marked = match std::mem::take(&mut is_backlog_new) {
            true => Vec::new(),
            false => {
                let marked = stale_marks::stale_hours(&transaction, Some(FRESH_HOURS_MAX)).await;
                marked.context("look for stale hours")?
            }
        };
        let others_record = backlog.is_empty() && !marked.is_empty();
        let (mut changed, mut pages) = (0, ChangedPages::default());
        if has_more || jobs.is_none() || pace.is_merge_due() {
            let merged = merge_marked(lock, &transaction, marked, &mut backlog, top_pages, work).await?;
            MergedMarks { rows_changed: changed, pages, has_more } = merged;
        }
        let mut rest = Duration::ZERO;
        if let Some(runner) = jobs.as_mut().filter(|_| !has_more) {
            let portion = runner.portion(&transaction).await?;
            changed += portion.rows_changed;
            pages.add_any();
            jobs = jobs.filter(|_| !portion.is_last);
            rest = pace.rest(begun.elapsed(), others_record);
        }
        total += changed;
        let content = ContentChange::of(changed);
        if !has_more && jobs.is_none() {
            work.publish_jobs(lock, &transaction).await?;
            let done = record_success(&transaction, record, work, content, total).await?;
            record_pages(&transaction, content, pages).await?;
            lock.publish(transaction, work.is_cluster && content == ContentChange::Changed).await?;
            return Ok(done);
        }
        // Every process that caches answers has to learn of every change.
        let is_due = record.note_progress(backlog.progress(), total);
        if content == ContentChange::Changed || is_due {
            record.record_progress(&transaction, content).await.context("record the refresh's progress")?;
        }
        record_pages(&transaction, content, pages).await?;
        lock.publish(transaction, work.is_cluster).await?;
        backlog.portion_done();
        sleep(rest).await;
        transaction = lock.begin().await.context("begin the next merge")?;
    }
}

/// The result of merging stale hours and titles in one transaction.
#[derive(Debug)]
struct MergedMarks {
    rows_changed: u64,
    pages: ChangedPages,
    /// Whether hours or titles are left that were stale when the refresh began.
    has_more: bool,
}

/// Merges the next portion of the backlog, with the hours `marked` that became stale meanwhile, and the titles of some pages.
async fn merge_marked(
    lock: &RefreshLock,
    transaction: &Transaction,
    marked: Vec<Hour>,
    backlog: &mut Backlog,
    top_pages: TopPages,
    work: &StaleWork,
) -> Result<MergedMarks, WolfError> {
    let hours = backlog.next_portion(marked);
    let counts_max = backlog.counts_max();
    let merged = merge_portion(lock, transaction, &hours, counts_max, top_pages, work).await?;
    if !merged.unfinished.is_empty() {
        backlog.unfinished(&merged.unfinished);
    }
    let (mut rows_changed, mut pages) = (merged.rows_changed, merged.pages);
    let names = stale_marks::delete_titles(transaction, work.newest_title, TITLES_PER_TRANSACTION);
    let names = names.await.context("delete the stale titles' marks")?;
    let titles = names.len();
    if titles > 0 {
        pages.add(&names);
        rows_changed += merge::retitle(transaction, names).await.context("change the titles")?;
    }
    Ok(MergedMarks { rows_changed, pages, has_more: !backlog.is_empty() || titles >= TITLES_PER_TRANSACTION })
}

/// Records the changed pages with the version that the transaction has made, if it has made one.
async fn record_pages(transaction: &Transaction, content: ContentChange, pages: ChangedPages) -> Result<(), WolfError> {
    match content {
        ContentChange::Changed => pages.record(transaction).await.context("record the changed pages"),
        ContentChange::Unchanged => Ok(()),
    }
}

/// Merges `hours`, if they are stale still, on one database or where the rows are on a Citus cluster. The marks of what was not
/// merged are there again.
async fn merge_portion(
    lock: &RefreshLock,
    transaction: &Transaction,
    hours: &[Hour],
    counts_max: usize,
    top_pages: TopPages,
    work: &StaleWork,
) -> Result<Merged, WolfError> {
    // First the marks, then pages and counts: an increment recorded in between is merged, and its hour stays marked.
    let stale = stale_marks::take_hours(transaction, hours).await.context("delete the stale marks")?;
    if work.has_removed_lately {
        let now = lock.clock.database_now(transaction).await.context("read the database's clock")?;
        pages::restore(transaction, hours, now).await.context("restore the pages that are viewed again")?;
    }
    let moved = aliases::resolve(transaction, hours, top_pages, &lock.clock).await?;
    let merged = if work.is_cluster {
        let rows_changed = citus::merge(transaction, hours, &stale, work.has_cluster_titles, top_pages).await;
        rows_changed.map(|rows_changed| {
            let mut merged = Merged { rows_changed, ..Merged::default() };
            // Each node knows its own pages only.
            merged.pages.add_any();
            merged
        })
    } else if stale.is_empty() {
        Ok(Merged::default())
    } else {
        merge::merge(transaction, &stale, counts_max, top_pages).await
    };
    let mut merged = merged.context("merge the stale hours")?;
    merged.rows_changed += moved;
    if moved > 0 {
        merged.pages.add_any();
    }
    if merged.rows_missing > 0 {
        return Err(WolfError::RowsMissing { rows: merged.rows_missing });
    }
    if !merged.unfinished.is_empty() {
        let restored = stale_marks::restore_hours(transaction, &merged.unfinished).await;
        restored.context("restore the stale marks")?;
    }
    Ok(merged)
}

impl StaleWork {
    /// Reads the stale marks. The announcement of `asOf` is committed before: an increment acknowledged up to that time
    /// was committed earlier, so this statement sees its mark, unless a refresh that is committed too has deleted it. On a
    /// Citus cluster it waits until each node has committed the increment.
    pub(crate) async fn find(lock: &RefreshLock, transaction: &Transaction) -> Result<Self, WolfError> {
        let is_cluster = citus::is_installed(transaction).await.context("look for the extension Citus")?;
        if is_cluster {
            citus::settle(&lock.db, &lock.nodes).await?;
        }
        let marks = async {
            if is_cluster {
                citus::use_few_connections(transaction).await?;
            }
            let now = lock.clock.database_now(transaction).await?;
            Ok::<_, DbErr>(Self {
                newest_job: jobs::newest_waiting(transaction).await?,
                has_removed_lately: jobs::have_removed_lately(transaction, now).await?,
                hours: stale_marks::stale_hours(transaction, None).await?,
                newest_title: stale_marks::newest_stale_title(transaction).await?,
                is_cluster,
                has_cluster_titles: is_cluster && citus::has_stale_titles(transaction).await?,
            })
        };
        marks.await.context("look for stale hours")
    }

    fn is_empty(&self) -> bool {
        self.hours.is_empty() && self.newest_title.is_none() && !self.has_cluster_titles && self.newest_job.is_none()
    }

    /// Records that the jobs have ended that have changed all counts, in the transaction that brings the report to them.
    async fn publish_jobs(&self, lock: &RefreshLock, transaction: &Transaction) -> Result<(), WolfError> {
        if self.newest_job.is_none() {
            return Ok(());
        }
        let published = async {
            let now = lock.clock.database_now(transaction).await?;
            match jobs::publish(transaction, now).await? {
                true => pages::delete_without_counts(transaction).await,
                false => Ok(()),
            }
        };
        published.await.context("record the end of a job")
    }

    /// Returns whether a job waits: what it changes may not be promised yet.
    pub(crate) fn has_jobs(&self) -> bool {
        self.newest_job.is_some()
    }
}

/// Records that all of `work` is done.
pub(crate) async fn record_success(
    transaction: &Transaction,
    record: &RefreshRecord<'_>,
    work: &StaleWork,
    content: ContentChange,
    rows_changed: u64,
) -> Result<Refreshed, WolfError> {
    let end = RefreshEnd::Succeeded { hours: work.hours.len(), rows_changed };
    let row = record.record_end(transaction, content, end).await.context("record the refresh's end")?;
    Ok(row.into())
}

/// Records that all of `work` is done, and commits.
pub(crate) async fn finish(
    lock: &RefreshLock,
    transaction: Transaction,
    record: &RefreshRecord<'_>,
    work: &StaleWork,
    content: ContentChange,
    rows_changed: u64,
) -> Result<Refreshed, WolfError> {
    let done = record_success(&transaction, record, work, content, rows_changed).await?;
    lock.publish(transaction, work.is_cluster && content == ContentChange::Changed).await?;
    Ok(done)
}

impl From<report_refresh::Model> for Refreshed {
    fn from(row: report_refresh::Model) -> Self {
        Self {
            id: row.id,
            as_of: row.as_of,
            hours: row.hours,
            rows_changed: row.rows_changed,
            duration: TimeDelta::milliseconds(row.duration_ms.unwrap_or_default()),
        }
    }
}

/// Does the jobs of a materialized view, which change the counts, each portion in a transaction of its own. Returns the
/// transaction that has to refresh the view.
async fn change_counts(
    lock: &RefreshLock,
    mut transaction: Transaction,
    top_pages: TopPages,
    work: &StaleWork,
) -> Result<Transaction, WolfError> {
    let Some(newest) = work.newest_job else { return Ok(transaction) };
    // A job looks for its days in the report, which has to have all that was recorded before the job.
    refresh_view(&transaction, &lock.clock).await.context("refresh the materialized view")?;
    let changed = record_content_change(&transaction, &lock.clock, None, None).await;
    changed.context("record the refresh's progress")?;
    transaction.commit().await.context("commit the change of the report")?;
    let mut jobs = JobRunner::new(&lock.clock, top_pages, newest);
    loop {
        transaction = lock.begin().await.context("begin the next portion of a job")?;
        if jobs.portion(&transaction).await?.is_last {
            return Ok(transaction);
        }
        transaction.commit().await.context("commit a portion of a job")?;
    }
}

/// Deletes all marks and refreshes the materialized view, whose snapshot is later than that of the deletion. Returns
/// about how many rows changed.
pub(crate) async fn refresh_view(transaction: &Transaction, clock: &Clock) -> Result<u64, DbErr> {
    take_all_marks(transaction, clock).await?;
    renew_view(transaction).await
}

/// Deletes all marks. Then, in the hours that had marks, inserts the pages that a job has removed and a recorder still knows, and
/// moves the counts of aliases to their targets. In this order no increment is missed: one that is committed after the
/// deletion keeps its mark, for the next refresh.
pub(crate) async fn take_all_marks(transaction: &Transaction, clock: &Clock) -> Result<(), DbErr> {
    let hours = stale_marks::take_all(transaction).await?;
    let now = clock.database_now(transaction).await?;
    if jobs::have_removed_lately(transaction, now).await? {
        pages::restore(transaction, &hours, now).await?;
    }
    aliases::move_counts(transaction, hours.into_iter(), clock).await.map(drop)
}

/// Refreshes the materialized view, with the groups of its pages. Returns about how many rows changed.
pub(crate) async fn renew_view(transaction: &Transaction) -> Result<u64, DbErr> {
    let mut changed = 0;
    for _ in 0..VIEW_TRIES_MAX {
        prepare_view(transaction, false).await?;
        changed += refresh_concurrently(transaction).await?;
        // A page that was counted meanwhile for the first time. Its mark is there still, if groups have to wait for it.
        if !view_lacks_pages(transaction).await? {
            break;
        }
    }
    Ok(changed)
}

/// Refreshes the materialized view. Returns about how many rows changed.
async fn refresh_concurrently(transaction: &Transaction) -> Result<u64, DbErr> {
    let before = rows_written(transaction).await?;
    transaction.execute_unprepared("REFRESH MATERIALIZED VIEW CONCURRENTLY page_views_report").await?;
    let after = rows_written(transaction).await?;
    // A changed row was deleted and inserted.
    let [inserted, deleted] = [after[0] - before[0], after[1] - before[1]];
    Ok(u64::try_from(inserted.max(deleted)).unwrap_or_default())
}

/// Returns how many rows of the view this session has inserted and deleted so far, which the statement that refreshes
/// it does not return. The numbers may include rows of earlier transactions.
async fn rows_written(transaction: &Transaction) -> Result<[i64; 2], DbErr> {
    const SQL: &str = "SELECT pg_stat_get_xact_tuples_inserted(to_regclass('page_views_report')),
                              pg_stat_get_xact_tuples_deleted(to_regclass('page_views_report'))";
    let row = transaction.query_one_raw(Statement::from_string(transaction.get_database_backend(), SQL)).await?;
    row.map_or(Ok([0, 0]), |row| Ok([row.try_get_by_index(0)?, row.try_get_by_index(1)?]))
}

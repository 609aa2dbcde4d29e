//! One refresh: what is stale, brought up to date, and proven.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Database, DatabaseKind, Hour, Transaction, clock::Clock, report_refresh};
use sea_orm::{ConnectionTrait, DbErr, Statement};
use tracing::{Instrument, debug_span, field::Empty, info, warn};

use crate::{
    announcement::Announcer,
    backlog::Backlog,
    error::{During, WolfError},
    follow_ups::FollowUps,
    history::{self, Content, End, Run},
    marks, merge,
    metrics::Refreshes,
    rebuild::{Source, build},
    report_kind::ReportKind,
    schedule::Schedule,
    swap::{self, Swap},
    turn::{Turn, Turns},
};

/// How many changed counts one transaction merges: about what it has the time for.
const COUNTS_MAX: usize = 50_000;
/// How many titles one transaction changes.
const TITLES_PER_TRANSACTION: usize = 1_000;
/// How many of the hours that become stale during a refresh go before its backlog.
const FRESH_HOURS_MAX: u64 = 16;
/// How often a long refresh says that it goes on.
const SAYS_SO_EVERY: Duration = Duration::from_secs(1);

/// Does one refresh at a time, across all processes.
#[derive(Clone, Debug)]
pub struct Refresher {
    pub(crate) turns: Turns,
    announcer: Announcer,
    pub(crate) view_limit: Option<TimeDelta>,
    pub(crate) pinned: Option<ReportKind>,
    counts_max: usize,
    swap_tries_max: u32,
    refreshes: Refreshes,
    pub(crate) follow_ups: Arc<FollowUps>,
}

/// What became of a refresh that did not fail.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The report is up to date.
    Refreshed(Refreshed),
    /// Another process was refreshing.
    Standby,
}

/// What a refresh did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// Its row in `report_refreshes`.
    pub id: i64,
    /// Every increment with `recordedAt` at or before this is in the report.
    pub as_of: Option<DateTime<Utc>>,
    /// How many stale hours it found.
    pub hours: i32,
    /// How many report rows changed.
    pub rows_changed: i64,
    /// How long it took, by a monotonic clock.
    pub duration: TimeDelta,
}

/// What there is to do.
struct Work {
    hours: Vec<Hour>,
    newest_title: Option<i64>,
}

impl Refresher {
    /// For the report of `database`.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self {
            turns: Turns::new(database),
            announcer: Announcer::new(&database.clock),
            view_limit: None,
            pinned: None,
            counts_max: COUNTS_MAX,
            swap_tries_max: swap::TRIES_MAX,
            refreshes: Refreshes::new(),
            follow_ups: Arc::default(),
        }
    }

    /// Merges at most `counts_max` changed counts (one at least) into a table in one transaction; 50,000 otherwise.
    #[must_use]
    pub fn merging_at_most(self, counts_max: usize) -> Self {
        Self { counts_max: counts_max.max(1), ..self }
    }

    /// Turns a materialized view into a table when its refresh takes longer than `limit`.
    #[must_use]
    pub fn converting_views_slower_than(self, limit: TimeDelta) -> Self {
        Self { view_limit: Some(limit), ..self }
    }

    /// Keeps the report a relation of the kind `wanted`, once it is.
    pub(crate) fn pinned_to(self, wanted: ReportKind) -> Self {
        Self { pinned: Some(wanted), ..self }
    }

    /// Tries `tries_max` times (once at least) to swap a new report in, a second apart; 30 otherwise.
    #[must_use]
    pub fn swapping_within(self, tries_max: u32) -> Self {
        Self { swap_tries_max: tries_max.max(1), ..self }
    }

    /// The clocks of the process that refreshes.
    pub(crate) fn clock(&self) -> &Clock {
        &self.turns.clock
    }

    /// Which database the report is in.
    pub(crate) fn kind(&self) -> DatabaseKind {
        self.turns.kind
    }

    /// Makes the report a relation of the kind `wanted`, with the content that it has, if it is another kind. Says
    /// whether it was. Readers and writers go on meanwhile.
    ///
    /// # Errors
    /// [`WolfError::NoMaterializedView`] on SQLite; [`WolfError::ReportHeld`] and [`WolfError::Database`], then nothing has
    /// changed.
    pub async fn ensure_kind(&self, wanted: ReportKind) -> Result<bool, WolfError> {
        self.check_kind(wanted)?;
        let transaction = self.turns.wait().await.during("begin the report's conversion")?;
        let before = ReportKind::read(&transaction).await.during("read the report's kind")?;
        if before == wanted {
            return Ok(false);
        }
        swap::hold_off_vacuums(&transaction).await?;
        build(&transaction, wanted, Source::Report).await.during("convert the report")?;
        let mut swap = Swap::new(&transaction, before, self.swap_tries_max);
        loop {
            swap.begin_try().await?;
            if wanted == ReportKind::MaterializedView {
                // It is computed from the counts, which may be newer than the report was.
                let changed = history::content_changed(&transaction, &self.turns.clock, None, None).await;
                changed.during("record the report's conversion")?;
            }
            if swap.succeeds().await? {
                break;
            }
        }
        transaction.commit().await.during("commit the report's conversion")?;
        info!(report.from = ?before, report.to = ?wanted, "report converted");
        Ok(true)
    }

    /// Builds the report anew from all that is counted, as a relation of the kind `wanted` or of the kind it is, and
    /// swaps it in. `progress` is told how many months of how many are done.
    ///
    /// # Errors
    /// [`WolfError::NoMaterializedView`] on SQLite; [`WolfError::ReportHeld`] and [`WolfError::Database`], then nothing has
    /// changed.
    pub async fn rebuild(
        &self,
        wanted: Option<ReportKind>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Refreshed, WolfError> {
        wanted.map_or(Ok(()), |wanted| self.check_kind(wanted))?;
        let mut run = Run::new(&self.turns, None).await.during("read the database's clock")?;
        let result = self.announce_and_rebuild(wanted, progress, &mut run).await;
        self.record_failure(&run, &result).await;
        result
    }

    async fn announce_and_rebuild(
        &self,
        wanted: Option<ReportKind>,
        progress: &(dyn Fn(u64, u64) + Sync),
        run: &mut Run<'_>,
    ) -> Result<Refreshed, WolfError> {
        let transaction = self.turns.wait().await.during("begin the rebuild")?;
        run.announced = Some(self.announcer.announce(transaction).await.during("announce the rebuild")?);
        let transaction = self.turns.wait().await.during("begin the rebuild")?;
        run.goes_on(&transaction, Content::Same).await.during("record the rebuild's start")?;
        transaction.commit().await.during("record the rebuild's start")?;
        let transaction = self.turns.wait().await.during("begin the rebuild")?;
        let work = Work::find(&transaction).await.during("look for stale hours")?;
        // The counts are read by later statements than the marks are taken by, as in every refresh.
        marks::take_all(&transaction).await.during("take the stale hours")?;
        let before = ReportKind::read(&transaction).await.during("read the report's kind")?;
        let wanted = wanted.unwrap_or(before);
        if self.turns.kind == DatabaseKind::Sqlite {
            let rows = build(&transaction, wanted, Source::Counts(progress)).await.during("rebuild the report")?;
            return finish(transaction, run, &work, Content::Changed, rows).await;
        }
        swap::hold_off_vacuums(&transaction).await?;
        let rows = build(&transaction, wanted, Source::Counts(progress)).await.during("rebuild the report")?;
        let mut swap = Swap::new(&transaction, before, self.swap_tries_max);
        let row = loop {
            swap.begin_try().await?;
            let row = end(&transaction, run, &work, Content::Changed, rows).await?;
            if swap.succeeds().await? {
                break row;
            }
        };
        transaction.commit().await.during("commit the rebuild")?;
        Ok(row.into())
    }

    pub(crate) fn check_kind(&self, wanted: ReportKind) -> Result<(), WolfError> {
        let impossible = self.turns.kind == DatabaseKind::Sqlite && wanted == ReportKind::MaterializedView;
        if impossible { Err(WolfError::NoMaterializedView) } else { Ok(()) }
    }

    /// Brings the report up to date with everything that is recorded when this begins. What follows a refresh
    /// (statistics, a conversion) is logged if it fails, and tried again after the next refresh.
    ///
    /// # Errors
    /// [`WolfError::Database`]; the failure is recorded in `report_refreshes` if the database can still be
    /// written to, and what had been merged by then stays merged.
    pub async fn refresh(&self, turn: Turn, schedule: Option<&Schedule>) -> Result<Outcome, WolfError> {
        let begun = Instant::now();
        let span = debug_span!("refresh", refresh.hours = Empty, refresh.rows = Empty);
        let result = self.refresh_or_record_failure(turn, schedule).instrument(span.clone()).await;
        match &result {
            Ok((_, Outcome::Refreshed(done))) => {
                span.record("refresh.hours", done.hours).record("refresh.rows", done.rows_changed);
                self.refreshes.succeeded(done.rows_changed, begun.elapsed());
            }
            Ok((_, Outcome::Standby)) => {}
            Err(_) => self.refreshes.failed(begun.elapsed()),
        }
        let (kind, outcome) = result?;
        if let Outcome::Refreshed(done) = outcome {
            self.follow_up(kind, done).await;
        }
        Ok(outcome)
    }

    async fn refresh_or_record_failure(
        &self,
        turn: Turn,
        schedule: Option<&Schedule>,
    ) -> Result<(ReportKind, Outcome), WolfError> {
        let mut run = Run::new(&self.turns, schedule).await.during("read the database's clock")?;
        let result = self.run(turn, &mut run).await;
        self.record_failure(&run, &result).await;
        result
    }

    async fn record_failure<T>(&self, run: &Run<'_>, result: &Result<T, WolfError>) {
        let Err(error) = result else { return };
        let failed = End::Failed { error: error.public_message() };
        // In turn, like every word: ids tell the order.
        let recorded = async {
            let transaction = self.turns.wait().await?;
            run.ends(&transaction, Content::Same, failed).await?;
            transaction.commit().await
        };
        if let Err(error) = recorded.await {
            warn!(error = &error as &dyn Error, "the refresh's failure could not be recorded");
        }
    }

    async fn run(&self, turn: Turn, run: &mut Run<'_>) -> Result<(ReportKind, Outcome), WolfError> {
        let transaction = self.turns.take(turn).await.during("begin the refresh")?;
        let Some(transaction) = transaction else { return Ok((ReportKind::Table, Outcome::Standby)) };
        run.announced = Some(self.announcer.announce(transaction).await.during("announce the refresh")?);
        let transaction = self.turns.wait().await.during("begin the refresh")?;
        let kind = ReportKind::read(&transaction).await.during("read the report's kind")?;
        let work = Work::find(&transaction).await.during("look for stale hours")?;
        if work.is_none() {
            let done = finish(transaction, run, &work, Content::Same, 0).await?;
            return Ok((kind, Outcome::Refreshed(done)));
        }
        run.goes_on(&transaction, Content::Same).await.during("record the refresh's start")?;
        transaction.commit().await.during("record the refresh's start")?;

        let transaction = self.turns.wait().await.during("begin the refresh")?;
        // Another process may have converted the report in between.
        let kind = ReportKind::read(&transaction).await.during("read the report's kind")?;
        let done = match kind {
            ReportKind::MaterializedView => {
                let changed = refresh_view(&transaction).await.during("refresh the materialized view")?;
                // Whether any row was written is not known for certain.
                finish(transaction, run, &work, Content::Changed, changed).await?
            }
            ReportKind::Table => self.merge(transaction, run, &work).await?,
        };
        Ok((kind, Outcome::Refreshed(done)))
    }

    /// Portion by portion, each in a transaction of its own; the last one also says that all is done.
    async fn merge(
        &self,
        mut transaction: Transaction,
        run: &mut Run<'_>,
        work: &Work,
    ) -> Result<Refreshed, WolfError> {
        let mut backlog = Backlog::new(work.hours.iter().copied(), self.counts_max);
        let mut said = Instant::now();
        let mut total = 0;
        loop {
            let marked =
                marks::stale_hours(&transaction, Some(FRESH_HOURS_MAX)).await.during("look for stale hours")?;
            let hours = backlog.next_portion(marked);
            let mut changed = 0;
            // First the marks, then the counts: what is recorded in between is merged and still marked.
            if marks::take_hours(&transaction, &hours).await.during("take the stale hours")? > 0 {
                let merged = merge::merge(&transaction, &hours, backlog.counts_max()).await;
                let merged = merged.during("merge the stale hours")?;
                if merged.rows_missing > 0 {
                    return Err(WolfError::RowsMissing { rows: merged.rows_missing });
                }
                if !merged.unfinished.is_empty() {
                    marks::leave_hours(&transaction, &merged.unfinished).await.during("leave the stale hours")?;
                    backlog.unfinished(&merged.unfinished);
                }
                changed += merged.rows_changed;
            }
            let names = marks::take_titles(&transaction, work.newest_title, TITLES_PER_TRANSACTION);
            let names = names.await.during("take the stale titles")?;
            if !names.is_empty() {
                changed += merge::retitle(&transaction, &names).await.during("change the titles")?;
            }
            total += changed;
            let content = Content::of(changed);
            if backlog.is_empty() && names.len() < TITLES_PER_TRANSACTION {
                return finish(transaction, run, work, content, total).await;
            }
            // Whoever keeps what was read has to know of every change.
            if content == Content::Changed || said.elapsed() > SAYS_SO_EVERY {
                run.goes_on(&transaction, content).await.during("record that the refresh goes on")?;
                said = Instant::now();
            }
            transaction.commit().await.during("commit the merge")?;
            backlog.portion_done();
            transaction = self.turns.wait().await.during("begin the next merge")?;
        }
    }
}

impl Work {
    /// Reads the marks, after what the refresh will promise has been announced and committed: whatever was acknowledged up
    /// to then had been committed before the marks are read, so its mark is seen, or was taken by a refresh that has been
    /// committed too.
    async fn find(transaction: &Transaction) -> Result<Self, DbErr> {
        let hours = marks::stale_hours(transaction, None).await?;
        Ok(Self { hours, newest_title: marks::newest_stale_title(transaction).await? })
    }

    fn is_none(&self) -> bool {
        self.hours.is_empty() && self.newest_title.is_none()
    }
}

/// Says that all of `work` is done.
async fn end(
    transaction: &Transaction,
    run: &Run<'_>,
    work: &Work,
    content: Content,
    changed: u64,
) -> Result<report_refresh::Model, WolfError> {
    let end = End::Succeeded { hours: work.hours.len(), rows_changed: changed };
    run.ends(transaction, content, end).await.during("record the refresh's end")
}

/// Says that all of `work` is done, and commits.
async fn finish(
    transaction: Transaction,
    run: &Run<'_>,
    work: &Work,
    content: Content,
    changed: u64,
) -> Result<Refreshed, WolfError> {
    let row = end(&transaction, run, work, content, changed).await?;
    transaction.commit().await.during("commit the refresh")?;
    Ok(row.into())
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

/// All marks, then all of the view: the view is computed by a later snapshot than the marks were taken by.
pub(crate) async fn refresh_view(transaction: &Transaction) -> Result<u64, DbErr> {
    marks::take_all(transaction).await?;
    let before = rows_written(transaction).await?;
    transaction.execute_unprepared("REFRESH MATERIALIZED VIEW CONCURRENTLY page_views_report").await?;
    let after = rows_written(transaction).await?;
    // A row that changed was deleted and inserted.
    let [inserted, deleted] = [after[0] - before[0], after[1] - before[1]];
    Ok(u64::try_from(inserted.max(deleted)).unwrap_or_default())
}

/// How many rows of the view this session has inserted and deleted so far. The statement that refreshes it does not
/// say; and these numbers may hold some of transactions before this one.
async fn rows_written(transaction: &Transaction) -> Result<[i64; 2], DbErr> {
    const SQL: &str = "SELECT pg_stat_get_xact_tuples_inserted(to_regclass('page_views_report')),
                              pg_stat_get_xact_tuples_deleted(to_regclass('page_views_report'))";
    let row = transaction.query_one_raw(Statement::from_string(transaction.get_database_backend(), SQL)).await?;
    row.map_or(Ok([0, 0]), |row| Ok([row.try_get_by_index(0)?, row.try_get_by_index(1)?]))
}

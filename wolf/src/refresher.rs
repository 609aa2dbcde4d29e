//! The refresher: the handle by which commands, tests and the worker refresh, rebuild and convert the report.

mod follow_ups;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use storage::{Database, DatabaseKind, clock::Clock};
use tracing::{Instrument, debug_span, field::Empty, info, warn};

use self::follow_ups::FollowUps;
use crate::{
    error::{Context, WolfError},
    groups::build::BuildingTime,
    metrics::RefreshMetrics,
    progress::Progress,
    rebuild::{self, Builder, SWAP_TRIES_MAX},
    refresh::{self, Announcer, ContentChange, LockMode, RefreshEnd, RefreshLock, RefreshRecord, Refreshed},
    report_kind::ReportKind,
    schedule::Schedule,
    top_pages::{self, TopPages},
};

/// Refreshes, rebuilds and converts the report of one database, one process at a time.
#[derive(Clone, Debug)]
pub struct Refresher {
    lock: RefreshLock,
    announcer: Announcer,
    counts_max: usize,
    swap_tries_max: u32,
    top_pages: TopPages,
    building: BuildingTime,
    metrics: RefreshMetrics,
    follow_ups: FollowUps,
}

/// The outcome of a refresh that did not fail.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The report is up to date.
    Refreshed(Refreshed),
    /// Another process was refreshing.
    Standby,
}

impl Refresher {
    /// Creates a refresher for the report of `database`.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self {
            lock: RefreshLock::new(database),
            announcer: Announcer::new(&database.clock),
            counts_max: refresh::COUNTS_MAX,
            swap_tries_max: SWAP_TRIES_MAX,
            top_pages: TopPages::new(top_pages::ROWS_MIN),
            building: BuildingTime::default(),
            metrics: RefreshMetrics::new(),
            follow_ups: FollowUps::default(),
        }
    }

    /// Sets the most changed counts that one transaction merges into a table, at least one; 50,000 by default.
    #[must_use]
    pub fn merging_at_most(self, counts_max: usize) -> Self {
        Self { counts_max: counts_max.max(1), ..self }
    }

    /// Sets how many of each day's and month's rows are flagged as the most viewed ones, at least one; 200 by default. There
    /// may be up to twice as many.
    #[must_use]
    pub fn flagging_at_least(self, rows_min: usize) -> Self {
        Self { top_pages: TopPages::new(rows_min), ..self }
    }

    /// Sets how long a transaction may delete or build rows of groups, and how long a refresh may be followed by that; 100 ms
    /// and 5 s by default. A transaction ends after the day that it is at then, and the rest is done after the next refreshes.
    #[must_use]
    pub fn building_groups_within(self, portion_max: Duration, after_refresh_max: Duration) -> Self {
        Self { building: BuildingTime { portion_max, after_refresh_max }, ..self }
    }

    /// Converts a materialized view into a table once its refresh takes longer than `limit`.
    #[must_use]
    pub fn converting_views_slower_than(mut self, limit: TimeDelta) -> Self {
        self.follow_ups.view_limit = Some(limit);
        self
    }

    /// Keeps the report a relation of the kind `wanted`, once it is one.
    pub(crate) fn pinned_to(mut self, wanted: ReportKind) -> Self {
        self.follow_ups.pinned = Some(wanted);
        self
    }

    /// Sets how often a swap is tried, a second apart and at least once; 30 times by default.
    #[must_use]
    pub fn swapping_within(self, tries_max: u32) -> Self {
        Self { swap_tries_max: tries_max.max(1), ..self }
    }

    /// The clocks of this process and of the database.
    pub(crate) fn clock(&self) -> &Clock {
        &self.lock.clock
    }

    /// The kind of database that the report is in.
    pub(crate) fn database_kind(&self) -> DatabaseKind {
        self.lock.kind
    }

    /// Brings the report up to date with every increment that is recorded when this begins. Work that follows from a
    /// refresh (statistics, a conversion) is logged if it fails, and tried again after the next refresh.
    ///
    /// # Errors
    /// [`WolfError::Database`]; the failure is recorded in `report_refreshes` if the database can still be
    /// written to, and the portions that were merged by then stay merged.
    pub async fn refresh(&self, mode: LockMode, schedule: Option<&Schedule>) -> Result<Outcome, WolfError> {
        self.refresh_with_progress(mode, schedule, &|_, _| {}).await
    }

    /// Like [`Refresher::refresh`]. While stale hours are merged into a table, `progress` is called with the number of hours
    /// done and the number of all. A materialized view is refreshed by one statement, which has no progress.
    ///
    /// # Errors
    /// As [`Refresher::refresh`].
    pub async fn refresh_with_progress(
        &self,
        mode: LockMode,
        schedule: Option<&Schedule>,
        progress: Progress<'_>,
    ) -> Result<Outcome, WolfError> {
        let begun = Instant::now();
        let span = debug_span!("refresh", refresh.hours = Empty, refresh.rows = Empty);
        let result = self.refresh_and_record(mode, schedule, progress).instrument(span.clone()).await;
        match &result {
            Ok(Some((_, done))) => {
                span.record("refresh.hours", done.hours).record("refresh.rows", done.rows_changed);
                self.metrics.succeeded(done.rows_changed, begun.elapsed());
            }
            Ok(None) => {}
            Err(_) => self.metrics.failed(begun.elapsed()),
        }
        let Some((kind, done)) = result? else { return Ok(Outcome::Standby) };
        self.follow_up(kind, done).await;
        Ok(Outcome::Refreshed(done))
    }

    async fn refresh_and_record(
        &self,
        mode: LockMode,
        schedule: Option<&Schedule>,
        progress: Progress<'_>,
    ) -> Result<Option<(ReportKind, Refreshed)>, WolfError> {
        let mut record = RefreshRecord::new(&self.lock, schedule).await.context("read the database's clock")?;
        let result =
            refresh::refresh(&self.lock, &self.announcer, mode, self.counts_max, self.top_pages, progress, &mut record)
                .await;
        self.record_failure(&record, &result).await;
        result
    }

    /// Builds the report anew from all counts, as a relation of the kind `wanted` or of its present kind, and swaps it
    /// in. `progress` is called with the number of months done and the number of all.
    ///
    /// # Errors
    /// [`WolfError::NoMaterializedView`] on SQLite; [`WolfError::ReportHeld`] and [`WolfError::Database`], and then
    /// nothing has changed.
    pub async fn rebuild(&self, wanted: Option<ReportKind>, progress: Progress<'_>) -> Result<Refreshed, WolfError> {
        wanted.map_or(Ok(()), |wanted| self.check_kind(wanted))?;
        let mut record = RefreshRecord::new(&self.lock, None).await.context("read the database's clock")?;
        let (lock, announcer) = (&self.lock, &self.announcer);
        let result = rebuild::rebuild(lock, announcer, wanted, self.builder(), progress, &mut record).await;
        self.record_failure(&record, &result).await;
        result
    }

    /// Converts the report to the kind `wanted`, with its present content, while readers and writers go on. Returns
    /// whether it was of another kind.
    ///
    /// # Errors
    /// [`WolfError::NoMaterializedView`] on SQLite; [`WolfError::ReportHeld`] and [`WolfError::Database`], and then
    /// nothing has changed.
    pub async fn ensure_kind(&self, wanted: ReportKind) -> Result<bool, WolfError> {
        self.check_kind(wanted)?;
        let begun = Instant::now();
        let converted = rebuild::convert(&self.lock, wanted, self.builder()).await?;
        if let Some(from) = converted {
            let duration_ms = begun.elapsed().as_millis();
            info!(report.from = ?from, report.to = ?wanted, conversion.duration_ms = duration_ms, "report converted");
        }
        Ok(converted.is_some())
    }

    fn builder(&self) -> Builder {
        Builder { swap_tries_max: self.swap_tries_max, top_pages: self.top_pages }
    }

    fn check_kind(&self, wanted: ReportKind) -> Result<(), WolfError> {
        let impossible = self.lock.kind == DatabaseKind::Sqlite && wanted == ReportKind::MaterializedView;
        if impossible { Err(WolfError::NoMaterializedView) } else { Ok(()) }
    }

    async fn record_failure<T>(&self, record: &RefreshRecord<'_>, result: &Result<T, WolfError>) {
        let Err(error) = result else { return };
        let failed = RefreshEnd::Failed { error: error.public_message() };
        // Under the lock, as every row of the log is written: the order of ids is the order of events.
        let recorded = async {
            let transaction = self.lock.begin().await?;
            record.record_end(&transaction, ContentChange::Unchanged, failed).await?;
            transaction.commit().await
        };
        if let Err(error) = recorded.await {
            warn!(error = &error as &dyn Error, "the refresh's failure could not be recorded");
        }
    }
}

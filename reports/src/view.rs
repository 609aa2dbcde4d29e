//! A view of one version of the report.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use chrono::{NaiveDate, TimeDelta};
use entity::Hour;
use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::DbErr;
use storage::{clock::Moment, snapshot::Snapshots};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit};

use super::{
    batches::Batches,
    cache::Cache,
    calendar::Calendar,
    dependence::{Dependence, EventReads, Hours},
    error::ReportError,
    groups::Group,
    interval::{Bucket, Granularity, Interval},
    page_figures::Viewed,
    page_filter::PageFilter,
    page_list::PageOrder,
    period::Compared,
    present::{ClockUse, PresentHour, Provenance},
    queries::{PageCursor, PageRow},
    report_query::{QueryResult, ReportQuery},
    sections::SectionRow,
    snapshot::Snapshot,
};
use crate::freshness::{Freshness, FreshnessFeed, RefreshStatus, RequiredFreshness};

/// One version of the report and its freshness: all results of it are consistent with each other. A cheap handle: clone
/// it.
#[derive(Clone, Debug)]
pub struct ReportView(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    freshness: Freshness,
    moment: Moment,
    clock_reads: ClockReads,
    required: Mutex<RequiredFreshness>,
    source: Source,
    /// Whether a query has failed because the report has changed.
    moved: Arc<AtomicBool>,
    /// What the event that is read from the view has read.
    event_reads: Option<EventReads>,
}

/// What was read of the clock through a view.
#[derive(Debug, Default)]
struct ClockReads {
    hour: AtomicBool,
    moment: AtomicBool,
}

#[derive(Debug)]
enum Source {
    /// A transaction of the view's own.
    Snapshot(Snapshot),
    /// Cached results of the version, and snapshots of it for all others.
    Cache {
        cache: Cache,
        batches: Batches,
        snapshots: Snapshots,
        feed: FreshnessFeed,
        /// The snapshot that computations of this view share. A view that only waits holds none, so that computations find
        /// a free connection.
        shared: AsyncMutex<Weak<Snapshot>>,
    },
}

impl ReportView {
    pub(super) fn of_snapshot(snapshot: Snapshot) -> Self {
        Self::new(snapshot.freshness.clone(), Source::Snapshot(snapshot), None)
    }

    pub(super) fn of_cache(
        freshness: Freshness,
        cache: Cache,
        batches: Batches,
        snapshots: Snapshots,
        feed: FreshnessFeed,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self::new(freshness, Source::Cache { cache, batches, snapshots, feed, shared: AsyncMutex::default() }, turn)
    }

    fn new(freshness: Freshness, source: Source, turn: Option<OwnedSemaphorePermit>) -> Self {
        let (moment, clock_reads) = (Moment::now(), ClockReads::default());
        let (required, moved) = (Mutex::default(), Arc::default());
        let event_reads = turn.map(EventReads::new);
        Self(Arc::new(Inner { freshness, moment, clock_reads, required, source, moved, event_reads }))
    }

    /// The freshness of this version, to be shown as it is. What is made of it otherwise is read through
    /// [`refresh_id`](Self::refresh_id), [`hours_since`](Self::hours_since) and [`looked_at_hour`](Self::looked_at_hour).
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.0.freshness
    }

    /// The refresh whose content the report has.
    #[must_use]
    pub fn refresh_id(&self) -> i64 {
        self.0.event_reads.iter().for_each(EventReads::note_version);
        self.0.freshness.refresh_id
    }

    /// The first day of which the report has hourly rows.
    #[must_use]
    pub fn hours_since(&self) -> Option<NaiveDate> {
        self.0.freshness.hours_since
    }

    /// The hour of the database's clock in which the report was current: all views of those before it are counted.
    #[must_use]
    pub fn looked_at_hour(&self) -> Option<Hour> {
        self.0.freshness.looked_at.map(Hour::containing)
    }

    /// Returns what the event that was read from this view depends on, if that is named pages alone.
    #[must_use]
    pub fn dependence(&self) -> Option<Dependence> {
        let named = self.0.event_reads.as_ref()?.named()?;
        Some(Dependence { version: self.0.freshness.content_version, named, hours: self.hours() })
    }

    /// Returns whether an event that depends on this would show the same of this view, beside the freshness. If so, it depends
    /// on this view's version from then on.
    pub async fn carry_over(&self, event: &mut Dependence) -> bool {
        let Source::Cache { cache, .. } = &self.0.source else { return false };
        let version = self.0.freshness.content_version;
        let is_same = event.hours == self.hours()
            && cache.are_same(&event.named.pages, event.version, version).await
            && match event.named.first_hour {
                Some(first_hour) => self.first_hour().await.is_ok_and(|now| now == first_hour),
                None => true,
            };
        if is_same {
            event.version = version;
        }
        is_same
    }

    fn hours(&self) -> Hours {
        let present = self.0.moment.wall.into();
        Hours { present, looked_at: self.looked_at_hour(), hours_since: self.hours_since() }
    }

    /// Returns the present hour of all results of this view, and notes that the response depends on it.
    #[must_use]
    pub fn present_hour(&self) -> PresentHour {
        self.0.clock_reads.hour.store(true, Ordering::Relaxed);
        self.0.moment.wall.into()
    }

    /// Returns the age of the report at the moment of this view, and notes that the response depends on the moment.
    #[must_use]
    pub fn staleness(&self) -> Option<TimeDelta> {
        self.0.clock_reads.moment.store(true, Ordering::Relaxed);
        self.0.freshness.staleness(self.0.moment.monotonic)
    }

    /// Notes what a reader requires of the freshness of this view.
    ///
    /// # Errors
    /// [`ReportError::NotFreshEnough`] if the view does not meet it.
    pub fn require(&self, required: RequiredFreshness) -> Result<(), ReportError> {
        {
            let mut all = self.0.required.lock().unwrap_or_else(PoisonError::into_inner);
            *all = all.and(required);
        }
        self.check_freshness()
    }

    /// Checks at the present moment that this view meets what was required of it.
    ///
    /// # Errors
    /// [`ReportError::NotFreshEnough`].
    pub fn check_freshness(&self) -> Result<(), ReportError> {
        let (required, freshness) = (self.required(), self.freshness());
        if required.is_met_by(freshness, Instant::now()) {
            Ok(())
        } else {
            Err(ReportError::NotFreshEnough { required, as_of: freshness.as_of })
        }
    }

    fn required(&self) -> RequiredFreshness {
        *self.0.required.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the status of the report at the moment of this view.
    #[must_use]
    pub fn status(&self) -> RefreshStatus {
        self.0.freshness.status(self.0.moment.monotonic)
    }

    /// Returns what a response that was read from this view, and is complete, depends on.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        let Inner { moment, clock_reads, .. } = &*self.0;
        let clock = match (clock_reads.moment.load(Ordering::Relaxed), clock_reads.hour.load(Ordering::Relaxed)) {
            (true, _) => ClockUse::Moment,
            (false, true) => ClockUse::Hour(moment.wall.into()),
            (false, false) => ClockUse::None,
        };
        Provenance { freshness: self.0.freshness.clone(), status: self.status(), clock, required: self.required() }
    }

    /// Returns whether the view holds a connection, for which others may wait.
    #[must_use]
    pub fn holds_connection(&self) -> bool {
        matches!(self.0.source, Source::Snapshot(_))
    }

    /// Returns the flag that is set when a query has failed because the report has changed.
    pub(super) fn moved(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.moved)
    }

    /// Returns the first counted hour, if any increment is counted.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn first_hour(&self) -> Result<Option<Hour>, ReportError> {
        match self.result(ReportQuery::FirstHour).await? {
            QueryResult::Hour(hour) => {
                self.0.event_reads.iter().for_each(|reads| reads.note_first_hour(hour));
                Ok(hour)
            }
            other => Err(mismatch(&other)),
        }
    }

    /// Returns all declared groups of pages by name.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn groups(&self) -> Result<Arc<[Group]>, ReportError> {
        match self.result(ReportQuery::Groups).await? {
            QueryResult::Groups(groups) => Ok(groups),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns whether the page `name` with this title is one of the filter's.
    ///
    /// # Errors
    /// Those of [`views`](Self::views).
    pub async fn admits(&self, filter: &Arc<PageFilter>, name: &str, title: Option<&str>) -> Result<bool, ReportError> {
        if filter.groups().is_empty() {
            return Ok(filter.admits(name, title, &[]));
        }
        match self.result(ReportQuery::GroupsOf(name.into(), Arc::clone(filter))).await? {
            QueryResult::Names(groups) => Ok(filter.admits(name, title, &groups)),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns the sum of the views.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`]; [`ReportError::UnknownGroup`] and
    /// [`ReportError::IncompleteGroup`], as of all that is read of a filter.
    pub async fn views(&self, interval: Interval, filter: &Arc<PageFilter>) -> Result<i64, ReportError> {
        self.number(ReportQuery::Views(interval, Arc::clone(filter))).await
    }

    /// Returns the number of pages that have views.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn page_count(&self, interval: Interval, filter: &Arc<PageFilter>) -> Result<i64, ReportError> {
        self.number(ReportQuery::PageCount(interval, Arc::clone(filter))).await
    }

    async fn number(&self, query: ReportQuery) -> Result<i64, ReportError> {
        match self.result(query).await? {
            QueryResult::Number(number) => Ok(number),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns the views by bucket, in the order of time, with empty buckets.
    ///
    /// # Errors
    /// [`ReportError::Interval`] when there are too many; [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn series(
        &self,
        interval: Interval,
        filter: &Arc<PageFilter>,
        granularity: Granularity,
        calendar: Calendar,
    ) -> Result<Arc<[Bucket]>, ReportError> {
        match self.result(ReportQuery::Series(interval, Arc::clone(filter), granularity, calendar)).await? {
            QueryResult::Series(series) => Ok(series),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns the views of the other interval by bucket, one for each bucket of `interval`.
    ///
    /// # Errors
    /// Those of [`series`](Self::series).
    pub async fn previous_series(
        &self,
        interval: Interval,
        compared: Compared,
        filter: &Arc<PageFilter>,
        granularity: Granularity,
        calendar: Calendar,
    ) -> Result<Arc<[Bucket]>, ReportError> {
        let query = ReportQuery::PreviousSeries(interval, compared, Arc::clone(filter), granularity, calendar);
        match self.result(query).await? {
            QueryResult::Series(series) => Ok(series),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns pages in `order`: at most `limit` of those behind `after`.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn pages(
        &self,
        interval: Interval,
        filter: &Arc<PageFilter>,
        order: PageOrder,
        after: Option<PageCursor>,
        limit: u64,
    ) -> Result<Arc<[PageRow]>, ReportError> {
        match self.result(ReportQuery::Pages(interval, Arc::clone(filter), order, after, limit)).await? {
            QueryResult::Pages(pages) => Ok(pages),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns the views of each of the pages `names`, in their order.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn views_of(&self, interval: Interval, names: &Arc<[String]>) -> Result<Arc<[i64]>, ReportError> {
        self.numbers(ReportQuery::ViewsOf(interval, Arc::clone(names))).await
    }

    /// Returns the series of each of the pages `names`, in their order.
    ///
    /// # Errors
    /// Those of [`series`](Self::series).
    pub async fn series_of(
        &self,
        interval: Interval,
        names: &Arc<[String]>,
        granularity: Granularity,
        calendar: Calendar,
    ) -> Result<Arc<[Vec<Bucket>]>, ReportError> {
        match self.result(ReportQuery::SeriesOf(interval, Arc::clone(names), granularity, calendar)).await? {
            QueryResult::SeriesOf(series) => Ok(series),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns when each of the pages `names` was viewed first and last, in their order; `None` where nothing is counted.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn viewed(&self, names: &Arc<[String]>) -> Result<Arc<[Option<Viewed>]>, ReportError> {
        match self.result(ReportQuery::Viewed(Arc::clone(names))).await? {
            QueryResult::Viewed(viewed) => Ok(viewed),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns the sections below `prefix`, most viewed first: at most `limit` of those behind `after`.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn sections(
        &self,
        interval: Interval,
        filter: &Arc<PageFilter>,
        prefix: &Arc<str>,
        after: Option<PageCursor>,
        limit: u64,
    ) -> Result<Arc<[SectionRow]>, ReportError> {
        let query = ReportQuery::Sections(interval, Arc::clone(filter), Arc::clone(prefix), after, limit);
        match self.result(query).await? {
            QueryResult::Sections(sections) => Ok(sections),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns the views of each of the sections `names` below `prefix`, in their order.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::VersionChanged`].
    pub async fn views_of_sections(
        &self,
        interval: Interval,
        filter: &Arc<PageFilter>,
        prefix: &Arc<str>,
        names: &Arc<[String]>,
    ) -> Result<Arc<[i64]>, ReportError> {
        let (filter, prefix, names) = (Arc::clone(filter), Arc::clone(prefix), Arc::clone(names));
        self.numbers(ReportQuery::ViewsOfSections(interval, filter, prefix, names)).await
    }

    async fn numbers(&self, query: ReportQuery) -> Result<Arc<[i64]>, ReportError> {
        match self.result(query).await? {
            QueryResult::Numbers(numbers) => Ok(numbers),
            other => Err(mismatch(&other)),
        }
    }

    /// Returns the result of a query. It is on the heap: the future of each field of an answer has room for what it waits for,
    /// and there may be thousands of fields.
    fn result(&self, query: ReportQuery) -> BoxFuture<'_, Result<QueryResult, ReportError>> {
        let result = async move {
            let (cache, batches) = match &self.0.source {
                Source::Snapshot(_) => return Box::pin(self.clone().compute(query)).await,
                Source::Cache { cache, batches, .. } => (cache, batches),
            };
            self.0.event_reads.iter().for_each(|reads| reads.note(&query));
            let version = self.0.freshness.content_version;
            let found = if query.of_one_page().is_some() {
                cache.get_or_read_page(version, query, |query| self.read_page(batches, query).boxed()).await
            } else {
                let view = self.clone();
                cache.get_or_compute(version, query, |query| view.compute(query)).await
            };
            if matches!(found, Err(ReportError::VersionChanged)) {
                self.0.moved.store(true, Ordering::Relaxed);
            }
            found
        };
        result.boxed()
    }

    /// Reads the result of a query of a single page, together with those of other pages that wait.
    async fn read_page(&self, batches: &Batches, query: ReportQuery) -> Result<QueryResult, ReportError> {
        let Some((many, name)) = query.of_one_page() else { return Box::pin(self.clone().compute(query)).await };
        let view = self.clone();
        let read = move |query| view.clone().compute(query).boxed();
        let (result, place) = batches.result(self.0.freshness.content_version, many, name.to_owned(), read).await?;
        result.of_page(&query, place).ok_or_else(|| mismatch(&result))
    }

    /// Reads the result from a snapshot.
    async fn compute(self, query: ReportQuery) -> Result<QueryResult, ReportError> {
        let query = self.find_pages(query).await?;
        match &self.0.source {
            Source::Snapshot(snapshot) => snapshot.execute(&query).await,
            Source::Cache { .. } => self.acquire_snapshot().await?.execute(&query).await,
        }
    }

    /// Returns the query with the names of the pages that its filter looks for, unless they are many. All queries of a version
    /// look for them once.
    fn find_pages(&self, mut query: ReportQuery) -> BoxFuture<'_, Result<ReportQuery, ReportError>> {
        Box::pin(async move {
            let is_sum = query.is_sum();
            if let Some(filter) = query.filter_mut()
                && let Some(sought) = filter.sought(is_sum)
            {
                match self.result(ReportQuery::Matches(Arc::new(sought.clone()))).await? {
                    QueryResult::Matches(Some(names)) => *filter = filter.with_found(&names),
                    QueryResult::Matches(None) => {}
                    other => return Err(mismatch(&other)),
                }
            }
            Ok(query)
        })
    }

    /// Returns a snapshot of this view's version. Errs with [`ReportError::VersionChanged`] once the report has changed.
    async fn acquire_snapshot(&self) -> Result<Arc<Snapshot>, ReportError> {
        let Source::Cache { snapshots, feed, shared, .. } = &self.0.source else {
            return Err(ReportError::VersionChanged);
        };
        let mut shared = shared.lock().await;
        if let Some(snapshot) = shared.upgrade() {
            return Ok(snapshot);
        }
        let snapshot = Arc::new(Snapshot::begin(snapshots).await?);
        if snapshot.freshness.content_version != self.0.freshness.content_version {
            // Published, so that the next view is of this version.
            feed.update(snapshot.freshness.clone());
            return Err(ReportError::VersionChanged);
        }
        *shared = Arc::downgrade(&snapshot);
        Ok(snapshot)
    }
}

/// The error for a result of another kind than the query's.
fn mismatch(value: &QueryResult) -> ReportError {
    ReportError::Database(DbErr::Custom(format!("{value:?} is the result of another query")))
}

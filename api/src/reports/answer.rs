//! What one answer is read from: one version of the report.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use entity::{Hour, clock::Moment, snapshot::Snapshots};
use sea_orm::DbErr;
use tokio::sync::Mutex;

use super::{
    cache::Cache,
    calendar::Calendar,
    interval::{Bucket, Granularity, Interval},
    queries::{After, PageFilter, PageRow},
    question::{Question, Value},
    reader::ReportError,
    snapshot::Snapshot,
};
use crate::freshness::{Freshness, FreshnessFeed};

/// One version of the report and its freshness: whatever is read from it adds up. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct Answer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    freshness: Freshness,
    moment: Moment,
    source: Source,
    moved: AtomicBool,
}

#[derive(Debug)]
enum Source {
    /// A transaction of the answer's own.
    Snapshot(Snapshot),
    /// What was found out by others, or else snapshots that show the same version.
    Cache {
        cache: Cache,
        snapshots: Snapshots,
        feed: FreshnessFeed,
        /// The snapshot that this answer's computations share while any of them runs. No answer holds one while it
        /// waits: those who compute could not get a connection.
        shared: Mutex<Weak<Snapshot>>,
    },
}

impl Answer {
    pub(super) fn of_snapshot(snapshot: Snapshot) -> Self {
        Self::new(snapshot.freshness.clone(), Source::Snapshot(snapshot))
    }

    pub(super) fn of_cache(freshness: Freshness, cache: Cache, snapshots: Snapshots, feed: FreshnessFeed) -> Self {
        Self::new(freshness, Source::Cache { cache, snapshots, feed, shared: Mutex::default() })
    }

    fn new(freshness: Freshness, source: Source) -> Self {
        Self(Arc::new(Inner { freshness, moment: Moment::now(), source, moved: AtomicBool::new(false) }))
    }

    /// How fresh it is.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.0.freshness
    }

    /// The moment that is now in all of it: what an answer says of the clock is of one moment, whatever clocks do meanwhile.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.0.moment
    }

    /// Whether something could not be answered because the report has changed.
    pub(super) fn has_moved(&self) -> bool {
        self.0.moved.load(Ordering::Relaxed)
    }

    /// The first counted hour, if anything is counted.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::Moved`].
    pub async fn first_hour(&self) -> Result<Option<Hour>, ReportError> {
        match self.ask(Question::FirstHour).await? {
            Value::Hour(hour) => Ok(hour),
            other => Err(mismatch(&other)),
        }
    }

    /// The sum of the views.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::Moved`].
    pub async fn views(&self, interval: Interval, filter: &Arc<PageFilter>) -> Result<i64, ReportError> {
        self.number(Question::Views(interval, Arc::clone(filter))).await
    }

    /// How many pages have views.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::Moved`].
    pub async fn page_count(&self, interval: Interval, filter: &Arc<PageFilter>) -> Result<i64, ReportError> {
        self.number(Question::PageCount(interval, Arc::clone(filter))).await
    }

    async fn number(&self, question: Question) -> Result<i64, ReportError> {
        match self.ask(question).await? {
            Value::Number(number) => Ok(number),
            other => Err(mismatch(&other)),
        }
    }

    /// The views by bucket, in the order of time, empty buckets included.
    ///
    /// # Errors
    /// [`ReportError::Interval`] when there are too many; [`ReportError::Database`]; [`ReportError::Moved`].
    pub async fn series(
        &self,
        interval: Interval,
        filter: &Arc<PageFilter>,
        granularity: Granularity,
        calendar: Calendar,
    ) -> Result<Arc<[Bucket]>, ReportError> {
        match self.ask(Question::Series(interval, Arc::clone(filter), granularity, calendar)).await? {
            Value::Series(series) => Ok(series),
            other => Err(mismatch(&other)),
        }
    }

    /// The pages with the most views, at most `limit` of those behind `after`.
    ///
    /// # Errors
    /// [`ReportError::Database`]; [`ReportError::Moved`].
    pub async fn pages(
        &self,
        interval: Interval,
        filter: &Arc<PageFilter>,
        after: Option<After>,
        limit: u64,
    ) -> Result<Arc<[PageRow]>, ReportError> {
        match self.ask(Question::Pages(interval, Arc::clone(filter), after, limit)).await? {
            Value::Pages(pages) => Ok(pages),
            other => Err(mismatch(&other)),
        }
    }

    async fn ask(&self, question: Question) -> Result<Value, ReportError> {
        let cache = match &self.0.source {
            Source::Snapshot(snapshot) => return question.ask(snapshot).await,
            Source::Cache { cache, .. } => cache,
        };
        let answer = self.clone();
        let compute = |question: Question| async move { question.ask(&*answer.computing_snapshot().await?).await };
        let found = cache.get_or_compute(self.0.freshness.content_version, question, compute).await;
        if matches!(found, Err(ReportError::Moved)) {
            self.0.moved.store(true, Ordering::Relaxed);
        }
        found
    }

    /// A snapshot of this answer's version; there is none once the report has changed.
    async fn computing_snapshot(&self) -> Result<Arc<Snapshot>, ReportError> {
        let Source::Cache { snapshots, feed, shared, .. } = &self.0.source else { return Err(ReportError::Moved) };
        let mut shared = shared.lock().await;
        if let Some(snapshot) = shared.upgrade() {
            return Ok(snapshot);
        }
        let snapshot = Arc::new(Snapshot::take(snapshots).await?);
        if snapshot.freshness.content_version != self.0.freshness.content_version {
            // Whoever begins again begins with this.
            feed.update(snapshot.freshness.clone());
            return Err(ReportError::Moved);
        }
        *shared = Arc::downgrade(&snapshot);
        Ok(snapshot)
    }
}

/// Each question has one kind of value.
fn mismatch(value: &Value) -> ReportError {
    ReportError::Database(DbErr::Custom(format!("{value:?} answers another question")))
}

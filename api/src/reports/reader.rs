//! The handle that queries get: it can take a snapshot of the report, and nothing else.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::{Database, Hour, snapshot};
use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr};

use super::{
    cover::{cover, cover_each},
    interval::{Granularity, Interval, IntervalError},
    queries::{self, After, PageFilter, PageRow},
};
use crate::freshness::Freshness;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// What was asked for does not exist or is too much.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// The report could not be read.
    #[error("the report can't be read")]
    Database(#[from] DbErr),
}

/// Takes snapshots of the report. A cheap handle: clone it.
#[derive(Clone, Debug)]
pub struct ReportReader {
    db: DatabaseConnection,
}

/// The report and its freshness at one moment: whatever is read from it adds up, however often the report is
/// refreshed meanwhile. Holds a connection: keep it for one answer only.
#[derive(Debug)]
pub struct Snapshot {
    transaction: DatabaseTransaction,
    /// How fresh what it shows is.
    pub freshness: Freshness,
}

/// One point of a series.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its first hour.
    pub start: Hour,
    /// The hour after its last one.
    pub end: Hour,
    /// The sum of its views.
    pub views: i64,
    /// Whether all that can be in it is in it: false when it ends later than `asOf`.
    pub complete: bool,
}

impl ReportReader {
    /// A reader of `database`'s report.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { db: database.readers.clone() }
    }

    /// The report as it is now.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn snapshot(&self) -> Result<Snapshot, ReportError> {
        let transaction = snapshot::begin(&self.db).await?;
        let freshness = Freshness::read(&transaction).await?;
        Ok(Snapshot { transaction, freshness })
    }
}

impl Snapshot {
    /// The first counted hour, if anything is counted.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn first_hour(&self) -> Result<Option<Hour>, ReportError> {
        Ok(queries::first_hour(&self.transaction).await?)
    }

    /// The sum of the views.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn views(&self, interval: Interval, filter: &PageFilter) -> Result<i64, ReportError> {
        Ok(queries::views(&self.transaction, &cover(interval.start, interval.end), filter).await?)
    }

    /// How many pages have views.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn page_count(&self, interval: Interval, filter: &PageFilter) -> Result<i64, ReportError> {
        Ok(queries::page_count(&self.transaction, &cover(interval.start, interval.end), filter).await?)
    }

    /// The views by bucket, in the order of time, empty buckets included.
    ///
    /// # Errors
    /// [`ReportError::Interval`] when there are too many; [`ReportError::Database`].
    pub async fn series(
        &self,
        interval: Interval,
        filter: &PageFilter,
        granularity: Granularity,
        zone: Tz,
    ) -> Result<Vec<Bucket>, ReportError> {
        let cuts = interval.buckets(granularity, zone)?;
        let as_of = self.freshness.as_of;
        let mut series: Vec<_> = cuts.windows(2).map(|pair| Bucket::empty(pair[0], pair[1], as_of)).collect();
        for (start, views) in queries::buckets(&self.transaction, &cover_each(&cuts), filter).await? {
            // The bucket that begins last at or before the row; every row lies in one.
            let index = series.partition_point(|bucket| bucket.start <= start).saturating_sub(1);
            if let Some(bucket) = series.get_mut(index) {
                bucket.views += views;
            }
        }
        Ok(series)
    }

    /// The pages with the most views, at most `limit` of those behind `after`.
    ///
    /// # Errors
    /// [`ReportError::Database`].
    pub async fn pages(
        &self,
        interval: Interval,
        filter: &PageFilter,
        after: Option<&After>,
        limit: u64,
    ) -> Result<Vec<PageRow>, ReportError> {
        Ok(queries::pages(&self.transaction, &cover(interval.start, interval.end), filter, after, limit).await?)
    }
}

impl Bucket {
    fn empty(start: Hour, end: Hour, as_of: Option<DateTime<Utc>>) -> Self {
        Self { start, end, views: 0, complete: as_of.is_some_and(|as_of| end.start() <= as_of) }
    }
}

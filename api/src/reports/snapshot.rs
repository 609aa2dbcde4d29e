//! The report at one moment, in one transaction.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use entity::{Hour, Transaction, snapshot::Snapshots};

use super::{
    cover::{cover, cover_each},
    interval::{Granularity, Interval},
    queries::{self, After, PageFilter, PageRow},
    reader::ReportError,
};
use crate::freshness::Freshness;

/// The report and its freshness at one moment: whatever is read from it adds up, however often the report is
/// refreshed meanwhile. Holds a connection: keep it for a short time only.
#[derive(Debug)]
pub struct Snapshot {
    transaction: Transaction,
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
}

impl Snapshot {
    pub(super) async fn take(snapshots: &Snapshots) -> Result<Self, ReportError> {
        let transaction = snapshots.begin().await?;
        let freshness = Freshness::read(&transaction, &snapshots.clock).await?;
        Ok(Self { transaction, freshness })
    }

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
        let empty = |pair: &[Hour]| Bucket { start: pair[0], end: pair[1], views: 0 };
        let mut series: Vec<_> = cuts.windows(2).map(empty).collect();
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
    /// Whether it was over when the report was looked at for the last time, at `looked_at` of the wall clock.
    #[must_use]
    pub fn is_complete(&self, looked_at: Option<DateTime<Utc>>) -> bool {
        looked_at.is_some_and(|looked_at| self.end.start() <= looked_at)
    }
}

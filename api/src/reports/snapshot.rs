//! The report at one moment, in one transaction.

use std::iter;

use entity::{Hour, Transaction, snapshot::Snapshots};

use super::{
    calendar::Calendar,
    cover::{cover, cover_each},
    interval::{Bucket, Granularity, Interval},
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
        calendar: Calendar,
    ) -> Result<Vec<Bucket>, ReportError> {
        let mut series = interval.buckets(granularity, calendar)?;
        let cuts: Vec<Hour> = iter::once(interval.start).chain(series.iter().map(|bucket| bucket.end)).collect();
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

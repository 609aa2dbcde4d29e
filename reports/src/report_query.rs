//! The queries that the report answers, and their results: keys and values of the cache.

use std::{iter, mem::size_of, sync::Arc};

use entity::Hour;
use sea_orm::ConnectionTrait;

use super::{
    calendar::Calendar,
    cover::{cover, cover_each},
    error::ReportError,
    interval::{Bucket, Granularity, Interval},
    queries::{self, PageCursor, PageFilter, PageRow},
};

/// A query whose result depends on it and on the content of the report alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReportQuery {
    FirstHour,
    Views(Interval, Arc<PageFilter>),
    PageCount(Interval, Arc<PageFilter>),
    Series(Interval, Arc<PageFilter>, Granularity, Calendar),
    Pages(Interval, Arc<PageFilter>, Option<PageCursor>, u64),
}

/// The result of a query: each kind of query has one kind of result. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum QueryResult {
    Hour(Option<Hour>),
    Number(i64),
    Series(Arc<[Bucket]>),
    Pages(Arc<[PageRow]>),
}

impl ReportQuery {
    /// Reads the result from the report.
    pub(super) async fn execute<C: ConnectionTrait>(&self, db: &C) -> Result<QueryResult, ReportError> {
        let rows = |interval: &Interval| cover(interval.start, interval.end);
        Ok(match self {
            Self::FirstHour => QueryResult::Hour(queries::first_hour(db).await?),
            Self::Views(interval, filter) => QueryResult::Number(queries::views(db, &rows(interval), filter).await?),
            Self::PageCount(interval, filter) => {
                QueryResult::Number(queries::page_count(db, &rows(interval), filter).await?)
            }
            Self::Series(interval, filter, granularity, calendar) => {
                let buckets = interval.buckets(*granularity, *calendar)?;
                QueryResult::Series(fill_series(db, buckets, interval.start, filter).await?.into())
            }
            Self::Pages(interval, filter, after, limit) => {
                let pages = queries::pages(db, &rows(interval), filter, after.as_ref(), *limit).await?;
                QueryResult::Pages(pages.into())
            }
        })
    }

    /// The memory that it takes, in bytes, about.
    fn bytes(&self) -> usize {
        let variable = match self {
            Self::FirstHour => 0,
            Self::Views(_, filter) | Self::PageCount(_, filter) | Self::Series(_, filter, ..) => {
                bytes_of_filter(filter)
            }
            Self::Pages(_, filter, after, _) => {
                bytes_of_filter(filter) + after.as_ref().map_or(0, |after| after.name.capacity())
            }
        };
        size_of::<Self>() + variable
    }
}

/// Adds the views of the report's rows to `buckets`, which follow each other from `start` on.
async fn fill_series<C: ConnectionTrait>(
    db: &C,
    mut buckets: Vec<Bucket>,
    start: Hour,
    filter: &PageFilter,
) -> Result<Vec<Bucket>, ReportError> {
    let boundaries: Vec<Hour> = iter::once(start).chain(buckets.iter().map(|bucket| bucket.end)).collect();
    for (start, views) in queries::buckets(db, &cover_each(&boundaries), filter).await? {
        // The last bucket that begins at or before the row; every row lies in one.
        let index = buckets.partition_point(|bucket| bucket.start <= start).saturating_sub(1);
        if let Some(bucket) = buckets.get_mut(index) {
            bucket.views += views;
        }
    }
    Ok(buckets)
}

impl QueryResult {
    /// The memory that it takes together with its query, in bytes, about.
    pub(super) fn bytes_with(&self, query: &ReportQuery) -> usize {
        let variable = match self {
            Self::Hour(_) | Self::Number(_) => 0,
            Self::Series(buckets) => buckets.len() * size_of::<Bucket>(),
            Self::Pages(rows) => rows.iter().map(bytes_of_row).sum(),
        };
        size_of::<Self>() + variable + query.bytes()
    }
}

fn bytes_of_row(row: &PageRow) -> usize {
    size_of::<PageRow>() + row.name.capacity() + row.title.as_ref().map_or(0, String::capacity)
}

fn bytes_of_filter(filter: &PageFilter) -> usize {
    let text = |text: &String| size_of::<String>() + text.capacity();
    size_of::<PageFilter>()
        + match filter {
            PageFilter::All => 0,
            PageFilter::Names(names) => names.iter().map(text).sum(),
            PageFilter::Prefix(part) | PageFilter::Contains(part) => text(part),
        }
}

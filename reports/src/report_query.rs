//! The queries that the report answers, and their results: keys and values of the cache.

use std::{iter, mem::size_of, sync::Arc};

use entity::Hour;
use sea_orm::ConnectionTrait;

use super::{
    calendar::Calendar,
    cover::{RowRange, cover, cover_each},
    error::ReportError,
    interval::{Bucket, Granularity, Interval},
    page_count::page_count,
    page_filter::PageFilter,
    page_list,
    queries::{self, PageCursor, PageRow, Span},
    rows::parts,
};

/// A query whose result depends on it and on the content of the report alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReportQuery {
    FirstHour,
    /// The pages that a filter has to look for.
    Matches(Arc<PageFilter>),
    Views(Interval, Arc<PageFilter>),
    PageCount(Interval, Arc<PageFilter>),
    Series(Interval, Arc<PageFilter>, Granularity, Calendar),
    Pages(Interval, Arc<PageFilter>, Option<PageCursor>, u64),
}

/// The result of a query: each kind of query has one kind of result. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum QueryResult {
    Hour(Option<Hour>),
    /// The names of the pages, unless they are many.
    Matches(Option<Arc<PageFilter>>),
    Number(i64),
    Series(Arc<[Bucket]>),
    Pages(Arc<[PageRow]>),
}

impl ReportQuery {
    /// Returns the filter whose pages have to be looked for, if that is not the query itself.
    pub(super) fn searching(&mut self) -> Option<&mut Arc<PageFilter>> {
        match self {
            Self::FirstHour | Self::Matches(_) => None,
            Self::Views(_, filter)
            | Self::PageCount(_, filter)
            | Self::Series(_, filter, ..)
            | Self::Pages(_, filter, ..) => {
                matches!(**filter, PageFilter::Contains(_) | PageFilter::Search(_)).then_some(filter)
            }
        }
    }

    /// Reads the result from the report.
    pub(super) async fn execute<C: ConnectionTrait>(&self, db: &C) -> Result<QueryResult, ReportError> {
        if let Self::Matches(filter) = self {
            return Ok(QueryResult::Matches(queries::matches(db, filter).await?.map(Arc::new)));
        }
        let Some(span) = queries::span(db).await? else { return self.of_nothing() };
        let rows = |interval: &Interval| cover_of_counted(interval, span);
        Ok(match self {
            Self::FirstHour => QueryResult::Hour(Some(span.first)),
            Self::Matches(_) => QueryResult::Matches(None),
            Self::Views(interval, filter) => QueryResult::Number(queries::views(db, &rows(interval), filter).await?),
            Self::PageCount(interval, filter) => {
                QueryResult::Number(page_count(db, interval.start, &rows(interval), span, filter).await?)
            }
            Self::Series(interval, filter, granularity, calendar) => {
                let buckets = interval.buckets(*granularity, *calendar)?;
                QueryResult::Series(fill_series(db, buckets, interval.start, filter).await?.into())
            }
            Self::Pages(interval, filter, after, limit) => {
                let parts = parts(&rows(interval));
                QueryResult::Pages(page_list::pages(db, &parts, filter, after.as_ref(), *limit).await?.into())
            }
        })
    }

    /// Returns the result on a report without rows.
    fn of_nothing(&self) -> Result<QueryResult, ReportError> {
        Ok(match self {
            Self::FirstHour => QueryResult::Hour(None),
            Self::Matches(_) => QueryResult::Matches(None),
            Self::Views(..) | Self::PageCount(..) => QueryResult::Number(0),
            Self::Series(interval, _, granularity, calendar) => {
                QueryResult::Series(interval.buckets(*granularity, *calendar)?.into())
            }
            Self::Pages(..) => QueryResult::Pages([].into()),
        })
    }

    /// The memory that it takes, in bytes, about.
    fn bytes(&self) -> usize {
        let variable = match self {
            Self::FirstHour => 0,
            Self::Matches(filter)
            | Self::Views(_, filter)
            | Self::PageCount(_, filter)
            | Self::Series(_, filter, ..) => bytes_of_filter(filter),
            Self::Pages(_, filter, after, _) => {
                bytes_of_filter(filter) + after.as_ref().map_or(0, |after| after.name.capacity())
            }
        };
        size_of::<Self>() + variable
    }
}

/// Returns the cover of what is counted in `interval`. Where the interval begins or ends outside of `span`, it may as well
/// begin or end with a month, which has one row for each page where the days have many.
fn cover_of_counted(interval: &Interval, span: Span) -> Vec<RowRange> {
    let start = if interval.start <= span.first { span.first.month_start() } else { interval.start };
    let end = if interval.end >= span.end { span.end.plus(-1).next_month_start() } else { interval.end };
    // Nothing is counted outside of the span, and an empty interval stays empty.
    if interval.start < interval.end && interval.start < span.end && interval.end > span.first {
        cover(start, end)
    } else {
        Vec::new()
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
            Self::Matches(filter) => filter.as_deref().map_or(0, bytes_of_filter),
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
            PageFilter::Search(search) => text(search.text()),
        }
}

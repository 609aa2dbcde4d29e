//! `Report` and what is in it.

use std::sync::Arc;

use async_graphql::{
    ComplexObject, Object, SimpleObject,
    connection::{CursorType, OpaqueCursor, PageInfo},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    errors::{self, Code, error},
    freshness::Freshness,
    inputs::{self, Comparison, Granularity, ParsedFilter},
    scalars::SafeInt,
};
use crate::reports::{self, After, Answer, IntervalChoice, PageFilter};

/// How many pages are listed when the query does not say.
const PAGES_DEFAULT: i32 = 10;
/// How many pages are listed at most.
const PAGES_MAX: i32 = 1_000;

/// The page views that a filter chooses.
#[derive(Debug)]
pub(crate) struct Report {
    answer: Answer,
    interval: reports::Interval,
    filter: ParsedFilter,
    /// When the interval was found.
    now: DateTime<Utc>,
}

/// From start, up to and without end.
#[derive(Debug, SimpleObject)]
pub(crate) struct Interval {
    /// The first moment.
    start: DateTime<Utc>,
    /// The moment after the last one.
    end: DateTime<Utc>,
    /// False when what was asked for does not begin and end at whole hours of UTC, or at whole days where the hours
    /// were dropped for their age: it was cut below.
    exact: bool,
}

/// One bucket of a series.
#[derive(Debug, SimpleObject)]
pub(crate) struct SeriesPoint {
    /// The first moment.
    start: DateTime<Utc>,
    /// The moment after the last one.
    end: DateTime<Utc>,
    /// The views counted in it.
    views: SafeInt,
    /// False when it ends later than `freshness.lookedAt`: more may be counted in it.
    complete: bool,
}

/// The sums of a report.
#[derive(Debug)]
pub(crate) struct Totals {
    answer: Answer,
    interval: reports::Interval,
    previous: Option<reports::Interval>,
    pages: Arc<PageFilter>,
}

/// One page in a report.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct PageViews {
    /// The page's name.
    page: String,
    /// The title recorded last.
    title: Option<String>,
    /// Its views.
    views: SafeInt,
    /// Of the totals, 0 to 1.
    share: f64,
}

/// Pages, most viewed first.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct PageConnection {
    /// The pages with their cursors.
    edges: Vec<PageEdge>,
    /// Whether there are more.
    page_info: PageInfo,
}

/// One page and where it stands.
#[derive(Debug, SimpleObject)]
pub(crate) struct PageEdge {
    /// To go on behind it, give it as `after`.
    cursor: String,
    /// The page.
    node: PageViews,
}

/// Where a page stood, and in which refresh.
#[derive(Debug, Deserialize, Serialize)]
struct Cursor {
    refresh: i64,
    views: i64,
    page: String,
}

impl Report {
    /// What `filter` chooses of what `answer` is read from.
    pub(super) async fn new(answer: Answer, filter: ParsedFilter) -> async_graphql::Result<Self> {
        let now = answer.moment().wall;
        let first = match filter.interval {
            IntervalChoice::Period(reports::Period::AllTime) => answered(answer.first_hour().await)?,
            _ => None,
        };
        let interval = filter.interval.interval(filter.zone, now, first);
        let interval = interval.with_hours_since(answer.freshness().hours_since);
        Ok(Self { answer, interval, filter, now })
    }
}

/// The page views that a filter chooses, all of one moment, the freshness included.
#[Object]
impl Report {
    /// What the filter's interval came to.
    async fn interval(&self) -> Interval {
        self.interval.into()
    }

    /// How current this answer is.
    async fn freshness(&self) -> Freshness {
        Freshness::of_answer(&self.answer)
    }

    /// The sums; with `compareTo` those of another period too.
    async fn totals(&self, compare_to: Option<Comparison>) -> Totals {
        let freshness = self.answer.freshness();
        let ParsedFilter { interval, ref pages, zone } = self.filter;
        let previous = compare_to
            .and_then(|compare_to| interval.previous(compare_to.into(), zone, self.now, freshness.looked_at))
            .map(|previous| previous.with_hours_since(freshness.hours_since));
        Totals { answer: self.answer.clone(), interval: self.interval, previous, pages: Arc::clone(pages) }
    }

    /// The views by bucket, in the order of time, empty buckets included; at most 10,000.
    async fn series(&self, granularity: Granularity) -> async_graphql::Result<Vec<SeriesPoint>> {
        let ParsedFilter { ref pages, zone, .. } = self.filter;
        let series = answered(self.answer.series(self.interval, pages, granularity.into(), zone).await)?;
        let looked_at = self.answer.freshness().looked_at;
        let point = |bucket: &reports::Bucket| SeriesPoint {
            start: bucket.start.start(),
            end: bucket.end.start(),
            views: SafeInt(bucket.views),
            complete: bucket.is_complete(looked_at),
        };
        Ok(series.iter().map(point).collect())
    }

    /// Most viewed first, and among equals by name; `first` is at most 1,000, 10 when left out.
    #[graphql(complexity = "usize::try_from(first.unwrap_or(PAGES_DEFAULT)).unwrap_or_default() * child_complexity")]
    async fn pages(&self, first: Option<i32>, after: Option<String>) -> async_graphql::Result<PageConnection> {
        let first = first.unwrap_or(PAGES_DEFAULT);
        if !(0..=PAGES_MAX).contains(&first) {
            return Err(error(Code::BadUserInput, format!("pages.first must be 0 to {PAGES_MAX}, not {first}")));
        }
        let after = after.map(|cursor| Cursor::decode(&cursor)).transpose()?;
        let limit = usize::try_from(first).unwrap_or_default();
        let has_previous_page = after.is_some();
        // One more than is shown tells whether there are more.
        let more = u64::try_from(limit).unwrap_or_default() + 1;
        let pages = &self.filter.pages;
        let (total, rows) =
            tokio::join!(self.answer.views(self.interval, pages), self.answer.pages(self.interval, pages, after, more));
        let (total, rows) = (answered(total)?, answered(rows)?);
        let has_next_page = rows.len() > limit;
        let refresh = self.answer.freshness().refresh_id;
        let edges: Vec<_> = rows.iter().take(limit).map(|row| PageEdge::new(row, total, refresh)).collect();
        let cursor = |edge: Option<&PageEdge>| edge.map(|edge| edge.cursor.clone());
        let page_info = PageInfo {
            has_previous_page,
            has_next_page,
            start_cursor: cursor(edges.first()),
            end_cursor: cursor(edges.last()),
        };
        Ok(PageConnection { edges, page_info })
    }
}

/// The sums of a report.
#[Object]
impl Totals {
    /// The sum of the views.
    async fn views(&self) -> async_graphql::Result<SafeInt> {
        answered(self.answer.views(self.interval, &self.pages).await).map(SafeInt)
    }

    /// How many pages were viewed.
    async fn pages(&self) -> async_graphql::Result<i32> {
        let pages = answered(self.answer.page_count(self.interval, &self.pages).await)?;
        Ok(i32::try_from(pages).unwrap_or(i32::MAX))
    }

    /// The sum of the views of the period that `compareTo` names; null without `compareTo`, and when there is no such
    /// period: `ALL_TIME` has none.
    async fn previous(&self) -> async_graphql::Result<Option<SafeInt>> {
        Ok(self.previous_views().await?.map(SafeInt))
    }

    /// What `previous` is the sum of: of an interval that is not over yet as much as has elapsed of that.
    async fn previous_interval(&self) -> Option<Interval> {
        self.previous.map(Interval::from)
    }

    /// (views - previous) / previous; null without a previous, and when that is 0.
    async fn change(&self) -> async_graphql::Result<Option<f64>> {
        let Some(previous) = self.previous_views().await?.filter(|previous| *previous != 0) else {
            return Ok(None);
        };
        let views = answered(self.answer.views(self.interval, &self.pages).await)?;
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more digits than a double has")]
        let change = (views - previous) as f64 / previous as f64;
        Ok(Some(change))
    }
}

impl Totals {
    async fn previous_views(&self) -> async_graphql::Result<Option<i64>> {
        let Some(previous) = self.previous else { return Ok(None) };
        answered(self.answer.views(previous, &self.pages).await).map(Some)
    }
}

impl From<reports::Interval> for Interval {
    fn from(interval: reports::Interval) -> Self {
        let reports::Interval { start, end, exact, .. } = interval;
        Self { start: start.start(), end: end.start(), exact }
    }
}

#[ComplexObject]
impl PageConnection {
    /// The pages without their cursors.
    async fn nodes(&self) -> Vec<PageViews> {
        self.edges.iter().map(|edge| edge.node.clone()).collect()
    }
}

impl PageEdge {
    fn new(row: &reports::PageRow, total: i64, refresh: i64) -> Self {
        let cursor = OpaqueCursor(Cursor { refresh, views: row.views, page: row.name.clone() }).encode_cursor();
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than a double has")]
        let share = if total == 0 { 0.0 } else { row.views as f64 / total as f64 };
        Self {
            cursor,
            node: PageViews { page: row.name.clone(), title: row.title.clone(), views: SafeInt(row.views), share },
        }
    }
}

impl Cursor {
    fn decode(cursor: &str) -> async_graphql::Result<After> {
        let OpaqueCursor(Self { views, page, .. }) = OpaqueCursor::decode_cursor(cursor)
            .map_err(|_unreadable| error(Code::BadUserInput, "pages.after is not a cursor of this list"))?;
        inputs::check_text("pages.after", &page)?;
        Ok(After { views, name: page })
    }
}

fn answered<T>(result: Result<T, reports::ReportError>) -> async_graphql::Result<T> {
    result.map_err(|failure| errors::of_report(&failure))
}

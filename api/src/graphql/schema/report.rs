//! The type `Report` and the types of its fields.

use std::{sync::Arc, time::Duration};

use async_graphql::{
    ComplexObject, Context, Object, SimpleObject,
    connection::{CursorType, OpaqueCursor, PageInfo},
};
use chrono::{DateTime, Utc};
use entity::Hour;
use serde::{Deserialize, Serialize};

use super::{
    errors::{self, error},
    freshness::Freshness,
    inputs::{self, Comparison, Granularity, ParsedFilter},
    response_budget::{ItemCost, ROOM_WAIT_MAX, ResponseBudget},
    scalars::{LocalDateTime, SafeInt},
};
use crate::error_code::Code;
use reports::{self, Calendar, Compared, Counted, IntervalChoice, PageCursor, PageFilter, ReportView};

/// The number of pages listed when the query does not say.
const PAGES_DEFAULT: i32 = 10;
/// The most pages in one list.
const PAGES_MAX: i32 = 1_000;

/// The page views that a filter chooses.
#[derive(Debug)]
pub(crate) struct Report {
    view: ReportView,
    interval: reports::Interval,
    filter: ParsedFilter,
    calendar: Calendar,
}

/// From start, up to and without end.
#[derive(Debug, SimpleObject)]
pub(crate) struct Interval {
    /// The first moment.
    start: DateTime<Utc>,
    /// The moment after the last one.
    end: DateTime<Utc>,
    /// What the calendar of the filter's zone calls `start`.
    local_start: LocalDateTime,
    /// What the calendar of the filter's zone calls `end`.
    local_end: LocalDateTime,
    /// False when what was asked for does not begin and end at whole hours of UTC, or at whole days of UTC where the
    /// hours were dropped for their age: it was cut beside. So it is with every period in a zone that is off by part of an
    /// hour: its days begin up to 45 minutes after midnight, with the next hour of UTC.
    exact: bool,
}

/// One bucket of a series.
#[derive(Debug, SimpleObject)]
pub(crate) struct SeriesPoint {
    /// The first moment.
    start: DateTime<Utc>,
    /// The moment after the last one.
    end: DateTime<Utc>,
    /// What the calendar of the filter's zone calls `start`, to be shown as it is: no time zone has to be computed.
    local_start: LocalDateTime,
    /// The views counted in it.
    views: SafeInt,
    /// False when it ends later than `freshness.lookedAt`: more may be counted in it.
    complete: bool,
    /// False where the interval cuts it: a part of that day, week or month only. That may be the first point and the last.
    whole: bool,
}

/// The sums of a report.
#[derive(Debug)]
pub(crate) struct Totals {
    view: ReportView,
    interval: reports::Interval,
    calendar: Calendar,
    compared: Option<Compared>,
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

/// The position of a page in the list, and the refresh that it was read from.
#[derive(Debug, Deserialize, Serialize)]
struct Cursor {
    refresh: i64,
    views: i64,
    page: String,
}

impl Report {
    /// Returns the report of the page views that `filter` chooses, read from `view`.
    pub(super) async fn new(view: ReportView, filter: ParsedFilter) -> async_graphql::Result<Self> {
        let first = match filter.interval {
            IntervalChoice::Period(reports::Period::AllTime) => read(view.first_hour().await)?,
            _ => None,
        };
        let calendar = Calendar::new(filter.zone, view.freshness().hours_since);
        let interval = filter.interval.interval(calendar, || view.present_hour(), first);
        Ok(Self { view, interval, filter, calendar })
    }

    /// Returns how long the report may wait for memory: not at all while it holds a database connection.
    fn room_wait(&self) -> Duration {
        if self.view.holds_connection() { Duration::ZERO } else { ROOM_WAIT_MAX }
    }

    /// Returns the period that the report is compared with, if there is one and it does not begin before the first
    /// counted hour.
    async fn compared(&self, comparison: Comparison) -> async_graphql::Result<Option<Compared>> {
        let (first, looked_at) = (self.view.first_hour(), self.view.freshness().looked_at);
        let counted = read(first.await)?.zip(looked_at);
        Ok(counted.and_then(|(from, looked_at)| {
            let counted = Counted { from, until: Hour::containing(looked_at) };
            self.filter.interval.compared(comparison.into(), self.calendar, || self.view.present_hour(), counted)
        }))
    }
}

/// The page views that a filter chooses, all of one moment, the freshness included.
#[Object]
impl Report {
    /// What the filter's interval came to.
    async fn interval(&self) -> Interval {
        Interval::new(self.interval, self.calendar)
    }

    /// The first hour in which anything of the site was counted, whatever the filter; null before there is any. Where hours
    /// were dropped for their age, the first hour of that day in UTC.
    async fn counted_since(&self) -> async_graphql::Result<Option<DateTime<Utc>>> {
        Ok(read(self.view.first_hour().await)?.map(Hour::start))
    }

    /// How current this answer is.
    async fn freshness(&self) -> Freshness {
        Freshness::OfView(self.view.clone())
    }

    /// The sums; with `compareTo` those of another period too.
    async fn totals(
        &self,
        #[graphql(desc = "The period to compare with; none when left out.")] compare_to: Option<Comparison>,
    ) -> async_graphql::Result<Totals> {
        let compared = match compare_to {
            Some(comparison) => self.compared(comparison).await?,
            None => None,
        };
        let (view, pages) = (self.view.clone(), Arc::clone(&self.filter.pages));
        Ok(Totals { view, interval: self.interval, calendar: self.calendar, compared, pages })
    }

    /// The views by bucket, in the order of time, empty buckets included; at most 10,000. The points and pages of an answer
    /// have at most 100,000 fields in all.
    async fn series(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The size of the buckets.")] granularity: Granularity,
    ) -> async_graphql::Result<Vec<SeriesPoint>> {
        let budget = context.data::<ResponseBudget>()?;
        budget.check()?;
        let points = self.interval.points(granularity.into(), self.calendar);
        let points = points.map_err(|wrong| errors::of_report(&wrong.into()))?;
        budget.charge(points, ItemCost::of_item(context), 0, 0, self.room_wait()).await?;
        let series = self.view.series(self.interval, &self.filter.pages, granularity.into(), self.calendar);
        let series = read(series.await)?;
        let looked_at = self.view.freshness().looked_at;
        let point = |bucket: &reports::Bucket| SeriesPoint {
            start: bucket.start.start(),
            end: bucket.end.start(),
            local_start: LocalDateTime(bucket.local_start),
            views: SafeInt(bucket.views),
            complete: bucket.is_complete(looked_at),
            whole: bucket.whole,
        };
        Ok(series.iter().map(point).collect())
    }

    /// Most viewed first, and among equals by name.
    #[graphql(complexity = "usize::try_from(first.unwrap_or(PAGES_DEFAULT)).unwrap_or_default() * child_complexity")]
    async fn pages(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many pages: 0 to 1,000, 10 when left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the page to go on behind; from the first when left out.")] after: Option<
            String,
        >,
    ) -> async_graphql::Result<PageConnection> {
        let budget = context.data::<ResponseBudget>()?;
        budget.check()?;
        let first = first.unwrap_or(PAGES_DEFAULT);
        if !(0..=PAGES_MAX).contains(&first) {
            return Err(error(Code::BadUserInput, format!("pages.first must be 0 to {PAGES_MAX}, not {first}")));
        }
        let after = after.map(|cursor| Cursor::decode(&cursor)).transpose()?;
        let limit = usize::try_from(first).unwrap_or_default();
        let has_previous_page = after.is_some();
        // One row more than is shown tells whether there is a next page.
        let more = u64::try_from(limit).unwrap_or_default() + 1;
        let pages = &self.filter.pages;
        let (total, rows) =
            tokio::join!(self.view.views(self.interval, pages), self.view.pages(self.interval, pages, after, more));
        let (total, rows) = (read(total)?, read(rows)?);
        let has_next_page = rows.len() > limit;
        let refresh = self.view.freshness().refresh_id;
        let (cost, rows) = (ItemCost::of_item(context), &rows[..rows.len().min(limit)]);
        let texts = rows.iter().map(|row| cost.texts(&row.name, row.title.as_deref())).sum();
        let held = rows.iter().map(PageEdge::bytes).sum();
        budget.charge(rows.len(), cost, texts, held, self.room_wait()).await?;
        let edges: Vec<_> = rows.iter().map(|row| PageEdge::new(row, total, refresh)).collect();
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
        read(self.view.views(self.interval, &self.pages).await).map(SafeInt)
    }

    /// How many pages were viewed.
    async fn pages(&self) -> async_graphql::Result<i32> {
        let pages = read(self.view.page_count(self.interval, &self.pages).await)?;
        Ok(i32::try_from(pages).unwrap_or(i32::MAX))
    }

    /// The views of the same whole hours that `previous` has: of an interval that is not over yet those up to the last hour
    /// that was over at the last refresh. Null together with `previous`.
    async fn comparable_views(&self) -> async_graphql::Result<Option<SafeInt>> {
        Ok(self.comparable().await?.map(SafeInt))
    }

    /// The views of the period that `compareTo` names. Null without `compareTo`; when there is no such period: `ALL_TIME`
    /// has none, nor has 29 February in most years; and when it begins before `countedSince`.
    async fn previous(&self) -> async_graphql::Result<Option<SafeInt>> {
        Ok(self.previous_views().await?.map(SafeInt))
    }

    /// What `previous` is the sum of: of an interval that is not over yet as much as has elapsed of that, in whole hours.
    /// Null together with `previous`.
    async fn previous_interval(&self) -> Option<Interval> {
        self.compared.map(|compared| Interval::new(compared.other, self.calendar))
    }

    /// (comparableViews - previous) / previous; null without a previous, and when that is 0, as it is before the first whole
    /// hour is over.
    async fn change(&self) -> async_graphql::Result<Option<f64>> {
        let (views, previous) = tokio::join!(self.comparable(), self.previous_views());
        let (Some(views), Some(previous)) = (views?, previous?.filter(|previous| *previous != 0)) else {
            return Ok(None);
        };
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more digits than a double has")]
        let change = (views - previous) as f64 / previous as f64;
        Ok(Some(change))
    }
}

impl Totals {
    async fn comparable(&self) -> async_graphql::Result<Option<i64>> {
        let Some(Compared { part, .. }) = self.compared else { return Ok(None) };
        read(self.view.views(part, &self.pages).await).map(Some)
    }

    async fn previous_views(&self) -> async_graphql::Result<Option<i64>> {
        let Some(Compared { other, .. }) = self.compared else { return Ok(None) };
        read(self.view.views(other, &self.pages).await).map(Some)
    }
}

impl Interval {
    fn new(interval: reports::Interval, calendar: Calendar) -> Self {
        let reports::Interval { start, end, exact } = interval;
        let [local_start, local_end] = [start, end].map(|hour| LocalDateTime(calendar.local(hour)));
        Self { start: start.start(), end: end.start(), local_start, local_end, exact }
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
    /// Returns roughly how many bytes of memory the edge of `row` takes.
    fn bytes(row: &reports::PageRow) -> usize {
        size_of::<Self>() + 3 * row.name.len() + row.title.as_ref().map_or(0, String::len)
    }

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
    fn decode(cursor: &str) -> async_graphql::Result<PageCursor> {
        let OpaqueCursor(Self { views, page, .. }) = OpaqueCursor::decode_cursor(cursor)
            .map_err(|_unreadable| error(Code::BadUserInput, "pages.after is not a cursor of this list"))?;
        inputs::check_text("pages.after", &page)?;
        Ok(PageCursor { views, name: page })
    }
}

fn read<T>(result: Result<T, reports::ReportError>) -> async_graphql::Result<T> {
    result.map_err(|failure| errors::of_report(&failure))
}

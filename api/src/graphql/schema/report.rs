//! The type `Report` and the types of its sums and series.

mod groups;
mod list;
mod page_list;
mod sections;
mod series;

use std::{sync::Arc, time::Duration};

use async_graphql::{Context, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use entity::{Hour, page_group::GROUPS_MAX};
use sha2::{Digest, Sha256};

use super::{
    errors,
    freshness::Freshness,
    inputs::{self, Comparison, Granularity, PageOrder, ParsedFilter},
    response_budget::{ItemCost, ROOM_WAIT_MAX, ResponseBudget},
    scalars::{LocalDateTime, SafeInt},
};
use groups::GroupReport;
use page_list::{PageConnection, PageList, PageViews};
use sections::{SectionConnection, SectionList};
use series::{Series, SeriesPoint};

use reports::{self, Bucket, Calendar, Compared, Counted, IntervalChoice, PageFilter, ReportView};

/// The bytes of a report's id.
const ID_BYTES: usize = 16;

/// The page views that a filter chooses.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    view: ReportView,
    interval: reports::Interval,
    filter: ParsedFilter,
    calendar: Calendar,
    /// Whether it is an event of a subscription.
    is_event: bool,
}

/// The other period, with which a report is compared.
#[derive(Debug)]
pub(crate) struct PreviousReport {
    /// The report that is compared.
    report: Report,
    compared: Compared,
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

/// The sums of a report.
#[derive(Debug)]
pub(crate) struct Totals {
    view: ReportView,
    interval: reports::Interval,
    calendar: Calendar,
    compared: Option<Compared>,
    pages: Arc<PageFilter>,
}

impl Report {
    /// Returns the report of the page views that `filter` chooses, read from `view`, for a query or an event of a subscription.
    pub(super) async fn new(view: ReportView, filter: ParsedFilter, is_event: bool) -> async_graphql::Result<Self> {
        let first = match filter.interval {
            IntervalChoice::Period(reports::Period::AllTime) => read(view.first_hour().await)?,
            _ => None,
        };
        let calendar = Calendar::new(filter.zone, view.hours_since()).with_weeks_from(filter.week_start);
        let interval = filter.interval.interval(calendar, || view.present_hour(), first);
        Ok(Self { view, interval, filter, calendar, is_event })
    }

    /// Returns how long the report may wait for memory: not at all while it holds a database connection.
    fn room_wait(&self) -> Duration {
        if self.view.holds_connection() { Duration::ZERO } else { ROOM_WAIT_MAX }
    }

    /// Returns the period that the report is compared with, if there is one and it does not begin before the first
    /// counted hour.
    async fn compared(&self, comparison: Comparison) -> async_graphql::Result<Option<Compared>> {
        let (first, looked_at) = (self.view.first_hour(), self.view.looked_at_hour());
        let counted = read(first.await)?.zip(looked_at);
        Ok(counted.and_then(|(from, looked_at)| {
            let counted = Counted { from, until: looked_at };
            self.filter.interval.compared(comparison.into(), self.calendar, || self.view.present_hour(), counted)
        }))
    }

    /// Charges `budget` for a series of the selected fields. Errs when it has too many points.
    async fn charge_series(&self, context: &Context<'_>, granularity: Granularity) -> async_graphql::Result<()> {
        let budget = context.data::<ResponseBudget>()?;
        budget.check()?;
        let points = self.points(granularity)?;
        budget.charge(points, ItemCost::of_item(context), 0, 0, self.room_wait()).await
    }

    /// Returns the number of points of a series.
    fn points(&self, granularity: Granularity) -> async_graphql::Result<usize> {
        let points = self.interval.points(granularity.into(), self.calendar);
        points.map_err(|wrong| errors::of_report(&wrong.into()))
    }

    /// Returns the series of `buckets` that the field in `context` selects.
    fn series_of(&self, context: &Context<'_>, buckets: &[Bucket]) -> Series {
        Series::new(context, buckets, self.view.looked_at_hour())
    }
}

/// The page views that a filter chooses, all of one moment, the freshness included.
#[Object]
impl Report {
    /// The same for the same filter, whenever it is asked: to be merged in a client's store.
    async fn id(&self) -> ID {
        // The filter's text has all that tells two filters apart.
        let hash = Sha256::digest(format!("{:?}", self.filter));
        ID(hex::encode(hash.get(..ID_BYTES).unwrap_or(&hash)))
    }

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

    /// The other period; null where `totals` has none to compare with.
    async fn previous(
        &self,
        #[graphql(desc = "The other period.", default_with = "Comparison::PreviousPeriod")] compare_to: Comparison,
    ) -> async_graphql::Result<Option<PreviousReport>> {
        let compared = self.compared(compare_to).await?;
        Ok(compared.map(|compared| PreviousReport { report: self.clone(), compared }))
    }

    /// The report of the same interval and moment, of all pages.
    async fn site(&self) -> Self {
        let filter = ParsedFilter { pages: Arc::new(PageFilter::All), ..self.filter.clone() };
        Self { filter, ..self.clone() }
    }

    /// The report of each declared group, of the same interval and moment, by name. The filter's pages are of no account.
    #[graphql(complexity = "GROUPS_MAX * child_complexity")]
    async fn groups(&self) -> async_graphql::Result<Vec<GroupReport>> {
        Ok(read(self.view.groups().await)?.iter().map(|group| GroupReport::new(self, group)).collect())
    }

    /// The views by bucket, in the order of time, empty buckets included; at most 10,000. The points and pages of an answer
    /// have at most 100,000 fields in all.
    async fn series(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The size of the buckets.")] granularity: Granularity,
    ) -> async_graphql::Result<Series> {
        self.charge_series(context, granularity).await?;
        let series = self.view.series(self.interval, &self.filter.pages, granularity.into(), self.calendar);
        Ok(self.series_of(context, &read(series.await)?))
    }

    /// The bucket with the most views, the first of several; null without any views.
    async fn peak(
        &self,
        #[graphql(desc = "The size of the buckets; at most 10,000 of them.", default_with = "Granularity::Day")]
        granularity: Granularity,
    ) -> async_graphql::Result<Option<SeriesPoint>> {
        self.points(granularity)?;
        let series = self.view.series(self.interval, &self.filter.pages, granularity.into(), self.calendar);
        let series = read(series.await)?;
        let peak = series.iter().rev().max_by_key(|bucket| bucket.views).filter(|bucket| bucket.views > 0);
        Ok(peak.map(|bucket| SeriesPoint::new(bucket, self.view.looked_at_hour())))
    }

    /// Pages, most viewed first unless another order is asked for.
    #[graphql(complexity = "inputs::list_complexity(first, child_complexity)")]
    async fn pages(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many pages: 0 to 1,000, 10 when left out.")] first: Option<i32>,
        #[graphql(
            desc = "The cursor of the page to go on behind, of a list in the same order; from the first when left \
                          out."
        )]
        after: Option<String>,
        #[graphql(desc = "The order.", default_with = "PageOrder::Views")] order_by: PageOrder,
        #[graphql(
            desc = "What `comparableViews`, `previous` and `change` of the pages are compared with.",
            default_with = "Comparison::PreviousPeriod"
        )]
        compare_to: Comparison,
    ) -> async_graphql::Result<PageConnection> {
        let list = PageList::new(self.clone(), self.interval, Some(compare_to));
        Box::pin(list.connection(context, first, after, order_by)).await
    }

    /// One page; null if nothing of it was ever counted, or the filter leaves it out. Without views in the interval it has 0.
    async fn page(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The page's name.")] name: String,
        #[graphql(
            desc = "What `comparableViews`, `previous` and `change` are compared with.",
            default_with = "Comparison::PreviousPeriod"
        )]
        compare_to: Comparison,
    ) -> async_graphql::Result<Option<PageViews>> {
        inputs::check_text("page.name", &name)?;
        let list = PageList::new(self.clone(), self.interval, Some(compare_to));
        Box::pin(list.page(context, name)).await
    }

    /// The pages whose names begin with `prefix`, summed up by what follows it up to the next slash, as files are in folders;
    /// most viewed first. It reads all these pages; what takes too long is stopped, with the error `UNAVAILABLE`.
    #[graphql(complexity = "inputs::list_complexity(first, child_complexity)")]
    async fn sections(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "What the names begin with. A slash at the very beginning of a name belongs to its first part, so that of \
                    `/blog/a` without a prefix the section is `/blog/`.",
            default
        )]
        prefix: String,
        #[graphql(desc = "How many sections: 0 to 1,000, 10 when left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the section to go on behind; from the first when left out.")] after: Option<
            String,
        >,
        #[graphql(
            desc = "What `comparableViews`, `previous` and `change` of the sections are compared with.",
            default_with = "Comparison::PreviousPeriod"
        )]
        compare_to: Comparison,
    ) -> async_graphql::Result<SectionConnection> {
        if !prefix.is_empty() {
            inputs::check_text("sections.prefix", &prefix)?;
        }
        let list = SectionList::new(self.clone(), prefix.into(), compare_to);
        Box::pin(list.connection(context, first, after)).await
    }
}

/// The other period, with which a report is compared, of the same moment.
#[Object]
impl PreviousReport {
    /// The whole period, also if the report's own is not over yet.
    async fn interval(&self) -> Interval {
        Interval::new(self.compared.whole, self.report.calendar)
    }

    /// The sum of its views. `totals` compares with those of as much of it as has elapsed of the report's own period.
    async fn views(&self) -> async_graphql::Result<SafeInt> {
        read(self.report.view.views(self.compared.whole, &self.report.filter.pages).await).map(SafeInt)
    }

    /// The views by bucket, one point for each of the report's own series of that granularity: of the same bucket, moved to the
    /// other period. One that is missing there, such as the 31st of a month after one of 30 days, is empty: its `start` is its
    /// `end`.
    async fn series(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The size of the buckets.")] granularity: Granularity,
    ) -> async_graphql::Result<Series> {
        let Self { report, compared } = self;
        report.charge_series(context, granularity).await?;
        let (filter, granularity, calendar) = (&report.filter.pages, granularity.into(), report.calendar);
        let series = report.view.previous_series(report.interval, *compared, filter, granularity, calendar);
        Ok(report.series_of(context, &read(series.await)?))
    }

    /// The pages of the whole period, most viewed first. They are compared with nothing.
    #[graphql(complexity = "inputs::list_complexity(first, child_complexity)")]
    async fn pages(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many pages: 0 to 1,000, 10 when left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the page to go on behind; from the first when left out.")] after: Option<
            String,
        >,
    ) -> async_graphql::Result<PageConnection> {
        let list = PageList::new(self.report.clone(), self.compared.whole, None);
        Box::pin(list.connection(context, first, after, PageOrder::Views)).await
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
        Ok(views?.zip(previous?).and_then(|(views, previous)| change(views, previous)))
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

/// Returns (comparable - previous) / previous; `None` when that is no number.
fn change(comparable: i64, previous: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more digits than a double has")]
    (previous != 0).then(|| (comparable - previous) as f64 / previous as f64)
}

/// Returns the share of `views` in `total`, 0 to 1.
fn share(views: i64, total: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than a double has")]
    if total == 0 { 0.0 } else { views as f64 / total as f64 }
}

fn read<T>(result: Result<T, reports::ReportError>) -> async_graphql::Result<T> {
    result.map_err(|failure| errors::of_report(&failure))
}

//! Lists of pages, and the fields of a page. A field is read for all pages of a list by one statement.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Object, SimpleObject, connection::PageInfo};
use chrono::{DateTime, Utc};
use entity::Hour;

use super::{
    super::{
        errors::error,
        inputs::{Comparison, Granularity, PageOrder},
        response_budget::ResponseBudget,
        scalars::SafeInt,
    },
    Report, Series, change,
    list::{AskedPart, ComparedViews, Read, ShownPart, charge},
    read, share,
};
use crate::error_code::Code;
use reports::{Bucket, PageRow, Viewed};

/// A list of pages, with the fields that were read for all of its pages at once.
#[derive(Debug)]
pub(super) struct PageList {
    report: Report,
    /// The interval of the views: the report's, or that of the other period.
    interval: reports::Interval,
    compare_to: Option<Comparison>,
    rows: Vec<PageRow>,
    names: Arc<[String]>,
    total: Read<i64>,
    compared: Read<Option<ComparedViews>>,
    viewed: Read<Arc<[Option<Viewed>]>>,
    hours: Read<Arc<[Vec<Bucket>]>>,
    days: Read<Arc<[Vec<Bucket>]>>,
    weeks: Read<Arc<[Vec<Bucket>]>>,
    months: Read<Arc<[Vec<Bucket>]>>,
}

/// One page in a report.
#[derive(Clone, Debug)]
pub(crate) struct PageViews {
    list: Arc<PageList>,
    index: usize,
}

/// Pages, in the order that was asked for.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct PageConnection {
    /// The pages with their cursors.
    edges: Vec<PageEdge>,
    /// Whether there are more.
    page_info: PageInfo,
    #[graphql(skip)]
    list: Arc<PageList>,
}

/// One page and where it stands.
#[derive(Debug, SimpleObject)]
pub(crate) struct PageEdge {
    /// To go on behind it, give it as `after`.
    cursor: String,
    /// The page.
    node: PageViews,
}

impl PageList {
    /// Returns an empty list.
    pub(super) fn new(report: Report, interval: reports::Interval, compare_to: Option<Comparison>) -> Self {
        Self {
            report,
            interval,
            compare_to,
            rows: Vec::new(),
            names: Arc::default(),
            total: Read::new(),
            compared: Read::new(),
            viewed: Read::new(),
            hours: Read::new(),
            days: Read::new(),
            weeks: Read::new(),
            months: Read::new(),
        }
    }

    fn of(self, rows: Vec<PageRow>) -> Arc<Self> {
        let names = rows.iter().map(|row| row.name.clone()).collect();
        Arc::new(Self { rows, names, ..self })
    }

    /// Reads the list's pages.
    pub(super) async fn connection(
        self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        order: PageOrder,
    ) -> async_graphql::Result<PageConnection> {
        let asked = AskedPart::new(context, "pages", first, after)?;
        let order = self.order(order).await?;
        let Report { view, filter, .. } = &self.report;
        let rows = read(view.pages(self.interval, &filter.pages, order, asked.after(), asked.rows()).await)?;
        let ShownPart { rows, cursors, page_info } = asked.show(context, &self.report, &rows).await?;
        let list = self.of(rows);
        let edge = |(index, cursor)| PageEdge { cursor, node: PageViews { list: Arc::clone(&list), index } };
        let edges = cursors.into_iter().enumerate().map(edge).collect();
        Ok(PageConnection { edges, page_info, list })
    }

    async fn order(&self, order: PageOrder) -> async_graphql::Result<reports::PageOrder> {
        match order {
            PageOrder::Views => Ok(reports::PageOrder::Views),
            PageOrder::Name => Ok(reports::PageOrder::Name),
            PageOrder::Change if self.report.is_event => {
                let message = "pages.orderBy must not be CHANGE in a subscription: ask for it by a query";
                Err(error(Code::BadUserInput, message))
            }
            PageOrder::Change => {
                let compared = match self.compare_to {
                    Some(compare_to) => self.report.compared(compare_to).await?,
                    None => None,
                };
                Ok(reports::PageOrder::Change(compared))
            }
        }
    }

    /// Reads the page `name`, if the filter has it and anything of it is counted.
    pub(super) async fn page(self, context: &Context<'_>, name: String) -> async_graphql::Result<Option<PageViews>> {
        context.data::<ResponseBudget>()?.check()?;
        let names: Arc<[String]> = [name].into();
        let view = &self.report.view;
        let (viewed, views) = tokio::join!(view.viewed(&names), view.views_of(self.interval, &names));
        let (viewed, views) = (read(viewed)?, read(views)?);
        let found = viewed.first().and_then(Option::as_ref).zip(names.first()).zip(views.first());
        let Some(((Viewed { title, .. }, name), views)) = found else { return Ok(None) };
        if !read(view.admits(&self.report.filter.pages, name, title.as_deref()).await)? {
            return Ok(None);
        }
        let row = PageRow { name: name.clone(), title: title.clone(), views: *views, rank: *views };
        let rows = vec![row];
        charge(context, &self.report, &rows).await?;
        Ok(Some(PageViews { list: self.of(rows), index: 0 }))
    }

    async fn total(&self) -> async_graphql::Result<i64> {
        let total = async || read(self.report.view.views(self.interval, &self.report.filter.pages).await);
        self.total.get_or_init(total).await.clone()
    }

    async fn compared(&self) -> async_graphql::Result<Option<ComparedViews>> {
        let compare = async || {
            let Some(compare_to) = self.compare_to else { return Ok(None) };
            let Some(compared) = self.report.compared(compare_to).await? else { return Ok(None) };
            let view = &self.report.view;
            let (is_whole, comparable) = (compared.part == self.interval, view.views_of(compared.part, &self.names));
            let previous = view.views_of(compared.other, &self.names);
            ComparedViews::read(&self.rows, is_whole, comparable, previous).await
        };
        self.compared.get_or_init(compare).await.clone()
    }

    async fn viewed(&self) -> async_graphql::Result<Arc<[Option<Viewed>]>> {
        let viewed = async || read(self.report.view.viewed(&self.names).await);
        self.viewed.get_or_init(viewed).await.clone()
    }

    async fn series(
        &self,
        context: &Context<'_>,
        granularity: Granularity,
    ) -> async_graphql::Result<Arc<[Vec<Bucket>]>> {
        let cell = match granularity {
            Granularity::Hour => &self.hours,
            Granularity::Day => &self.days,
            Granularity::Week => &self.weeks,
            Granularity::Month => &self.months,
        };
        let series = async || {
            // Each page is charged for its own points, but those of all are read at once.
            let points = self.report.points(granularity)?.saturating_mul(self.names.len());
            context.data::<ResponseBudget>()?.check_fields(points)?;
            let Report { view, calendar, .. } = &self.report;
            read(view.series_of(self.interval, &self.names, granularity.into(), *calendar).await)
        };
        cell.get_or_init(series).await.clone()
    }
}

/// One page in a report.
#[Object]
impl PageViews {
    /// The page's name.
    async fn page(&self) -> async_graphql::Result<&str> {
        Ok(&self.row()?.name)
    }

    /// The title recorded last.
    async fn title(&self) -> async_graphql::Result<Option<&str>> {
        Ok(self.row()?.title.as_deref())
    }

    /// Its views.
    async fn views(&self) -> async_graphql::Result<SafeInt> {
        Ok(SafeInt(self.row()?.views))
    }

    /// Of the totals, 0 to 1.
    async fn share(&self) -> async_graphql::Result<f64> {
        Ok(share(self.row()?.views, self.list.total().await?))
    }

    /// The views of the same whole hours that `previous` has, as in `Totals`. Null together with `previous`.
    async fn comparable_views(&self) -> async_graphql::Result<Option<SafeInt>> {
        Ok(self.compared().await?.map(|(comparable, _)| SafeInt(comparable)))
    }

    /// The views of the period that the list's `compareTo` names, 0 of a page that is new; null where `Totals` has none.
    async fn previous(&self) -> async_graphql::Result<Option<SafeInt>> {
        Ok(self.compared().await?.map(|(_, previous)| SafeInt(previous)))
    }

    /// (comparableViews - previous) / previous; null without a previous, and when that is 0.
    async fn change(&self) -> async_graphql::Result<Option<f64>> {
        Ok(self.compared().await?.and_then(|(comparable, previous)| change(comparable, previous)))
    }

    /// Its views by bucket, as in `Report`. Those of all pages of a list are read at once.
    async fn series(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The size of the buckets.")] granularity: Granularity,
    ) -> async_graphql::Result<Series> {
        self.list.report.charge_series(context, granularity).await?;
        let series = self.list.series(context, granularity).await?;
        Ok(self.list.report.series_of(context, series.get(self.index).map_or(&[], Vec::as_slice)))
    }

    /// The first hour in which it was viewed, whatever the interval. Where hours were dropped for their age, the first hour of
    /// that day in UTC.
    async fn first_viewed(&self) -> async_graphql::Result<Option<DateTime<Utc>>> {
        Ok(self.viewed().await?.map(|viewed| Hour::start(viewed.first)))
    }

    /// The last hour in which it was viewed, whatever the interval; of a day without hours as `firstViewed`.
    async fn last_viewed(&self) -> async_graphql::Result<Option<DateTime<Utc>>> {
        Ok(self.viewed().await?.map(|viewed| Hour::start(viewed.last)))
    }
}

impl PageViews {
    fn row(&self) -> async_graphql::Result<&PageRow> {
        self.list.rows.get(self.index).ok_or_else(|| error(Code::Internal, "the list has no such page"))
    }

    async fn compared(&self) -> async_graphql::Result<Option<(i64, i64)>> {
        Ok(Box::pin(self.list.compared()).await?.and_then(|compared| compared.of(self.index)))
    }

    async fn viewed(&self) -> async_graphql::Result<Option<Viewed>> {
        Ok(self.list.viewed().await?.get(self.index).cloned().flatten())
    }
}

#[ComplexObject]
impl PageConnection {
    /// The pages without their cursors.
    async fn nodes(&self) -> Vec<PageViews> {
        self.edges.iter().map(|edge| edge.node.clone()).collect()
    }

    /// How many pages have views, whatever part of the list this is.
    async fn total_count(&self) -> async_graphql::Result<i32> {
        let PageList { report, interval, .. } = &*self.list;
        let pages = read(report.view.page_count(*interval, &report.filter.pages).await)?;
        Ok(i32::try_from(pages).unwrap_or(i32::MAX))
    }
}

//! The breakdown of a report by declared groups of pages.

use std::sync::Arc;

use async_graphql::{Context, Object};

use super::{
    super::inputs::{self, Comparison, Granularity, PageOrder, ParsedFilter},
    Report, Series, Totals,
    page_list::PageConnection,
};
use reports::{Group, PageFilter};

/// A declared group of pages, in a report.
#[derive(Debug)]
pub(crate) struct GroupReport {
    group: Group,
    /// The report of the group's pages, if it has their sums.
    report: Option<Report>,
}

impl GroupReport {
    /// Creates the report of `group` with the interval and the moment of `report`, whatever its pages are.
    pub(super) fn new(report: &Report, group: &Group) -> Self {
        let of_group = || {
            let pages = Arc::new(PageFilter::Group(group.name.clone()));
            Report { filter: ParsedFilter { pages, ..report.filter.clone() }, ..report.clone() }
        };
        Self { report: group.incomplete.is_none().then(of_group), group: group.clone() }
    }
}

/// A declared group of pages, in a report.
#[Object]
impl GroupReport {
    /// The group's name.
    async fn name(&self) -> &str {
        &self.group.name
    }

    /// Why there are no figures of the group, such as that it was declared just now; null when there are.
    async fn incomplete(&self) -> Option<&str> {
        self.group.incomplete.as_deref()
    }

    /// The sums; null while the group is incomplete.
    async fn totals(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The period to compare with; none when left out.")] compare_to: Option<Comparison>,
    ) -> async_graphql::Result<Option<Totals>> {
        let Some(report) = &self.report else { return Ok(None) };
        report.totals(context, compare_to).await.map(Some)
    }

    /// The views by bucket, as in `Report`; null while the group is incomplete.
    async fn series(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The size of the buckets.")] granularity: Granularity,
    ) -> async_graphql::Result<Option<Series>> {
        let Some(report) = &self.report else { return Ok(None) };
        report.series(context, granularity).await.map(Some)
    }

    /// The pages of the group, most viewed first; null while the group is incomplete. It reads the rows of all of them; what
    /// takes too long is stopped, with the error `UNAVAILABLE`.
    #[graphql(complexity = "inputs::list_complexity(first, child_complexity)")]
    async fn pages(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many pages: 0 to 1,000, 10 when left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the page to go on behind; from the first when left out.")] after: Option<
            String,
        >,
    ) -> async_graphql::Result<Option<PageConnection>> {
        let Some(report) = &self.report else { return Ok(None) };
        report.pages(context, first, after, PageOrder::Views, Comparison::PreviousPeriod).await.map(Some)
    }
}

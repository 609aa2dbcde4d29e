//! What can be asked.

use async_graphql::{Context, Object};

use super::{
    freshness::Freshness,
    inputs::ReportFilter,
    report::{self, Report},
};

/// What can be asked.
#[derive(Copy, Clone, Debug)]
pub struct Query;

/// What can be asked.
#[Object]
impl Query {
    /// The page views that the filter chooses, as of the last refresh. All reports of one answer show the same moment.
    async fn report(&self, context: &Context<'_>, filter: Option<ReportFilter>) -> async_graphql::Result<Report> {
        Report::new(context, filter.unwrap_or_default()).await
    }

    /// How current the report is; of the same moment as the reports of this answer.
    async fn freshness(&self, context: &Context<'_>) -> async_graphql::Result<Freshness> {
        Ok((&report::snapshot(context).await?.freshness).into())
    }
}

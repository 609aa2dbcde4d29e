//! What can be asked.

use async_graphql::{Context, Object};

use super::{errors, freshness::Freshness, inputs::ReportFilter, report::Report};
use crate::freshness::FreshnessFeed;

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

    /// How current the report is.
    async fn freshness(&self, context: &Context<'_>) -> async_graphql::Result<Freshness> {
        let freshness = context.data::<FreshnessFeed>()?.read().await;
        freshness.as_ref().map(Freshness::from).map_err(errors::of_database)
    }
}

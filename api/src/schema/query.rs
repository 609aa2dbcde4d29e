//! What can be asked.

use async_graphql::{Context, Object};

use super::{execution, freshness::Freshness, inputs::ReportFilter, report::Report};

/// What can be asked.
#[derive(Copy, Clone, Debug)]
pub struct Query;

/// What can be asked.
#[Object]
impl Query {
    /// The page views that the filter chooses, as of the last refresh. All reports of one answer show the same moment.
    async fn report(&self, context: &Context<'_>, filter: Option<ReportFilter>) -> async_graphql::Result<Report> {
        let filter = filter.unwrap_or_default().parse()?;
        Report::new(execution::answer(context).await?.clone(), filter).await
    }

    /// How current the report is; of the same moment as the reports of this answer.
    async fn freshness(&self, context: &Context<'_>) -> async_graphql::Result<Freshness> {
        Ok(execution::answer(context).await?.freshness().into())
    }
}

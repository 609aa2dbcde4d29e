//! The root type of queries.

use async_graphql::{Context, Object};

use super::{freshness::Freshness, inputs::ReportFilter, limits::Limits, report::Report, view_cell};

/// The root fields that show nothing of what is counted: a token with any scope may ask for them.
pub(crate) const PUBLIC_FIELDS: [&str; 2] = ["version", "limits"];

/// The root type of queries.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Query;

/// The root type of queries where no reports are read.
#[derive(Copy, Clone, Debug)]
pub(crate) struct QueryWithoutReports;

/// What can be asked.
#[Object]
impl Query {
    /// The page views that the filter chooses, as of the last refresh. All reports of one answer show the same moment.
    async fn report(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The last 7 days of all pages, in UTC, when left out.")] filter: Option<ReportFilter>,
    ) -> async_graphql::Result<Report> {
        let filter = filter.unwrap_or_default().parse()?;
        Report::new(view_cell::report_view(context).await?.clone(), filter, false).await
    }

    /// How current the report is; of the same moment as the reports of this answer.
    async fn freshness(&self, context: &Context<'_>) -> async_graphql::Result<Freshness> {
        Ok(Freshness::OfView(view_cell::report_view(context).await?.clone()))
    }

    /// What this server allows.
    async fn limits<'a>(&self, context: &Context<'a>) -> async_graphql::Result<&'a Limits> {
        context.data()
    }

    /// The version of the program that answers.
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// What can be asked.
#[Object(name = "Query")]
impl QueryWithoutReports {
    /// What this server allows.
    async fn limits<'a>(&self, context: &Context<'a>) -> async_graphql::Result<&'a Limits> {
        context.data()
    }

    /// The version of the program that answers.
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

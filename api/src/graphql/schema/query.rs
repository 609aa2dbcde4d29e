//! The root types of queries.

use async_graphql::{Context, MergedObject, Object};

use super::{
    freshness::Freshness, inputs::ReportFilter, job_fields::JobQueries, limits::Limits, report::Report, view_cell,
};

/// The root fields that show nothing of what is counted: a token with any scope may ask for them.
pub(super) const PUBLIC_FIELDS: [&str; 2] = ["version", "limits"];

/// What can be asked.
#[derive(Copy, Clone, Debug, MergedObject)]
pub(crate) struct Query(pub(super) ReportQueries, pub(super) JobQueries, pub(super) ServerQueries);

/// What can be asked.
#[derive(Copy, Clone, Debug, MergedObject)]
#[graphql(name = "Query")]
pub(crate) struct QueryOfIncrements(pub(super) JobQueries, pub(super) ServerQueries);

/// What can be asked.
#[derive(Copy, Clone, Debug, MergedObject)]
#[graphql(name = "Query")]
pub(crate) struct QueryOfReports(pub(super) ReportQueries, pub(super) ServerQueries);

/// The fields of the report, where it is read.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ReportQueries;

/// The fields of every process.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ServerQueries;

#[Object]
impl ReportQueries {
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
}

#[Object]
impl ServerQueries {
    /// What this server allows.
    async fn limits<'a>(&self, context: &Context<'a>) -> async_graphql::Result<&'a Limits> {
        context.data()
    }

    /// The version of the program that answers.
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

//! The root types of queries.

use async_graphql::{Context, MergedObject, Object};
use chrono::{DateTime, Utc};

use super::{
    fresh_reads::FreshRead,
    freshness::Freshness,
    inputs::{self, ReportFilter},
    job_fields::JobQueries,
    limits::Limits,
    refreshes::RefreshConnection,
    report::Report,
    view_cell,
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
        #[graphql(
            desc = "What `freshness.asOf` must have reached, such as a `recordedAt`. The query waits for it, and fails with \
                    `NOT_FRESH_ENOUGH` when it has not come in time."
        )]
        not_before: Option<DateTime<Utc>>,
        #[graphql(
            desc = "How many milliseconds to wait for `notBefore`; 10,000 when left out, or what `limits.waitMs` allows if that \
                    is less."
        )]
        wait_ms: Option<i32>,
        #[graphql(
            desc = "The greatest `freshness.stalenessSeconds`, 0 to 3,155,760,000. A report that is staler is refused with \
                    `NOT_FRESH_ENOUGH`; nothing is waited for."
        )]
        max_staleness_seconds: Option<f64>,
    ) -> async_graphql::Result<Report> {
        let filter = filter.unwrap_or_default().parse()?;
        let read = FreshRead::parse(context, not_before, wait_ms, max_staleness_seconds)?;
        Report::new(read.view(context).await?.clone(), filter, false).await
    }

    /// How current the report is; of the same moment as the reports of this answer.
    async fn freshness(&self, context: &Context<'_>) -> async_graphql::Result<Freshness> {
        Ok(Freshness::OfView(view_cell::report_view(context).await?.clone()))
    }

    /// Refreshes, newest first: those of the last 7 days, failed ones and one that is under way included.
    #[graphql(complexity = "inputs::list_complexity(first, child_complexity)")]
    async fn refreshes(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "How many refreshes: 0 to 1,000, 10 when left out.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the refresh to go on behind; from the newest when left out.")] after: Option<
            String,
        >,
    ) -> async_graphql::Result<RefreshConnection> {
        Box::pin(RefreshConnection::read(context, first, after)).await
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

//! The schema for the stock handlers of `async-graphql-axum`: the baseline that `bench` measures this crate's transport
//! against.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response};
use futures_util::stream::BoxStream;
use increments::Recorder;
use jobs::Jobs;
use reports::Reports;

use super::{
    response_budget::ResponseBounds,
    schema::{AnalyticsSchema, ServerLimits, ViewCell},
};
use crate::access::RecordingTerms;

/// The bound that the resolvers count their responses against: more than a benchmark asks for.
const RESPONSE_BYTES: usize = 1 << 30;

/// Executes requests of everybody on the schema, with the schema's own limits and none of this crate's: nothing is
/// authenticated, counted, bounded in time or memory, shared or cached. Not for serving.
#[derive(Clone)]
pub struct StockExecutor {
    schema: AnalyticsSchema,
    bounds: ResponseBounds,
    terms: RecordingTerms,
}

impl StockExecutor {
    /// Builds the schema for these handles. Returns `None` if there are none.
    #[must_use]
    pub fn new(recording: Option<(Recorder, Jobs)>, reports: Option<Reports>) -> Option<Self> {
        let terms = RecordingTerms::unlimited();
        let bounds = ResponseBounds::new(RESPONSE_BYTES, RESPONSE_BYTES);
        Some(Self { schema: AnalyticsSchema::new(recording, reports, ServerLimits::default())?, bounds, terms })
    }

    /// Attaches the data that the resolvers need.
    fn with_data(&self, request: Request) -> Request {
        request.data(ViewCell::default()).data(self.bounds.budget(None)).data(self.terms.clone())
    }
}

impl Executor for StockExecutor {
    async fn execute(&self, request: Request) -> Response {
        self.schema.execute(self.with_data(request)).await
    }

    fn execute_stream(&self, request: Request, _session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        self.schema.execute_stream(self.with_data(request))
    }
}

impl std::fmt::Debug for StockExecutor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("StockExecutor")
    }
}

//! Executes operations: in bounded time and memory, and so that every response shows one version of the report.

mod live_reports;
mod query_execution;

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_graphql::{Request, Response, ServerError, Value, parser::types::OperationType};
use futures_util::{
    FutureExt, Stream, StreamExt, future,
    stream::{self, BoxStream},
};
use increments::{RecordError, Recorder};
use jobs::Jobs;
use reports::Reports;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    live_reports::LiveReports,
    query_execution::{Attempt, QueryExecution},
};
use super::{
    errors::{count_errors, panicked, request_error},
    event::ExecutionEvent,
    mutation_fast_path::{FastPathCache, FastPathRequest},
    operation::{AuthorizedOperation, Operation},
    response_budget::{ResponseBounds, ResponseBudget},
    schema::{AnalyticsSchema, ServerLimits, ViewCell, record},
    selection::{FieldOrder, FreshnessUse},
    shared_executions::SharedExecutions,
    shared_subscriptions::SharedSubscriptions,
    waiting_reads::WaitingReads,
};
use crate::{
    access::{ManagingTerms, RecordingTerms},
    error_code::Code,
    metrics::Operations,
};

/// Executes the operations of all clients. A cheap handle: clone it.
#[derive(Clone)]
pub(crate) struct OperationExecutor {
    schema: AnalyticsSchema,
    recorder: Option<Recorder>,
    fast_path: Arc<FastPathCache>,
    bounds: ResponseBounds,
    /// The longest time that a query or mutation may take.
    time_max: Duration,
    operations: Arc<Operations>,
    shared_subscriptions: SharedSubscriptions,
    live_reports: Option<LiveReports>,
    waiting_reads: WaitingReads,
    /// The executions of queries that have waited.
    waited: SharedExecutions<Attempt>,
    /// The tasks that compute the events of subscriptions.
    tasks: TaskTracker,
}

impl OperationExecutor {
    /// Returns an executor for the services that there are, or `None` without any.
    pub(crate) fn new(
        recorder: Option<Recorder>,
        jobs: Option<Jobs>,
        reports: Option<Reports>,
        bounds: ResponseBounds,
        limits: ServerLimits,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Option<Self> {
        let waiting_reads = WaitingReads::new(reports.as_ref(), limits.waiting_queries, stop);
        let reader = reports.as_ref().map(|reports| reports.reader.clone());
        let schema = AnalyticsSchema::new(recorder.clone().zip(jobs), reports, limits)?;
        let live_reports = reader.map(|reader| LiveReports::new(schema.clone(), reader));
        Code::describe_all();
        Some(Self {
            schema,
            recorder,
            fast_path: Arc::default(),
            bounds,
            time_max: limits.time_max,
            operations: Arc::new(Operations::new()),
            shared_subscriptions: SharedSubscriptions::default(),
            live_reports,
            waiting_reads,
            waited: SharedExecutions::default(),
            tasks,
        })
    }

    /// Returns the schema in the schema definition language.
    pub(crate) fn sdl(&self) -> String {
        self.schema.sdl()
    }

    /// Executes the operation: one event for a query or mutation, one per event of a subscription.
    pub(crate) fn execute(&self, operation: AuthorizedOperation) -> impl Stream<Item = ExecutionEvent> + Send + use<> {
        let Operation { request, kind, managing, order, freshness_use, memory, turn, .. } = operation.into_inner();
        let executor = self.clone();
        match kind {
            OperationType::Subscription => {
                let execute = move |request| {
                    let budget = executor.bounds.budget(memory.clone());
                    let request = with_terms(request, managing.as_ref());
                    let events = executor.execute_stream(request, order.clone(), freshness_use.clone(), budget.clone());
                    AssertUnwindSafe(events)
                        .catch_unwind()
                        .map(move |event| event.unwrap_or_else(|_panic| ExecutionEvent::of(None, None, &budget, kind)))
                        .boxed()
                };
                self.shared_subscriptions.follow(request, &self.tasks, execute)
            }
            OperationType::Query | OperationType::Mutation => {
                let budget = self.bounds.budget(memory);
                let executed = async move {
                    let execution = async {
                        if kind == OperationType::Mutation {
                            let response = executor.execute_mutation(request, managing.as_ref()).await;
                            return Some(ExecutionEvent::of(Some(order.sorted(response)), None, &budget, kind));
                        }
                        let (order, budget) = (order.clone(), budget.clone());
                        let execution = QueryExecution { executor, managing, order, budget };
                        execution.run(request, turn.as_deref()).await
                    };
                    let executed = AssertUnwindSafe(execution).catch_unwind().await;
                    executed.unwrap_or_else(|_panic| Some(ExecutionEvent::of(None, None, &budget, kind)))
                };
                stream::once(executed).filter_map(future::ready).boxed()
            }
        }
    }

    /// Executes a query or mutation.
    pub(crate) async fn execute_to_end(&self, operation: AuthorizedOperation) -> ExecutionEvent {
        let only = self.execute(operation).into_future().await.0;
        only.unwrap_or_else(|| ExecutionEvent::RequestErrors(vec![panicked()]))
    }

    /// Returns the mutation and its input if the document has the form of the fast path and the input is well-formed.
    pub(crate) fn fast_path(
        &self,
        text: &str,
        operation: Option<&str>,
        variables: &RawValue,
    ) -> Option<FastPathRequest> {
        let recorder = self.recorder.clone()?;
        self.fast_path.get(text, operation)?.with_input(variables, recorder)
    }

    /// Executes a mutation of the fast path on these `terms`. Returns the response as JSON, or one with errors.
    pub(crate) async fn record(&self, request: FastPathRequest, terms: RecordingTerms) -> Result<String, Response> {
        let FastPathRequest { recorder, mutation, input } = request;
        let recording = record(&recorder, input, terms);
        // A recorder answers in time by itself, so most often no second timer is needed.
        let recorded = if recorder.timeout() <= self.time_max {
            Ok(self.operations.mutations.measure(recording).await)
        } else {
            self.in_time(OperationType::Mutation, recording).await
        };
        let response = match recorded {
            Ok(Ok(payload)) => return Ok(mutation.recorded(&payload)),
            Ok(Err(failure)) => mutation.failed(failure),
            Err(late) => late,
        };
        count_errors(&response.errors);
        Err(response)
    }

    /// Records a view that a browser sent. It is measured as a mutation.
    pub(crate) async fn record_view(&self, request: increments::Request) -> Result<(), RecordError> {
        let unavailable = RecordError::Unavailable(None);
        let Some(recorder) = &self.recorder else { return Err(unavailable) };
        let recording = timeout(self.time_max, recorder.record(request));
        self.operations.mutations.measure(recording).await.unwrap_or(Err(unavailable)).map(drop)
    }

    async fn execute_mutation(&self, request: Request, managing: Option<&ManagingTerms>) -> Response {
        let request = with_terms(request, managing).data(ViewCell::default());
        let response = self.in_time(OperationType::Mutation, self.schema.execute(request)).await;
        whole_or_nothing(response.unwrap_or_else(|late| late))
    }

    /// Executes a subscription: to a report, which shows its freshness as `freshness_use` says, or to something else.
    fn execute_stream(
        &self,
        request: Request,
        order: FieldOrder,
        freshness_use: Option<FreshnessUse>,
        budget: ResponseBudget,
    ) -> BoxStream<'static, ExecutionEvent> {
        if let (Some(live_reports), Some(freshness_use)) = (&self.live_reports, freshness_use) {
            return live_reports.follow(request, freshness_use, order, budget).boxed();
        }
        let responses = self.schema.execute_stream(request.data(ViewCell::default()).data(budget.clone()));
        let event = move |response: Response| {
            let response = order.sorted(whole_or_nothing(response));
            ExecutionEvent::of(Some(response), None, &budget, OperationType::Subscription)
        };
        responses.map(event).boxed()
    }

    /// Returns the output of `execution`, or an error response when it takes too long. The future is then dropped, as
    /// it is when its client disconnects.
    async fn in_time<T>(&self, operation: OperationType, execution: impl Future<Output = T>) -> Result<T, Response> {
        let (executions, consequence) = match operation {
            OperationType::Mutation => {
                (&self.operations.mutations, "; whether anything was recorded or changed is not known")
            }
            _ => (&self.operations.queries, ""),
        };
        executions.measure(timeout(self.time_max, execution)).await.map_err(|_elapsed| {
            let message = format!("not done within {} ms{consequence}", self.time_max.as_millis());
            Response::from_errors(vec![request_error(Code::Unavailable, message)])
        })
    }

    /// Counts a query that was answered 304.
    pub(crate) fn count_not_modified(&self) {
        self.operations.not_modified.increment(1);
    }

    /// Counts a query that was answered from the cache of responses.
    pub(crate) fn count_cached(&self) {
        self.operations.from_memory.increment(1);
    }
}

/// Attaches the right to change what was counted, if the client has it and the operation needs it.
fn with_terms(request: Request, managing: Option<&ManagingTerms>) -> Request {
    match managing {
        Some(terms) => request.data(terms.clone()),
        None => request,
    }
}

/// Sets the `data` of a response with errors to null. A null that a field must not have propagates up to `data`, since
/// no root field of ours is nullable; the library leaves the root field out instead.
fn whole_or_nothing(mut response: Response) -> Response {
    if !response.errors.is_empty() {
        response.data = Value::Null;
    }
    response
}

fn is_marked<Mark: Any + Send + Sync>(response: &Response) -> bool {
    response.errors.iter().any(|error: &ServerError| error.source::<Mark>().is_some())
}

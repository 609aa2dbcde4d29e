//! Executes operations: in bounded time and memory, and so that every response shows one version of the report.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use async_graphql::{Request, Response, ServerError, Value, parser::types::OperationType};
use futures_util::{FutureExt, Stream, StreamExt, future, stream};
use increments::{RecordError, Recorder};
use jobs::Jobs;
use reports::{Provenance, Reports};
use serde_json::{json, value::RawValue};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    errors::{Cancelled, VersionChanged, assign_code, count_error, count_errors, panicked, request_error},
    event::ExecutionEvent,
    mutation_fast_path::{FastPathCache, FastPathRequest},
    operation::{AuthorizedOperation, Operation},
    response_budget::{NoText, ResponseBounds, ResponseBudget, ResponseText},
    schema::{AnalyticsSchema, ServerLimits, ViewCell, may_require_freshness, record},
    selection::FieldOrder,
    shared_subscriptions::SharedSubscriptions,
    turn::Turn,
    waiting_reads::{Verdict, WaitingReads, not_fresh_enough},
};
use crate::{
    access::{ManagingTerms, RecordingTerms},
    error_code::Code,
    metrics::{Executions, Operations},
};

/// The attempts to execute a query against the cache before it takes a transaction of its own.
const SHARED_TRIES: u32 = 2;

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
    waiting_reads: WaitingReads,
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
        let waiting_reads = WaitingReads::new(reports.as_ref(), stop);
        let schema = AnalyticsSchema::new(recorder.clone().zip(jobs), reports, limits)?;
        Code::describe_all();
        Some(Self {
            schema,
            recorder,
            fast_path: Arc::default(),
            bounds,
            time_max: limits.time_max,
            operations: Arc::new(Operations::new()),
            shared_subscriptions: SharedSubscriptions::default(),
            waiting_reads,
            tasks,
        })
    }

    /// Returns the schema in the schema definition language.
    pub(crate) fn sdl(&self) -> String {
        self.schema.sdl()
    }

    /// Executes the operation: one event for a query or mutation, one per event of a subscription.
    pub(crate) fn execute(&self, operation: AuthorizedOperation) -> impl Stream<Item = ExecutionEvent> + Send + use<> {
        let Operation { request, kind, managing, order, memory, turn, .. } = operation.into_inner();
        let executor = self.clone();
        match kind {
            OperationType::Subscription => {
                let execute = move |request| {
                    let budget = executor.bounds.budget(memory.clone());
                    let responses = executor.execute_stream(with_terms(request, managing.as_ref()), budget.clone());
                    let order = order.clone();
                    AssertUnwindSafe(responses)
                        .catch_unwind()
                        .map(move |response| event(response.ok(), None, &order, &budget, kind))
                        .boxed()
                };
                self.shared_subscriptions.follow(request, &self.tasks, execute)
            }
            OperationType::Query | OperationType::Mutation => {
                let budget = self.bounds.budget(memory);
                let executed = async move {
                    let execution = executor.execute_once(kind, request, managing, &budget, turn.as_deref());
                    let (response, provenance) = match AssertUnwindSafe(execution).catch_unwind().await {
                        Ok(Some((response, provenance))) => (Some(response), provenance),
                        Ok(None) => return None,
                        Err(_panic) => (None, None),
                    };
                    Some(event(response, provenance, &order, &budget, kind))
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
            self.in_time(&self.operations.mutations, recording).await
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

    async fn execute_once(
        &self,
        kind: OperationType,
        request: Request,
        managing: Option<ManagingTerms>,
        budget: &ResponseBudget,
        turn: Option<&Turn>,
    ) -> Option<(Response, Option<Provenance>)> {
        if kind == OperationType::Mutation {
            let request = with_terms(request, managing.as_ref());
            let execution = self.schema.execute(request.data(ViewCell::default()));
            let response = self.in_time(&self.operations.mutations, execution).await;
            return Some((whole_or_nothing(response.unwrap_or_else(|late| late)), None));
        }
        self.execute_when_fresh(request, managing, budget, turn).await
    }

    /// Executes a query, and again after it has waited for the report to be as fresh as it requires. Returns `None` if it was
    /// cancelled while it waited.
    async fn execute_when_fresh(
        &self,
        mut request: Request,
        managing: Option<ManagingTerms>,
        budget: &ResponseBudget,
        turn: Option<&Turn>,
    ) -> Option<(Response, Option<Provenance>)> {
        let (begun, mut attempt) = (Instant::now(), 0);
        let copy = may_require_freshness(&request.query).then(|| same_request(&request));
        loop {
            let execution = Box::pin(self.execute_query(request, managing.clone(), budget));
            let executed = self.in_time(&self.operations.queries, execution).await;
            let (response, provenance) = executed.unwrap_or_else(|late| (late, None));
            let Some((read, copy)) = not_fresh_enough(&response).zip(copy.as_ref()) else {
                return Some((response, provenance));
            };
            // Nothing is held while it waits.
            budget.reset();
            match self.waiting_reads.wait(read, begun, attempt, turn).await {
                Verdict::Again => (request, attempt) = (same_request(copy), attempt + 1),
                Verdict::TooLate => return Some((response, None)),
                Verdict::Refused(refusal) => return Some((*refusal, None)),
                Verdict::Cancelled => return None,
            }
        }
    }

    /// Executes a query. One whose report changes meanwhile, or that the database cancels, is executed again.
    async fn execute_query(
        &self,
        mut request: Request,
        managing: Option<ManagingTerms>,
        budget: &ResponseBudget,
    ) -> (Response, Option<Provenance>) {
        for _ in 0..SHARED_TRIES {
            let again = same_request(&request);
            let request_once = with_terms(request, managing.as_ref());
            let (response, provenance) = self.try_query(request_once, ViewCell::default(), budget).await;
            if !is_marked::<VersionChanged>(&response) && !is_marked::<Cancelled>(&response) {
                return (response, provenance);
            }
            request = again;
        }
        self.try_query(with_terms(request, managing.as_ref()), ViewCell::in_own_transaction(), budget).await
    }

    async fn try_query(
        &self,
        request: Request,
        view: ViewCell,
        budget: &ResponseBudget,
    ) -> (Response, Option<Provenance>) {
        budget.reset();
        let response = self.schema.execute(request.data(view.clone()).data(budget.clone())).await;
        // The report has grown older while it was read.
        let response = match view.check_freshness() {
            Err(stale) if response.errors.is_empty() => Response::from_errors(vec![stale]),
            _ => response,
        };
        (whole_or_nothing(response), view.provenance())
    }

    /// Executes a subscription.
    ///
    /// An event during which the report changes is not sent, because the next event is on its way.
    fn execute_stream(&self, request: Request, budget: ResponseBudget) -> impl Stream<Item = Response> + Send + use<> {
        let responses = self.schema.execute_stream(request.data(ViewCell::default()).data(budget.clone()));
        let is_sent = move |response: &Response| {
            let is_sent = !is_marked::<VersionChanged>(response);
            if !is_sent {
                budget.reset();
            }
            future::ready(is_sent)
        };
        responses.filter(is_sent).map(whole_or_nothing)
    }

    /// Returns the output of `execution`, or an error response when it takes too long. The future is then dropped, as
    /// it is when its client disconnects.
    async fn in_time<T>(&self, executions: &Executions, execution: impl Future<Output = T>) -> Result<T, Response> {
        let time_max = self.time_max;
        executions.measure(timeout(time_max, execution)).await.map_err(|_elapsed| {
            let message =
                format!("not done within {} ms; whether anything was recorded is not known", time_max.as_millis());
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

/// Returns a request with the query, the variables and the operation name of `request`.
fn same_request(request: &Request) -> Request {
    let mut same = Request::new(request.query.clone()).variables(request.variables.clone());
    same.operation_name.clone_from(&request.operation_name);
    same
}

/// Attaches the right to change what was counted, if the client has it and the operation needs it.
fn with_terms(request: Request, managing: Option<&ManagingTerms>) -> Request {
    match managing {
        Some(terms) => request.data(terms.clone()),
        None => request,
    }
}

/// Converts a response into an event; `None` is that of an execution that panicked.
fn event(
    response: Option<Response>,
    provenance: Option<Provenance>,
    order: &FieldOrder,
    budget: &ResponseBudget,
    kind: OperationType,
) -> ExecutionEvent {
    let mut response = response.unwrap_or_else(|| Response::from_errors(vec![panicked()]));
    order.apply(&mut response.data);
    response.errors.iter_mut().for_each(assign_code);
    count_errors(&response.errors);
    if response.errors.iter().any(NoText::is_no_room) {
        return ExecutionEvent::RequestErrors(vec![request_error(Code::Overloaded, NoText::NoRoom.to_string())]);
    }
    // A request error, unlike a field error, has no path: nothing was executed.
    let executed = response.errors.is_empty() || response.errors.iter().any(|error| !error.path.is_empty());
    if !executed {
        return ExecutionEvent::RequestErrors(response.errors);
    }
    let no_text = match budget.text(&response) {
        Ok(text) => {
            let provenance = provenance.filter(|_| response.errors.is_empty()).map(Box::new);
            return ExecutionEvent::Response { text, provenance };
        }
        Err(no_text) => no_text,
    };
    let unsent = count_error(match (kind, no_text) {
        // The mutation was executed: a retryable error would make clients record the same views again.
        (OperationType::Mutation, _) => {
            request_error(Code::AnswerTooLarge, format!("what was asked for is done, but not told: {no_text}"))
        }
        _ => request_error(no_text.code(), no_text.to_string()),
    });
    match no_text {
        NoText::NoRoom if kind != OperationType::Mutation => ExecutionEvent::RequestErrors(vec![unsent]),
        _ => ExecutionEvent::Response {
            text: ResponseText::small(&json!({ "data": null, "errors": [unsent] })),
            provenance: None,
        },
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

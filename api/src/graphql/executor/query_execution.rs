//! The execution of a query: of one version of the report, which is as fresh as the query requires.

use std::time::Instant;

use async_graphql::{Request, Response, ServerError, parser::types::OperationType};
use reports::Provenance;

use super::{
    super::{
        errors::{Cancelled, VersionChanged},
        event::ExecutionEvent,
        request_key::RequestKey,
        response_budget::ResponseBudget,
        schema::{FreshRead, ViewCell, may_require_freshness},
        selection::FieldOrder,
        turn::Turn,
        waiting_reads::{Verdict, not_fresh_enough},
    },
    OperationExecutor, is_marked, whole_or_nothing, with_terms,
};
use crate::access::ManagingTerms;

/// The attempts to execute a query against the cache before it takes a transaction of its own.
const SHARED_TRIES: u32 = 2;

/// A query that is executed. Cheap to clone.
#[derive(Clone)]
pub(super) struct QueryExecution {
    pub(super) executor: OperationExecutor,
    pub(super) managing: Option<ManagingTerms>,
    pub(super) order: FieldOrder,
    pub(super) budget: ResponseBudget,
}

/// What an attempt has led to.
#[derive(Clone)]
pub(super) enum Attempt {
    Executed(ExecutionEvent),
    /// The report is not as fresh as was required, which the errors say.
    NotFreshEnough(FreshRead, Vec<ServerError>),
}

impl QueryExecution {
    /// Executes the query, and again after it has waited for the report to be as fresh as it requires. Returns `None` if it
    /// was cancelled while it waited.
    pub(super) async fn run(self, mut request: Request, turn: Option<&Turn>) -> Option<ExecutionEvent> {
        let (begun, mut attempts) = (Instant::now(), 0);
        let mut copy = may_require_freshness(&request.query).then(|| same_parsed_request(&mut request));
        let mut attempt = self.attempt(request).await;
        while let (Attempt::NotFreshEnough(read, _), Some(copy)) = (&attempt, &mut copy) {
            // Nothing is held while it waits.
            self.budget.reset();
            match self.executor.waiting_reads.wait(*read, begun, attempts, turn).await {
                Verdict::Again => (attempt, attempts) = (self.attempt_together(copy).await, attempts + 1),
                Verdict::TooLate => break,
                Verdict::Refused(refusal) => return Some(self.event(*refusal, None)),
                Verdict::Cancelled => return None,
            }
        }
        Some(match attempt {
            Attempt::Executed(event) => event,
            Attempt::NotFreshEnough(_, errors) => self.event(Response::from_errors(errors), None),
        })
    }

    /// Executes a query that has waited, once for all equal ones.
    async fn attempt_together(&self, request: &mut Request) -> Attempt {
        let key = RequestKey::of(request);
        let mut attempt = || {
            let (execution, again) = (self.clone(), same_parsed_request(request));
            async move {
                let _turn = execution.executor.waiting_reads.turn().await;
                execution.attempt(again).await
            }
        };
        match self.managing {
            None => self.executor.waited.share(key, attempt).await,
            Some(_) => attempt().await,
        }
    }

    /// Executes the query in time.
    async fn attempt(&self, request: Request) -> Attempt {
        // Boxed: it is large, and is moved more than once.
        let execution = Box::pin(self.execute(request));
        let executed = self.executor.in_time(OperationType::Query, execution).await;
        let (response, provenance) = executed.unwrap_or_else(|late| (late, None));
        match not_fresh_enough(&response) {
            Some(read) => Attempt::NotFreshEnough(read, response.errors),
            None => Attempt::Executed(self.event(response, provenance)),
        }
    }

    /// Executes the query. One whose report changes meanwhile, or that the database cancels, is executed again.
    async fn execute(&self, mut request: Request) -> (Response, Option<Provenance>) {
        for _ in 0..SHARED_TRIES {
            let again = same_request(&request);
            let (response, provenance) = self.execute_once(request, ViewCell::default()).await;
            if !is_marked::<VersionChanged>(&response) && !is_marked::<Cancelled>(&response) {
                return (response, provenance);
            }
            request = again;
        }
        self.execute_once(request, ViewCell::in_own_transaction()).await
    }

    async fn execute_once(&self, request: Request, view: ViewCell) -> (Response, Option<Provenance>) {
        self.budget.reset();
        let request = with_terms(request, self.managing.as_ref()).data(view.clone()).data(self.budget.clone());
        let response = self.executor.schema.execute(request).await;
        // The report has grown older while it was read.
        let response = match view.check_freshness() {
            Err(stale) if response.errors.is_empty() => Response::from_errors(vec![stale]),
            _ => response,
        };
        (whole_or_nothing(response), view.provenance())
    }

    fn event(&self, response: Response, provenance: Option<Provenance>) -> ExecutionEvent {
        ExecutionEvent::of(Some(self.order.sorted(response)), provenance, &self.budget, OperationType::Query)
    }
}

/// Returns a request with the query, the variables and the operation name of `request`.
fn same_request(request: &Request) -> Request {
    let mut same = Request::new(request.query.clone()).variables(request.variables.clone());
    same.operation_name.clone_from(&request.operation_name);
    same
}

/// Does the same, and copies what the query was parsed into.
fn same_parsed_request(request: &mut Request) -> Request {
    let mut same = same_request(request);
    if let Ok(document) = request.parsed_query() {
        same.set_parsed_query(document.clone());
    }
    same
}

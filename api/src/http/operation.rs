//! One GraphQL operation over any transport: parsed, checked against the limits, authorized and executed.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_graphql::{
    Pos, Request, Response as Answer, ServerError,
    parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, SelectionSet},
};
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::time::timeout;

use super::{
    App,
    access::{AuthError, Principal, Scope},
    query_limits,
    selection::{self, FieldOrder},
};
use crate::{
    memory_budget::Reservation,
    metrics::Executions,
    schema::{self, AnswerBudget, AnswerText, AnsweredFrom, Code, NoText, code_of, count_error, count_errors, error},
};

/// A request whose query was parsed, keeps the limits, and determines the operation to execute.
pub(super) struct Operation {
    request: Request,
    kind: OperationType,
    /// Whether it selects nothing but the schema itself and the program's version.
    is_introspection: bool,
    /// The order of the fields in its responses.
    order: FieldOrder,
    /// The memory reserved for the request, until nothing of the request is in use.
    room: Option<Arc<Reservation>>,
}

/// An operation that its client is allowed to execute.
pub(super) struct AuthorizedOperation(Operation);

/// One result of executing an operation.
#[derive(Clone, Debug)]
pub(super) enum ExecutionEvent {
    /// A GraphQL response as JSON; `is_whole` if none of its fields has an error.
    Response { text: AnswerText, is_whole: bool },
    /// Request errors: nothing was executed, and no event follows.
    RequestErrors(Vec<ServerError>),
}

impl Operation {
    /// Parses the query and checks it against the limits. An error has its code, and is counted in the metrics.
    pub(super) fn read(request: Request) -> Result<Self, ServerError> {
        Self::parse(request).map_err(count_error)
    }

    fn parse(mut request: Request) -> Result<Self, ServerError> {
        let too_much = |much: query_limits::QueryLimitExceeded| failure(Code::ValidationFailed, much.to_string());
        query_limits::check_nesting(&request.query).map_err(too_much)?;
        let name = request.operation_name.take();
        let mut variables = std::mem::take(&mut request.variables);
        let document = request.parsed_query().map_err(|mut unreadable| {
            set_code(&mut unreadable, Code::ParseFailed);
            unreadable
        })?;
        query_limits::check_document(document).map_err(too_much)?;
        let operation = chosen(document, name.as_deref())?;
        selection::set_default_values(operation, &mut variables);
        let kind = operation.ty;
        let is_introspection = query_limits::is_introspection(document, operation);
        let order = FieldOrder::of(document, operation, &variables);
        if kind == OperationType::Subscription
            && let Some(selection) = selection::with_plain_root_field(document, operation, &variables)
                .map_err(|fields| failure(Code::ValidationFailed, fields.to_string()))?
        {
            let mut document = document.clone();
            set_selection(&mut document, name.as_deref(), selection);
            request.set_parsed_query(document);
        }
        request.variables = variables;
        request.operation_name = name;
        Ok(Self { request, kind, is_introspection, order, room: None })
    }

    /// Attaches `room`, the request's memory, which is released when nothing of the request is in use.
    pub(super) fn holding(self, room: Reservation) -> Self {
        Self { room: Some(Arc::new(room)), ..self }
    }

    pub(super) fn kind(&self) -> OperationType {
        self.kind
    }

    /// Returns whether the query selects a field of this name anywhere.
    pub(super) fn has_field(&mut self, name: &str) -> bool {
        self.request.parsed_query().is_ok_and(|document| query_limits::has_field(document, name))
    }

    /// Authorizes the operation. A mutation needs the right to record, a query or subscription [`Scope::Reports`], and
    /// introspection any scope.
    ///
    /// Errs when `principal` lacks the scope.
    pub(super) fn authorize(mut self, principal: &Principal) -> Result<AuthorizedOperation, AuthError> {
        match self.kind {
            OperationType::Mutation => self.request = self.request.data(principal.recording()?),
            OperationType::Query if self.is_introspection => principal.require_any_scope()?,
            OperationType::Query | OperationType::Subscription => principal.require_scope(Scope::Reports)?,
        }
        Ok(AuthorizedOperation(self))
    }
}

/// Returns the operation of this name, or the only operation when there is no name.
///
/// Errs when there is no such operation, or several without a name to choose by.
fn chosen<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Result<&'a OperationDefinition, ServerError> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|name| name == wanted)),
        None => match (operations.next(), operations.next()) {
            (Some(_), Some(_)) => {
                let message = "the query has several operations: operationName must name one of them";
                return Err(failure(Code::ValidationFailed, message));
            }
            (only, _) => only,
        },
    };
    let missing = match name {
        Some(_) => "the query has no operation of the name in operationName",
        None => "the query has no operation",
    };
    found.map(|(_, operation)| &operation.node).ok_or_else(|| failure(Code::ValidationFailed, missing))
}

fn set_selection(document: &mut ExecutableDocument, name: Option<&str>, selection: SelectionSet) {
    let operation = match (&mut document.operations, name) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get_mut(name),
        (DocumentOperations::Multiple(operations), None) => operations.values_mut().next(),
    };
    if let Some(operation) = operation {
        operation.node.selection_set.node = selection;
    }
}

impl AuthorizedOperation {
    pub(super) fn kind(&self) -> OperationType {
        self.0.kind
    }

    /// Executes the operation: one event for a query or mutation, one per event of a subscription.
    ///
    /// `from` receives the freshness and moment of the report that a query was answered from.
    pub(super) fn answers(self, app: &App, from: AnsweredFrom) -> impl Stream<Item = ExecutionEvent> + Send + use<> {
        let Operation { request, kind, order, room, .. } = self.0;
        let (schema, time, operations) = (app.schema.clone(), app.request_max, Arc::clone(&app.operations));
        let bounds = app.answers.clone();
        match kind {
            OperationType::Subscription => {
                let execute = move |request| {
                    let budget = bounds.budget(room.clone());
                    let answers = schema::execute_stream(&schema, request, budget.clone());
                    said(answers, order.clone(), budget, kind).boxed()
                };
                app.shared_subscriptions.follow(request, &app.tasks, execute)
            }
            OperationType::Query => {
                let budget = bounds.budget(room);
                let spent = budget.clone();
                let answer = async move {
                    let answer = Box::pin(schema::execute_query(&schema, request, &from, &spent));
                    within(time, &operations.queries, answer).await
                };
                said(stream::once(answer), order, budget, kind).boxed()
            }
            OperationType::Mutation => {
                let answer = async move {
                    within(time, &operations.mutations, schema::execute_mutation(&schema, request)).await
                };
                said(stream::once(answer), order, bounds.budget(room), kind).boxed()
            }
        }
    }
}

fn said(
    answers: impl Stream<Item = Answer>,
    order: FieldOrder,
    budget: AnswerBudget,
    kind: OperationType,
) -> impl Stream<Item = ExecutionEvent> {
    AssertUnwindSafe(answers).catch_unwind().map(move |answer| {
        let mut answer = answer.unwrap_or_else(|_panic| Answer::from_errors(vec![panicked()]));
        order.apply(&mut answer.data);
        answer.errors.iter_mut().for_each(complete);
        count_errors(&answer.errors);
        if answer.errors.iter().any(NoText::is_no_room) {
            return ExecutionEvent::RequestErrors(vec![failure(Code::Overloaded, NoText::NoRoom.to_string())]);
        }
        // A request error, unlike a field error, has no path: nothing was executed.
        let executed = answer.errors.is_empty() || answer.errors.iter().any(|error| !error.path.is_empty());
        if !executed {
            return ExecutionEvent::RequestErrors(answer.errors);
        }
        let is_whole = answer.errors.is_empty();
        let no_text = match budget.text(&answer) {
            Ok(text) => return ExecutionEvent::Response { text, is_whole },
            Err(no_text) => no_text,
        };
        let untold = count_error(match (kind, no_text) {
            // The mutation was executed: a retryable error would make clients record the same views again.
            (OperationType::Mutation, _) => {
                failure(Code::AnswerTooLarge, format!("what was asked for is done, but not told: {no_text}"))
            }
            _ => failure(no_text.code(), no_text.to_string()),
        });
        match no_text {
            NoText::NoRoom if kind != OperationType::Mutation => ExecutionEvent::RequestErrors(vec![untold]),
            _ => ExecutionEvent::Response {
                text: AnswerText::small(&json!({ "data": null, "errors": [untold] })),
                is_whole: false,
            },
        }
    })
}

/// Returns the response, or an error response when it takes longer than `time`. The future is then dropped, as it is
/// when its client disconnects.
async fn within(time: Duration, executions: &Executions, answer: impl Future<Output = Answer>) -> Answer {
    in_time(time, executions, answer).await.unwrap_or_else(|late| late)
}

/// Like `within`, for a future whose output is not a GraphQL response.
pub(super) async fn in_time<T>(
    time: Duration,
    executions: &Executions,
    answer: impl Future<Output = T>,
) -> Result<T, Answer> {
    executions.measure(timeout(time, answer)).await.map_err(|_elapsed| {
        let message = format!("not done within {} ms; whether anything was recorded is not known", time.as_millis());
        Answer::from_errors(vec![failure(Code::Unavailable, message)])
    })
}

impl ExecutionEvent {
    /// Returns the one event of a query or mutation.
    pub(super) async fn only(answers: impl Stream<Item = Self>) -> Self {
        std::pin::pin!(answers).next().await.unwrap_or_else(|| Self::RequestErrors(vec![panicked()]))
    }
}

/// Builds a request error, which has neither location nor path.
pub(super) fn failure(code: Code, message: impl Into<String>) -> ServerError {
    let failure = error(code, message).into_server_error(Pos::default());
    ServerError { locations: Vec::new(), ..failure }
}

/// Builds the error for a panic. The log has the panic's message and location already.
pub(super) fn panicked() -> ServerError {
    failure(Code::Internal, INTERNAL)
}

const INTERNAL: &str = "internal error; the server's log says why";

/// The beginnings of the GraphQL library's messages about arguments and variables that can't be read.
const INPUT_ERRORS: [&str; 3] = ["Expected input type ", "Failed to parse ", "Variable "];

/// Gives an error of the GraphQL library its code. The message of an unforeseen one is logged and replaced, so that no
/// client sees internal details.
fn complete(failure: &mut ServerError) {
    if code_of(failure).is_some() {
        return;
    }
    // The errors of the resolvers have a code already.
    let code = if failure.path.is_empty() {
        Code::ValidationFailed
    } else if INPUT_ERRORS.iter().any(|beginning| failure.message.starts_with(beginning)) {
        Code::BadUserInput
    } else {
        tracing::error!(error.message = failure.message, "a resolver failed in a way that has no code");
        INTERNAL.clone_into(&mut failure.message);
        Code::Internal
    };
    set_code(failure, code);
}

fn set_code(failure: &mut ServerError, code: Code) {
    let extensions = failure.extensions.get_or_insert_default();
    extensions.set("code", code.as_str());
    extensions.set("retryable", code.is_retryable());
}

#[cfg(test)]
mod tests {
    use async_graphql::PathSegment;

    use super::*;

    fn kind(query: &str, name: Option<&str>) -> Result<OperationType, String> {
        let mut request = Request::new(query);
        request.operation_name = name.map(str::to_owned);
        Operation::read(request).map(|operation| operation.kind()).map_err(|failure| failure.message)
    }

    #[test]
    fn kind_is_that_of_the_operation_to_execute() {
        assert_eq!(kind("{ a }", None), Ok(OperationType::Query));
        assert_eq!(kind("mutation { a }", None), Ok(OperationType::Mutation));
        assert_eq!(kind("mutation M { a }", None), Ok(OperationType::Mutation), "the only operation needs no name");
        let both = "query Q { a } mutation M { a }";
        assert_eq!(kind(both, Some("M")), Ok(OperationType::Mutation));
        assert_eq!(kind(both, Some("Q")), Ok(OperationType::Query));
        for (query, name) in [(both, None), (both, Some("N")), ("{ a }", Some("Q")), ("mutation M { a }", Some("N"))] {
            assert!(kind(query, name).is_err(), "{query} {name:?}");
        }
    }

    #[test]
    fn messages_of_unforeseen_errors_are_not_sent() {
        let failed = |message: &str, at_a_field: bool| {
            let mut failure = ServerError::new(message, None);
            if at_a_field {
                failure.path = vec![PathSegment::Field("report".to_owned())];
            }
            complete(&mut failure);
            (code_of(&failure).unwrap().to_owned(), failure.message)
        };
        assert_eq!(
            failed("Data `x::Secret` does not exist.", true),
            ("INTERNAL_SERVER_ERROR".to_owned(), INTERNAL.to_owned())
        );
        assert_eq!(failed("Failed to parse \"SafeInt\": no", true).0, "BAD_USER_INPUT");
        assert_eq!(
            failed("Unknown field", false),
            ("GRAPHQL_VALIDATION_FAILED".to_owned(), "Unknown field".to_owned())
        );
    }
}

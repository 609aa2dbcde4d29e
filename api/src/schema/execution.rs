//! Executing requests so that every answer is of one version of the report.

use std::sync::Arc;

use async_graphql::{
    Context, Data, Executor, Request, Response, ServerError, Value,
    parser::types::{DocumentOperations, OperationType},
};
use futures_util::{StreamExt, future, stream::BoxStream};
use tokio::sync::OnceCell;

use super::{AnalyticsSchema, errors};
use crate::reports::{Answer, ReportReader};

/// How often a query is begun with what is known by heart before it takes a transaction for itself.
const SHARED_TRIES: u32 = 2;

/// What one answer is read from: every report in it shows the same version.
#[derive(Debug, Default)]
struct AnswerCell {
    answer: OnceCell<Answer>,
    in_own_transaction: bool,
}

/// Marks the error of a field whose version of the report was gone before it was found out.
#[derive(Debug)]
pub(super) struct Moved;

/// What this answer is read from.
pub(super) async fn answer<'a>(context: &Context<'a>) -> async_graphql::Result<&'a Answer> {
    let cell = context.data::<AnswerCell>()?;
    let reader = context.data::<ReportReader>()?;
    let answer = cell.answer.get_or_try_init(async || match cell.in_own_transaction {
        true => reader.own_answer().await,
        false => reader.answer().await,
    });
    answer.await.map_err(|failure| errors::of_report(&failure))
}

/// Executes a query or a mutation.
///
/// A query whose report changes while it is answered is begun again.
pub(crate) async fn execute(schema: &AnalyticsSchema, mut request: Request) -> Response {
    if operation_type(&mut request) == Some(OperationType::Query) {
        for _ in 0..SHARED_TRIES {
            let mut again = Request::new(request.query.clone()).variables(request.variables.clone());
            again.operation_name.clone_from(&request.operation_name);
            let response = schema.execute(request.data(AnswerCell::default())).await;
            if !has_moved(&response) {
                return whole_or_nothing(response);
            }
            request = again;
        }
    }
    let cell = AnswerCell { in_own_transaction: true, ..AnswerCell::default() };
    whole_or_nothing(schema.execute(request.data(cell)).await)
}

/// Executes a subscription.
///
/// A report that changes while its event is put together is not sent: the next event is on its way.
pub(crate) fn execute_stream(
    schema: &AnalyticsSchema,
    request: Request,
    session: Option<Arc<Data>>,
) -> BoxStream<'static, Response> {
    let responses = Executor::execute_stream(schema, request.data(AnswerCell::default()), session);
    responses.filter(|response| future::ready(!has_moved(response))).map(whole_or_nothing).boxed()
}

/// An answer with an error has no data. That is what becomes of a null where there must be none, up to the root, where
/// no field of ours is nullable; the library leaves the field out instead.
fn whole_or_nothing(mut response: Response) -> Response {
    if !response.errors.is_empty() {
        response.data = Value::Null;
    }
    response
}

fn has_moved(response: &Response) -> bool {
    response.errors.iter().any(|error: &ServerError| error.source::<Moved>().is_some())
}

/// What the request would do; nothing when it can't be parsed or does not say which of its operations it means.
pub(crate) fn operation_type(request: &mut Request) -> Option<OperationType> {
    let name = request.operation_name.clone();
    let document = request.parsed_query().ok()?;
    let operation = match &document.operations {
        DocumentOperations::Single(operation) => Some(operation),
        DocumentOperations::Multiple(operations) => operations.get(name?.as_str()),
    };
    operation.map(|operation| operation.node.ty)
}

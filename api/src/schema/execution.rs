//! Executes requests so that every response shows one version of the report.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use async_graphql::{Context, Request, Response, ServerError, Value};
use futures_util::{StreamExt, future, stream::BoxStream};
use storage::clock::Moment;
use tokio::sync::OnceCell;

use super::{AnalyticsSchema, AnswerBudget, errors};
use reports::freshness::Freshness;
use reports::{ReportReader, ReportView};

/// The attempts to execute a query against the cache before it takes a transaction of its own.
const SHARED_TRIES: u32 = 2;

/// The view that one response is read from, so that every report in it shows the same version.
#[derive(Clone, Debug, Default)]
pub(super) struct ViewCell {
    answer: Arc<OnceCell<ReportView>>,
    in_own_transaction: bool,
}

/// The freshness and the moment of a response, set once it is executed and only if it was read from the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnsweredFrom(Arc<OnceLock<(Freshness, Moment)>>);

impl AnsweredFrom {
    pub(crate) fn freshness_and_moment(&self) -> Option<&(Freshness, Moment)> {
        self.0.get()
    }

    fn tell(&self, cell: &ViewCell) {
        if let Some(answer) = cell.answer.get() {
            self.0.get_or_init(|| (answer.freshness().clone(), answer.moment()));
        }
    }
}

/// Marks a field error caused by the report changing during the request; the request is then retried.
#[derive(Debug)]
pub(super) struct VersionChanged;

/// Marks a field error caused by a statement in conflict with other work of the database: a standby, for instance,
/// cancels statements that hold up its replay.
#[derive(Debug)]
pub(super) struct Cancelled;

/// Returns the view that this response is read from.
pub(super) async fn report_view<'a>(context: &Context<'a>) -> async_graphql::Result<&'a ReportView> {
    let cell = context.data::<ViewCell>()?;
    let reader = context.data::<ReportReader>()?;
    let answer = cell.answer.get_or_try_init(async || match cell.in_own_transaction {
        true => reader.uncached_view().await,
        false => reader.view().await,
    });
    answer.await.map_err(|failure| errors::of_report(&failure))
}

/// Executes a query, and sets `from` to the freshness and moment that it was answered from. A query whose report
/// changes meanwhile, or that the database cancels, is executed again.
pub(crate) async fn execute_query(
    schema: &AnalyticsSchema,
    mut request: Request,
    from: &AnsweredFrom,
    budget: &AnswerBudget,
) -> Response {
    for _ in 0..SHARED_TRIES {
        let mut again = Request::new(request.query.clone()).variables(request.variables.clone());
        again.operation_name.clone_from(&request.operation_name);
        let cell = ViewCell::default();
        budget.reset();
        let response = schema.execute(request.data(cell.clone()).data(budget.clone())).await;
        if !has_version_changed(&response) && !is_marked::<Cancelled>(&response) {
            from.tell(&cell);
            return whole_or_nothing(response);
        }
        request = again;
    }
    let cell = ViewCell { in_own_transaction: true, ..ViewCell::default() };
    budget.reset();
    let response = schema.execute(request.data(cell.clone()).data(budget.clone())).await;
    from.tell(&cell);
    whole_or_nothing(response)
}

/// Executes a mutation.
pub(crate) async fn execute_mutation(schema: &AnalyticsSchema, request: Request) -> Response {
    whole_or_nothing(schema.execute(request.data(ViewCell::default())).await)
}

/// Executes a subscription.
///
/// An event during which the report changes is not sent, because the next event is on its way.
pub(crate) fn execute_stream(
    schema: &AnalyticsSchema,
    request: Request,
    budget: AnswerBudget,
) -> BoxStream<'static, Response> {
    let responses = schema.execute_stream(request.data(ViewCell::default()).data(budget.clone()));
    let is_told = move |response: &Response| {
        let is_told = !has_version_changed(response);
        if !is_told {
            budget.reset();
        }
        future::ready(is_told)
    };
    responses.filter(is_told).map(whole_or_nothing).boxed()
}

/// Sets the `data` of a response with errors to null. A null that a field must not have propagates up to `data`, since
/// no root field of ours is nullable; the library leaves the root field out instead.
fn whole_or_nothing(mut response: Response) -> Response {
    if !response.errors.is_empty() {
        response.data = Value::Null;
    }
    response
}

fn has_version_changed(response: &Response) -> bool {
    is_marked::<VersionChanged>(response)
}

fn is_marked<Mark: Any + Send + Sync>(response: &Response) -> bool {
    response.errors.iter().any(|error: &ServerError| error.source::<Mark>().is_some())
}

//! Executing requests so that every answer is of one version of the report.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use async_graphql::{Context, Request, Response, ServerError, Value};
use entity::clock::Moment;
use futures_util::{StreamExt, future, stream::BoxStream};
use tokio::sync::OnceCell;

use super::{AnalyticsSchema, AnswerBudget, errors};
use crate::{
    freshness::Freshness,
    reports::{ReportReader, ReportView},
};

/// How often a query is begun with what is known by heart before it takes a transaction for itself.
const SHARED_TRIES: u32 = 2;

/// What one answer is read from: every report in it shows the same version.
#[derive(Clone, Debug, Default)]
struct ViewCell {
    answer: Arc<OnceCell<ReportView>>,
    in_own_transaction: bool,
}

/// How fresh an answer is and of which moment, once it has been given and if it was read from the report at all.
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

/// Marks the error of a field whose version of the report was gone before it was found out.
#[derive(Debug)]
pub(super) struct VersionChanged;

/// Marks the error of a field whose statement was in the way of something else: a standby cancels what holds up its replay.
#[derive(Debug)]
pub(super) struct Cancelled;

/// What this answer is read from.
pub(super) async fn report_view<'a>(context: &Context<'a>) -> async_graphql::Result<&'a ReportView> {
    let cell = context.data::<ViewCell>()?;
    let reader = context.data::<ReportReader>()?;
    let answer = cell.answer.get_or_try_init(async || match cell.in_own_transaction {
        true => reader.uncached_view().await,
        false => reader.view().await,
    });
    answer.await.map_err(|failure| errors::of_report(&failure))
}

/// Executes a query, and tells what it was answered from. One whose report changes meanwhile, or that the database cancels,
/// is begun again.
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
/// A report that changes while its event is put together is not sent: the next event is on its way.
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

/// An answer with an error has no data. That is what becomes of a null where there must be none, up to the root, where
/// no field of ours is nullable; the library leaves the field out instead.
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

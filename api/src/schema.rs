//! The GraphQL schema: types and resolvers, thin over the handles that do the work.

mod budget;
mod errors;
mod execution;
mod freshness;
mod inputs;
mod mutation;
mod query;
mod report;
mod scalars;
mod subscription;
mod values;

use std::sync::Arc;

use async_graphql::{
    EmptyMutation, EmptySubscription, ObjectType, Request, Response, SDLExportOptions, Schema, SchemaBuilder,
    SubscriptionType, Value,
};
use chrono::{DateTime, Utc};
use futures_util::{
    future,
    stream::{self, BoxStream},
};

use crate::{http::Reports, increments::Recorder};
pub(crate) use budget::{AnswerBounds, AnswerBudget, AnswerText, NoText};
pub(crate) use errors::{Code, code_of, count_error, count_errors, error};
pub(crate) use execution::{AnsweredFrom, execute_mutation, execute_query, execute_stream};
use mutation::Mutation;
pub(crate) use mutation::{
    MUTATION, MUTATION_INPUT, MUTATION_PAYLOAD, RecordPageViewsInput, RecordPageViewsPayload, RecordingTerms, record,
};
pub(crate) use query::VERSION_FIELD;
use query::{Query, QueryWithoutReports};
use subscription::Subscription;
use values::InputTypes;

/// How deeply a query may be nested. `GraphiQL`'s introspection of types takes 15 levels.
const DEPTH_MAX: usize = 16;
/// How many fields a query may ask for, those of each page of a list counted.
const COMPLEXITY_MAX: usize = 20_000;
/// How many directives a query may have on one field.
const DIRECTIVES_MAX: usize = 16;

/// The schema's description. The library has no words of ours for it.
const DESCRIPTION: &str =
    "Page views that are counted, and the report of them: which pages were viewed how often, and when.";
/// What the library answers instead.
const LIBRARY_DESCRIPTION: &str = "A GraphQL Schema defines the capabilities of a GraphQL server. It exposes all available \
    types and directives on the server, as well as the entry points for query, mutation, and subscription operations.";
/// The description of `DateTime`.
const DATE_TIME: &str = "A moment, written as RFC 3339 has it, with an offset from UTC, such as `2026-11-20T10:00:00Z`. Answers have \
    the offset `+00:00`, and up to nine digits of a second's fraction.";

/// The schema of what a process does: no mutation where nothing is recorded, no report where none is read.
#[derive(Clone)]
pub(crate) struct AnalyticsSchema {
    executor: Executor,
    inputs: Arc<InputTypes>,
}

#[derive(Clone)]
enum Executor {
    Whole(Schema<Query, Mutation, Subscription>),
    Increments(Schema<QueryWithoutReports, Mutation, EmptySubscription>),
    Reports(Schema<Query, EmptyMutation, Subscription>),
}

impl AnalyticsSchema {
    /// With the handles that its resolvers use; nothing where there are none.
    pub(crate) fn new(recorder: Option<Recorder>, reports: Option<Reports>) -> Option<Self> {
        let executor = match (recorder, reports) {
            (Some(recorder), Some(Reports { reader, feed })) => {
                let schema = described(limited(Schema::build(Query, Mutation, Subscription)));
                Executor::Whole(schema.data(recorder).data(reader).data(feed).finish())
            }
            (Some(recorder), None) => {
                let schema = described(limited(Schema::build(QueryWithoutReports, Mutation, EmptySubscription)));
                Executor::Increments(schema.data(recorder).finish())
            }
            (None, Some(Reports { reader, feed })) => {
                let schema = described(limited(Schema::build(Query, EmptyMutation, Subscription)));
                Executor::Reports(schema.data(reader).data(feed).finish())
            }
            (None, None) => return None,
        };
        let inputs = Arc::new(InputTypes::of(&executor.exported()));
        Some(Self { executor, inputs })
    }

    /// In the schema definition language.
    pub(crate) fn sdl(&self) -> String {
        with_description(&self.executor.exported())
    }

    async fn execute(&self, mut request: Request) -> Response {
        if let Err(wrong) = self.inputs.check(&mut request) {
            return Response::from_errors(vec![wrong]);
        }
        let is_introspection = request.query.contains("__schema");
        let mut response = match &self.executor {
            Executor::Whole(schema) => schema.execute(request).await,
            Executor::Increments(schema) => schema.execute(request).await,
            Executor::Reports(schema) => schema.execute(request).await,
        };
        if is_introspection {
            describe(&mut response.data);
        }
        response
    }

    fn execute_stream(&self, mut request: Request) -> BoxStream<'static, Response> {
        if let Err(wrong) = self.inputs.check(&mut request) {
            return Box::pin(stream::once(future::ready(Response::from_errors(vec![wrong]))));
        }
        match &self.executor {
            Executor::Whole(schema) => Box::pin(schema.execute_stream(request)),
            Executor::Increments(schema) => Box::pin(schema.execute_stream(request)),
            Executor::Reports(schema) => Box::pin(schema.execute_stream(request)),
        }
    }
}

impl Executor {
    fn exported(&self) -> String {
        match self {
            Self::Whole(schema) => exported(schema),
            Self::Increments(schema) => exported(schema),
            Self::Reports(schema) => exported(schema),
        }
    }
}

/// The whole schema in the schema definition language, as `schema.graphql` holds it.
#[must_use]
pub fn sdl() -> String {
    with_description(&exported(&described(limited(Schema::build(Query, Mutation, Subscription))).finish()))
}

fn exported<Q: ObjectType + 'static, M: ObjectType + 'static, S: SubscriptionType + 'static>(
    schema: &Schema<Q, M, S>,
) -> String {
    schema.sdl_with_options(SDLExportOptions::new().prefer_single_line_descriptions().include_specified_by())
}

fn limited<Q: ObjectType + 'static, M: ObjectType + 'static, S: SubscriptionType + 'static>(
    builder: SchemaBuilder<Q, M, S>,
) -> SchemaBuilder<Q, M, S> {
    builder.limit_depth(DEPTH_MAX).limit_complexity(COMPLEXITY_MAX).limit_directives(DIRECTIVES_MAX)
}

/// Gives the library's own types our words.
fn described<Q: ObjectType + 'static, M: ObjectType + 'static, S: SubscriptionType + 'static>(
    builder: SchemaBuilder<Q, M, S>,
) -> SchemaBuilder<Q, M, S> {
    builder.override_output_type_description::<DateTime<Utc>>(DATE_TIME)
}

/// The description is a comment: Rust's `graphql_client` can't read a schema that has it as the specification allows.
fn with_description(exported: &str) -> String {
    format!("# {DESCRIPTION}\n\n{exported}")
}

/// Puts the schema's description where the library has put its own words.
fn describe(answer: &mut Value) {
    match answer {
        Value::String(text) if text == LIBRARY_DESCRIPTION => DESCRIPTION.clone_into(text),
        Value::List(items) => items.iter_mut().for_each(describe),
        Value::Object(fields) => fields.values_mut().for_each(describe),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Variables;
    use serde_json::json;

    use super::*;

    /// Whether a wrong value is found, in whatever part of the schema a process serves.
    #[test]
    fn values_are_checked_in_every_services_schema() {
        let whole = exported(&described(limited(Schema::build(Query, Mutation, Subscription))).finish());
        let increments =
            exported(&described(limited(Schema::build(QueryWithoutReports, Mutation, EmptySubscription))).finish());
        let reports = exported(&described(limited(Schema::build(Query, EmptyMutation, Subscription))).finish());
        let record = "mutation ($value: RecordPageViewsInput!) { recordPageViews(input: $value) { views } }";
        let report = "query ($value: ReportFilter) { report(filter: $value) { totals { views } } }";
        let live = "subscription ($value: ReportFilter) { report(filter: $value) { totals { views } } }";
        for (sdl, query, is_served) in [
            (&whole, record, true),
            (&whole, report, true),
            (&whole, live, true),
            (&increments, record, true),
            (&increments, report, false),
            (&reports, record, false),
            (&reports, report, true),
            (&reports, live, true),
        ] {
            let variables = Variables::from_json(json!({ "value": 1 }));
            let mut request = Request::new(query).variables(variables.clone());
            // What is not served, the library refuses.
            assert_eq!(InputTypes::of(sdl).check(&mut request).is_err(), is_served, "{query}");
            assert_eq!(request.variables, variables, "they are kept");
        }
    }
}

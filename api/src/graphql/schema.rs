//! The GraphQL schema: its types, and its resolvers, which call the handles that do the work.

mod fresh_reads;
mod freshness;
mod inputs;
mod job_fields;
mod limits;
mod mutation;
mod newest_first;
mod query;
mod refreshes;
mod report;
mod scalars;
mod subscription;
mod values;
mod view_cell;

use std::{sync::Arc, time::Duration};

use async_graphql::{
    EmptyMutation, MergedObject, ObjectType, Request, Response, SDLExportOptions, Schema, SchemaBuilder,
    SubscriptionType, Value, parser::types::OperationType,
};
use chrono::{DateTime, Utc};
use futures_util::{
    future,
    stream::{self, BoxStream},
};

use increments::Recorder;
use jobs::Jobs;

use super::{errors, query_limits, response_budget};
use crate::access::{Scope, Scopes};
pub(crate) use fresh_reads::{FreshRead, may_require_freshness};
pub(crate) use inputs::{PageFilter, PageSearch};
use job_fields::{JOB_FIELDS, JobQueries, JobSubscriptions, MANAGING_MUTATIONS, ManagingMutations};
pub(crate) use limits::ServerLimits;
use limits::{Limits, ReadWaitMax};
use mutation::RecordingMutation;
pub(super) use mutation::{
    MUTATION, MUTATION_INPUT, MUTATION_PAYLOAD, RecordPageViewsInput, RecordPageViewsPayload, record,
};
use query::{PUBLIC_FIELDS, Query, QueryOfIncrements, QueryOfReports, ReportQueries, ServerQueries};
use reports::Reports;
pub(super) use subscription::{EventView, GivenViews};
use subscription::{ReportSubscriptions, Subscriptions, SubscriptionsOfIncrements, SubscriptionsOfReports};
use values::InputTypes;
pub(super) use view_cell::ViewCell;

/// The deepest nesting of a query. `GraphiQL`'s introspection of types takes 15 levels.
const DEPTH_MAX: usize = 16;
/// The most fields that a query may select, where those of a list count once for each page in it.
const COMPLEXITY_MAX: usize = 20_000;
/// The most directives on one field of a query.
const DIRECTIVES_MAX: usize = 16;

/// The schema's description, which the GraphQL library does not let a service set.
const DESCRIPTION: &str =
    "Page views that are counted, and the report of them: which pages were viewed how often, and when.";
/// The description that the library gives every schema.
const LIBRARY_DESCRIPTION: &str = "A GraphQL Schema defines the capabilities of a GraphQL server. It exposes all available \
    types and directives on the server, as well as the entry points for query, mutation, and subscription operations.";
/// The description of `DateTime`.
const DATE_TIME: &str = "A moment, written as RFC 3339 has it, with an offset from UTC, such as `2026-11-20T10:00:00Z`. Answers have \
    the offset `+00:00`, and up to nine digits of a second's fraction.";

/// The schema of one process: no mutation where nothing is recorded, no reports where none are read.
#[derive(Clone)]
pub(super) struct AnalyticsSchema {
    schema: ServedSchema,
    inputs: Arc<InputTypes>,
}

#[derive(Clone)]
enum ServedSchema {
    Whole(Schema<Query, Mutation, Subscriptions>),
    Increments(Schema<QueryOfIncrements, Mutation, SubscriptionsOfIncrements>),
    Reports(Schema<QueryOfReports, EmptyMutation, SubscriptionsOfReports>),
}

/// What can be recorded, and changed.
#[derive(Copy, Clone, Debug, MergedObject)]
pub(super) struct Mutation(RecordingMutation, ManagingMutations);

/// Returns the scopes that an operation with these fields of its root needs; none if any scope will do.
pub(super) fn scopes_of(kind: OperationType, fields: &[&str]) -> Scopes {
    let scope = |name: &str| match kind {
        _ if name.starts_with("__") => None,
        OperationType::Mutation if MANAGING_MUTATIONS.contains(&name) => Some(Scope::Manage),
        OperationType::Mutation => Some(Scope::Increments),
        OperationType::Query if PUBLIC_FIELDS.contains(&name) => None,
        OperationType::Query | OperationType::Subscription if JOB_FIELDS.contains(&name) => Some(Scope::Manage),
        OperationType::Query | OperationType::Subscription => Some(Scope::Reports),
    };
    fields.iter().filter_map(|name| scope(name)).collect()
}

impl AnalyticsSchema {
    /// Builds the schema for the handles that its resolvers use; `None` if there are none.
    pub(super) fn new(
        recording: Option<(Recorder, Jobs)>,
        reports: Option<Reports>,
        limits: ServerLimits,
    ) -> Option<Self> {
        let wait_max = ReadWaitMax(Duration::from_millis(limits.read_wait_ms.into()));
        let limits = Limits::new(limits);
        let schema = match (recording, reports) {
            (Some((recorder, jobs)), Some(Reports { reader, feed })) => {
                let schema = whole().data(recorder).data(jobs).data(reader).data(feed);
                ServedSchema::Whole(schema.data(limits).data(wait_max).finish())
            }
            (Some((recorder, jobs)), None) => {
                ServedSchema::Increments(of_increments().data(recorder).data(jobs).data(limits).finish())
            }
            (None, Some(Reports { reader, feed })) => {
                ServedSchema::Reports(of_reports().data(reader).data(feed).data(limits).data(wait_max).finish())
            }
            (None, None) => return None,
        };
        let inputs = Arc::new(InputTypes::of(&schema.exported()));
        Some(Self { schema, inputs })
    }

    /// Returns the schema in the schema definition language.
    pub(super) fn sdl(&self) -> String {
        with_description(&self.schema.exported())
    }

    /// Executes a query or mutation.
    pub(super) async fn execute(&self, mut request: Request) -> Response {
        if let Err(wrong) = self.inputs.check(&mut request) {
            return Response::from_errors(vec![wrong]);
        }
        let is_introspection = request.query.contains("__schema");
        let mut response = match &self.schema {
            ServedSchema::Whole(schema) => schema.execute(request).await,
            ServedSchema::Increments(schema) => schema.execute(request).await,
            ServedSchema::Reports(schema) => schema.execute(request).await,
        };
        if is_introspection {
            describe(&mut response.data);
        }
        response
    }

    /// Executes a subscription.
    pub(super) fn execute_stream(&self, mut request: Request) -> BoxStream<'static, Response> {
        if let Err(wrong) = self.inputs.check(&mut request) {
            return Box::pin(stream::once(future::ready(Response::from_errors(vec![wrong]))));
        }
        match &self.schema {
            ServedSchema::Whole(schema) => Box::pin(schema.execute_stream(request)),
            ServedSchema::Increments(schema) => Box::pin(schema.execute_stream(request)),
            ServedSchema::Reports(schema) => Box::pin(schema.execute_stream(request)),
        }
    }
}

impl ServedSchema {
    fn exported(&self) -> String {
        match self {
            Self::Whole(schema) => exported(schema),
            Self::Increments(schema) => exported(schema),
            Self::Reports(schema) => exported(schema),
        }
    }
}

/// Returns the whole schema in the schema definition language, as `schema.graphql` holds it.
#[must_use]
pub fn sdl() -> String {
    with_description(&exported(&whole().finish()))
}

fn whole() -> SchemaBuilder<Query, Mutation, Subscriptions> {
    let query = Query(ReportQueries, JobQueries, ServerQueries);
    let subscriptions = Subscriptions(ReportSubscriptions, JobSubscriptions);
    described(limited(Schema::build(query, Mutation(RecordingMutation, ManagingMutations), subscriptions)))
}

/// Returns the schema where nothing is read.
fn of_increments() -> SchemaBuilder<QueryOfIncrements, Mutation, SubscriptionsOfIncrements> {
    let (query, mutation) =
        (QueryOfIncrements(JobQueries, ServerQueries), Mutation(RecordingMutation, ManagingMutations));
    described(limited(Schema::build(query, mutation, SubscriptionsOfIncrements(JobSubscriptions))))
}

/// Returns the schema where nothing is recorded.
fn of_reports() -> SchemaBuilder<QueryOfReports, EmptyMutation, SubscriptionsOfReports> {
    described(limited(Schema::build(
        QueryOfReports(ReportQueries, ServerQueries),
        EmptyMutation,
        SubscriptionsOfReports(ReportSubscriptions),
    )))
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

/// Replaces the library's descriptions of its own types.
fn described<Q: ObjectType + 'static, M: ObjectType + 'static, S: SubscriptionType + 'static>(
    builder: SchemaBuilder<Q, M, S>,
) -> SchemaBuilder<Q, M, S> {
    builder.override_output_type_description::<DateTime<Utc>>(DATE_TIME)
}

/// Puts the schema's description before it as a comment: Rust's `graphql_client` can't read a schema that has a
/// description in the form that the specification allows.
fn with_description(exported: &str) -> String {
    format!("# {DESCRIPTION}\n\n{exported}")
}

/// Replaces the library's description of the schema in the response to an introspection query.
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

    #[test]
    fn wrong_value_is_refused_in_each_part_of_the_schema_that_serves_its_field() {
        let whole = exported(&whole().finish());
        let increments = exported(&of_increments().finish());
        let reports = exported(&of_reports().finish());
        let record = "mutation ($value: RecordPageViewsInput!) { recordPageViews(input: $value) { views } }";
        let report = "query ($value: ReportFilter) { report(filter: $value) { totals { views } } }";
        let rename = "mutation ($value: RenamePageInput!) { renamePage(input: $value) { duplicate } }";
        let live = "subscription ($value: ReportFilter) { report(filter: $value) { totals { views } } }";
        for (sdl, query, is_served) in [
            (&whole, record, true),
            (&whole, report, true),
            (&whole, live, true),
            (&whole, rename, true),
            (&increments, record, true),
            (&increments, rename, true),
            (&reports, rename, false),
            (&increments, report, false),
            (&reports, record, false),
            (&reports, report, true),
            (&reports, live, true),
        ] {
            let variables = Variables::from_json(json!({ "value": 1 }));
            let mut request = Request::new(query).variables(variables.clone());
            // The library, not the check, refuses a field that is not served.
            assert_eq!(InputTypes::of(sdl).check(&mut request).is_err(), is_served, "{query}");
            assert_eq!(request.variables, variables, "the request keeps its variables");
        }
    }
}

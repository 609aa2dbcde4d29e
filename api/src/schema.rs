//! The GraphQL schema: types and resolvers, thin over the handles that do the work.

mod errors;
mod execution;
mod freshness;
mod inputs;
mod mutation;
mod query;
mod report;
mod scalars;
mod subscription;

use async_graphql::{ObjectType, SDLExportOptions, Schema, SchemaBuilder, SubscriptionType};

use crate::{freshness::FreshnessFeed, increments::Recorder, reports::ReportReader};
pub(crate) use errors::{Code, code_of, count_error, count_errors, error};
pub(crate) use execution::{AnsweredFrom, execute_mutation, execute_query, execute_stream};
use mutation::Mutation;
pub(crate) use mutation::{
    MUTATION, MUTATION_INPUT, MUTATION_PAYLOAD, RecordPageViewsInput, RecordPageViewsPayload, record,
};
use query::Query;
use subscription::Subscription;

/// How deeply a query may be nested. `GraphiQL`'s introspection of types takes 15 levels.
const DEPTH_MAX: usize = 16;
/// How many fields a query may ask for, those of each page of a list counted.
const COMPLEXITY_MAX: usize = 20_000;
/// How many directives a query may have on one field.
const DIRECTIVES_MAX: usize = 16;

/// The schema of a process that records and reads.
pub type AnalyticsSchema = Schema<Query, Mutation, Subscription>;

/// The schema, with the handles that its resolvers use.
#[must_use]
pub fn schema(recorder: Recorder, reader: ReportReader, feed: FreshnessFeed) -> AnalyticsSchema {
    limited(Schema::build(Query, Mutation, Subscription)).data(recorder).data(reader).data(feed).finish()
}

/// The schema in the schema definition language, as `schema.graphql` holds it.
#[must_use]
pub fn sdl() -> String {
    let schema = limited(Schema::build(Query, Mutation, Subscription)).finish();
    schema.sdl_with_options(SDLExportOptions::new().prefer_single_line_descriptions())
}

fn limited<Q: ObjectType + 'static, M: ObjectType + 'static, S: SubscriptionType + 'static>(
    builder: SchemaBuilder<Q, M, S>,
) -> SchemaBuilder<Q, M, S> {
    builder.limit_depth(DEPTH_MAX).limit_complexity(COMPLEXITY_MAX).limit_directives(DIRECTIVES_MAX)
}

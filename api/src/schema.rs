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

use async_graphql::{
    EmptyMutation, EmptySubscription, ObjectType, Request, Response, SDLExportOptions, Schema, SchemaBuilder,
    SubscriptionType,
};
use futures_util::stream::BoxStream;

use crate::{http::Reports, increments::Recorder};
pub(crate) use errors::{Code, code_of, count_error, count_errors, error};
pub(crate) use execution::{AnsweredFrom, execute_mutation, execute_query, execute_stream};
use mutation::Mutation;
pub(crate) use mutation::{
    MUTATION, MUTATION_INPUT, MUTATION_PAYLOAD, RecordPageViewsInput, RecordPageViewsPayload, record,
};
pub(crate) use query::VERSION_FIELD;
use query::{NoReports, Query};
use subscription::Subscription;

/// How deeply a query may be nested. `GraphiQL`'s introspection of types takes 15 levels.
const DEPTH_MAX: usize = 16;
/// How many fields a query may ask for, those of each page of a list counted.
const COMPLEXITY_MAX: usize = 20_000;
/// How many directives a query may have on one field.
const DIRECTIVES_MAX: usize = 16;

/// The schema of what a process does: no mutation where nothing is recorded, no report where none is read.
#[derive(Clone)]
pub(crate) enum AnalyticsSchema {
    Whole(Schema<Query, Mutation, Subscription>),
    Increments(Schema<NoReports, Mutation, EmptySubscription>),
    Reports(Schema<Query, EmptyMutation, Subscription>),
}

impl AnalyticsSchema {
    /// With the handles that its resolvers use; nothing where there are none.
    pub(crate) fn new(recorder: Option<Recorder>, reports: Option<Reports>) -> Option<Self> {
        Some(match (recorder, reports) {
            (Some(recorder), Some(Reports { reader, feed })) => {
                let schema = limited(Schema::build(Query, Mutation, Subscription));
                Self::Whole(schema.data(recorder).data(reader).data(feed).finish())
            }
            (Some(recorder), None) => {
                let schema = limited(Schema::build(NoReports, Mutation, EmptySubscription));
                Self::Increments(schema.data(recorder).finish())
            }
            (None, Some(Reports { reader, feed })) => {
                let schema = limited(Schema::build(Query, EmptyMutation, Subscription));
                Self::Reports(schema.data(reader).data(feed).finish())
            }
            (None, None) => return None,
        })
    }

    /// In the schema definition language.
    pub(crate) fn sdl(&self) -> String {
        match self {
            Self::Whole(schema) => written(schema),
            Self::Increments(schema) => written(schema),
            Self::Reports(schema) => written(schema),
        }
    }

    async fn execute(&self, request: Request) -> Response {
        match self {
            Self::Whole(schema) => schema.execute(request).await,
            Self::Increments(schema) => schema.execute(request).await,
            Self::Reports(schema) => schema.execute(request).await,
        }
    }

    fn execute_stream(&self, request: Request) -> BoxStream<'static, Response> {
        match self {
            Self::Whole(schema) => Box::pin(schema.execute_stream(request)),
            Self::Increments(schema) => Box::pin(schema.execute_stream(request)),
            Self::Reports(schema) => Box::pin(schema.execute_stream(request)),
        }
    }
}

/// The whole schema in the schema definition language, as `schema.graphql` holds it.
#[must_use]
pub fn sdl() -> String {
    written(&limited(Schema::build(Query, Mutation, Subscription)).finish())
}

fn written<Q: ObjectType + 'static, M: ObjectType + 'static, S: SubscriptionType + 'static>(
    schema: &Schema<Q, M, S>,
) -> String {
    schema.sdl_with_options(SDLExportOptions::new().prefer_single_line_descriptions())
}

fn limited<Q: ObjectType + 'static, M: ObjectType + 'static, S: SubscriptionType + 'static>(
    builder: SchemaBuilder<Q, M, S>,
) -> SchemaBuilder<Q, M, S> {
    builder.limit_depth(DEPTH_MAX).limit_complexity(COMPLEXITY_MAX).limit_directives(DIRECTIVES_MAX)
}

//! The GraphQL schema: types and resolvers, thin over the handles that do the work.

mod errors;
mod freshness;
mod inputs;
mod mutation;
mod query;
mod report;
mod scalars;
mod subscription;

use std::sync::Arc;

use async_graphql::{ObjectType, SDLExportOptions, Schema, SchemaBuilder, SubscriptionType};
use tokio::sync::OnceCell;

use crate::{
    freshness::{Freshness, FreshnessFeed},
    increments::Recorder,
    reports::{ReportError, ReportReader, Snapshot},
};
pub(crate) use errors::{Code, code_of, error};
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

/// What one answer is read from: every report in it shows the same moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerSnapshot(Arc<OnceCell<Snapshot>>);

impl AnswerSnapshot {
    async fn get(&self, reader: &ReportReader) -> Result<&Snapshot, ReportError> {
        self.0.get_or_try_init(|| reader.snapshot()).await
    }

    /// How fresh the answer is, if it was read from the database at all.
    pub(crate) fn freshness(&self) -> Option<&Freshness> {
        self.0.get().map(|snapshot| &snapshot.freshness)
    }
}

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

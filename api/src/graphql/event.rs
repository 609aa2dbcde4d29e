//! The events of executing an operation.

use async_graphql::ServerError;
use reports::Provenance;

use super::response_budget::ResponseText;

/// One result of executing an operation.
#[derive(Clone, Debug)]
pub(crate) enum ExecutionEvent {
    /// A GraphQL response as JSON.
    Response {
        text: ResponseText,
        /// What the response was read from: only if it was read from the report, and none of its fields has an error.
        provenance: Option<Box<Provenance>>,
    },
    /// Request errors: nothing was executed, and no event follows.
    RequestErrors(Vec<ServerError>),
}

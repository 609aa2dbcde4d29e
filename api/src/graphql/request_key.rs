//! The identity of a request.

use async_graphql::Request;

/// The identity of a request: every client that may execute it gets the same answer for the same key at the same time.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct RequestKey {
    query: String,
    operation_name: Option<String>,
    variables: String,
}

impl RequestKey {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            query: request.query.clone(),
            operation_name: request.operation_name.clone(),
            variables: serde_json::to_string(&request.variables).unwrap_or_default(),
        }
    }
}

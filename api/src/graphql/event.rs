//! The events of executing an operation.

use async_graphql::{Response, ServerError, parser::types::OperationType};
use reports::Provenance;
use serde_json::json;

use super::{
    errors::{assign_code, count_error, count_errors, panicked, request_error},
    response_budget::{NoText, ResponseBudget, ResponseText},
};
use crate::error_code::Code;

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

impl ExecutionEvent {
    /// Converts a response into an event, with its fields in their order; `None` is that of an execution that panicked.
    pub(super) fn of(
        response: Option<Response>,
        provenance: Option<Provenance>,
        budget: &ResponseBudget,
        kind: OperationType,
    ) -> Self {
        let mut response = response.unwrap_or_else(|| Response::from_errors(vec![panicked()]));
        response.errors.iter_mut().for_each(assign_code);
        // Fields are resolved concurrently. In the order of the text, errors of equal requests are equal.
        response.errors.sort_by_cached_key(|error| (error.locations.clone(), format!("{:?}", error.path)));
        count_errors(&response.errors);
        if response.errors.iter().any(NoText::is_no_room) {
            return Self::RequestErrors(vec![request_error(Code::Overloaded, NoText::NoRoom.to_string())]);
        }
        // A request error, unlike a field error, has no path: nothing was executed.
        let executed = response.errors.is_empty() || response.errors.iter().any(|error| !error.path.is_empty());
        if !executed {
            return Self::RequestErrors(response.errors);
        }
        let no_text = match budget.text(&response) {
            Ok(text) => {
                let provenance = provenance.filter(|_| response.errors.is_empty()).map(Box::new);
                return Self::Response { text, provenance };
            }
            Err(no_text) => no_text,
        };
        let unsent = count_error(match (kind, no_text) {
            // The mutation was executed: a retryable error would make clients record the same views again.
            (OperationType::Mutation, _) => {
                request_error(Code::AnswerTooLarge, format!("what was asked for is done, but not told: {no_text}"))
            }
            _ => request_error(no_text.code(), no_text.to_string()),
        });
        match no_text {
            NoText::NoRoom if kind != OperationType::Mutation => Self::RequestErrors(vec![unsent]),
            _ => Self::Response {
                text: ResponseText::small(&json!({ "data": null, "errors": [unsent] })),
                provenance: None,
            },
        }
    }
}

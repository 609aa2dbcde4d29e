//! The parameters of a GraphQL request, in a body or in a URL.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::{Request, Variables};
use axum::http::StatusCode;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    body::{self, BodyError},
    error::HttpError,
};
use crate::{
    error_code::Code,
    graphql::{FastPathRequest, OperationExecutor, QUERY_BYTES_MAX},
    memory_budget::{MemoryBudget, Reservation},
};

/// The parameters in the JSON body of a POST. Variables may be long, so they are parsed only when they are needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters<'a> {
    #[serde(borrow)]
    query: Option<Cow<'a, str>>,
    #[serde(borrow)]
    operation_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    variables: Option<&'a RawValue>,
    #[serde(borrow)]
    extensions: Option<Extensions<'a>>,
}

/// The parameters in the URL of a GET, where `variables` and `extensions` are JSON texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryParameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// The `extensions` of a request, of which only the names are read.
pub(super) type Extensions<'a> = HashMap<Cow<'a, str>, IgnoredAny>;

/// Returns the error for a request that has only the hash of a persisted query, or `None` if `extensions` has no hash.
/// Clients that send the hash first look for exactly this message, and then send the query itself:
/// <https://www.apollographql.com/docs/apollo-server/performance/apq>
pub(super) fn without_query(extensions: Option<&Extensions<'_>>) -> Option<(Code, &'static str)> {
    let is_hash = extensions.is_some_and(|extensions| extensions.contains_key("persistedQuery"));
    is_hash.then_some((Code::PersistedQueryNotSupported, "PersistedQueryNotSupported"))
}

/// Returns the refusal of a request without a query.
fn without_query_error(extensions: Option<&Extensions<'_>>) -> HttpError {
    match without_query(extensions) {
        // 200, as Apollo's servers send it: Apollo's clients take every other status for a failure of the network.
        Some((code, message)) => HttpError::new(StatusCode::OK, code, message),
        None => HttpError::malformed("the request's query is missing"),
    }
}

impl<'a> Parameters<'a> {
    /// Parses a body.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, HttpError> {
        // Checked here because serde would accept an array as the parameters in their order.
        match body.trim_ascii_start().first() {
            Some(b'{') => {}
            Some(b'[') => {
                let message = "the body is not a GraphQL request: batches (lists of requests) are not supported, send each \
                               in a request of its own; one mutation records many increments";
                return Err(HttpError::malformed(message));
            }
            _ => return Err(HttpError::malformed("the body is not a GraphQL request: it must be one JSON object")),
        }
        serde_json::from_slice(body)
            .map_err(|wrong| HttpError::malformed(format!("the body is not a GraphQL request: {wrong}")))
    }

    /// Returns the mutation of the fast path, if the request is one.
    pub(super) fn fast_path(&self, executor: &OperationExecutor) -> Option<FastPathRequest> {
        executor.fast_path(self.query.as_deref()?, self.operation_name.as_deref(), self.variables?)
    }

    /// Reserves memory for the request's document.
    ///
    /// Errs when the memory for requests is used up.
    pub(super) fn reserve_document(&self, memory: &MemoryBudget) -> Result<Reservation, BodyError> {
        body::reserve_document(self.query.as_deref().unwrap_or_default(), memory)
    }

    /// Returns the parts of the request that determine the response: query, operation name and variables.
    pub(super) fn parts(&self) -> [Option<&str>; 3] {
        [self.query.as_deref(), self.operation_name.as_deref(), self.variables.map(RawValue::get)]
    }

    /// Parses the variables, and returns the request.
    pub(super) fn parse(self) -> Result<Request, HttpError> {
        let variables = self.variables.map(|variables| serde_json::from_str(variables.get())).transpose();
        let variables = variables
            .map_err(|wrong| HttpError::malformed(format!("the body is not a GraphQL request: variables: {wrong}")))?;
        let query = self.query.ok_or_else(|| without_query_error(self.extensions.as_ref()))?;
        request(query.into_owned(), self.operation_name.map(Cow::into_owned), variables)
    }
}

fn request(query: String, operation_name: Option<String>, variables: Option<Variables>) -> Result<Request, HttpError> {
    if query.len() > QUERY_BYTES_MAX {
        let message = format!("query must be at most {QUERY_BYTES_MAX} bytes; put values into variables");
        return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge, message));
    }
    let mut request = Request::new(query).variables(variables.unwrap_or_default());
    request.operation_name = operation_name;
    Ok(request)
}

impl QueryParameters {
    /// Reserves memory for the request's document and variables.
    ///
    /// Errs when they have too many values, or the memory for requests is used up.
    pub(super) fn reserve(&self, memory: &MemoryBudget) -> Result<Reservation, BodyError> {
        let [query, variables] = [&self.query, &self.variables].map(|part| part.as_deref().unwrap_or_default());
        let mut reserved = body::reserve_values(variables.as_bytes(), memory)?;
        reserved.merge(body::reserve_document(query, memory)?);
        Ok(reserved)
    }

    /// Parses the variables and extensions, and returns the request.
    pub(super) fn parse(&self) -> Result<Request, HttpError> {
        fn object<T: for<'a> Deserialize<'a>>(name: &str, text: Option<&String>) -> Result<Option<T>, HttpError> {
            let parsed = text.filter(|text| !text.is_empty()).map(|text| serde_json::from_str(text)).transpose();
            parsed.map_err(|wrong| HttpError::malformed(format!("the parameter {name} is not a JSON object: {wrong}")))
        }
        let variables = object("variables", self.variables.as_ref())?;
        let extensions: Option<Extensions<'_>> = object("extensions", self.extensions.as_ref())?;
        let query = self.query.clone().filter(|query| !query.is_empty());
        let query = query.ok_or_else(|| without_query_error(extensions.as_ref()))?;
        request(query, self.operation_name.clone().filter(|name| !name.is_empty()), variables)
    }

    /// Returns the parts of the request that determine the response: query, operation name and variables.
    pub(super) fn parts(&self) -> [Option<&str>; 3] {
        [self.query.as_deref(), self.operation_name.as_deref(), self.variables.as_deref()]
    }
}

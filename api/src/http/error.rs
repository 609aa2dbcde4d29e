//! Refusals of requests of which nothing is executed: a status, and a GraphQL error in the body.

use async_graphql::ServerError;
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{accept::JSON, body::BodyError, response::respond};
use crate::{error_code::Code, graphql::errors::request_error};

/// The refusal of a request of which nothing is executed: an HTTP status, and a GraphQL error for the body.
pub(crate) struct HttpError {
    status: StatusCode,
    code: Code,
    message: String,
    /// A header that belongs to the status, such as `Allow` or `Retry-After`.
    header: Option<(HeaderName, HeaderValue)>,
}

impl HttpError {
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: header_of(status) }
    }

    /// Replaces the header that belongs to the status.
    pub(super) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Returns whether the request was refused because there were too many.
    pub(super) fn is_about_rate(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// Converts the refusal into a GraphQL request error, which has no status.
    pub(super) fn into_error(self) -> ServerError {
        request_error(self.code, self.message)
    }

    /// Responds with the error, and counts it.
    pub(super) fn respond(self, media: &'static str) -> Response {
        self.code.count();
        let (status, header) = (self.status, self.header.clone());
        let mut response = respond(status, media, &json!({ "errors": [self.into_error()] }));
        response.headers_mut().extend(header);
        response
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadUserInput, message)
    }
}

/// Returns the header that belongs to a status: `Allow` to 405, `Retry-After` (in seconds) to 429 and 503.
pub(super) fn header_of(status: StatusCode) -> Option<(HeaderName, HeaderValue)> {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Some((header::ALLOW, HeaderValue::from_static("POST"))),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            Some((header::RETRY_AFTER, HeaderValue::from_static("1")))
        }
        _ => None,
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        self.respond(JSON)
    }
}

impl From<BodyError> for HttpError {
    fn from(wrong: BodyError) -> Self {
        let (status, code) = match wrong {
            BodyError::TooLarge(_) | BodyError::TooManyValues => (StatusCode::PAYLOAD_TOO_LARGE, Code::PayloadTooLarge),
            BodyError::BudgetExhausted => (StatusCode::SERVICE_UNAVAILABLE, Code::Overloaded),
            BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, Code::BadUserInput),
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, Code::BadUserInput),
        };
        Self::new(status, code, wrong.to_string())
    }
}
